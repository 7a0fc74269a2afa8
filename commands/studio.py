"""Studio: the way into one's own notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from botocore.exceptions import ClientError

from commands.command import Allowed, Context, Need, command
from commands.reply import Code, Fact, Link, Outcome, Reply
from pipeline.errors import NotFound
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
