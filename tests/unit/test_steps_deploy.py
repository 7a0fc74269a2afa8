"""The Deploy step's waiting and clearing, against CloudFormation's answers in the order it gives them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.errors import GroundcrewError, Unavailable
from pipeline.names import Names
from pipeline.steps import deploy

NAMES = Names("123456789012", "us-east-1")
STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/groundcrew-dev-detector/1"
WHEN = datetime(2026, 1, 1, tzinfo=UTC)


class CloudFormation:
    """Answers one status after the other; the last one stays."""

    def __init__(self, *statuses: str, reason: str = "") -> None:
        self.statuses = list(statuses)
        self.reason = reason
        self.deleted: list[dict[str, Any]] = []

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return {
            "Stacks": [
                {"StackName": "groundcrew-dev-detector", "StackId": STACK, "StackStatus": status, "CreationTime": WHEN}
            ]
        }

    def describe_stack_events(self, StackName: str) -> dict[str, Any]:
        event = {"LogicalResourceId": "Endpoint", "ResourceType": "AWS::SageMaker::Endpoint"}
        return {"StackEvents": [{**event, "ResourceStatus": "CREATE_FAILED", "ResourceStatusReason": self.reason}]}

    def delete_stack(self, **request: Any) -> None:
        self.deleted.append(request)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "POLL_SECONDS", 0.0)


def test_it_waits_until_the_stack_is_ready() -> None:
    cloudformation = CloudFormation("CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS", "CREATE_COMPLETE")
    deploy.wait(cloudformation, STACK)
    assert cloudformation.statuses == ["CREATE_COMPLETE"]


@pytest.mark.parametrize(
    "status", ["ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "CREATE_FAILED", "DELETE_COMPLETE"]
)
def test_a_stack_that_failed_gives_its_own_reason(status: str) -> None:
    cloudformation = CloudFormation("CREATE_IN_PROGRESS", status, reason="no capacity")
    with pytest.raises(GroundcrewError, match=f"ended as {status}: Endpoint: no capacity"):
        deploy.wait(cloudformation, STACK)


def test_it_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "LIMIT_SECONDS", 0.0)
    with pytest.raises(Unavailable, match="still CREATE_IN_PROGRESS"):
        deploy.wait(CloudFormation("CREATE_IN_PROGRESS"), STACK)


def test_only_the_remains_of_a_failed_creation_are_cleared() -> None:
    dead = CloudFormation("ROLLBACK_COMPLETE", "DELETE_IN_PROGRESS", "DELETE_COMPLETE")
    deploy.clear(dead, NAMES, "dev", "clear-abc")
    assert dead.deleted[0]["RoleARN"] == NAMES.role("dev-deploy")
    for status in ("CREATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_IN_PROGRESS"):
        alive = CloudFormation(status)
        deploy.clear(alive, NAMES, "dev", "clear-abc")
        assert not alive.deleted
