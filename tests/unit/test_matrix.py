"""The access matrix as the declarations make it, what counts as AWS agreeing with it, and the pages made from it."""

from __future__ import annotations

import json
import re

import pytest

from bot import docs
from bot.__main__ import main
from commands import all_commands, matrix
from commands.command import Approval, Need
from commands.matrix import Cell, Outcome, Row
from commands.parsing import parse
from iam.explain import Call
from iam.mapping import ROLES
from pipeline.names import ENVIRONMENTS, Environment, Names

NAMES = Names("123456789012", "us-east-1")
READ, CHANGE = Call("s3:GetObject", "arn:a"), Call("s3:PutObject", "arn:a")
BOTH = [READ, CHANGE]


def row(name: str) -> Row:
    return next(each for each in matrix.rows() if each.name == name)


def test_every_command_that_calls_aws_is_in_it_and_publishing_too() -> None:
    calling = {name for name, each in all_commands().items() if each.needs}
    assert {each.name for each in matrix.rows()} == calling | {"python -m pipeline.publish"}


@pytest.mark.parametrize(
    ("name", "role", "env", "expected"),
    [
        ("pipeline run", "data-scientist", "dev", Outcome.ALLOWED),
        ("pipeline run", "data-scientist", "prod", Outcome.DENIED),
        ("deployment create", "ml-engineer", "staging", Outcome.ALLOWED),
        ("deployment create", "ml-engineer", "prod", Outcome.APPROVAL),
        ("deployment create", "data-scientist", "dev", Outcome.ALLOWED),
        ("registry request", "ml-engineer", "staging", Outcome.APPROVAL),
        ("registry request", "data-scientist", "staging", Outcome.ASKS),
        ("registry request", "data-scientist", "prod", Outcome.DENIED),
        ("registry list", "stakeholder", "prod", Outcome.ALLOWED),
        ("deployment predict", "stakeholder", "dev", Outcome.DENIED),
        ("python -m pipeline.publish", "ml-engineer", "dev", Outcome.ALLOWED),
        ("python -m pipeline.publish", "data-scientist", "staging", Outcome.DENIED),
    ],
)
def test_what_is_expected_of_aws(name: str, role: str, env: Environment, expected: Outcome) -> None:
    assert row(name).outcome(role, env) is expected


def test_a_row_has_the_environments_its_argument_has() -> None:
    assert row("pipeline run").environments == ENVIRONMENTS
    assert row("registry request").environments == ("staging", "prod")
    assert row("access why").environments == (None,)  # it takes an environment, but asks the same of AWS in each


def test_calls_are_on_whole_resources_of_the_environment() -> None:
    for each in matrix.rows():
        for env in each.environments:
            for call in each.calls(NAMES, env):
                assert call.resource == "*" or not re.search(r"[*?{}]", call.resource)
                others = [other for other in ENVIRONMENTS if env and other != env]
                if each.name != "registry request":
                    assert not any(f"-{other}-" in call.resource or f"/{other}/" in call.resource for other in others)


def test_a_promotion_reads_the_environment_before_and_writes_the_one_it_is_for() -> None:
    calls = row("registry request").calls(NAMES, "prod")
    touched = {re.search(r"dev|staging|prod", call.resource)[0]: matrix.reads(call.action) for call in calls[1:]}
    assert touched == {"staging": True, "prod": False}


def test_a_deployment_says_role_and_template_and_passes_its_role_to_cloudformation() -> None:
    calls = {call.action: dict(call.context) for call in row("deployment create").calls(NAMES, "prod")}
    assert calls["cloudformation:CreateStack"]["cloudformation:RoleArn"] == NAMES.role("prod-deploy")
    assert "/prod/code/" in calls["cloudformation:CreateStack"]["cloudformation:TemplateUrl"]
    assert calls["iam:PassRole"] == {"iam:PassedToService": "cloudformation.amazonaws.com"}


def test_session_policies_fit_in_every_environment() -> None:
    for each in matrix.rows():
        for env in each.environments:
            each.session_policy(NAMES, env)  # raises when it is too long


def cell(outcome: Outcome, env: Environment = "staging") -> Cell:
    allowed = {"a": (env,)} if outcome in (Outcome.ALLOWED, Outcome.APPROVAL) else {}
    asked_by = {"a": (env,)} if outcome is Outcome.ASKS else {}
    approval = None if outcome is Outcome.ALLOWED else Approval("b", asked_by=asked_by)
    found = Cell(Row("x", [Need("s3:PutObject")], allowed, True, (env,), approval), "a", env)
    assert found.outcome is outcome
    return found


@pytest.mark.parametrize(
    ("outcome", "plain", "tagged"),
    [
        (Outcome.ALLOWED, BOTH, BOTH),
        (Outcome.APPROVAL, [READ], BOTH),
        (Outcome.ASKS, [READ], [READ]),
        (Outcome.DENIED, [READ], [READ]),
        (Outcome.DENIED, [], []),
    ],
)
def test_aws_agrees(outcome: Outcome, plain: list[Call], tagged: list[Call]) -> None:
    assert matrix.disagreement(cell(outcome), BOTH, plain, tagged) == ""
    assert matrix.disagreement(cell(outcome, "prod"), BOTH, plain, tagged) == ""


@pytest.mark.parametrize(
    ("outcome", "plain", "tagged", "said"),
    [
        (Outcome.ALLOWED, [READ], BOTH, "denies: s3:PutObject"),
        (Outcome.ALLOWED, BOTH, [READ], "denies: s3:PutObject"),
        (Outcome.APPROVAL, [READ], [READ], "denies, with an approval: s3:PutObject"),
        (Outcome.APPROVAL, BOTH, BOTH, "allows without an approval"),
        (Outcome.ASKS, [], [], "does not let the plan read: s3:GetObject"),
        (Outcome.ASKS, [READ], BOTH, "allows with an approval"),
        (Outcome.DENIED, BOTH, BOTH, "allows without an approval"),
        (Outcome.DENIED, [READ], BOTH, "allows with an approval"),
    ],
)
def test_aws_disagrees(outcome: Outcome, plain: list[Call], tagged: list[Call], said: str) -> None:
    assert said in matrix.disagreement(cell(outcome), BOTH, plain, tagged)


def test_one_denied_reading_does_not_excuse_a_change_let_through_in_production() -> None:
    denied = cell(Outcome.DENIED, "prod")
    assert "lets through in production: s3:PutObject" in matrix.disagreement(denied, BOTH, [CHANGE], [CHANGE])
    assert matrix.disagreement(cell(Outcome.DENIED, "staging"), BOTH, [CHANGE], [CHANGE]) == ""


def test_nobody_changes_production_without_an_approval() -> None:
    changing = [each for each in matrix.cells() if each.row.changes and each.env == "prod"]
    assert changing
    assert {each.outcome for each in changing} <= {Outcome.DENIED, Outcome.APPROVAL}


def test_commands_json_names_the_roles(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["commands"]) == 0
    roles = {each["name"]: each["roles"] for each in json.loads(capsys.readouterr().out)}
    assert roles["whoami"] == list(ROLES)
    assert roles["pipeline run"] == ["data-scientist", "ml-engineer"]
    assert "data-scientist" in roles["registry request"]  # may ask for it
    assert roles["registry approve"] == ["ml-engineer"]


def test_examples_of_the_access_commands_parse() -> None:
    for name in ("access matrix", "access why", "access show"):
        assert parse(all_commands()[name].example)[0].name == name


@pytest.mark.parametrize("path", docs.PAGES)
def test_generated_pages_are_not_stale(path: str) -> None:
    assert (docs.ROOT / path).read_text(encoding="utf-8") == docs.PAGES[path](), "run `make docs`"
