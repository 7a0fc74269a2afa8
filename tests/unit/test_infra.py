"""`python -m infra`: what is said and done with a stack in each state, against a scripted CloudFormation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cfnlint
import pytest
from botocore.exceptions import ClientError

from infra import stacks
from infra.__main__ import _check, _operator, _parser
from pipeline.errors import Refused
from pipeline.names import Names


def refused(message: str) -> ClientError:
    return ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "Op")


class CloudFormation:
    """One stack that walks through `path` after the next change; `events` come with its last state."""

    def __init__(self, status: str | None, path: list[str], events: list[tuple[str, str, str]] | None = None) -> None:
        self.status, self.path = status, path
        self.script = events or []
        self.happened: list[dict[str, str]] = []
        self.calls: list[str] = []
        self.parameters: list[dict[str, str]] = []

    def describe_stacks(self, StackName: str) -> Any:
        if self.status is None:
            raise refused(f"Stack with id {StackName} does not exist")
        if self.calls and self.path:
            self.status = self.path.pop(0)
            if not self.path:
                self.happened = [
                    {
                        "EventId": str(number),
                        "LogicalResourceId": logical,
                        "ResourceType": "AWS::S3::Bucket",
                        "ResourceStatus": status,
                        "ResourceStatusReason": reason,
                    }
                    for number, (logical, status, reason) in enumerate(self.script)
                ]
        return {"Stacks": [{"StackId": "id", "StackStatus": self.status, "Parameters": self.parameters}]}

    def create_stack(self, **request: Any) -> Any:
        self.calls.append("create")
        self.status = "CREATE_IN_PROGRESS"
        assert {tag["Key"] for tag in request["Tags"]} == {"Project", "Environment", "CostCenter", "Owner"}
        return {"StackId": "id"}

    def update_stack(self, **request: Any) -> Any:
        self.calls.append("update")
        if not self.path:
            raise refused("No updates are to be performed.")
        return {"StackId": "id"}

    def delete_stack(self, **request: Any) -> None:
        self.calls.append("delete")

    def get_paginator(self, name: str) -> Any:
        return self

    def paginate(self, StackName: str) -> Any:
        return [{"StackEvents": list(reversed(self.happened))}]


@pytest.fixture
def file(tmp_path: Path) -> stacks.File:
    template = tmp_path / "t.yaml"
    template.write_text("Resources: {}")
    return stacks.File("groundcrew-t", template)


def test_a_new_stack_is_created_and_its_resources_are_told(file: stacks.File) -> None:
    said: list[str] = []
    cloudformation = CloudFormation(None, ["CREATE_IN_PROGRESS", "CREATE_COMPLETE"], [("B", "CREATE_COMPLETE", "")])
    stacks.up(cloudformation, file, said.append)
    assert cloudformation.calls == ["create"]
    assert "CREATE_COMPLETE" in said[-1]
    assert "AWS::S3::Bucket" in said[-1]


def test_a_second_time_nothing_changes(file: stacks.File) -> None:
    said: list[str] = []
    stacks.up(CloudFormation("CREATE_COMPLETE", []), file, said.append)
    assert said == ["groundcrew-t: nothing to change"]


def test_a_failure_is_told_with_the_resource_s_reason(file: stacks.File) -> None:
    events = [("B", "CREATE_FAILED", "AccessDenied for x"), ("C", "CREATE_FAILED", "Resource creation cancelled")]
    cloudformation = CloudFormation(None, ["ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE"], events)
    with pytest.raises(Refused, match=r"ended in ROLLBACK_COMPLETE: B: AccessDenied for x$"):
        stacks.up(cloudformation, file, lambda line: None)


def test_a_bucket_that_is_not_empty_comes_with_advice(file: stacks.File) -> None:
    events = [("B", "DELETE_FAILED", "The bucket you tried to delete is not empty")]
    with pytest.raises(Refused) as caught:
        stacks.down(CloudFormation("CREATE_COMPLETE", ["DELETE_FAILED"], events), file, lambda line: None)
    assert "Empty the artifact bucket" in caught.value.advice


@pytest.mark.parametrize(
    ("status", "advice"), [("DELETE_FAILED", "run `down`"), ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback")]
)
def test_a_stack_that_is_stuck_is_left_alone_with_advice(file: stacks.File, status: str, advice: str) -> None:
    cloudformation = CloudFormation(status, [])
    with pytest.raises(Refused, match=status) as caught:
        stacks.up(cloudformation, file, lambda line: None)
    assert advice in caught.value.advice
    assert cloudformation.calls == []


def test_what_a_failed_creation_left_is_removed_first(file: stacks.File) -> None:
    cloudformation = CloudFormation("ROLLBACK_COMPLETE", ["DELETE_COMPLETE", "CREATE_COMPLETE"])
    stacks.up(cloudformation, file, lambda line: None)
    assert cloudformation.calls == ["delete", "create"]


def test_taking_down_what_is_not_there_is_no_error(file: stacks.File) -> None:
    said: list[str] = []
    cloudformation = CloudFormation(None, [])
    stacks.down(cloudformation, file, said.append)
    assert (said, cloudformation.calls) == (["groundcrew-t: not there"], [])


NAMES = Names("123456789012", "us-east-1", "data")


def test_roles_come_before_what_refers_to_them_and_all_fit_in_a_request() -> None:
    files = stacks.stacks("arn:aws:iam::123456789012:user/operator", NAMES)
    assert [each.name for each in files] == [
        "groundcrew-policies",
        "groundcrew-roles",
        "groundcrew-machines",
        "groundcrew-platform",
        "groundcrew-events",
        "groundcrew-cost",
        "groundcrew-audit",
    ]
    for each in files:
        assert len(each.request()["TemplateBody"].encode()) <= 51_200


class S3:
    """An account that holds `buckets`; any other name is somebody else's or nobody's."""

    def __init__(self, *buckets: str, code: str = "404") -> None:
        self.buckets, self.code = buckets, code

    def head_bucket(self, Bucket: str) -> None:
        if Bucket not in self.buckets:
            raise ClientError({"Error": {"Code": self.code, "Message": "Not Found"}}, "HeadBucket")


def parameter(cloudformation: CloudFormation, s3: S3) -> str:
    audit = stacks.stacks("arn:aws:iam::123456789012:user/operator", NAMES)[-1]
    return stacks.complete(cloudformation, s3, audit).parameters["NewBucket"]


def test_the_locked_bucket_is_made_once_and_taken_again_after_a_down() -> None:
    assert parameter(CloudFormation(None, []), S3()) == "true"
    assert parameter(CloudFormation(None, []), S3(NAMES.audit_bucket)) == "false"
    for status in ("true", "false"):
        standing = CloudFormation("CREATE_COMPLETE", [])
        standing.parameters = [{"ParameterKey": "NewBucket", "ParameterValue": status}]
        assert parameter(standing, S3(NAMES.audit_bucket)) == status
    with pytest.raises(ClientError):
        parameter(CloudFormation(None, []), S3(code="403"))


def test_taking_the_audit_stack_down_says_what_stays() -> None:
    said: list[str] = []
    audit = stacks.stacks("arn:aws:iam::123456789012:user/operator", NAMES)[-1]
    stacks.down(CloudFormation("CREATE_COMPLETE", ["DELETE_COMPLETE"]), audit, said.append)
    assert said[-1].startswith(f"  stays: bucket {NAMES.audit_bucket}. Object Lock")


def test_the_operator_behind_a_session_is_its_role_with_its_path() -> None:
    class Session:
        def client(self, service: str) -> Any:
            return self

        def get_role(self, RoleName: str) -> Any:
            return {"Role": {"Arn": f"arn:aws:iam::123456789012:role/path/{RoleName}"}}

    session = "arn:aws:sts::123456789012:assumed-role/Admin/someone"
    assert _operator(Session(), session) == "arn:aws:iam::123456789012:role/path/Admin"
    user = "arn:aws:iam::123456789012:user/operator"
    assert _operator(Session(), user) == user


@pytest.mark.parametrize("action", ["plan", "up", "down", "studio"])
def test_an_account_that_is_not_the_configured_one_is_refused(action: str) -> None:
    options = _parser().parse_args([action, "--profile", "ab", "--account", "999999999999"])
    with pytest.raises(Refused, match="is of account 123456789012, not of 999999999999"):
        _check("123456789012", options)
    _check("999999999999", options)


@pytest.mark.parametrize("action", ["up", "down"])
def test_nothing_is_changed_in_an_account_that_nobody_named(action: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GROUNDCREW_ACCOUNT", raising=False)
    with pytest.raises(Refused, match="No account is configured") as caught:
        _check("123456789012", _parser().parse_args([action, "--profile", "ab"]))
    assert "--account 123456789012" in caught.value.advice
    monkeypatch.setenv("GROUNDCREW_ACCOUNT", "123456789012")
    _check("123456789012", _parser().parse_args([action, "--profile", "ab"]))
    monkeypatch.delenv("GROUNDCREW_ACCOUNT")
    _check("123456789012", _parser().parse_args(["plan", "--profile", "ab"]))


@pytest.mark.parametrize("name", sorted(path.name for path in Path(stacks.__file__).parent.glob("*.yaml")))
def test_every_template_is_clean_to_cfn_lint(name: str) -> None:
    found = cfnlint.lint((Path(stacks.__file__).parent / name).read_text(), regions=["us-east-1"])
    assert [match for match in found if match.rule.id.startswith(("E", "W"))] == []
