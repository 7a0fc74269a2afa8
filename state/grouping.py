"""What events do to one alert: open it, join it, clear it. Values in, values out; `state.happenings` stores them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from state.alerts import AlertRow, State
from state.subjects import Effect

SEVEREST = ("info", "warning", "critical")


@dataclass(frozen=True)
class Place:
    """Where an alert goes: the route's name, its channel (None: only recorded), mention and time of grouping."""

    route: str
    channel: str | None
    mention: str
    window: timedelta


@dataclass(frozen=True)
class News:
    """One event and its place; the other fields as in `alerts.happening.Happening`."""

    fingerprint: str
    kind: str
    topic: str
    subject: str
    family: str
    environment: str | None
    severity: str
    effect: Effect
    state: str
    at: datetime
    title: str
    text: str
    facts: Mapping[str, str]
    ended: bool
    reopens: bool
    followed: str
    place: Place

    @property
    def arn(self) -> str:
        """The subject as subjects are compared."""
        return self.subject.lower()

    @property
    def when(self) -> tuple[datetime, str]:
        """Sorts events as they happened, the same way everywhere."""
        return self.at, self.fingerprint


def alert_id(fingerprint: str) -> str:
    """The id of the alert that an event opens: the same whoever computes it, with or without the database."""
    return hashlib.sha256(fingerprint.encode()).hexdigest()[:12]


def opened(news: Sequence[News], state: State, now: datetime) -> AlertRow:
    """A new alert. `news` as it happened, at least one."""
    first, last, place = news[0], news[-1], news[0].place
    return AlertRow(
        id=alert_id(first.fingerprint),
        family=first.family,
        **_face(last),
        severity=_severest(news),
        state=state,
        count=len(news),
        route=place.route,
        channel=place.channel,
        mention=place.mention,
        first_at=first.at,
        last_at=last.at,
        evidence=None,
        group_until=now + place.window,
        opened_at=now,
        **_UNTOUCHED,
        reminded=0,
        dirty=place.channel is not None,
    )


def joined(row: AlertRow, news: Sequence[News], now: datetime) -> AlertRow:
    """An alert to which the same happened again. One that was resolved fires as if nobody had seen it yet.

    What is only told of one that fires goes into its history, and does not take its place.
    """
    last = news[-1]
    aside = row.state == "firing" and last.effect == "tells"
    newer = (last.at, last.title) >= (row.last_at, row.title) and not aside
    again = {"state": "firing", **_UNTOUCHED, "reminded": 0} if row.state == "resolved" else {}
    changes: dict[str, Any] = {
        **(_face(last) if newer else {}),
        **again,
        "severity": _severest(news, row.severity),
        "count": row.count + len(news),
        "first_at": min(row.first_at, news[0].at),
        "last_at": max(row.last_at, last.at),
        "group_until": now + news[0].place.window,
        "dirty": row.channel is not None,
    }
    return replace(row, **changes)


def eased(row: AlertRow) -> AlertRow:
    """An alert of which some subjects, not all, fire no longer."""
    return replace(row, dirty=row.channel is not None)


def resolved(row: AlertRow, last: News, now: datetime) -> AlertRow:
    """An alert that an event ended: nobody did it, and nobody need be asked again."""
    return replace(
        row,
        state="resolved",
        last_state=last.state,
        last_at=max(row.last_at, last.at),
        resolved_by=None,
        resolved_at=now,
        hold_until=None,
        remind_at=None,
        escalate_at=None,
        dirty=row.channel is not None,
    )


_PEOPLE = ("acknowledged_by", "acknowledged_at", "assigned_to", "resolved_by", "resolved_at")
_CLOCKS = ("hold_until", "remind_at", "escalate_at", "escalated_at")
_UNTOUCHED: Mapping[str, Any] = dict.fromkeys((*_PEOPLE, *_CLOCKS))


def _face(news: News) -> dict[str, Any]:
    """What the newest event decides."""
    names = ("topic", "subject", "environment", "title", "text", "facts")
    return {name: getattr(news, name) for name in names} | {"last_state": news.state}


def _severest(news: Sequence[News], known: str = "info") -> str:
    return max([known, *(each.severity for each in news)], key=SEVEREST.index)
