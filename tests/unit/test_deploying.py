"""A deployment before it begins and after it failed: previews, canaries, artifacts, and what is said to do."""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.response import StreamingBody

from commands import deployed
from pipeline import canary, preview, registry, remedies
from pipeline.deployment import Stack
from pipeline.errors import BadInput, Refused
from pipeline.names import Names
from pipeline.preview import Change
from pipeline.registry import Package
from pipeline.scaling import Bounds
from tests.unit.fake_aws import FakeClient, refusal

NAMES = Names("123456789012", "us-east-1")
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
STACK = Stack("groundcrew-prod-detector", "arn:stack/1", "UPDATE_COMPLETE", "", {"Digest": "a" * 64}, NOON)
ADDED = {"Action": "Add", "LogicalResourceId": "Model", "ResourceType": "AWS::SageMaker::Model", "Details": []}
MODIFIED = {
    "Action": "Modify",
    "LogicalResourceId": "Endpoint",
    "ResourceType": "AWS::SageMaker::Endpoint",
    "Replacement": "False",
    "Details": [
        {"Target": {"Attribute": "Properties", "Name": "EndpointConfigName"}},
        {"Target": {"Attribute": "Tags"}},
    ],
}


def change_set(*answers: dict[str, Any]) -> FakeClient:
    waiting = list(answers)
    return FakeClient(
        create_change_set={},
        describe_change_set=lambda **_: waiting.pop(0),
        delete_change_set={},
        delete_stack={},
    )


def look(client: FakeClient, existing: Stack | None) -> list[Change]:
    return preview.changes(
        client, NAMES, "prod", existing, template_url="https://t", parameters={"Digest": "b"}, token="f" * 64
    )


def test_a_preview_reads_all_pages_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "POLL_SECONDS", 0.0)
    client = change_set(
        {"Status": "CREATE_IN_PROGRESS"},
        {"Status": "CREATE_COMPLETE", "Changes": [{"ResourceChange": ADDED}], "NextToken": "2"},
        {"Status": "CREATE_COMPLETE", "Changes": [{"ResourceChange": MODIFIED}]},
    )
    assert look(client, STACK) == [
        Change("Add", "Model", "SageMaker Model", [], False),
        Change("Modify", "Endpoint", "SageMaker Endpoint", ["EndpointConfigName", "Tags"], False),
    ]
    (made,) = client.requests("create_change_set")
    assert (made["ChangeSetType"], made["RoleARN"]) == ("UPDATE", NAMES.role("prod-deploy"))
    assert client.requests("delete_change_set") == [
        {"StackName": "groundcrew-prod-detector", "ChangeSetName": made["ChangeSetName"]}
    ]
    assert client.requests("delete_stack") == []


def test_the_empty_shell_of_a_first_preview_goes_too() -> None:
    client = change_set({"Status": "CREATE_COMPLETE", "Changes": []})
    assert look(client, None) == []
    assert client.requests("create_change_set")[0]["ChangeSetType"] == "CREATE"
    assert len(client.requests("delete_stack")) == 1


def test_no_change_is_an_answer_and_a_failure_is_not() -> None:
    nothing = "The submitted information didn't contain changes. Submit different information to create a change set."
    assert look(change_set({"Status": "FAILED", "StatusReason": nothing}), STACK) == []
    client = change_set({"Status": "FAILED", "StatusReason": "Template error"})
    with pytest.raises(BadInput, match="Template error"):
        look(client, STACK)
    assert len(client.requests("delete_change_set")) == 1


def test_a_canary_is_a_part_of_several_instances() -> None:
    assert canary.chosen("prod", Bounds(2, 4), None) == 50
    assert canary.chosen("prod", Bounds(2, 4), 10) == 10
    assert canary.chosen("prod", Bounds(2, 4), 0) == 0
    assert canary.chosen("dev", Bounds(2, 2), None) == 0
    assert canary.chosen("prod", Bounds(1, 4), None) == 0
    with pytest.raises(Refused, match="has one") as refused:
        canary.chosen("staging", Bounds(1, 2), 20)
    assert "deployment scale --env staging --min 2" in refused.value.advice


MADE = {"groundcrew-prod-detector-5xx", "groundcrew-prod-detector-latency"}


def alarms(**states: str) -> FakeClient:
    rows = [
        {"AlarmName": f"groundcrew-prod-detector-{name.lstrip('_')}", "StateValue": state, "ActionsEnabled": True}
        for name, state in states.items()
    ]
    return FakeClient(describe_alarms={"MetricAlarms": rows})


def test_a_canary_needs_alarms_that_are_there_and_quiet() -> None:
    canary.ready(alarms(_5xx="OK", latency="INSUFFICIENT_DATA"), STACK, MADE)
    with pytest.raises(Refused, match="without alarms takes nothing back: groundcrew-prod-detector-latency"):
        canary.ready(alarms(_5xx="OK"), STACK, MADE)
    with pytest.raises(Refused, match="in alarm now") as refused:
        canary.ready(alarms(_5xx="ALARM", latency="OK"), STACK, MADE)
    assert "--canary 0" in refused.value.advice
    off = {"AlarmName": "groundcrew-prod-detector-5xx", "StateValue": "OK", "ActionsEnabled": False}
    with pytest.raises(Refused, match="switched off"):
        canary.ready(FakeClient(describe_alarms={"MetricAlarms": [off]}), STACK, set())


def test_alarms_that_come_with_the_same_change_are_not_missed() -> None:
    canary.ready(alarms(_5xx="OK"), STACK, {"groundcrew-prod-detector-5xx"})


def package(data: bytes, digest: str = "") -> Package:
    metadata = {"digest": digest or hashlib.sha256(data).hexdigest()}
    return Package("arn", 3, "Completed", "Approved", NOON, "s3://b/dev/models/m/model.tar.gz", metadata)


def bucket(data: bytes) -> FakeClient:
    return FakeClient(
        head_object={"ETag": "e"}, get_object=lambda **_: {"Body": StreamingBody(io.BytesIO(data), len(data))}
    )


def test_only_the_registered_bytes_are_deployed() -> None:
    registry.verify(bucket(b"model"), package(b"model"))
    with pytest.raises(Refused, match="artifact of v3 is not the registered model"):
        registry.verify(bucket(b"another"), package(b"model"))
    gone = FakeClient(head_object=refusal("404", "Not Found"))
    with pytest.raises(Refused, match="is gone"):
        registry.verify(gone, package(b"model"))


QUOTA = (
    "Endpoint: Resource handler returned message: \"The account-level service limit 'ml.g5.xlarge for endpoint usage' "
    'is 0 Instances, with current utilization of 0 Instances and a request delta of 1 Instances."'
)
METRIC = (
    'ScalingPolicy: Resource handler returned message: "Predefined metric type '
    'SageMakerVariantConcurrentRequestsPerModelHighResolution is not supported for this scalable target."'
)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (QUOTA, "“ml.g5.xlarge for endpoint usage”, or with `aws service-quotas request-service-quota-increase"),
        (METRIC, "--scale-on invocations"),
        ("Model: no such object", ""),
        ("", ""),
    ],
)
def test_a_known_failure_says_what_to_do(failure: str, words: str) -> None:
    found = remedies.remedy(failure, "dev")
    assert words in found if words else found == ""


def buttons(status: str, failure: str = "") -> list[str]:
    stack = Stack(STACK.name, STACK.id, status, "", {}, NOON)
    return [action.command for action in deployed._actions(stack, "dev", failure)]


def test_the_next_step_fits_the_failure() -> None:
    assert buttons("UPDATE_ROLLBACK_FAILED") == ["deployment recover --env dev"]
    assert buttons("UPDATE_ROLLBACK_COMPLETE", METRIC) == ["deployment create --env dev --scale-on invocations"]
    assert "deployment delete --env dev" in buttons("ROLLBACK_COMPLETE")
