"""Studio: domains, user profiles, lifecycle configurations."""

from __future__ import annotations

from typing import Any

from ..shapes import request
from .kind import Client, Kind, Properties, changed
from .sagemaker import retag_arn

_DOMAIN = frozenset({"AppNetworkAccessType", "DefaultUserSettings", "DomainSettings", "SubnetIds", "TagPropagation"})
"""Properties of a domain that UpdateDomain changes."""


def _create_domain(client: Client, wanted: Properties) -> str:
    return str(client.create_domain(**wanted)["DomainArn"].rsplit("/", 1)[1])


def _apply_domain(client: Client, id: str, before: Properties, after: Properties) -> None:
    names = [name for name in sorted(_DOMAIN) if before and name in after and changed(name, before, after)]
    if names:
        # UpdateDomain has the same members, one of them under another name.
        renamed = {"DomainSettings": "DomainSettingsForUpdate"}
        client.update_domain(DomainId=id, **{renamed.get(name, name): after[name] for name in names})
    retag_arn(client, _domain(client, id)["DomainArn"], before, after)


def _domain(client: Client, id: str) -> Any:
    return client.describe_domain(DomainId=id)


def _domain_attributes(client: Client, id: str, wanted: Properties) -> dict[str, str]:
    found = _domain(client, id)
    return {name: found[name] for name in ("DomainArn", "DomainId", "Url")}


def _delete_domain(client: Client, id: str, had: Properties) -> None:
    client.delete_domain(DomainId=id)


def _profile(arn: str) -> dict[str, str]:
    """The two names in a profile's ARN."""
    domain, name = arn.split("/")[1:]
    return {"DomainId": domain, "UserProfileName": name}


def _apply_profile(client: Client, arn: str, before: Properties, after: Properties) -> None:
    if before and changed("UserSettings", before, after):
        client.update_user_profile(**_profile(arn), UserSettings=after.get("UserSettings", {}))
    retag_arn(client, arn, before, after)


KINDS = (
    Kind(
        type="AWS::SageMaker::Domain",
        service="sagemaker",
        properties=lambda: request("sagemaker", "CreateDomain", "HomeEfsFileSystemKmsKeyId"),
        create=_create_domain,
        apply=_apply_domain,
        delete=_delete_domain,
        attributes=_domain_attributes,
        in_place=_DOMAIN | {"Tags"},
    ),
    Kind(
        type="AWS::SageMaker::UserProfile",
        service="sagemaker",
        properties=lambda: request("sagemaker", "CreateUserProfile"),
        create=lambda client, wanted: str(client.create_user_profile(**wanted)["UserProfileArn"]),
        apply=_apply_profile,
        delete=lambda client, arn, had: client.delete_user_profile(**_profile(arn)),
        attributes=lambda client, arn, wanted: {"UserProfileArn": arn},
        in_place=frozenset({"Tags", "UserSettings"}),
    ),
    Kind(
        type="AWS::SageMaker::StudioLifecycleConfig",
        service="sagemaker",
        properties=lambda: request("sagemaker", "CreateStudioLifecycleConfig"),
        create=lambda client, wanted: str(client.create_studio_lifecycle_config(**wanted)["StudioLifecycleConfigArn"]),
        delete=lambda client, arn, had: client.delete_studio_lifecycle_config(
            StudioLifecycleConfigName=arn.rsplit("/", 1)[1]
        ),
        attributes=lambda client, arn, wanted: {"StudioLifecycleConfigArn": arn},
    ),
)
