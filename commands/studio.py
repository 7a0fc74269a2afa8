"""Studio: the way into one's own notebooks, and stopping those that were left on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any

from botocore.exceptions import ClientError
from cyclopts import Parameter

from commands.arguments import Yes
from commands.command import Allowed, Context, Need, Plan, command
from commands.reply import Audience, Code, Fact, Link, Mention, Outcome, Reply, Step
from pipeline.errors import NotFound
from pipeline.idle import running_apps, unless_gone
from pipeline.names import ENVIRONMENTS

OPENS: Allowed = MappingProxyType({"data-scientist": ENVIRONMENTS, "ml-engineer": ENVIRONMENTS})
"""Who has notebooks; what a notebook may touch is decided by its own role (infra/studio.yaml)."""
OPENS_FOR_S = 300
"""Seconds within which the address must be used: it is a key."""
LASTS_S = 4 * 3600
"""Seconds after which Studio asks for a new one."""


@command(
    "studio open",
    needs=[
        Need(("sagemaker:ListDomains", "sagemaker:ListUserProfiles")),
        Need("sagemaker:CreatePresignedDomainUrl", "user-profile/*/*"),
    ],
    allowed=OPENS,
    example="studio open",
)
def open_(ctx: Context) -> Reply:
    """Open your notebooks in SageMaker Studio; the link goes to you alone."""
    sagemaker = ctx.client("sagemaker")
    domain, profile = _domain(ctx, sagemaker), ctx.names.studio_profile(ctx.person.team, ctx.person.user)
    _check_profile(sagemaker, domain, profile)
    try:
        url = sagemaker.create_presigned_domain_url(
            DomainId=domain,
            UserProfileName=profile,
            ExpiresInSeconds=OPENS_FOR_S,
            SessionExpirationDurationInSeconds=LASTS_S,
        )["AuthorizedUrl"]
    except ClientError as refusal:
        if "AccessDenied" in refusal.response["Error"].get("Code", ""):
            raise
        return _closed(refusal)
    ctx.whisper(Link(url, "Open my notebooks"))
    return Reply(
        title="Your notebooks are open for you",
        text=f"The link is in a message of its own, for your eyes only. It opens within {OPENS_FOR_S // 60} minutes.",
        facts=[
            Fact("Profile", [Code(profile)]),
            Fact("Session", f"{LASTS_S // 3600} hours"),
            Fact("In CloudTrail", ["your notebooks are ", Code(profile)]),
        ],
    )


def _plan_stop(ctx: Context, *, name: str, yes: bool) -> Plan:
    found = _apps(ctx, name)
    facts = [Fact(app["AppType"], app["AppName"]) for app in found]
    facts.append(Fact("Files", "stay in the space; what a notebook holds in memory is lost"))
    return Plan(f"stop Studio of {name}", facts, {})


@command(
    "studio stop",
    needs=[
        Need(("sagemaker:ListDomains", "sagemaker:ListApps")),
        Need("sagemaker:DeleteApp", "app/*"),
    ],
    allowed={"ml-engineer": ENVIRONMENTS},
    changes=True,
    audience=Audience.CHANNEL,
    confirm=True,
    plan=_plan_stop,
    example="studio stop my-space",
)
def stop(
    ctx: Context,
    name: Annotated[str, Parameter(help="The Studio profile or space whose apps are on")],
    *,
    yes: Yes = False,
) -> Reply:
    """Stop the Studio apps of a profile or space: they cost by the hour; its files stay."""
    sagemaker = ctx.client("sagemaker")
    found = _apps(ctx, name)
    for app in found:
        unless_gone(partial(sagemaker.delete_app, **app))
    return Reply(
        title=f"Stopping Studio of {name}",
        context=["done by ", Mention(ctx.person.user)],
        steps=[Step(app["AppType"], "running", [Code(app["AppName"]), " is being stopped"]) for app in found],
        text="Its files stay; whoever it belongs to starts it again in Studio.",
    )


def _apps(ctx: Context, name: str) -> list[dict[str, str]]:
    """The apps of a profile or space that are on. Raises NotFound with the names that have some."""
    running = [app for _, app in running_apps(ctx.client("sagemaker"), ctx.names)]
    found = [app for app in running if name in (app.get("UserProfileName"), app.get("SpaceName"))]
    if not found:
        owners = {app.get("SpaceName") or app["UserProfileName"] for app in running}
        raise NotFound("Studio app that is on, of", name, sorted(owners), "`cost idle --days 0` lists what is on.")
    return found


def _domain(ctx: Context, sagemaker: Any) -> str:
    """The id of Groundcrew's Studio domain; AWS gives it one of its own. Raises NotFound with what to do."""
    found = _all(sagemaker, "list_domains", "Domains")
    ids = [item["DomainId"] for item in found if item["DomainName"] == ctx.names.studio]
    if not ids:
        raise NotFound(
            "Studio domain",
            ctx.names.studio,
            advice="Studio is not set up here. It needs AWS: an operator brings it up in an AWS account with "
            "`python -m infra studio` (docs/studio.md).",
        )
    return str(ids[0])


def _check_profile(sagemaker: Any, domain: str, profile: str) -> None:
    """Raise NotFound when the person has no profile: AWS would only say that nothing allows the call."""
    found = _all(
        sagemaker, "list_user_profiles", "UserProfiles", DomainIdEquals=domain, UserProfileNameContains=profile
    )
    if profile not in {item["UserProfileName"] for item in found}:
        raise NotFound(
            "Studio profile",
            profile,
            advice="You are in the access file but not in Studio yet: an operator runs `python -m infra studio` again.",
        )


def _all(sagemaker: Any, operation: str, member: str, **request: str) -> list[Mapping[str, Any]]:
    return [item for page in sagemaker.get_paginator(operation).paginate(**request) for item in page[member]]


def _closed(refusal: ClientError) -> Reply:
    """AWS knows the profile and will not open it: its own words say why."""
    return Reply(
        title="Studio cannot be opened now",
        outcome=Outcome.ERROR,
        text="Your profile is there, but AWS gave no address for it. What it says is below; no notebook was touched.",
        quote=str(refusal.response["Error"].get("Message", refusal)),
    )
