"""What is asked before something happens: a confirmation by the same person, or an approval by another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from bot.slack.words import plain
from commands.approvals import card
from commands.command import Approval, Command, Context, Plan
from commands.reply import Action, Audience, Code, Mention, Outcome, Reply
from pipeline.errors import Refused
from pipeline.names import Environment
from state import approvals


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
    ctx: Context, rule: Approval, line: str, plan: Plan, arguments: Mapping[str, Any], able: Sequence[str]
) -> Reply:
    """Open an approval for `line`. `able` may decide; raises Refused when that is nobody but the requester."""
    others = [user for user in able if user != ctx.person.user]
    if not others:
        raise Refused(
            f"Nobody else has the role {rule.role}, so nobody could approve this.",
            "Ask whoever keeps the access file to give a second person that role.",
        )
    row = approvals.open(
        ctx.state,
        team=ctx.person.team,
        requester=ctx.person.user,
        command=line,
        role=rule.role,
        title=plan.title,
        facts=[(fact.label, plain(fact.value)) for fact in plan.facts],
        bound=plan.bound,
        invocation=ctx.invocation,
        channel=ctx.channel,
        environment=environment(arguments),
    )
    asked = [part for user in others[:10] for part in (Mention(user), " ")]
    return Reply(
        title=f"Asked for approval: {plan.title}",
        outcome=Outcome.PENDING_APPROVAL,
        context=[Code(row.id), f" · needs another {rule.role}: ", *asked],
        text="Nothing has happened yet. It runs as soon as one of them approves, and you will see it here.",
        facts=plan.facts,
        actions=[Action("Withdraw", f"approvals reject {row.id}")],
        environment=environment(arguments),
        audience=Audience.PERSON,
        approval=row.id,
        also=(card(row),),
    )


def use(ctx: Context, line: str, id: str, plan: Plan) -> approvals.ApprovalRow:
    """Use up approval `id` for `line`, in the session of the person who gave it.

    Raises Refused when it was not given by this person, is used, expired, or about something that has changed since.
    """
    row = approvals.get(ctx.state, id)
    if row.state != "approved" or row.decided_by != ctx.person.user or row.command != line:
        raise Refused(f"{row.id} does not allow this: it is {row.state}.", f"Ask again with `{row.command}`.")
    if ctx.person.user == row.requester or ctx.person.role != row.role:
        raise Refused(f"{row.id} has to be used by another {row.role}.", f"Ask again with `{row.command}`.")
    if approvals.fingerprint(line, plan.bound) != row.bound_hash:
        approvals.void(ctx.state, row.id, reason="what it was about has changed since it was asked for")
        raise Refused(
            f"{row.id} is void: what it was about has changed since it was asked for. Nothing was done.",
            f"Look at it as it is now and ask again with `{row.command}`.",
        )
    return approvals.consume(ctx.state, row.id, by=ctx.person.user)


def environment(arguments: Mapping[str, Any]) -> Environment | None:
    """The environment a command is about: its `env`, or the one it promotes `to`."""
    value = arguments.get("env") or arguments.get("to")
    return value if value in get_args(Environment) else None
