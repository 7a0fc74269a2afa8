"""The IAM actions that policies name and that calls need, against the service authorization reference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from commands import all_commands
from sandbox.aws import actions
from tests import recorded
from tests.unit.test_iam_roles import roles

NEWER = frozenset({"sagemaker:CallMlflowAppApi"})
"""In AWS's own documentation, not yet in the reference that cfn-lint ships."""


def named() -> Iterator[str]:
    for properties in roles().values():
        documents: list[Any] = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        documents += [properties["PolicyDocument"]] if "PolicyDocument" in properties else []
        for document in documents:
            for statement in document["Statement"]:
                given = statement.get("Action", statement.get("NotAction", []))
                yield from [given] if isinstance(given, str) else given


@pytest.mark.parametrize("action", sorted(set(named())))
def test_a_policy_names_only_actions_that_there_are(action: str) -> None:
    assert recorded.exists(action) or action in NEWER


def test_a_command_needs_only_actions_that_there_are() -> None:
    needed = {
        action
        for command in all_commands().values()
        for need in command.needs
        for action in ([need.actions] if isinstance(need.actions, str) else need.actions)
    }
    assert {action for action in needed if not recorded.exists(action)} == set()


def test_the_stand_in_asks_for_actions_of_aws_s_own() -> None:
    """Where an operation's action has the operation's name; those of S3 and queues are named in their tables."""
    asked = {f"sagemaker:{name}" for name in actions._SAGEMAKER} | {f"iam:{name}" for name in actions._IAM}
    asked |= {f"cloudformation:{name}" for name in actions._CLOUDFORMATION}
    asked |= {f"scheduler:{name}" for name in actions._SCHEDULER} | {f"events:{name}" for name in actions._EVENTS}
    asked |= {f"logs:{name}" for name in actions._LOGS} | {f"cloudtrail:{name}" for name in actions._CLOUDTRAIL}
    assert {action for action in asked if not recorded.exists(action)} == set()


def test_what_is_no_action_is_found_out() -> None:
    assert not recorded.exists("sagemaker:StartPipeline")
    assert recorded.exists("sagemaker:Describe*")
    assert not recorded.exists("sagemakr:Describe*")
