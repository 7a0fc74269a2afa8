"""Alerts: what needs somebody, and who has it. Seeing and handling them is the bot's own rule: AWS is not asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Annotated

from cyclopts import Parameter
from sqlalchemy import Connection

from commands.alert_card import card, environment, history_lines
from commands.arguments import Known, Reason
from commands.command import READERS, Allowed, Context, command
from commands.moments import length, moment
from commands.reply import Action, Code, Fact, Mention, Moment, Reply, Table, Text
from commands.wording import day, duration, shorten
from pipeline.errors import BadInput, NotFound, Refused
from pipeline.names import ENVIRONMENTS, Environment
from state import alerts, handling
from state.alerts import AlertRow

HANDLERS: Allowed = MappingProxyType({"data-scientist": ("dev",), "ml-engineer": ENVIRONMENTS})
"""Who acknowledges, assigns, mutes and resolves where; what belongs to no environment is handled where all are."""
LONGEST_MUTE = timedelta(days=30)
SHORTEST_MUTE = timedelta(minutes=1)
_MOST = 50

Id = Annotated[str, Parameter(help="Id of the alert, or the first characters of it"), Known("alert")]
Change = Callable[[Connection], AlertRow | None]


@command("alerts list", allowed=READERS, example="alerts list --env dev")
def list_(
    ctx: Context,
    *,
    all: Annotated[bool, Parameter(help="Resolved ones and news too")] = False,
    env: Annotated[Environment | None, Parameter(help="Only this environment")] = None,
) -> Reply:
    """List what is firing, the most urgent first."""
    allowed_to_see(ctx, env)
    environments = [env] if env else [*_seen(ctx), None]
    rows = alerts.listed(ctx.state, open_only=not all, environments=environments, limit=_MOST)
    firing = [row for row in rows if row.state == "firing"]
    if not rows:
        return Reply(title="No alert is firing" if not all else "There are no alerts", actions=_history_of(all, env))
    with ctx.state.begin() as connection:
        muted = alerts.muted_families(connection)
    critical = sum(row.severity == "critical" for row in firing)
    title = (
        f"{len(firing)} {'alerts are' if len(firing) != 1 else 'alert is'} firing" if firing else "No alert is firing"
    )
    return Reply(
        title=f"{title}, {critical} critical" if critical else title,
        context=f"the newest {_MOST}" if len(rows) == _MOST else "",
        table=Table(
            ("Alert", "State", "Severity", "Environment", "What", "Times", "Last"),
            [_line(row, row.family in muted) for row in rows],
            "Alerts",
        ),
        actions=[*(Action(f"Show {row.id[:8]}", f"alerts show {row.id}") for row in rows[:5]), *_history_of(all, env)],
    )


@command("alerts show", allowed=READERS, example="alerts show 3f9a1c")
def show(ctx: Context, id: Id) -> Reply:
    """Show an alert with its history."""
    row = find(ctx, id)
    with ctx.state.begin() as connection:
        past, mute = alerts.history(connection, row.id), alerts.muted(connection, row.family)
    route = ctx.routes().named(row.route)
    shown = card(row, mute=mute, runbook=route.runbook if route else None)
    said = [shown.text] if isinstance(shown.text, str) else [*shown.text]
    older = f"and {past.more} more" if past.more else ""
    return Reply(
        title=shown.title,
        context=shown.context,
        text=[*said, "\n\n", *history_lines(past.entries), older],
        facts=[*shown.facts, Fact("Route", row.route)],
        quote=shown.quote,
        actions=shown.actions,
        environment=shown.environment,
    )


@command("alerts ack", allowed=HANDLERS, changes=True, example="alerts ack 3f9a1c")
def ack(ctx: Context, id: Id) -> Reply:
    """Say that you have seen it: nobody is reminded any more."""
    row = _handled(ctx, id)
    return _changed(
        ctx, row, "Acknowledged", lambda connection: handling.acknowledge(connection, row.id, ctx.person.user)
    )


@command("alerts assign", allowed=HANDLERS, changes=True, example="alerts assign 3f9a1c --to @somebody")
def assign(
    ctx: Context,
    id: Id,
    *,
    to: Annotated[str, Parameter(help="A person; you if not given, and only if it is free")] = "",
) -> Reply:
    """Give an alert to somebody, or take it yourself."""
    row, me = _handled(ctx, id), ctx.person.user
    user = _person(ctx, to, row) if to else me
    reply = _changed(
        ctx, row, "Assigned", lambda connection: handling.assign(connection, row.id, user, by=me, anyway=bool(to))
    )
    if user == me:
        return reply
    told = Reply(
        title=f"Assigned to you: {shorten(row.title, 100)}",
        context=[Code(row.id[:8]), " · by ", Mention(me)],
        actions=[Action("Show", f"alerts show {row.id}")],
        environment=environment(row),
        to=user,
    )
    return Reply(title=reply.title, context=reply.context, text=["It is now with ", Mention(user), "."], also=(told,))


@command("alerts resolve", allowed=HANDLERS, changes=True, example='alerts resolve 3f9a1c --reason "disk was full"')
def resolve(ctx: Context, id: Id, *, reason: Reason = "") -> Reply:
    """End an alert; the next failure fires it again."""
    row = _handled(ctx, id)
    return _changed(
        ctx, row, "Resolved", lambda connection: handling.resolve(connection, row.id, ctx.person.user, reason.strip())
    )


@command("alerts mute", allowed=HANDLERS, changes=True, example="alerts mute 3f9a1c --for 1h")
def mute(
    ctx: Context,
    id: Id,
    *,
    for_: Annotated[str, Parameter(help="How long, such as 1h or 1d; at most 30d", name="--for")] = "",
    until: Annotated[str, Parameter(help='Or until when, such as "monday 08:00 Europe/Berlin"')] = "",
    reason: Reason = "",
) -> Reply:
    """Post and remind of nothing from what an alert is about, for a while."""
    row, now = _handled(ctx, id), datetime.now(UTC)
    if bool(for_) == bool(until):
        raise BadInput("A mute needs an end.", f"`alerts mute {id} --for 1h`, or `--until` and when.")
    ends = now + length(for_) if for_ else moment(until, now, ctx.zone)
    if not SHORTEST_MUTE <= ends - now <= LONGEST_MUTE:
        raise BadInput(
            "A mute lasts from a minute to 30 days.", "Resolve what is over; change the route of what is noise."
        )
    with ctx.state.begin() as connection:
        handling.mute(connection, row.family, ctx.person.user, ends, reason.strip())
    return _done(
        f"Muted for {duration((ends - now).total_seconds())}",
        row,
        ["Nothing of ", Code(row.family), " is posted until ", Moment(ends.timestamp()), "; it is still recorded."],
        [Action("Unmute", f"alerts unmute {row.id}")],
    )


@command("alerts unmute", allowed=HANDLERS, changes=True, example="alerts unmute 3f9a1c")
def unmute(ctx: Context, id: Id) -> Reply:
    """End a mute before its time."""
    row = _handled(ctx, id)
    with ctx.state.begin() as connection:
        if not handling.unmute(connection, row.family, ctx.person.user):
            raise Refused(f"{row.id[:8]} is not muted.", f"`alerts show {row.id[:8]}` shows how it stands.")
    return _done("Unmuted", row, ["What happens to ", Code(row.family), " is posted again."], [])


def _changed(ctx: Context, row: AlertRow, word: str, change: Change) -> Reply:
    """Make one change; the second of two people learns who was first."""
    with ctx.state.begin() as connection:
        after = change(connection)
    if after is None:
        raise _too_late(alerts.get(ctx.state, row.id), word)
    return _done(word, after, "The alert's message says so.", [Action("Show", f"alerts show {row.id}")])


def _done(word: str, row: AlertRow, text: Text, actions: list[Action]) -> Reply:
    return Reply(
        title=f"{word}: {shorten(row.title, 100)}",
        context=[Code(row.id[:8])],
        text=text,
        actions=actions,
        environment=environment(row),
    )


def _too_late(row: AlertRow, word: str) -> Refused:
    short = row.id[:8]
    if row.state == "info":
        return Refused(f"{short} is news: it needs nobody.", "`alerts list` shows what does.")
    if row.state == "resolved":
        by = f" by <@{row.resolved_by}>" if row.resolved_by else " by itself"
        return Refused(f"{short} was already resolved{by}.", "If it happens again it fires again.")
    if word == "Assigned":
        return Refused(f"{short} is already with <@{row.assigned_to}>.", f"`alerts assign {short} --to` gives it away.")
    return Refused(f"{short} was already acknowledged by <@{row.acknowledged_by}>.", "Nothing was changed.")


def find(ctx: Context, id: str) -> AlertRow:
    """An alert that this person may see. Raises NotFound, BadInput, Refused."""
    row = alerts.get(ctx.state, id)
    allowed_to_see(ctx, environment(row))
    return row


def allowed_to_see(ctx: Context, env: Environment | None) -> None:
    """Raise Refused, naming who may, when this person may not see alerts of an environment."""
    if env is not None and env not in _seen(ctx):
        raise _not_theirs(ctx, env, READERS, "seen")


def _handled(ctx: Context, id: str) -> AlertRow:
    """An alert that this person may change. Raises NotFound, BadInput, Refused."""
    row = find(ctx, id)
    if not any(ctx.person.holds(role) for role in handlers(environment(row))):
        raise _not_theirs(ctx, environment(row), HANDLERS, "handled")
    return row


def handlers(env: Environment | None, rule: Allowed = HANDLERS) -> list[str]:
    """The roles that handle the alerts of an environment; of no environment, those that handle all."""
    return [role for role, where in rule.items() if (env in where if env else set(where) == set(ENVIRONMENTS))]


def _seen(ctx: Context) -> list[Environment]:
    return [env for env in ENVIRONMENTS if any(ctx.person.holds(role) for role in handlers(env, READERS))]


def _not_theirs(ctx: Context, env: Environment | None, rule: Allowed, done: str) -> Refused:
    roles = handlers(env, rule)
    about = f"Alerts of {env}" if env else "Alerts of no environment"
    known = [user for role in roles for user in ctx.holders(role)][:5]
    ask = f"Ask {' or '.join(f'<@{user}>' for user in known)}." if known else "Ask somebody with that role."
    return Refused(f"{about} are {done} by {' and '.join(roles)}; you are {ctx.person.role}.", ask)


def _person(ctx: Context, named: str, row: AlertRow) -> str:
    """The Slack id of somebody who can handle the alert. Raises NotFound, Refused."""
    user = named.strip("<@>").split("|")[0]
    if not re.fullmatch(r"[UW][A-Z0-9]{2,20}", user) or user not in ctx.people:
        raise NotFound("person in the access file", named, ctx.people, "Write `--to` and an @mention.")
    roles = {ctx.people[user]} | ({ctx.person.role} if user == ctx.person.user else set())
    if not roles & set(handlers(environment(row))):
        raise Refused(f"<@{user}> is {ctx.people[user]} and could not handle it.", "Give it to somebody who can.")
    return user


def _line(row: AlertRow, muted: bool) -> tuple[str, ...]:
    state: str = "news" if row.state == "info" else row.state
    if state == "firing":
        state = "assigned" if row.assigned_to else "acknowledged" if row.acknowledged_by else "firing"
        state += ", muted" if muted else ""
    title = shorten(" ".join(row.title.split()), 80)
    return (row.id[:8], state, row.severity, row.environment or "–", title, str(row.count), day(row.last_at))


def _history_of(all: bool, env: Environment | None) -> list[Action]:
    return [] if all else [Action("Resolved ones too", f"alerts list --all{f' --env {env}' if env else ''}")]
