"""`alerts test`: what an event would do, told without doing it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated

from cyclopts import Parameter
from sqlalchemy import Engine

from alerts.events import Home
from alerts.happening import Happening, Severity, Unreadable
from alerts.routes import Route, Routes, Trial, explain, tried
from commands.alert_card import card, environment
from commands.alerts import allowed_to_see, find
from commands.arguments import Verbatim
from commands.command import READERS, Context, command
from commands.reply import Action, Audience, Channel, Code, Fact, Inline, Menu, Moment, Reply, Strong, Text
from commands.wording import duration
from pipeline.errors import BadInput
from state import alerts, happenings, live
from state.alerts import AlertRow, Mute
from state.grouping import News, Place

EFFECTS: Mapping[str, str] = MappingProxyType(
    {
        "fires": "fires: somebody is needed",
        "clears": "clears: ends the alert of what it is about",
        "tells": "tells: worth a message of its own",
        "moves": "moves: progress only, nothing is posted",
    }
)
_SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "execution": "aws.sagemaker",
        "job": "aws.sagemaker",
        "endpoint": "aws.sagemaker",
        "package": "aws.sagemaker",
        "alarm": "aws.cloudwatch",
        "cost": "aws.ce",
        "budget": "aws.budgets",
        "health": "aws.health",
    }
)
"""An alert does not keep the source of its events; its topic tells it."""
_FENCE = re.compile(r"\A(`{1,3}|'|\")(?:json\n)?\s*(\{.*\})\s*\1\Z", re.DOTALL)


@dataclass(frozen=True)
class Outcome:
    """What recording an event would lead to: `before` and `after` are the alert it belongs to, None for none."""

    known: bool
    followed: bool
    before: AlertRow | None
    after: AlertRow | None
    mute: Mute | None


@command("alerts test", allowed=READERS, example='alerts test {"source": "aws.sagemaker", "detail-type": "…"}')
def test_(
    ctx: Context,
    event: Annotated[
        str, Parameter(help="The event as JSON, the id of an alert or, in a terminal, a file"), Verbatim()
    ],
) -> Reply:
    """Show what an event would do: how it is read, which route takes it, what is posted. Nothing is done."""
    routes, words = ctx.routes(), event.strip()
    if re.fullmatch(r"[0-9a-fA-F]{3,64}", words):
        row = find(ctx, words)
        with ctx.state.begin() as connection:
            mute = alerts.muted(connection, row.family)
        told = _of_alert(row, routes)
        return _reply(told, Outcome(True, False, row, row, mute), again=True)
    body = _body(ctx, words)
    try:
        told = tried(body, Home(ctx.names.account, ctx.names.region), routes)
    except Unreadable as error:
        raise BadInput(f"That is no event: {error}", "Paste the whole event, from { to }.") from error
    allowed_to_see(ctx, told.happening.environment)
    return _reply(told, rehearse(ctx.state, news_of(told.happening, told.route)))


def news_of(happening: Happening, route: Route) -> News:
    """A happening with its place, as it is recorded."""
    place = Place(route.name, route.channel, route.mention, route.window)
    shared = {each.name: getattr(happening, each.name) for each in fields(News) if each.name != "place"}
    return News(**shared | {"severity": happening.severity.value, "facts": dict(happening.facts)}, place=place)


def rehearse(engine: Engine, news: News) -> Outcome:
    """What recording would do: it is recorded for real, looked at, and rolled back."""
    with engine.connect() as connection, connection.begin() as transaction:
        standing = alerts.of_family(connection, news.family)
        known = not happenings.record(connection, [news])
        outcome = Outcome(
            known=known,
            followed=live.shows(connection, news.subject, news.followed),
            before=standing,
            after=alerts.of_event(connection, news.fingerprint),
            mute=alerts.muted(connection, news.family),
        )
        transaction.rollback()
    return outcome


def _body(ctx: Context, words: str) -> str | bytes:
    """The event that was pasted, without the marks around it, or the file that was named."""
    fenced = _FENCE.fullmatch(words)
    pasted = fenced[2] if fenced else words
    return pasted if pasted.startswith("{") else ctx.local_file(words)


def _of_alert(row: AlertRow, routes: Routes) -> Trial:
    """A recorded alert as if it happened again now."""
    happening = Happening(
        fingerprint="",
        source=_SOURCES.get(row.topic, ""),
        kind="recorded alert",
        topic=row.topic,  # type: ignore[arg-type]  # written from a Happening
        subject=row.subject,
        family=row.family,
        environment=environment(row),
        severity=Severity(row.severity),
        effect="tells" if row.state == "info" else "fires",
        state=row.last_state,
        at=row.last_at,
        title=row.title,
    )
    return Trial(happening, routes.route(happening), explain(routes, happening))


def _reply(told: Trial, outcome: Outcome, *, again: bool = False) -> Reply:
    happening, route = told.happening, told.route
    row = outcome.after
    looked: list[Inline] = ["Routes, in order:\n"]
    for name, why in told.why:
        looked += ["• ", Strong(name), f": {why}\n"]
    return Reply(
        title=f"Test: {_said(told, outcome, again=again)}",
        context="nothing was recorded, posted or changed",
        text=looked,
        facts=[*_read_as(happening), *_goes(route, outcome.mute, happening)],
        environment=happening.environment,
        audience=Audience.PERSON,
        also=(_preview(row, route, outcome.mute),) if row is not None and row.channel is not None else (),
    )


def _said(told: Trial, outcome: Outcome, *, again: bool) -> str:
    """What would happen, in a few words."""
    before, after = outcome.before, outcome.after
    if again:
        return "this alert is recorded; this is where it would go now"
    if outcome.known:
        return "it was recorded before, so it would change nothing"
    if outcome.followed:
        return "a live message shows it; no alert"
    if after is None:
        silent = told.happening.effect in ("fires", "tells")
        return "it is late or goes to no channel, so no alert" if silent else "no alert is touched"
    if before is None or before.id != after.id:
        return "it would open an alert" if after.state == "firing" else "it would post a message"
    if after.state == "resolved":
        return f"it would resolve {after.id[:8]}"
    return f"it would join {after.id[:8]}, {after.count} times then"


def _read_as(happening: Happening) -> list[Fact]:
    said: Text = [Code(happening.subject[:250])]
    return [
        Fact("Read as", f"{happening.kind or 'without a type'} · {happening.topic}"),
        Fact("About", said),
        Fact("State", f"{happening.state}{' (ended)' if happening.ended else ''}"),
        Fact("When", [Moment(happening.at.timestamp())]),
        Fact("Severity", happening.severity.value),
        Fact("Effect", EFFECTS[happening.effect]),
        Fact("Grouped by", [Code(happening.family[:250])]),
        *([Fact("Fingerprint", [Code(happening.fingerprint)])] if happening.fingerprint else []),
    ]


def _goes(route: Route, mute: Mute | None, happening: Happening) -> list[Fact]:
    quiet = route.quiet_until(happening.severity, datetime.now(UTC))
    where: Text = [Channel(route.channel)] if route.channel else "none: recorded only"
    facts = [
        Fact("Route", route.name),
        Fact("Channel", where),
        Fact("Mentions", [Code(route.mention)] if route.mention else "nobody"),
        Fact("Grouped for", duration(route.window.total_seconds())),
    ]
    facts += [Fact("Reminds after", duration(route.remind.total_seconds()))] if route.remind else []
    if route.escalate:
        after = duration(route.escalate.after.total_seconds())
        facts.append(Fact("Escalates", [f"after {after} to ", Channel(route.escalate.channel)]))
    facts += [Fact("Muted until", [Moment(mute.until.timestamp())])] if mute else []
    facts += [Fact("Quiet until", [Moment(quiet.timestamp())])] if quiet else []
    return facts


def _preview(row: AlertRow, route: Route, mute: Mute | None) -> Reply:
    """The card as it would be posted; its buttons named, because there is nothing yet for them to act on."""
    shown = card(row, mute=mute, runbook=route.runbook)
    said = [shown.text] if isinstance(shown.text, str) else [*shown.text]
    return replace(
        shown,
        title=f"Preview: {shown.title}",
        text=[*said, f"\nButtons: {_labels(shown.actions)}"],
        actions=(),
        audience=Audience.PERSON,
        slot=None,
    )


def _labels(actions: Sequence[Action | Menu]) -> str:
    return " · ".join(action.label for action in actions) or "none"
