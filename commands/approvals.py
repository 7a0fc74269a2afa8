"""Approvals: what waits for a second person, and the decision. The card is the message both people look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from commands.arguments import Reason
from commands.command import Context, command
from commands.parsing import parse
from commands.reply import Action, Audience, Code, Confirm, Fact, Inline, Mention, Moment, Outcome, Reply, Text
from pipeline.errors import Refused
from pipeline.names import ENVIRONMENTS, Environment
from state import approvals, grants
from state.approvals import ApprovalRow
from state.invocations import Arrival

Id = Annotated[str, Parameter(help="Id of the approval, such as A4k7mq")]

_TITLES = {
    "pending": "Approval needed",
    "approved": "Approved",
    "consumed": "Approved",
    "rejected": "Rejected",
    "expired": "Expired without a decision",
    "void": "Void",
}


@command("approvals list", allowed=None, example="approvals list")
def list_(ctx: Context) -> Reply:
    """List what waits for an approval."""
    rows = approvals.list(ctx.state, ctx.person.team)
    if not rows:
        return Reply(title="Nothing waits for an approval")
    text: list[Inline] = []
    for row in rows:
        text += [Code(row.id), f" {row.title} · asked by ", Mention(row.requester), f" · needs {row.role} · ends "]
        text += [Moment(row.expires_at.timestamp()), "\n"]
    return Reply(
        title=f"{len(rows)} wait for an approval" if len(rows) > 1 else "One request waits for an approval",
        text=text,
        actions=[Action(f"Show {row.id}", f"approvals show {row.id}") for row in rows[:5]],
    )


@command("approvals show", allowed=None, example="approvals show A4k7mq")
def show(ctx: Context, id: Id) -> Reply:
    """Show what an approval is about and how it stands."""
    shown = card(approvals.get(ctx.state, ctx.person.team, id))
    return Reply(
        title=shown.title,
        context=shown.context,
        text=shown.text,
        facts=shown.facts,
        actions=shown.actions,
        environment=shown.environment,
    )


@command("approvals approve", allowed=None, changes=True, audience=Audience.CHANNEL, example="approvals approve A4k7mq")
def approve(ctx: Context, id: Id, *, reason: Reason = "") -> Reply:
    """Agree to what somebody else asked for; it then runs in your session."""
    return decide(ctx, approvals.get(ctx.state, ctx.person.team, id), approve=True, reason=reason)


@command(
    "approvals reject",
    allowed=None,
    changes=True,
    audience=Audience.CHANNEL,
    example='approvals reject A4k7mq --reason "mAP of vehicle is too low"',
)
def reject(ctx: Context, id: Id, *, reason: Reason = "") -> Reply:
    """Turn a request down, or withdraw your own."""
    return decide(ctx, approvals.get(ctx.state, ctx.person.team, id), approve=False, reason=reason)


def decide(ctx: Context, row: ApprovalRow, *, approve: bool, reason: str = "") -> Reply:
    """Decide on a request: the first decision counts, nobody approves what they asked for, a rejection says why.

    What is approved is queued in the same transaction: no decision without its run, no run without its decision.
    Raises Refused when the person's role may not decide, asked for it, or somebody has decided already.
    """
    me = ctx.person
    open_ = row.state == "pending"
    if open_ and me.user != row.requester and not _may_decide(ctx, row):
        raise Refused(
            f"Deciding on {row.id} takes the role {row.role}; you are {me.role}.",
            f"Ask a person with the role {row.role} to look at `approvals show {row.id}`.",
        )
    if open_ and not approve and me.user != row.requester and not reason.strip():
        return _why(row)
    money = _for_money(row)
    run = _arrival(ctx, row) if approve and not money else None
    row = approvals.decide(ctx.state, me.team, row.id, by=me.user, approve=approve, reason=reason.strip(), run=run)
    said: list[Inline] = [" · said: ", row.reason] if row.reason else []
    return Reply(
        title=f"{'Approved' if approve else 'Withdrawn' if me.user == row.requester else 'Rejected'}: {row.title}",
        context=[Code(row.id), " · decided by ", Mention(me.user), " · asked by ", Mention(row.requester), *said],
        text=_after(row, money) if approve else "Nothing was changed.",
        actions=[Action("Start it", row.command, "primary")] if approve and money else (),
        environment=_environment(row),
        approval=row.id,
    )


def _after(row: ApprovalRow, money: bool) -> Text:
    if not money:
        return ["It runs now: ", Code(row.command)]
    return [Mention(row.requester), " can start it now, for the price that was shown: ", Code(row.command)]


def _for_money(row: ApprovalRow) -> bool:
    """Whether only the price was to be agreed to: then whoever asked starts it, in their own session."""
    command, arguments = parse(row.command)
    return command.approval is None or not command.approval.when(arguments)


REASONS = ("the metrics are not good enough", "not now", "it is not clear what this is for")


def _why(row: ApprovalRow) -> Reply:
    """A rejection without a reason helps nobody who asked: what to type, and the reasons that are given most."""
    line = f"approvals reject {row.id} --reason"
    return Reply(
        title="Say why, then it is rejected",
        outcome=Outcome.NEEDS_CONFIRMATION,
        context=[Code(row.id), f" · {row.title} · asked by ", Mention(row.requester)],
        text=["Type ", Code(f'{line} "…"'), ", or choose:"],
        actions=[Action(reason[0].upper() + reason[1:], f'{line} "{reason}"') for reason in REASONS],
        environment=_environment(row),
        audience=Audience.PERSON,
    )


def _may_decide(ctx: Context, row: ApprovalRow) -> bool:
    """Whether this person holds the role now, in the way that the command asks for."""
    rule = parse(row.command)[0].approval
    return ctx.person.holds(row.role, standing=rule is not None and rule.standing)


def _arrival(ctx: Context, row: ApprovalRow) -> Arrival:
    """The approved command as an invocation of whoever agrees, answered where it was asked."""
    return Arrival(
        surface="approval",
        delivery=f"approval:{row.id}",
        team=ctx.person.team,
        user=ctx.person.user,
        user_name=ctx.person.name,
        channel=row.channel or ctx.channel,
        text=row.command,
        approval=row.id,
    )


@dataclass(frozen=True)
class Consent:
    """By what a change goes ahead that needs an approval. `agreed` is who approved; None under break-glass."""

    id: str
    asked: str
    agreed: str | None

    @property
    def metadata(self) -> dict[str, str]:
        """As it is kept with a registered model."""
        return {"approval": self.id, "requested_by": self.asked, "approved_by": self.agreed or "break-glass"}


def consent(ctx: Context) -> Consent | None:
    """The approval or break-glass under which this runs, None when there is neither."""
    me = f"{ctx.person.team}.{ctx.person.user}"
    if ctx.approval is None:
        return None
    if ctx.approval.startswith(grants.LETTERS["break-glass"]):
        return Consent(ctx.approval, me, None)
    row = approvals.get(ctx.state, ctx.person.team, ctx.approval)
    return Consent(row.id, f"{row.team}.{row.requester}", me)


def card(row: ApprovalRow) -> Reply:
    """The message of an approval: what exactly is asked, who asked, how it stands; buttons while it is open."""
    return Reply(
        title=f"{_TITLES[row.state]}: {row.title}",
        context=[Code(row.id), " · asked by ", Mention(row.requester), f" · decided by another {row.role}"],
        text=_standing(row),
        facts=[Fact(label, value) for label, value in row.facts],
        actions=_buttons(row) if row.state == "pending" else (),
        environment=_environment(row),
        audience=Audience.CHANNEL,
        slot=f"approval-{row.id}",
    )


def _standing(row: ApprovalRow) -> Text:
    if row.state == "pending":
        return ["Open until ", Moment(row.expires_at.timestamp())]
    if row.decided_by is None:
        return row.reason
    decision = "Rejected" if row.state == "rejected" else "Approved"
    words: list[Inline] = [f"{decision} by ", Mention(row.decided_by)]
    words += [" at ", Moment(row.decided_at.timestamp())] if row.decided_at else []
    words += [f": {row.reason}"] if row.reason else []
    return [*words, " · used"] if row.state == "consumed" else words


def _buttons(row: ApprovalRow) -> list[Action]:
    when = "Whoever asked starts it then" if _for_money(row) else "It runs at once, in your own session"
    about = f"{row.title}. {when}, and it is recorded with your name."
    return [
        Action("Approve…", f"approvals approve {row.id}", "primary", Confirm("Approve this?", about, "Approve")),
        Action("Reject…", f"approvals reject {row.id}", "danger"),
    ]


def _environment(row: ApprovalRow) -> Environment | None:
    return next((env for env in ENVIRONMENTS if env == row.environment), None)
