"""The life of a stack, against a small account held in memory: order, updates, replacement, roll-back, refusals."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.aws.stacks.errors import (
    AlreadyExists,
    ChangeSetNotFound,
    InsufficientCapabilities,
    InvalidChangeSetStatus,
    ValidationError,
)
from sandbox.aws.stacks.service import NO_CHANGES, Stacks
from sandbox.aws.stacks.stack import Stack, Wanted
from sandbox.aws.stacks.template import parse

GROUPS = """
Parameters:
  Days: {Type: Number, Default: 7}
  Name: {Type: String, Default: second}
Conditions:
  Both: !Not [!Equals [!Ref Name, none]]
Resources:
  Second:
    Type: AWS::Logs::LogGroup
    Condition: Both
    DependsOn: First
    Properties: {LogGroupName: !Ref Name, RetentionInDays: !Ref Days}
  First:
    Type: AWS::Logs::LogGroup
    Properties: {RetentionInDays: !Ref Days}
Outputs:
  Name: {Value: !Ref First}
  Arn: {Value: !GetAtt First.Arn}
"""
ENDPOINT = """
Parameters:
  Which: {Type: String, Default: one}
Resources:
  Log: {Type: AWS::Logs::LogGroup, Properties: {LogGroupName: log}}
  Config:
    Type: AWS::SageMaker::EndpointConfig
    DependsOn: Log
    Properties:
      EndpointConfigName: !Ref Which
      ProductionVariants: [{VariantName: main, ModelName: m}]
  Endpoint:
    Type: AWS::SageMaker::Endpoint
    Properties: {EndpointName: e, EndpointConfigName: !GetAtt Config.EndpointConfigName}
"""


def refusal(code: str, message: str) -> ClientError:
    meta = {"HTTPStatusCode": 400, "RequestId": "r-1"}
    return ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": meta}, "Op")  # type: ignore[typeddict-item]


class Logs:
    """Log groups by name; those in `refuse` cannot be made."""

    def __init__(self) -> None:
        self.groups: dict[str, int | None] = {}
        self.refuse: set[str] = set()
        self.gate = threading.Event()
        self.gate.set()
        self.done: list[str] = []

    def create_log_group(self, logGroupName: str, **request: Any) -> None:
        self.gate.wait(5)
        if logGroupName in self.refuse:
            raise refusal("AccessDeniedException", f"User: x is not authorized to create {logGroupName}")
        self.groups[logGroupName] = None
        self.done.append(f"+{logGroupName}")

    def put_retention_policy(self, logGroupName: str, retentionInDays: int) -> None:
        if logGroupName in self.refuse:
            raise refusal("AccessDeniedException", "no retention for you")
        self.groups[logGroupName] = retentionInDays

    def describe_log_groups(self, logGroupNamePrefix: str) -> Any:
        return {"logGroups": [{"logGroupName": name, "arn": f"arn:logs:{name}:*"} for name in self.groups]}

    def delete_log_group(self, logGroupName: str) -> None:
        del self.groups[logGroupName]
        self.done.append(f"-{logGroupName}")


class SageMaker:
    """Endpoint configurations, and endpoints that fail with a configuration named `bad`."""

    def __init__(self) -> None:
        self.configs: set[str] = set()
        self.endpoint = ""

    def create_endpoint_config(self, EndpointConfigName: str, **request: Any) -> Any:
        self.configs.add(EndpointConfigName)
        return {"EndpointConfigArn": f"arn:config/{EndpointConfigName}"}

    def delete_endpoint_config(self, EndpointConfigName: str) -> None:
        self.configs.remove(EndpointConfigName)

    def create_endpoint(self, EndpointName: str, EndpointConfigName: str) -> Any:
        self.endpoint = EndpointConfigName
        return {"EndpointArn": f"arn:endpoint/{EndpointName}"}

    def update_endpoint(self, EndpointName: str, EndpointConfigName: str) -> None:
        self.endpoint = EndpointConfigName

    def describe_endpoint(self, EndpointName: str) -> Any:
        if not self.endpoint:
            raise refusal("ValidationException", 'Could not find endpoint "e".')
        status = "Failed" if self.endpoint == "bad" else "InService"
        reason = {"FailureReason": "The model does not answer /ping."} if status == "Failed" else {}
        return {"EndpointStatus": status, "EndpointConfigName": self.endpoint, **reason}

    def delete_endpoint(self, EndpointName: str) -> None:
        self.endpoint = ""


class Account:
    """What the engine uses of the cloud."""

    account, region = "123456789012", "us-east-1"

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.logs, self.sagemaker = Logs(), SageMaker()
        self.events: list[str] = []
        self.assumed: list[str] = []
        self.used: set[str] = set()

    def client(self, service: str, credentials: Any) -> Any:
        self.used.add(credentials["AccessKeyId"])
        return {"logs": self.logs, "sagemaker": self.sagemaker}[service]

    def assume_service_role(self, role: str, service: str, session: str) -> Any:
        self.assumed.append(f"{service} {role}")
        return {"AccessKeyId": role}

    def emit(self, source: str, detail_type: str, resources: Any, detail: Any) -> None:
        self.events.append(detail["status-details"]["status"])


class World(SimpleNamespace):
    """The engine with its account, and the shorthand of these tests."""

    account: Account
    stacks: Stacks

    def wanted(
        self, body: str, given: dict[str, str], tags: dict[str, str] | None = None, role: str | None = None
    ) -> Wanted:
        pairs = [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()]
        old = self.stacks.find("s")
        return self.stacks.wanted(parse(body), pairs, tags or {}, role, ["CAPABILITY_NAMED_IAM"], old)

    def create(
        self, body: str = GROUPS, *, on_failure: str = "ROLLBACK", role: str | None = None, **given: str
    ) -> Stack:
        stack = self.stacks.create(
            "s", self.wanted(body, given, role=role), on_failure, "token", {"AccessKeyId": "caller"}
        )
        return self.rest(stack)

    def update(self, stack: Stack, body: str = GROUPS, *, keep: bool = False, **given: str) -> Stack:
        wanted = self.wanted(body, given)
        self.stacks.update(stack, wanted, keep=keep, token=None, caller={"AccessKeyId": "caller"})
        return self.rest(stack)

    def delete(self, stack: Stack) -> Stack:
        self.stacks.delete(stack, (), None, None, {"AccessKeyId": "caller"})
        return self.rest(stack)

    @staticmethod
    def rest(stack: Stack) -> Stack:
        assert stack.worker is not None
        stack.worker.join(5)
        assert not stack.worker.is_alive()
        return stack


@pytest.fixture
def world() -> World:
    account = Account()
    return World(account=account, stacks=Stacks(account))  # type: ignore[arg-type]


def reasons(stack: Stack, status: str) -> dict[str, str]:
    return {event.logical: event.reason for event in stack.events if event.status == status}


def test_a_stack_is_made_in_order_and_deleted_in_reverse(world: World) -> None:
    stack = world.create()
    first = stack.resources["First"].physical
    assert stack.status == "CREATE_COMPLETE"
    assert first.startswith("s-First-")
    assert world.account.logs.groups == {first: 7, "second": 7}
    assert {item["OutputKey"]: item["OutputValue"] for item in stack.outputs} == {
        "Name": first,
        "Arn": f"arn:logs:{first}:*",
    }
    assert world.delete(stack).status == "DELETE_COMPLETE"
    assert world.account.logs.done == [f"+{first}", "+second", "-second", f"-{first}"]
    assert world.account.events == ["CREATE_IN_PROGRESS", "CREATE_COMPLETE", "DELETE_IN_PROGRESS", "DELETE_COMPLETE"]
    assert world.stacks.find("s") is None
    assert world.stacks.get(stack.id) is stack


def test_calls_are_made_as_the_caller_or_as_the_stack_s_role(world: World) -> None:
    world.delete(world.create())
    assert world.account.used == {"caller"}
    world.account.used.clear()
    world.create(role="arn:role")
    assert world.account.used == {"arn:role"}
    assert world.account.assumed == ["cloudformation.amazonaws.com arn:role"]


def test_a_refused_resource_rolls_the_creation_back_with_aws_s_words(world: World) -> None:
    world.account.logs.refuse.add("second")
    stack = world.create()
    assert stack.status == "ROLLBACK_COMPLETE"
    assert world.account.logs.groups == {}
    assert "User: x is not authorized to create second" in reasons(stack, "CREATE_FAILED")["Second"]
    assert "HandlerErrorCode: AccessDeniedException" in reasons(stack, "CREATE_FAILED")["Second"]
    assert "[Second]" in reasons(stack, "ROLLBACK_IN_PROGRESS")["s"]


def test_a_resource_half_made_is_taken_back_too(world: World) -> None:
    world.account.logs.put_retention_policy = lambda **request: (_ for _ in ()).throw(refusal("Denied", "no"))  # type: ignore[method-assign,assignment]
    assert world.create().status == "ROLLBACK_COMPLETE"
    assert world.account.logs.groups == {}


def test_on_failure_decides_what_stays(world: World) -> None:
    world.account.logs.refuse.add("second")
    stack = world.create(on_failure="DO_NOTHING")
    assert (stack.status, list(stack.resources)) == ("CREATE_FAILED", ["First"])
    world.stacks.roll_back(stack, None, None, {"AccessKeyId": "caller"})
    assert world.rest(stack).status == "ROLLBACK_COMPLETE"
    world.delete(stack)
    assert world.create(on_failure="DELETE").status == "DELETE_COMPLETE"


def test_names_are_taken_once_but_a_token_is_recognised(world: World) -> None:
    stack = world.create()
    assert world.stacks.create("s", world.wanted(GROUPS, {}), "ROLLBACK", "token", {}) is stack
    with pytest.raises(AlreadyExists, match=r"Stack \[s\] already exists"):
        world.stacks.create("s", world.wanted(GROUPS, {}), "ROLLBACK", "another", {})
    with pytest.raises(ValidationError, match="regular expression"):
        world.stacks.create("9 lives", world.wanted(GROUPS, {}), "ROLLBACK", None, {})


def test_an_update_changes_in_place_and_only_what_differs(world: World) -> None:
    stack = world.create()
    before = stack.resources["First"].physical
    with pytest.raises(ValidationError, match="No updates are to be performed"):
        world.update(stack)
    world.update(stack, Days="30")
    assert stack.status == "UPDATE_COMPLETE"
    assert stack.resources["First"].physical == before
    assert world.account.logs.groups == {before: 30, "second": 30}


def test_an_update_replaces_adds_and_removes(world: World) -> None:
    stack = world.create()
    world.update(stack, Name="renamed")
    assert "second" not in world.account.logs.groups
    assert stack.resources["Second"].physical == "renamed"
    world.update(stack, Name="none")
    assert list(stack.resources) == ["First"]
    assert set(world.account.logs.groups) == {stack.resources["First"].physical}


def test_a_failed_update_returns_to_what_was(world: World) -> None:
    stack = world.create()
    first = stack.resources["First"].physical
    world.account.logs.refuse.add("renamed")
    world.update(stack, Days="30", Name="renamed")
    assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
    assert world.account.logs.groups == {first: 7, "second": 7}
    assert stack.definition.parameters == {"Days": "7", "Name": "second"}
    assert stack.resources["Second"].physical == "second"


def test_a_roll_back_that_fails_can_be_continued(world: World) -> None:
    stack = world.create(Name="none")
    first = stack.resources["First"].physical
    world.account.logs.refuse |= {first, "second"}
    world.update(stack, Days="30", Name="second")
    assert stack.status == "UPDATE_ROLLBACK_FAILED"
    world.account.logs.refuse.clear()
    world.stacks.roll_back(stack, None, None, {"AccessKeyId": "caller"})
    assert world.rest(stack).status == "UPDATE_ROLLBACK_COMPLETE"
    assert world.account.logs.groups == {first: 7}


def test_a_named_resource_is_not_replaced_under_its_own_name(world: World) -> None:
    stack = world.create(ENDPOINT)
    world.update(stack, ENDPOINT.replace("ModelName: m", "ModelName: other"))
    assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
    assert "Rename one and update the stack again" in reasons(stack, "UPDATE_FAILED")["Config"]


def test_a_new_configuration_under_a_new_name_reaches_the_endpoint(world: World) -> None:
    stack = world.create(ENDPOINT)
    world.update(stack, ENDPOINT, Which="two")
    assert stack.status == "UPDATE_COMPLETE"
    assert (world.account.sagemaker.configs, world.account.sagemaker.endpoint) == ({"two"}, "two")


def test_an_endpoint_that_fails_returns_to_its_old_configuration(world: World) -> None:
    stack = world.create(ENDPOINT)
    world.update(stack, ENDPOINT, Which="bad")
    assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
    assert "does not answer /ping" in reasons(stack, "UPDATE_FAILED")["Endpoint"]
    assert (world.account.sagemaker.configs, world.account.sagemaker.endpoint) == ({"one"}, "one")


def test_an_endpoint_that_never_comes_up_leaves_nothing(world: World) -> None:
    account = world.account
    stack = world.create(ENDPOINT, Which="bad")
    assert stack.status == "ROLLBACK_COMPLETE"
    assert (account.sagemaker.configs, account.sagemaker.endpoint, account.logs.groups) == (set(), "", {})


def test_deleting_a_stack_that_is_being_made_ends_its_making(world: World) -> None:
    world.account.logs.gate.clear()
    stack = world.stacks.create("s", world.wanted(GROUPS, {}), "ROLLBACK", None, {"AccessKeyId": "caller"})
    world.stacks.delete(stack, (), None, None, {"AccessKeyId": "caller"})
    world.account.logs.gate.set()
    assert world.rest(stack).status == "DELETE_COMPLETE"
    assert world.account.logs.groups == {}


def test_a_resource_that_cannot_be_deleted_leaves_the_stack_with_its_reason(world: World) -> None:
    stack = world.create()
    delete = world.account.logs.delete_log_group
    world.account.logs.delete_log_group = lambda logGroupName: (_ for _ in ()).throw(refusal("Denied", "not yours"))  # type: ignore[method-assign]
    assert world.delete(stack).status == "DELETE_FAILED"
    assert "[Second, First]" in stack.reason
    world.account.logs.delete_log_group = delete  # type: ignore[method-assign]
    world.stacks.delete(stack, ["Second"], None, None, {"AccessKeyId": "caller"})
    assert world.rest(stack).status == "DELETE_COMPLETE"
    assert set(world.account.logs.groups) == {"second"}


def test_iam_resources_need_an_acknowledgement(world: World) -> None:
    body = "Resources: {R: {Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {}}}}"
    with pytest.raises(InsufficientCapabilities, match="CAPABILITY_NAMED_IAM"):
        world.stacks.wanted(parse(body), [], {}, None, [], None)


def test_a_change_set_shows_and_then_makes_the_changes(world: World) -> None:
    wanted = world.wanted(GROUPS, {})
    stack, made = world.stacks.preview("s", "first", "CREATE", wanted, "")
    assert stack.status == "REVIEW_IN_PROGRESS"
    assert [change.action for change in made.changes] == ["Add", "Add"]
    world.stacks.execute(stack, made, keep=False, token=None, caller={"AccessKeyId": "caller"})
    assert world.rest(stack).status == "CREATE_COMPLETE"
    with pytest.raises(InvalidChangeSetStatus):
        world.stacks.execute(stack, made, keep=False, token=None, caller={"AccessKeyId": "caller"})

    _, same = world.stacks.preview("s", "same", "UPDATE", wanted, "")
    assert (same.status, same.reason) == ("FAILED", NO_CHANGES)
    _, other = world.stacks.preview("s", "other", "UPDATE", world.wanted(GROUPS, {"Days": "30", "Name": "new"}), "")
    found = {change.logical: change.described()["ResourceChange"] for change in other.changes}
    assert found["First"]["Replacement"] == "False"
    assert found["Second"]["Replacement"] == "True"
    assert {detail["Target"]["Name"] for detail in found["Second"]["Details"]} == {"LogGroupName", "RetentionInDays"}
    assert stack.status == "CREATE_COMPLETE"
    with pytest.raises(ChangeSetNotFound):
        world.stacks.change_set("unheard", "s")


def test_a_stack_at_work_is_not_touched(world: World) -> None:
    world.account.logs.gate.clear()
    stack = world.stacks.create("s", world.wanted(GROUPS, {}), "ROLLBACK", None, {"AccessKeyId": "caller"})
    with pytest.raises(ValidationError, match="is in CREATE_IN_PROGRESS state and can not be updated"):
        world.stacks.update(stack, world.wanted(GROUPS, {"Days": "30"}), keep=False, token=None, caller={})
    world.account.logs.gate.set()
    world.rest(stack)


def test_policies_see_a_stack_s_tags_by_name_or_id(world: World) -> None:
    stack = world.stacks.create("s", world.wanted(GROUPS, {}, tags={"Environment": "dev"}), "ROLLBACK", None, {})
    world.rest(stack)
    anywhere = f"{stack.id.rpartition('/')[0]}/*"
    assert world.stacks.tags_of(stack.id) == world.stacks.tags_of(anywhere) == {"Environment": "dev"}
    assert world.stacks.tags_of(anywhere.replace("/s/", "/other/")) == world.stacks.tags_of("*") == {}
