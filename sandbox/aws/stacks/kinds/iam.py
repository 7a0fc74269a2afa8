"""Roles and managed policies."""

from __future__ import annotations

import json
from typing import Any

from .kind import TAGS, Client, Kind, Properties, changed, retag, tag_list


def document(value: Any) -> str:
    """A policy document as the API wants it."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _create_role(client: Client, wanted: Properties) -> str:
    plain = ("RoleName", "Path", "Description", "MaxSessionDuration", "PermissionsBoundary", "Tags")
    request = {name: wanted[name] for name in plain if name in wanted}
    trust = document(wanted["AssumeRolePolicyDocument"])
    return str(client.create_role(**request, AssumeRolePolicyDocument=trust)["Role"]["RoleName"])


def _apply_role(client: Client, name: str, before: Properties, after: Properties) -> None:
    if before:
        _update_role(client, name, before, after)
    old, new = ({policy["PolicyName"]: policy for policy in side.get("Policies", [])} for side in (before, after))
    for policy in new.values():
        if old.get(policy["PolicyName"]) != policy:
            text = document(policy["PolicyDocument"])
            client.put_role_policy(RoleName=name, PolicyName=policy["PolicyName"], PolicyDocument=text)
    for policy_name in set(old) - set(new):
        client.delete_role_policy(RoleName=name, PolicyName=policy_name)
    had, has = (set(side.get("ManagedPolicyArns", [])) for side in (before, after))
    for arn in has - had:
        client.attach_role_policy(RoleName=name, PolicyArn=arn)
    for arn in had - has:
        client.detach_role_policy(RoleName=name, PolicyArn=arn)


def _update_role(client: Client, name: str, before: Properties, after: Properties) -> None:
    if changed("AssumeRolePolicyDocument", before, after):
        client.update_assume_role_policy(RoleName=name, PolicyDocument=document(after["AssumeRolePolicyDocument"]))
    if changed("Description", before, after) or changed("MaxSessionDuration", before, after):
        longest, words = after.get("MaxSessionDuration", 3600), after.get("Description", "")
        client.update_role(RoleName=name, MaxSessionDuration=longest, Description=words)
    if changed("PermissionsBoundary", before, after):
        if "PermissionsBoundary" in after:
            client.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=after["PermissionsBoundary"])
        else:
            client.delete_role_permissions_boundary(RoleName=name)
    retag(
        before,
        after,
        lambda tags: client.tag_role(RoleName=name, Tags=tag_list(tags)),
        lambda keys: client.untag_role(RoleName=name, TagKeys=keys),
    )


def _delete_role(client: Client, name: str, had: Properties) -> None:
    for policy in client.list_role_policies(RoleName=name)["PolicyNames"]:
        client.delete_role_policy(RoleName=name, PolicyName=policy)
    for attached in client.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        client.detach_role_policy(RoleName=name, PolicyArn=attached["PolicyArn"])
    client.delete_role(RoleName=name)


def _role_attributes(client: Client, name: str, wanted: Properties) -> dict[str, str]:
    role = client.get_role(RoleName=name)["Role"]
    return {"Arn": role["Arn"], "RoleId": role["RoleId"]}


def _create_policy(client: Client, wanted: Properties) -> str:
    request = {name: wanted[name] for name in ("Path", "Description") if name in wanted}
    text = document(wanted["PolicyDocument"])
    made = client.create_policy(PolicyName=wanted["ManagedPolicyName"], PolicyDocument=text, **request)
    return str(made["Policy"]["Arn"])


def _apply_policy(client: Client, arn: str, before: Properties, after: Properties) -> None:
    if before and changed("PolicyDocument", before, after):
        _drop_versions(client, arn)
        text = document(after["PolicyDocument"])
        client.create_policy_version(PolicyArn=arn, PolicyDocument=text, SetAsDefault=True)
    had, has = (set(side.get("Roles", [])) for side in (before, after))
    for role in has - had:
        client.attach_role_policy(RoleName=role, PolicyArn=arn)
    for role in had - has:
        client.detach_role_policy(RoleName=role, PolicyArn=arn)


def _drop_versions(client: Client, arn: str) -> None:
    """IAM keeps five versions of a policy; those not in force go before a new one comes."""
    for version in client.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not version["IsDefaultVersion"]:
            client.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])


def _delete_policy(client: Client, arn: str, had: Properties) -> None:
    for role in had.get("Roles", []):
        client.detach_role_policy(RoleName=role, PolicyArn=arn)
    _drop_versions(client, arn)
    client.delete_policy(PolicyArn=arn)


KINDS = (
    Kind(
        type="AWS::IAM::Role",
        service="iam",
        properties=lambda: {
            "RoleName": "text",
            "Path": "text",
            "Description": "text",
            "AssumeRolePolicyDocument": "json",
            "MaxSessionDuration": "whole",
            "PermissionsBoundary": "text",
            "ManagedPolicyArns": ["text"],
            "Policies": [{"PolicyName": "text", "PolicyDocument": "json"}],
            "Tags": TAGS,
        },
        named="RoleName",
        create=_create_role,
        apply=_apply_role,
        delete=_delete_role,
        attributes=_role_attributes,
        in_place=frozenset(
            [
                "Description",
                "AssumeRolePolicyDocument",
                "MaxSessionDuration",
                "PermissionsBoundary",
                "ManagedPolicyArns",
                "Policies",
                "Tags",
            ]
        ),
    ),
    Kind(
        type="AWS::IAM::ManagedPolicy",
        service="iam",
        properties=lambda: {
            "ManagedPolicyName": "text",
            "Path": "text",
            "Description": "text",
            "PolicyDocument": "json",
            "Roles": ["text"],
        },
        named="ManagedPolicyName",
        create=_create_policy,
        apply=_apply_policy,
        delete=_delete_policy,
        attributes=lambda client, arn, wanted: {"PolicyArn": arn},
        in_place=frozenset({"PolicyDocument", "Roles"}),
    ),
)
