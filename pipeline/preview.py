"""What a change of a deployment's stack would do, as CloudFormation reckons: a change set, read and thrown away.

Nothing of the stack changes. One that does not exist yet leaves an empty shell (`REVIEW_IN_PROGRESS`), which goes too.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import definition
from pipeline.deployment import Stack
from pipeline.errors import BadInput, Unavailable
from pipeline.names import Environment, Names

POLL_SECONDS = 1.0
LIMIT_SECONDS = 120.0
_NOTHING = ("didn't contain changes", "No updates are to be performed")


@dataclass(frozen=True)
class Change:
    """One resource: added, modified or removed, which of its properties, and whether it is made anew for that."""

    action: str
    name: str
    kind: str
    properties: Sequence[str]
    replaced: bool


def changes(
    cloudformation: Any,
    names: Names,
    env: Environment,
    existing: Stack | None,
    *,
    template_url: str,
    parameters: Mapping[str, str],
    token: str,
) -> list[Change]:
    """The changes, none when there is nothing to change.

    Raises BadInput with CloudFormation's words when it cannot be reckoned, Unavailable when that takes too long.
    """
    stack, name = names.stack(env), f"preview-{token[:24]}"
    cloudformation.create_change_set(
        StackName=stack,
        ChangeSetName=name,
        ChangeSetType="CREATE" if existing is None else "UPDATE",
        Description="What would change; nobody carries it out",
        TemplateURL=template_url,
        RoleARN=names.role(f"{env}-deploy"),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Tags=definition.tags(env),
        ClientToken=token,
    )
    try:
        return _read(cloudformation, stack, name)
    finally:
        cloudformation.delete_change_set(StackName=stack, ChangeSetName=name)
        if existing is None:
            cloudformation.delete_stack(StackName=stack, RoleARN=names.role(f"{env}-deploy"))


def _read(cloudformation: Any, stack: str, name: str) -> list[Change]:
    until = time.monotonic() + LIMIT_SECONDS
    while True:
        page = cloudformation.describe_change_set(StackName=stack, ChangeSetName=name)
        if page["Status"] not in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
            break
        if time.monotonic() > until:
            raise Unavailable(f"CloudFormation is still reckoning what {stack} would change.", "Try again in a minute.")
        time.sleep(POLL_SECONDS)
    if page["Status"] == "FAILED":
        reason = page.get("StatusReason", "")
        if any(words in reason for words in _NOTHING):
            return []
        raise BadInput(f"CloudFormation cannot make that change: {reason}", "The deployment itself would fail alike.")
    found = list(page["Changes"])
    while page.get("NextToken"):
        page = cloudformation.describe_change_set(StackName=stack, ChangeSetName=name, NextToken=page["NextToken"])
        found += page["Changes"]
    return [_change(each["ResourceChange"]) for each in found if "ResourceChange" in each]


def _change(given: Mapping[str, Any]) -> Change:
    targets = [each.get("Target", {}) for each in given.get("Details") or ()]
    named = dict.fromkeys(each.get("Name") or each.get("Attribute", "") for each in targets)
    return Change(
        action=given["Action"],
        name=given["LogicalResourceId"],
        kind=given["ResourceType"].removeprefix("AWS::").replace("::", " "),
        properties=[each for each in named if each],
        replaced=given.get("Replacement") in ("True", "Conditional"),
    )
