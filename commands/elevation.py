"""Power for a while: another role once somebody agrees, or break-glass on one resource when nobody can be asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from commands.command import Approval, Context, Plan, command
from commands.reply import Action, Audience, Code, Fact, Inline, Mention, Moment, Reply, Strong
from commands.wording import duration
from pipeline.errors import BadInput, NotFound, Refused
from pipeline.names import ENVIRONMENTS, PROJECT, Environment, Names
from state import approvals, grants
from state.grants import Grant

LONGEST = timedelta(hours=8)
"""An elevation ends at the latest after a working day."""
SHORTEST = timedelta(minutes=5)
GLASS_LASTS = timedelta(minutes=15)
BREAKER = "ml-engineer"
"""Who may break the glass: whose changes only wait for a second person, not for a right."""
REVIEWERS = ("ml-engineer", "stakeholder")

Role = Annotated[Literal["data-scientist", "ml-engineer", "stakeholder"], Parameter(help="The role you need")]
For = Annotated[str, Parameter(help="How long, such as 2h or 45m; at most 8h", name="--for")]
Why = Annotated[str, Parameter(help="Why, in quotes")]
_DURATION = re.compile(r"(?:(\d{1,4})h)?(?:(\d{1,4})m(?:in)?)?")


def _plan_request(ctx: Context, *, role: str, for_: str, reason: str) -> Plan:
    lasts, why = length(for_), _given(reason, f'access request {role} --for {for_} --reason "…"')
    user = approvals.get(ctx.state, ctx.person.team, ctx.approval).requester if ctx.approval else ctx.person.user
    if ctx.approval is None and ctx.person.holds(role):
        raise Refused(f"You are {role} already.", "`whoami` shows what you can do, and until when.")
    facts = [
        Fact("Own role", ctx.person.role) if ctx.approval is None else Fact("Agreed by", [Mention(ctx.person.user)]),
        Fact("May act as", role),
        Fact("For", f"{duration(lasts.total_seconds())} from the approval on; it ends by itself"),
        Fact("Why", why),
    ]
    bound = {"person": f"{ctx.person.team}.{user}", "role": role, "seconds": f"{lasts.total_seconds():.0f}"}
    return Plan(f"act as {role} for {duration(lasts.total_seconds())}", facts, bound)


def _role_asked_for(arguments: Mapping[str, Any]) -> str:
    return str(arguments["role"])


@command(
    "access request",
    allowed=None,
    changes=True,
    audience=Audience.CHANNEL,
    approval=Approval(_role_asked_for, standing=True),
    plan=_plan_request,
    example='access request ml-engineer --for 2h --reason "deploy the fix while the others travel"',
)
def request(ctx: Context, role: Role, *, for_: For, reason: Why) -> Reply:
    """Ask for another role for a while; somebody whose own role it is has to agree."""
    if ctx.approval is None:
        raise Refused("An elevation begins only with an approval.", f"`access request {role} --for 2h` asks for one.")
    asked = approvals.get(ctx.state, ctx.person.team, ctx.approval)
    grant = grants.begin(
        ctx.state,
        "elevation",
        team=asked.team,
        user=asked.requester,
        role=role,
        lasts=length(for_),
        reason=reason,
        invocation=ctx.invocation,
        approval=asked.id,
        decided_by=ctx.person.user,
        channel=ctx.channel,
    )
    return Reply(
        title=f"Elevation to {role} has begun",
        context=[Mention(grant.user_id), " · ", Code(grant.id), " · agreed by ", Mention(ctx.person.user)],
        text=["It ends by itself at ", Moment(grant.expires_at.timestamp()), f". Why: {reason}"],
    )


@command(
    "access break-glass",
    allowed={BREAKER: ("staging", "prod")},
    changes=True,
    audience=Audience.CHANNEL,
    example=f'access break-glass {PROJECT}-prod-detector --reason "endpoint is down, nobody answers"',
)
def break_glass(
    ctx: Context,
    resource: Annotated[str, Parameter(help="The resource's name in full, such as groundcrew-prod-detector")],
    *,
    reason: Why,
) -> Reply:
    """Change one resource without an approval for 15 minutes, when nobody can be asked; everybody hears of it."""
    why = _given(reason, f'access break-glass {resource} --reason "…"')
    if not ctx.person.holds(BREAKER):
        raise Refused(
            f"Only somebody with the role {BREAKER} may break the glass; you are {ctx.person.role}.",
            f'`access request {BREAKER} --for 2h --reason "…"` asks for the role.',
        )
    if resource not in guarded(ctx.names):
        raise NotFound("resource behind an approval", resource, guarded(ctx.names), "Type its name in full.")
    for grant in grants.active(ctx.state, ctx.person.team, ctx.person.user, kind="break-glass"):
        if grant.resource == resource:
            raise Refused(f"You broke the glass for {resource} already: {grant.id}.", "It lasts 15 minutes.")
    grant = grants.begin(
        ctx.state,
        "break-glass",
        team=ctx.person.team,
        user=ctx.person.user,
        role=BREAKER,
        resource=resource,
        lasts=GLASS_LASTS,
        reason=why,
        invocation=ctx.invocation,
        channel=ctx.channel,
    )
    shown = glass(grant)
    # A channel always hears of it, also when it was typed in private and nobody else holds the role.
    channel = ctx.notify.get(BREAKER) or ctx.routes().fallback
    skipped = [user for user in ctx.holders(BREAKER) if user != ctx.person.user]
    told = [*([channel] if channel != ctx.channel else []), *skipped]
    return replace(shown, also=tuple(replace(shown, to=each) for each in told))


@command(
    "access review",
    allowed=dict.fromkeys(REVIEWERS, ENVIRONMENTS),
    changes=True,
    audience=Audience.CHANNEL,
    example='access review B7kq2m --finding "the rollback was right; add an alarm"',
)
def review(
    ctx: Context,
    id: Annotated[str, Parameter(help="Id of the break-glass, such as B7kq2m")],
    *,
    finding: Annotated[str, Parameter(help="What you found, in quotes")],
) -> Reply:
    """Close the review of a break-glass that somebody else did, with what you found."""
    found = _given(finding, f'access review {id} --finding "…"')
    if not any(ctx.person.holds(role) for role in REVIEWERS):
        raise Refused(
            f"Break-glass is reviewed by {' or '.join(REVIEWERS)}; you are {ctx.person.role}.",
            "Ask one of them to look at it.",
        )
    grant = grants.review(ctx.state, ctx.person.team, id, by=ctx.person.user, finding=found)
    return Reply(
        title=f"Reviewed: break-glass on {grant.resource}",
        context=[Code(grant.id), " · by ", Mention(grant.user_id), " · reviewed by ", Mention(ctx.person.user)],
        text=f"Finding: {found}",
        environment=_environment(grant),
        also=(glass(grant),),
    )


def glass(grant: Grant) -> Reply:
    """The message of a break-glass: loud while it is open, with its finding once somebody has reviewed it."""
    text: list[Inline] = ["Until ", Moment(grant.expires_at.timestamp()), " ", Mention(grant.user_id)]
    text += [" changes it ", Strong("without an approval"), ". Every command of it is recorded as break-glass."]
    if grant.reviewed_by:
        text = ["Reviewed by ", Mention(grant.reviewed_by), f": {grant.finding}"]
    return Reply(
        title=f"BREAK-GLASS on {grant.resource}",
        context=[Code(grant.id), " · by ", Mention(grant.user_id), f" · {grant.role}"],
        text=text,
        facts=[Fact("Why", grant.reason)],
        actions=[] if grant.reviewed_by else [Action("What is open?", "whoami")],
        environment=_environment(grant),
        audience=Audience.CHANNEL,
        slot=f"break-glass-{grant.id}",
    )


def notices(ctx: Context) -> list[Inline]:
    """What counts for a while for this person, and every break-glass of the team that still waits for a review."""
    lines: list[Inline] = []
    for grant in ctx.person.elevations:
        ends = Moment(grant.expires_at.timestamp())
        lines += ["You may act as ", Strong(grant.role), " until ", ends, f" ({grant.reason}).\n"]
    for grant in grants.unreviewed(ctx.state, ctx.person.team):
        lines += ["Break-glass ", Code(grant.id), " on ", Code(grant.resource or ""), " by ", Mention(grant.user_id)]
        lines += [" waits for a review by somebody else: ", Code(f'access review {grant.id} --finding "…"'), "\n"]
    return lines


def touches(grant: Grant, env: Environment | None) -> bool:
    """Whether a break-glass is for what a command changes in an environment: its stack, endpoint and models."""
    return env is not None and grant.resource == f"{PROJECT}-{env}-detector"


def guarded(names: Names) -> list[str]:
    """What is changed only with an approval."""
    return [names.stack(env) for env in ENVIRONMENTS if env != "dev"]


def length(words: str) -> timedelta:
    """How long `2h`, `45m` or `1h30m` is. Raises BadInput for anything else, and outside what an elevation may last."""
    found = _DURATION.fullmatch(words.lower().replace(" ", ""))
    if found is None or not any(found.groups()):
        raise BadInput(f"{words!r} is no length of time.", "Write it as `2h`, `45m` or `1h30m`.")
    lasts = timedelta(hours=int(found[1] or 0), minutes=int(found[2] or 0))
    if not SHORTEST <= lasts <= LONGEST:
        raise BadInput(f"An elevation lasts from 5 minutes to 8 hours, not {words}.", "Ask again when it has ended.")
    return lasts


def _given(words: str, line: str) -> str:
    """What a person wrote, without the spaces around it. Raises BadInput for nothing."""
    if not words.strip():
        raise BadInput("This needs a few words: they are read later.", f"Type `{line}`.")
    return words.strip()


def _environment(grant: Grant) -> Environment | None:
    return next((env for env in ENVIRONMENTS if touches(grant, env)), None)
