"""What every event has in common: its envelope, its members asked for by type, and how it becomes a Happening."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, cast

from alerts.happening import Effect, Happening, Severity, Topic
from alerts.texts import ARN, NAME, TEXT, TITLE, clean, moment, words
from pipeline.names import ENVIRONMENTS, PROJECT, Environment

AHEAD = timedelta(minutes=5)
"""A time further ahead of ours than this is an error of a clock, and counts as now."""
MOST_FACTS = 12
MOST_TAGS = 50
_ENVIRONMENT = re.compile(rf"(?:^|[:/]){PROJECT}-({'|'.join(ENVIRONMENTS)})-")


class Misshapen(Exception):
    """An event of a known type does not hold what its type documents."""


class Members:
    """The members of a JSON object, asked for by name and type. What has another type counts as absent."""

    def __init__(self, found: object) -> None:
        self._found: Mapping[str, Any] = found if isinstance(found, Mapping) else {}

    def __contains__(self, name: str) -> bool:
        return self._found.get(name) is not None

    def text(self, name: str, limit: int = NAME) -> str:
        """A text or number, cleaned; empty when absent."""
        return clean(self._found.get(name), limit)

    def need(self, name: str, limit: int = NAME) -> str:
        """As `text`, of a member without which the event says nothing. Raises Misshapen."""
        found = self.text(name, limit)
        if not found:
            raise Misshapen(f"{name} is missing")
        return found

    def status(self, name: str) -> str:
        """A needed status in lower-case words. Raises Misshapen."""
        return words(self.need(name))

    def moment(self, *names: str) -> datetime | None:
        """The time in the first of these members that holds one."""
        return next((found for name in names if (found := moment(self._found.get(name)))), None)

    def members(self, name: str) -> Members:
        """An object; an empty one when absent."""
        return Members(self._found.get(name))

    def listed(self, name: str) -> Sequence[Any]:
        """A list; an empty one when absent."""
        found = self._found.get(name)
        return found if isinstance(found, list) else []

    def tags(self, name: str) -> dict[str, str]:
        """Tags, as an object or as a list of keys and values: both are sent."""
        found = self._found.get(name)
        if isinstance(found, list):
            items = [Members(each) for each in found[:MOST_TAGS]]
            pairs = ((each.text("Key") or each.text("key"), each.text("Value") or each.text("value")) for each in items)
            return {key: value for key, value in pairs if key}
        return dict(islice(Members(found).scalars().items(), MOST_TAGS))

    def scalars(self) -> dict[str, str]:
        """The texts and numbers, by name, cleaned."""
        pairs = ((clean(name, 60), clean(value)) for name, value in self._found.items())
        return {name: value for name, value in pairs if name and value}

    def canonical(self, *, without: Sequence[str] = ()) -> str:
        """The same text for the same content in whatever order."""
        return json.dumps({name: value for name, value in self._found.items() if name not in without}, sort_keys=True)


@dataclass(frozen=True)
class Event:
    """An event before anybody knows what it means. `time` is when its service says it was sent, `now` our clock."""

    source: str
    kind: str
    account: str
    region: str
    time: datetime | None
    resources: Sequence[str]
    detail: Members
    now: datetime

    def happened(
        self,
        *,
        topic: Topic,
        subject: str,
        state: str,
        title: str,
        at: datetime | None,
        family: str = "",
        key: Sequence[object] | None = None,
        severity: Severity = Severity.INFO,
        effect: Effect = "moves",
        environment: Environment | None = None,
        tags: Mapping[str, str] | None = None,
        text: str = "",
        facts: Mapping[str, str] | None = None,
        ended: bool = False,
        reopens: bool = False,
        followed: str = "",
    ) -> Happening:
        """The event, understood. `key` tells states of the subject apart (default: its time, as the event has it)."""
        at = at or self.time
        parts = [self.source, topic, subject.lower(), state, *(key if key is not None else (at,))]
        return Happening(
            fingerprint=fingerprint(parts),
            source=self.source,
            kind=self.kind,
            topic=topic,
            subject=subject,
            family=(family or subject).lower(),
            environment=environment or environment_of(subject, tags or {}),
            severity=severity,
            effect=effect,
            state=clean(state, 60),
            at=self.now if at is None or at > self.now + AHEAD else at,
            title=clean(title, TITLE),
            text=clean(text, TEXT),
            facts=dict(islice(((name, value) for name, value in (facts or {}).items() if value), MOST_FACTS)),
            ended=ended,
            reopens=reopens,
            followed=followed,
            tags=tags or {},
        )


def envelope(body: Members, now: datetime) -> Event:
    """The envelope of an EventBridge event; a source or resource may be a text or a list of texts (both are sent)."""
    return Event(
        source=(_texts(body, "source") or [""])[0],
        kind=body.text("detail-type").removeprefix("&"),  # the schema page of Health prints one, a slip
        account=body.text("account"),
        region=body.text("region"),
        time=body.moment("time"),
        resources=_texts(body, "resources"),
        detail=body.members("detail"),
        now=now,
    )


def fingerprint(parts: Sequence[object]) -> str:
    """128 bits that are the same for the same parts; a time counts as the instant it is."""
    texts = [part.isoformat() if isinstance(part, datetime) else str(part) for part in parts]
    return hashlib.sha256("\x1f".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def environment_of(name: str, tags: Mapping[str, str] | None = None) -> Environment | None:
    """The environment in a name or ARN (`groundcrew-<env>-…`), else in the tag Environment; None for neither."""
    if found := _ENVIRONMENT.search(name.lower()):
        return cast(Environment, found[1])
    tagged = (tags or {}).get("Environment", "").lower()
    return tagged if tagged in ENVIRONMENTS else None


def failure(environment: Environment | None) -> Severity:
    """How bad it is when something of an environment fails."""
    return Severity.CRITICAL if environment == "prod" else Severity.WARNING


def last_part(arn: str) -> str:
    """The name at the end of an ARN."""
    return re.split(r"[:/]", arn)[-1]


def _texts(body: Members, name: str) -> list[str]:
    found = body.listed(name) or [body.text(name, ARN)]
    return [text for item in found[:20] if (text := clean(item, ARN))]
