"""Session policies: just what a command declared, whatever a person types as its arguments."""

from __future__ import annotations

import inspect

import pytest

from commands import all_commands
from iam.policy import LONGEST, resource, statements, text
from pipeline.errors import BadInput
from pipeline.names import ENVIRONMENTS, Names
from sandbox.aws.policy import decide
from sandbox.aws.statements import Request, Who, parse

NAMES = Names("123456789012", "us-east-1")
SAGEMAKER = "arn:aws:sagemaker:us-east-1:123456789012:"


def test_fields_are_filled_and_short_templates_become_sagemaker_arns() -> None:
    assert resource("pipeline/{pipeline}", NAMES, {"env": "dev"}) == f"{SAGEMAKER}pipeline/groundcrew-dev-detector"
    assert resource("endpoint/{stack}", NAMES, {}, "prod") == f"{SAGEMAKER}endpoint/groundcrew-prod-detector"
    assert resource("arn:aws:s3:::{bucket}/{env}/*", NAMES, {"env": "dev"}) == f"arn:aws:s3:::{NAMES.bucket}/dev/*"
    assert resource("*", NAMES, {}) == "*"
    assert resource("model/{to}-{version}", NAMES, {"to": "x", "version": None}) == f"{SAGEMAKER}model/x-*"


@pytest.mark.parametrize("template", ["pipeline/{pipline}", "pipeline/{pipeline}"])
def test_a_field_nobody_knows_is_an_error(template: str) -> None:
    with pytest.raises(KeyError):
        resource(template, NAMES, {"env": "moon"})


def test_equal_needs_are_merged() -> None:
    policy = statements(
        [("a:Read", "x/1", None), ("a:Read", "x/2", None), (["a:Read", "a:Write"], "x/1", None), ("b:List", "*", None)],
        NAMES,
        {},
    )
    assert policy["Statement"] == [
        {"Effect": "Allow", "Action": ["a:Read"], "Resource": [f"{SAGEMAKER}x/2"]},
        {"Effect": "Allow", "Action": ["a:Read", "a:Write"], "Resource": [f"{SAGEMAKER}x/1"]},
        {"Effect": "Allow", "Action": ["b:List"], "Resource": ["*"]},
    ]


@pytest.mark.parametrize("typed", ["*", "?", "${aws:PrincipalTag/team}", "a*"])
def test_what_a_person_types_is_never_a_pattern(typed: str) -> None:
    policy = statements([("sagemaker:DescribeModel", "model/{name}", None)], NAMES, {"name": typed})

    def allowed(name: str) -> bool:
        who = Who("123456789012", "arn:aws:sts::123456789012:assumed-role/r/s")
        request = Request("sagemaker:DescribeModel", f"{SAGEMAKER}model/{name}", {}, who)
        return decide(request, identity=(parse(policy),)).allowed

    assert allowed(typed)
    assert not allowed("anything")
    assert not allowed("ab")


def test_no_needs_allow_nothing_but_asking_who_one_is() -> None:
    assert statements([], NAMES, {})["Statement"] == [
        {"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}
    ]


def test_a_policy_too_long_for_sts_is_refused() -> None:
    needs = [(f"s3:GetObject{number}", f"arn:aws:s3:::bucket/{number}/*", None) for number in range(60)]
    with pytest.raises(BadInput, match=str(LONGEST)):
        statements(needs, NAMES, {})


def test_every_command_s_policy_fits_in_every_environment() -> None:
    commands = all_commands()
    assert commands
    for command in commands.values():
        given = dict.fromkeys(list(inspect.signature(command.handler).parameters)[1:], "x" * 36)
        for env in ENVIRONMENTS:
            arguments = {**given, "env": env, "to": env}
            needs = [(need.actions, need.resource, need.env) for need in command.needs]
            assert len(text(statements(needs, NAMES, arguments))) <= LONGEST, command.name
