"""A route, what it takes, and which of several takes something that has happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType

from alerts.happening import Happening, Severity
from alerts.quiet import Quiet

WINDOW = timedelta(hours=1)
"""How long after its end an alert takes up what happens again, where the route does not say."""
NOBODY = "none"
"""Of a channel: recorded only. Of an environment: what belongs to none."""
NO_TAGS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Escalation:
    """Whom to tell, and where, when nobody has acknowledged for `after`. An empty `mention` mentions nobody."""

    after: timedelta
    channel: str
    mention: str


@dataclass(frozen=True)
class Route:
    """Where and how something is said. `channel` None: recorded only. `mention`: a Slack user or user group id, or "".

    `window`: how long after its end an alert takes up what happens again. `remind`: how often, until somebody
    acknowledges.
    """

    name: str
    channel: str | None
    mention: str = ""
    window: timedelta = WINDOW
    remind: timedelta | None = None
    escalate: Escalation | None = None
    quiet: Quiet | None = None
    runbook: str | None = None

    def quiet_until(self, severity: Severity, at: datetime) -> datetime | None:
        """Until when to hold back what happens at `at`; None for at once, as always for what is critical."""
        return self.quiet.until(at) if self.quiet and severity is not Severity.CRITICAL else None


@dataclass(frozen=True)
class Match:
    """What a route takes: of each field the values named, of a field without values all; of tags all named ones."""

    fields: Mapping[str, frozenset[str]] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def missed(self, happening: Happening, tags: Mapping[str, str]) -> str:
        """Which field does not match, as words; empty when all do."""
        for name, wanted in self.fields.items():
            given = _given(happening, tags)[name]
            if given not in wanted:
                return f"{name} is {given}, not {' or '.join(sorted(wanted))}"
        for key, value in self.tags.items():
            if tags.get(key) != value:
                return f"tag {key} is {tags.get(key, 'absent')}, not {value}"
        return ""

    def covers(self, other: Match) -> bool:
        """Whether it takes everything that `other` takes."""
        wider = all(name in other.fields and other.fields[name] <= wanted for name, wanted in self.fields.items())
        return wider and self.tags.items() <= other.tags.items()


@dataclass(frozen=True)
class Routes:
    """The routes file. `fallback` is the channel for what no route takes, and for what cannot be posted elsewhere."""

    fallback: str
    rules: Sequence[tuple[Match, Route]] = ()

    @property
    def by_tags(self) -> bool:
        """Whether tags decide anything: only then is it worth asking AWS for those that an event does not carry."""
        return any(match.tags for match, _ in self.rules)

    def route(self, happening: Happening, tags: Mapping[str, str] = NO_TAGS) -> Route:
        """The first route that matches, else the fallback. `tags` are added to those the event carries."""
        known = {**happening.tags, **tags}
        for match, route in self.rules:
            if not _missed(match, route, happening, known):
                return route
        return Route("fallback", self.fallback)

    def named(self, name: str) -> Route | None:
        """The route of that name, the fallback too; None for one that the file no longer has."""
        every = [*(route for _, route in self.rules), Route("fallback", self.fallback)]
        return next((route for route in every if route.name == name), None)


def explain(routes: Routes, happening: Happening, tags: Mapping[str, str] = NO_TAGS) -> Sequence[tuple[str, str]]:
    """Each route that was looked at and why it was not taken, in order; the last is the one taken, and why."""
    known = {**happening.tags, **tags}
    looked = []
    for match, route in routes.rules:
        missed = _missed(match, route, happening, known)
        looked.append((route.name, missed or "it matches"))
        if not missed:
            return looked
    return [*looked, ("fallback", "no route matches")]


def _missed(match: Match, route: Route, happening: Happening, tags: Mapping[str, str]) -> str:
    """As `Match.missed`. An event that is not understood is silenced only where somebody wrote so, never by chance."""
    if route.channel is None and happening.topic == "unknown" and "topic" not in match.fields:
        return "it is recorded only, and does not name the topic unknown"
    return match.missed(happening, tags)


def _given(happening: Happening, tags: Mapping[str, str]) -> Mapping[str, str]:
    return {
        "source": happening.source,
        "topic": happening.topic,
        "environment": happening.environment or tags.get("Environment", NOBODY).lower(),
        "severity": happening.severity.value,
    }
