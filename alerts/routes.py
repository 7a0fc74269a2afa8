"""Where what has happened is said: the routes file, checked when it is read, and read again when it has changed.

    fallback: C0123456789
    routes:
      - name: production
        match: {environment: prod, severity: [critical, warning]}
        channel: C1123456789
        mention: S0123456789
        window: 30m
        remind: 1h
        escalate: {after: 2h, channel: C2123456789, mention: U0123456789}
        quiet: {from: "22:00", to: "07:00", zone: Europe/Berlin}
        runbook: https://wiki.example.com/runbooks/production

The first route that matches decides; what none matches goes to the fallback channel. docs/alerts.md explains each line.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import time, timedelta
from pathlib import Path
from typing import get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml

from alerts.events import Home, read
from alerts.happening import Happening, Severity, Topic
from alerts.quiet import Quiet
from alerts.route import NO_TAGS, NOBODY, WINDOW, Escalation, Match, Route, Routes, explain
from pipeline.errors import BadInput
from pipeline.names import ENVIRONMENTS
from pipeline.yaml_lines import YamlFile

__all__ = ["Escalation", "Quiet", "Route", "Routes", "RoutesFile", "Trial", "explain", "load", "tried"]

log = logging.getLogger(__name__)

VALUES: Mapping[str, Sequence[str] | None] = {
    "source": None,
    "topic": get_args(Topic),
    "environment": (*ENVIRONMENTS, NOBODY),
    "severity": [each.value for each in Severity],
}
"""What a route can match by, and the values there are; None: any."""
ENTRIES = ("name", "match", "channel", "mention", "window", "remind", "escalate", "quiet", "runbook")
LONGEST = timedelta(days=31)

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_CHANNEL = re.compile(r"[CG][A-Z0-9]{2,}")
_MENTION = re.compile(r"[UWS][A-Z0-9]{2,}")
_DURATION = re.compile(r"(?:(\d{1,4})d)?(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,6})s)?")
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_LINK = re.compile(r"https?://[^\s<>|]+")


@dataclass(frozen=True)
class Trial:
    """What would become of an event: what it means, where it would be said, and why there."""

    happening: Happening
    route: Route
    why: Sequence[tuple[str, str]]


def tried(body: str | bytes, home: Home, routes: Routes, tags: Mapping[str, str] = NO_TAGS) -> Trial:
    """What an event would do, without doing it. Raises alerts.happening.Unreadable."""
    happening = read(body, home)
    return Trial(happening, routes.route(happening, tags), explain(routes, happening, tags))


class RoutesFile:
    """The routes file as it is now. Read when made, so that a mistake in it is known at the start.

    A mistake made while it is in use is logged once and the last good routes stay: no alert waits for a typing error.
    Threads may share one.
    """

    def __init__(self, path: Path | str) -> None:
        self._file = _file(path)
        self._lock = threading.Lock()
        self._stamp: object = self._file.stamp()
        self._routes = _routes(self._file)

    def now(self) -> Routes:
        """What it says, or last said without a mistake."""
        with self._lock:
            try:
                stamp: object = self._file.stamp()
            except BadInput as fault:
                stamp = fault.message
            if stamp != self._stamp:
                self._stamp = stamp
                self._read_again()
            return self._routes

    def _read_again(self) -> None:
        try:
            self._routes = _routes(self._file)
        except BadInput as fault:
            log.error("the routes stay as they were: %s %s", fault.message, fault.advice)


def load(path: Path | str) -> Routes:
    """Read a routes file. Raises BadInput, naming file and line, for whatever is not as docs/alerts.md says."""
    return _routes(_file(path))


def _routes(file: YamlFile) -> Routes:
    """As `load`."""
    sections = file.known(file.root(), "the file", ("fallback", "routes"), needed=("fallback", "routes"))
    rules: list[tuple[Match, Route]] = []
    for node in file.items(sections["routes"], "routes must be a list"):
        _add(file, node, rules)
    return Routes(_channel(file, sections["fallback"]), rules)


def _add(file: YamlFile, node: yaml.Node, rules: list[tuple[Match, Route]]) -> None:
    entries = file.known(node, "a route", ENTRIES, needed=("name", "channel"))
    route = _route(file, entries)
    if route.name == "fallback" or any(route.name == earlier.name for _, earlier in rules):
        raise file.refused(entries["name"], f"a route {route.name!r} is there already")
    match = _match(file, entries["match"]) if "match" in entries else Match()
    for other, earlier in rules:
        if other.covers(match):
            raise file.refused(node, f"{route.name!r} can never match: {earlier.name!r} takes all of it before")
    rules.append((match, route))


def _route(file: YamlFile, entries: Mapping[str, yaml.Node]) -> Route:
    name = file.text(entries["name"], "name")
    if not _NAME.fullmatch(name):
        raise file.refused(entries["name"], f"{name!r} is no name: lower-case letters, digits and hyphens, at most 40")
    silent = file.text(entries["channel"], "channel") == NOBODY
    for entry in ("mention", "remind", "escalate"):
        if silent and entry in entries:
            raise file.refused(entries[entry], f"{entry} needs a channel")
    return Route(
        name=name,
        channel=None if silent else _channel(file, entries["channel"]),
        mention=_mention(file, entries["mention"]) if "mention" in entries else "",
        window=_duration(file, entries["window"]) if "window" in entries else WINDOW,
        remind=_duration(file, entries["remind"]) if "remind" in entries else None,
        escalate=_escalation(file, entries["escalate"]) if "escalate" in entries else None,
        quiet=_quiet(file, entries["quiet"]) if "quiet" in entries else None,
        runbook=_runbook(file, entries["runbook"]) if "runbook" in entries else None,
    )


def _match(file: YamlFile, node: yaml.Node) -> Match:
    entries = dict(file.known(node, "match", (*VALUES, "tags")))
    tags = entries.pop("tags", None)
    return Match(
        {name: _wanted(file, value, name) for name, value in entries.items()},
        {} if tags is None else {key: file.text(value, key) for key, (_, value) in file.pairs(tags, "tags").items()},
    )


def _wanted(file: YamlFile, node: yaml.Node, name: str) -> frozenset[str]:
    items = node.value if isinstance(node, yaml.SequenceNode) else [node]
    if not items:
        raise file.refused(node, f"{name} names no value, so nothing can match")
    known, found = VALUES[name], set()
    for item in items:
        value = file.text(item, name)
        if known is not None and value not in known:
            raise file.refused(item, f"unknown {name} {value!r}; there are {', '.join(known)}")
        found.add(value)
    return frozenset(found)


def _escalation(file: YamlFile, node: yaml.Node) -> Escalation:
    entries = file.known(node, "escalate", ("after", "channel", "mention"), needed=("after", "channel"))
    mention = _mention(file, entries["mention"]) if "mention" in entries else ""
    return Escalation(_duration(file, entries["after"]), _channel(file, entries["channel"]), mention)


def _quiet(file: YamlFile, node: yaml.Node) -> Quiet:
    names = ("from", "to", "zone")
    entries = file.known(node, "quiet", names, needed=names)
    start, end = _clock(file, entries["from"]), _clock(file, entries["to"])
    if start == end:
        raise file.refused(
            entries["to"], "quiet hours begin and end at the same time; use channel: none to say nothing"
        )
    zone = file.text(entries["zone"], "zone")
    try:
        return Quiet(start, end, ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError) as fault:
        raise file.refused(entries["zone"], f"{zone!r} is no time zone such as Europe/Berlin") from fault


def _clock(file: YamlFile, node: yaml.Node) -> time:
    text = file.text(node, "a time")
    if not (found := _CLOCK.fullmatch(text)):
        raise file.refused(node, f"{text!r} is no time of the day such as 22:00")
    return time(int(found[1]), int(found[2]))


def _duration(file: YamlFile, node: yaml.Node) -> timedelta:
    text = file.text(node, "a duration")
    found = _DURATION.fullmatch(text)
    days, hours, minutes, seconds = (int(part or 0) for part in (found.groups() if found else ("",) * 4))
    span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not timedelta() < span <= LONGEST:
        raise file.refused(node, f"{text!r} is no duration such as 90s, 30m, 1h30m or 2d, at most {LONGEST.days}d")
    return span


def _channel(file: YamlFile, node: yaml.Node) -> str:
    text = file.text(node, "a channel")
    if not _CHANNEL.fullmatch(text):
        raise file.refused(node, f"{text!r} is not the id of a Slack channel")
    return text


def _mention(file: YamlFile, node: yaml.Node) -> str:
    text = file.text(node, "mention")
    if not _MENTION.fullmatch(text):
        raise file.refused(node, f"{text!r} is not the id of a Slack user or user group")
    return text


def _runbook(file: YamlFile, node: yaml.Node) -> str:
    text = file.text(node, "runbook")
    if not _LINK.fullmatch(text):
        raise file.refused(node, f"{text!r} is no http or https link")
    return text


def _file(path: Path | str) -> YamlFile:
    return YamlFile(Path(path), "The routes file", "See config/routes.yaml for the form.")
