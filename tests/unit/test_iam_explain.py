"""Why AWS allows or denies: what is asked of IAM's simulator, and the words made of its answer."""

from __future__ import annotations

from typing import Any

import pytest

from iam.explain import Call, Rules, Verdict, simulate, why
from pipeline.names import Names

NAMES = Names("123456789012", "us-east-1")
BOUNDARY = "arn:aws:iam::123456789012:policy/groundcrew-boundary"
STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/groundcrew-prod-detector/1"
APPROVED = {"Null": {"aws:PrincipalTag/approval": "false"}}


class Iam:
    """A role with one inline policy and a boundary; remembers what the simulator was asked."""

    def __init__(self, *statements: dict[str, Any]) -> None:
        self.statements = list(statements)
        self.asked: list[dict[str, Any]] = []

    def get_paginator(self, name: str) -> Iam:
        assert name == "simulate_principal_policy"
        return self

    def paginate(self, **request: Any) -> list[dict[str, Any]]:
        self.asked.append(request)
        rows = [{"EvalActionName": each, "EvalDecision": "allowed"} for each in request["ActionNames"]]
        return [{"EvaluationResults": rows[:1]}, {"EvaluationResults": rows[1:]}]

    def get_role(self, RoleName: str) -> Any:
        return {"Role": {"PermissionsBoundary": {"PermissionsBoundaryArn": BOUNDARY}}}

    def list_role_policies(self, RoleName: str) -> Any:
        return {"PolicyNames": ["work"]}

    def get_role_policy(self, RoleName: str, PolicyName: str) -> Any:
        return {"PolicyDocument": {"Statement": self.statements}}

    def list_attached_role_policies(self, RoleName: str) -> Any:
        return {"AttachedPolicies": []}

    def get_policy(self, PolicyArn: str) -> Any:
        return {"Policy": {"DefaultVersionId": "v2"}}

    def get_policy_version(self, PolicyArn: str, VersionId: str) -> Any:
        assert (PolicyArn, VersionId) == (BOUNDARY, "v2")
        deny = statement("Wall", "Deny", "cloudformation:Create*", Null={"aws:PrincipalTag/approval": "true"})
        return {"PolicyVersion": {"Document": {"Statement": deny}}}


def statement(sid: str, effect: str, action: str, resource: str = "*", **condition: Any) -> dict[str, Any]:
    return {"Sid": sid, "Effect": effect, "Action": [action], "Resource": resource, "Condition": condition}


def test_one_question_for_each_resource_and_context() -> None:
    iam = Iam()
    calls = [
        Call("s3:GetObject", "arn:a"),
        Call("s3:PutObject", "arn:a"),
        Call("iam:PassRole", "arn:r", (("iam:PassedToService", "x"),)),
    ]
    verdicts = simulate(iam, NAMES, "ml-engineer", calls, approved=True)
    assert [verdict.call for verdict in verdicts] == calls
    assert [asked["ActionNames"] for asked in iam.asked] == [["s3:GetObject", "s3:PutObject"], ["iam:PassRole"]]
    keys = [[entry["ContextKeyName"] for entry in asked["ContextEntries"]] for asked in iam.asked]
    assert keys == [["aws:PrincipalTag/approval"], ["iam:PassedToService", "aws:PrincipalTag/approval"]]
    assert iam.asked[0]["PolicySourceArn"] == "arn:aws:iam::123456789012:role/groundcrew-ml-engineer"
    simulate(iam, NAMES, "ml-engineer", calls[:1], approved=False)
    assert iam.asked[-1]["ContextEntries"] == []


ALLOW = statement("Deploy", "Allow", "cloudformation:CreateStack")


@pytest.mark.parametrize(
    ("rules", "decision", "said"),
    [
        ([ALLOW], (True, False, True), "allowed by Deploy of work"),
        (
            [ALLOW],
            (False, True, False),
            "denied by Wall of groundcrew-boundary unless a second person has approved",
        ),
        ([], (False, True, False), "denied by Wall of groundcrew-boundary, and no statement allows it"),
        ([], (False, False, True), "no statement allows it"),
        ([ALLOW], (False, False, False), "outside the permissions boundary"),
        (
            [ALLOW | {"Condition": APPROVED}],
            (False, False, True),
            "Deploy of work allows it, once a second person has approved",
        ),
        (
            [ALLOW | {"Condition": {"StringEquals": {"cloudformation:RoleArn": "x"}}}],
            (False, False, True),
            "Deploy of work allows it, if cloudformation:RoleArn fits",
        ),
        (
            [statement("Other", "Allow", "cloudformation:CreateStack", "arn:other")],
            (False, False, True),
            "no statement",
        ),
    ],
)
def test_a_verdict_in_words(rules: list[dict[str, Any]], decision: tuple[bool, bool, bool], said: str) -> None:
    verdict = Verdict(Call("cloudformation:CreateStack", STACK), *decision)
    assert why(verdict, Rules(Iam(*rules), NAMES, "data-scientist")).startswith(said)


ROLE_ARN = ("cloudformation:RoleArn", "arn:aws:iam::123456789012:role/groundcrew-prod-deploy")


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({}, True),
        ({"StringEquals": {"cloudformation:rolearn": ["other", ROLE_ARN[1]]}}, True),
        ({"StringEquals": {"cloudformation:RoleArn": "other"}}, False),
        ({"StringEquals": {"aws:ResourceTag/Environment": "prod"}}, False),
        ({"StringLike": {"cloudformation:RoleArn": "*:role/groundcrew-prod-*"}}, True),
        ({"StringLike": {"cloudformation:RoleArn": "*:role/groundcrew-dev-*"}}, False),
        ({"Null": {"aws:PrincipalTag/approval": "true"}}, True),
        ({"Null": {"aws:PrincipalTag/approval": "false"}}, False),
        ({"Null": {"cloudformation:RoleArn": False}}, True),
        ({"StringEquals": {"aws:SourceIdentity": "${aws:PrincipalTag/name}"}}, True),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, True),
        ({"StringLike": {"cloudformation:RoleArn": "*"}, "Null": {"aws:PrincipalTag/approval": "false"}}, False),
    ],
)
def test_the_statement_named_is_one_whose_conditions_hold(condition: dict[str, Any], holds: bool) -> None:
    call = Call("cloudformation:CreateStack", STACK, (ROLE_ARN,))
    first = statement("First", "Allow", "cloudformation:CreateStack", **condition)
    rules = Rules(Iam(first, statement("Second", "Allow", "cloudformation:*")), NAMES, "ml-engineer")
    named = "First" if holds else "Second"
    assert why(Verdict(call, True, False, True), rules) == f"allowed by {named} of work"
    deny = statement("First", "Deny", "cloudformation:CreateStack", **condition)
    others = statement("Second", "Deny", "cloudformation:*"), ALLOW
    said = why(Verdict(call, False, True, True), Rules(Iam(deny, *others), NAMES, "ml-engineer"))
    assert said == "denied by Wall of groundcrew-boundary"  # not "unless approved": the role's own Deny stays
