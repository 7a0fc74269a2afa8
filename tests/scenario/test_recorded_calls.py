"""Every call that a whole sandbox has made, held against what AWS publishes: no account is needed for that.

What was called so far is in the record: setting up, publishing, a person's run with its jobs and deployment.
"""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.aws.actions import Place, needs
from sandbox.environment import ACCOUNT, REGION
from sandbox.person import Person
from tests import recorded
from tests.conftest import Sandbox, Training
from tests.unit.test_iam_roles import roles

PLACE = Place(ACCOUNT, REGION)
PEOPLE_AND_MACHINES = {"bot", "observer", "data-scientist", "ml-engineer", "loader", "dev-execution", "dev-deploy"}


@pytest.fixture(scope="module")
def records(sandbox: Sandbox, training: Training, ds: Person) -> list[Any]:
    ds.asks("pipeline list", training.id[:4])
    return list(recorded.calls(sandbox.state / "aws" / "trail.jsonl"))


@pytest.fixture(scope="module")
def ds(sandbox: Sandbox) -> Person:
    """A data scientist, for the whole module."""
    return sandbox.slack.person("U0DS1")


def statements(role: str) -> list[Any]:
    """Everything a role's own and attached policies say, with the environment of the role in place of its variable."""
    properties = roles()[role]
    tags = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
    found = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
    found += [roles()[arn]["PolicyDocument"] for arn in properties.get("ManagedPolicyArns", [])]
    rows = [row for document in found for row in document["Statement"]]
    return [_filled(row, "${aws:PrincipalTag/Environment}", tags.get("Environment", "")) for row in rows]


def _filled(value: Any, variable: str, text: str) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, variable, text) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, variable, text) for item in value]
    return value.replace(variable, text) if isinstance(value, str) else value


def test_the_record_holds_what_it_is_about(records: list[Any]) -> None:
    called = {(recorded.service(each), each["eventName"]) for each in records}
    for call in (
        ("cloudformation", "CreateStack"),
        ("sagemaker", "StartPipelineExecution"),
        ("sagemaker", "CreateTrainingJob"),
        ("sagemaker", "CreateProcessingJob"),
        ("sagemaker", "CreateModelPackage"),
        ("s3", "PutObject"),
        ("sts", "AssumeRole"),
    ):
        assert call in called
    assert {recorded.role(each) for each in records} >= PEOPLE_AND_MACHINES
    assert len(called) > 60


def test_every_request_is_one_that_aws_s_service_models_take(records: list[Any]) -> None:
    wrong = {f"{each['eventSource']} {each['eventName']}": recorded.faults(each) for each in records}
    assert {call: found for call, found in wrong.items() if found} == {}


def test_every_action_that_a_call_needs_is_one_of_aws_s_and_in_the_policies_of_its_role(records: list[Any]) -> None:
    missing = set()
    for each in records:
        role = recorded.role(each)
        if not role or "errorCode" in each or role not in roles() or (recorded.service(each) == "s3" and not role):
            continue
        for need in needs(recorded.service(each), each["eventName"], each["requestParameters"], PLACE):
            if need.action == "sts:GetCallerIdentity":
                continue  # needs no permission
            if not recorded.exists(need.action):
                missing.add(f"{need.action} is no action of AWS")
            if "…" not in need.resource and not recorded.allowed(statements(role), need.action, need.resource):
                missing.add(f"{role}: {need.action} on {need.resource}")
    assert missing == set()
