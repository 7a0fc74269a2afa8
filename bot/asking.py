"""What is asked before something happens, and of whom: a confirmation, an approval by somebody else, or break-glass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

from sqlalchemy import Engine

from bot.slack.words import plain
from commands import estimate as estimating
from commands.approvals import card
from commands.command import Approval, Command, Context, Person, Plan
from commands.elevation import touches
from commands.estimate import Estimate
from commands.reply import Action, Audience, Code, Inline, Mention, Outcome, Reply, Strong
from pipeline.errors import Refused
from pipeline.names import Environment
from state import approvals, estimates, grants
from state.approvals import ApprovalRow
from state.estimates import EstimateRow
from state.grants import Grant

AFTER = "It runs as soon as one of them approves, and you will see it here."


def acting(person: Person, command: Command, arguments: Mapping[str, Any]) -> Person:
    """In the first of their roles that AWS lets do this; in their own when none does, and AWS says no."""
    where = environment(arguments)
    roles = (person.role, *(grant.role for grant in person.elevations))
    return in_role(person, next((role for role in roles if command.may(role, where)), person.role))


def in_role(person: Person, role: str) -> Person:
    """The same person in another role that they hold."""
    return replace(person, role=role) if person.holds(role) else person


MONEY = Approval("ml-engineer")
"""Who agrees to what is only dear: the change itself needs nobody else."""


def priced(ctx: Context, line: str, plan: Plan, price: Estimate) -> Plan:
    """The plan with what it costs, which is shown and bound."""
    bound = {**plan.bound, "estimate": _bound(estimating.row(ctx, price, line, None, None))}
    return Plan(plan.title, [*plan.facts, *estimating.facts(price), *estimating.left(ctx)], bound)


def with_price(reply: Reply, price: Estimate) -> Reply:
    """The answer of what has been started, with what it will cost."""
    if reply.outcome is not Outcome.OK or reply.follow is None:
        return reply
    return replace(reply, facts=[*reply.facts, *estimating.facts(price, briefly=True)])


def _bound(told: EstimateRow | None) -> str:
    """An estimate as an approval binds it."""
    if told is None:
        return "none"
    return f"{told.low} {told.expected} {told.high} {told.currency}"


def confirm(command: Command, line: str, plan: Plan, arguments: Mapping[str, Any]) -> Reply:
    """Show what would happen and offer the same line with `--yes`."""
    where = environment(arguments)
    style: Literal["primary", "danger"] = "danger" if where == "prod" else "primary"
    return Reply(
        title=f"Really {plan.title}?",
        outcome=Outcome.NEEDS_CONFIRMATION,
        context="nothing has happened yet",
        facts=plan.facts,
        actions=[Action("Yes, do it", f"{line} --yes", style=style)],
        environment=where,
        audience=Audience.PERSON,
    )


def request(
    ctx: Context,
    rule: Approval,
    line: str,
    plan: Plan,
    arguments: Mapping[str, Any],
    able: Sequence[str],
    *,
    money: bool = False,
) -> Reply:
    """Open an approval for `line`. `able` may decide; raises Refused when that is nobody but the requester.

    `money`: only its price is to be agreed to, and whoever asks starts it then.
    """
    role = rule.role_for(arguments)
    others = [user for user in able if user != ctx.person.user]
    if not others:
        raise Refused(
            f"Nobody else has the role {role}, so nobody could approve this.",
            "Ask whoever keeps the access file to give a second person that role.",
        )
    row = approvals.open(
        ctx.state,
        team=ctx.person.team,
        requester=ctx.person.user,
        command=line,
        role=role,
        title=plan.title,
        facts=[(fact.label, plain(fact.value)) for fact in plan.facts],
        bound=plan.bound,
        invocation=ctx.invocation,
        channel=ctx.channel,
        environment=environment(arguments),
    )
    asked = [part for user in others[:10] for part in (Mention(user), " ")]
    channel = ctx.notify.get(role)
    told = (replace(card(row), to=channel),) if channel and channel != ctx.channel else ()
    return Reply(
        title=f"Asked for approval: {plan.title}",
        outcome=Outcome.PENDING_APPROVAL,
        context=[Code(row.id), f" · needs another {role}: ", *asked],
        text="Nothing has happened yet. "
        + (
            "It is the price that has to be agreed to: when one of them approves, you can start it." if money else AFTER
        ),
        facts=plan.facts,
        actions=[Action("Withdraw", f"approvals reject {row.id}")],
        environment=environment(arguments),
        audience=Audience.PERSON,
        approval=row.id,
        also=told,
    )


def check(row: ApprovalRow, rule: Approval, person: Person, line: str) -> None:
    """Raise Refused unless this person gave this approval for this line, and still has the right to."""
    if row.state != "approved" or row.decided_by != person.user or row.command != line:
        raise Refused(f"{row.id} does not allow this: it is {row.state}.", f"Ask again with `{row.command}`.")
    if person.user == row.requester or not person.holds(row.role, standing=rule.standing):
        raise Refused(f"{row.id} has to be used by another {row.role}.", f"Ask again with `{row.command}`.")


def use(
    ctx: Context, line: str, row: ApprovalRow, plan: Plan, price: Estimate | None = None, *, money: bool = False
) -> ApprovalRow:
    """Use up an approval for `line`. Raises Refused when it was about something that has changed since, or is used.

    Of the price, what was agreed to is the high end of what was shown; `money`: the requester uses it.
    """
    with ctx.state.begin() as connection:
        told = estimates.of_invocation(connection, row.invocation)
    # What is bound is the estimate as it was shown; the one of now has to lie within it.
    bound = {**plan.bound, **({"estimate": _bound(told)} if "estimate" in plan.bound else {})}
    if approvals.fingerprint(line, bound) != row.bound_hash:
        raise _void(ctx, row, "what it was about has changed since it was asked for")
    if price and told and not _covers(told, estimating.row(ctx, price, line, None, None)):
        raise _void(ctx, row, "it would now cost more than was agreed to")
    return approvals.consume(ctx.state, ctx.person.team, row.id, by=ctx.person.user, requester=money)


def _covers(told: EstimateRow, now: EstimateRow) -> bool:
    """Whether what was agreed to includes what is expected now. An unknown price covers nothing but an unknown one."""
    if told.high is None or now.expected is None:
        return told.high is None and now.expected is None
    return told.currency == now.currency and now.expected <= told.high


def _void(ctx: Context, row: ApprovalRow, reason: str) -> Refused:
    approvals.void(ctx.state, row.id, reason=reason)
    return Refused(
        f"{row.id} is void: {reason}. Nothing was done.",
        f"Look at it as it is now and ask again with `{row.command}`.",
    )


def broken_glass(engine: Engine, person: Person, arguments: Mapping[str, Any]) -> Grant | None:
    """The person's break-glass for what these arguments touch, while it lasts and they have the role it was for."""
    found = grants.active(engine, person.team, person.user, kind="break-glass")
    return next((each for each in found if touches(each, environment(arguments)) and person.holds(each.role)), None)


def loud(reply: Reply, line: str, glass: Grant, skipped: Sequence[str]) -> Reply:
    """What was done under break-glass, said where it was done and to everybody who was not asked."""
    without: list[Inline] = [Strong("without an approval"), " under break-glass ", Code(glass.id), " by "]
    without += [Mention(glass.user_id), f": {glass.reason}"]
    told = Reply(
        title=f"Done without your approval: {reply.title}",
        context=without,
        text=["It was ", Code(line), f". You could have been asked for this as {glass.role}."],
        environment=reply.environment,
    )
    said = [reply.context] if isinstance(reply.context, str) else [*reply.context]
    context = [*without, *([" · ", *said] if any(said) else [])]
    return replace(reply, context=context, also=(*reply.also, *(replace(told, to=user) for user in skipped)))


def environment(arguments: Mapping[str, Any]) -> Environment | None:
    """The environment a command is about: its `env`, or the one it promotes `to`."""
    value = arguments.get("env") or arguments.get("to")
    return value if value in get_args(Environment) else None
