"""Whether everything this installation stands on is in order, and what to do where it is not."""

from __future__ import annotations

from collections.abc import Sequence

from commands.command import Allowed, Context, command
from commands.reply import Action, Finding, Inline, Reply, Step, Strong
from pipeline.errors import Refused
from pipeline.names import ENVIRONMENTS

KEEPERS: Allowed = {"ml-engineer": ENVIRONMENTS}
"""Who is told how the installation stands. The bot looks with its own eyes, so AWS is not asked about the person."""


@command("doctor", allowed=KEEPERS, example="doctor")
def doctor(ctx: Context) -> Reply:
    """Check what the bot stands on: tokens, scopes, channels, roles, queues, MLflow, database, prices, cost tags."""
    if not any(role in KEEPERS for role in (ctx.person.role, *(grant.role for grant in ctx.person.elevations))):
        raise Refused("Only an ML engineer is told how the installation stands.", "Ask one of them.")
    return told(ctx.checkup())


def told(findings: Sequence[Finding]) -> Reply:
    """The findings as an answer, each failure with its fix."""
    wrong = [each for each in findings if not each.fine]
    fixes: list[Inline] = []
    for each in wrong:
        fixes += [Strong(each.what), f": {each.said}. {each.fix}\n"]
    return Reply(
        title=f"{len(wrong)} of {len(findings)} checks failed" if wrong else f"All {len(findings)} checks are fine",
        text=fixes,
        steps=[Step(each.what, "done" if each.fine else "failed", each.said) for each in findings],
        actions=[Action("Check again", "doctor")],
    )
