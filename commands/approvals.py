"""Approvals: what waits for a second person, and the decision. The card is the message both people look at."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from commands.arguments import Reason
from commands.command import Context, command
from commands.reply import Action, Audience, Code, Confirm, Fact, Inline, Mention, Moment, Reply, Text
from pipeline.errors import Refused
from pipeline.names import ENVIRONMENTS, Environment
from state import approvals
from state.approvals import ApprovalRow

Id = Annotated[str, Parameter(help="Id of the approval, such as A4k7mq")]

_TITLES = {
    "pending": "Approval needed",
    "approved": "Approved",
    "consumed": "Approved",
    "rejected": "Rejected",
    "expired": "Expired without a decision",
    "void": "Void",
}


@command("approvals list", example="approvals list")
def list_(ctx: Context) -> Reply:
    """List what waits for an approval."""
    rows = approvals.list(ctx.state)
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


@command("approvals show", example="approvals show A4k7mq")
def show(ctx: Context, id: Id) -> Reply:
    """Show what an approval is about and how it stands."""
    shown = card(approvals.get(ctx.state, id))
    return Reply(
        title=shown.title,
        context=shown.context,
        text=shown.text,
        facts=shown.facts,
        actions=shown.actions,
        environment=shown.environment,
    )


@command("approvals approve", changes=True, audience=Audience.CHANNEL, example="approvals approve A4k7mq")
def approve(ctx: Context, id: Id) -> Reply:
    """Agree to what somebody else asked for; it then runs in your session."""
    return decide(ctx, approvals.get(ctx.state, id), approve=True)


@command(
    "approvals reject",
    changes=True,
    audience=Audience.CHANNEL,
    example='approvals reject A4k7mq --reason "mAP of vehicle is too low"',
)
def reject(ctx: Context, id: Id, *, reason: Reason = "") -> Reply:
    """Turn a request down, or withdraw your own."""
    return decide(ctx, approvals.get(ctx.state, id), approve=False, reason=reason)


def decide(ctx: Context, row: ApprovalRow, *, approve: bool, reason: str = "") -> Reply:
    """Decide on a request: the first decision counts, and nobody approves what they asked for.

    Raises Refused when the person's role may not decide, asked for it, or somebody has decided already.
    """
    me = ctx.person
    if row.state == "pending" and me.user != row.requester and me.role != row.role:
        raise Refused(
            f"Deciding on {row.id} takes the role {row.role}; you are {me.role}.",
            f"Ask a person with the role {row.role} to look at `approvals show {row.id}`.",
        )
    row = approvals.decide(ctx.state, row.id, by=me.user, approve=approve, reason=reason)
    said: list[Inline] = [" · said: ", reason] if reason else []
    return Reply(
        title=f"{'Approved' if approve else 'Rejected'}: {row.title}",
        context=[Code(row.id), " · decided by ", Mention(me.user), " · asked by ", Mention(row.requester), *said],
        text=["It runs now: ", Code(row.command)] if approve else "Nothing was changed.",
        environment=_environment(row),
        then=row.command if approve else None,
        approval=row.id if approve else None,
        also=(card(row),),
    )


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
    about = f"{row.title}. It runs at once, in your own session, and is recorded with your name."
    return [
        Action("Approve…", f"approvals approve {row.id}", "primary", Confirm("Approve this?", about, "Approve")),
        Action(
            "Reject…",
            f"approvals reject {row.id}",
            "danger",
            Confirm("Reject this?", f"{row.title}. Nothing will be changed.", "Reject"),
        ),
    ]


def _environment(row: ApprovalRow) -> Environment | None:
    return next((env for env in ENVIRONMENTS if env == row.environment), None)
