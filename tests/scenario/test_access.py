"""The access matrix, proven: AWS asked about every cell and made to decide some for real, the bot taking no part in it.

The roles are those that `python -m infra up` deployed; the simulator is asked over the wire, the real calls are made
with sessions taken as the bot takes them, without the session policy by which it would narrow them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError

from commands import matrix
from commands.matrix import Cell
from iam import explain
from pipeline.names import ENVIRONMENTS, Names
from sandbox.environment import ACCOUNT, DATA_BUCKET, REGION
from sandbox.person import Person, rows
from tests.conftest import Sandbox

NAMES = Names(ACCOUNT, REGION, DATA_BUCKET)
APPROVED = {"approval": "A1test", "requester": "U0DS1"}
CELLS = list(matrix.cells())


class Aws:
    """Clients of the operator, and of people's roles without any narrowing."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in settings.items():
                if name.startswith("AWS_"):
                    patch.setenv(name, value)
            self.operator = boto3.Session(region_name=REGION)
            self.url = settings["AWS_ENDPOINT_URL"]
            self.operator.get_credentials()
        self._bot = self._assume(self.client("sts"), "bot", RoleSessionName="test")

    def client(self, service: str, keys: Mapping[str, str] | None = None) -> Any:
        return self.operator.client(service, endpoint_url=self.url, **(keys or {}))

    def person(self, role: str, tags: Mapping[str, str] | None = None) -> Callable[[str], Any]:
        """Clients of a role, taken by the bot for a person."""
        listed = [{"Key": key, "Value": value} for key, value in (tags or {}).items()]
        keys = self._assume(
            self.client("sts", self._bot), role, RoleSessionName="U0DS1-test", SourceIdentity="T0GC.U0DS1", Tags=listed
        )
        return lambda service: self.client(service, keys)

    def _assume(self, sts: Any, role: str, **how: Any) -> dict[str, str]:
        given = sts.assume_role(RoleArn=NAMES.role(role), **how)["Credentials"]
        names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
        return dict(
            zip(("aws_access_key_id", "aws_secret_access_key", "aws_session_token"), map(given.get, names), strict=True)
        )


@pytest.fixture(scope="module")
def aws(sandbox: Sandbox) -> Iterator[Aws]:
    yield Aws(sandbox.settings())


@pytest.fixture(scope="module")
def proof(aws: Aws) -> dict[str, str]:
    """What is wrong with each cell."""
    return {str(cell): wrong for cell, wrong in matrix.prove(aws.client("iam"), NAMES)}


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_aws_agrees_with_the_matrix(proof: dict[str, str], cell: Cell) -> None:
    assert proof[str(cell)] == ""


@pytest.mark.parametrize("env", ["staging", "prod"])
def test_a_matrix_that_promises_too_much_is_found_out(aws: Aws, env: str) -> None:
    """The proof can fail: the same answers of AWS, against a declaration that lets data scientists deploy anywhere."""
    declared = next(row for row in matrix.rows() if row.name == "deployment create")
    loose = replace(declared, allowed={**declared.allowed, "data-scientist": ENVIRONMENTS}, approval=None)
    cell = Cell(loose, "data-scientist", next(each for each in ENVIRONMENTS if each == env))
    calls = loose.calls(NAMES, cell.env)
    plain, tagged = (
        [
            each.call
            for each in explain.simulate(aws.client("iam"), NAMES, cell.role, calls, approved=approved)
            if each.allowed
        ]
        for approved in (False, True)
    )
    assert "but AWS denies" in matrix.disagreement(cell, calls, plain, tagged)


def test_a_role_that_was_widened_is_found_out(aws: Aws) -> None:
    """And the other way round: AWS allows what no declaration says. The boundary still keeps production."""
    iam, role = aws.client("iam"), {"RoleName": "groundcrew-data-scientist", "PolicyName": "drift"}
    wide = {"Effect": "Allow", "Action": "sagemaker:StartPipelineExecution", "Resource": "*"}
    iam.put_role_policy(**role, PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": wide}))
    try:
        wrong = {str(cell): found for cell, found in matrix.prove(iam, NAMES) if found}
    finally:
        iam.delete_role_policy(**role)
    assert set(wrong) == {"pipeline run as data-scientist in staging", "pipeline run as data-scientist in prod"}
    assert "AWS allows without an approval" in wrong["pipeline run as data-scientist in staging"]
    assert "AWS allows with an approval" in wrong["pipeline run as data-scientist in prod"]


def create_stack(env: str) -> Callable[[Callable[[str], Any]], Any]:
    return lambda client: client("cloudformation").create_stack(
        StackName=f"groundcrew-{env}-proof",
        TemplateURL=f"https://{NAMES.bucket}.s3.{REGION}.amazonaws.com/{env}/code/none/deployment.yaml",
        RoleARN=NAMES.role(f"{env}-deploy"),
    )


def delete_stack(env: str, deployer: str = "") -> Callable[[Callable[[str], Any]], Any]:
    return lambda client: client("cloudformation").delete_stack(
        StackName=f"groundcrew-{env}-proof", RoleARN=NAMES.role(f"{deployer or env}-deploy")
    )


def put(key: str, bucket: str = NAMES.bucket) -> Callable[[Callable[[str], Any]], Any]:
    return lambda client: client("s3").put_object(Bucket=bucket, Key=key, Body=b"proof")


def start(env: str) -> Callable[[Callable[[str], Any]], Any]:
    return lambda client: client("sagemaker").start_pipeline_execution(PipelineName=f"groundcrew-{env}-detector")


def invoke(env: str) -> Callable[[Callable[[str], Any]], Any]:
    return lambda client: client("sagemaker-runtime").invoke_endpoint(
        EndpointName=f"groundcrew-{env}-proof", ContentType="image/jpeg", Body=b"x"
    )


YES, NO = True, False
PERFORMED = [
    ("data-scientist", {}, "create a stack in staging", create_stack("staging"), NO),
    ("data-scientist", APPROVED, "create a stack in staging", create_stack("staging"), NO),
    ("data-scientist", APPROVED, "create a stack in prod", create_stack("prod"), NO),
    ("data-scientist", {}, "delete a stack in dev", delete_stack("dev"), YES),
    ("data-scientist", {}, "delete a stack in dev with staging's hands", delete_stack("dev", "staging"), NO),
    ("data-scientist", {}, "start a run in staging", start("staging"), NO),
    ("data-scientist", {}, "ask an endpoint in prod", invoke("prod"), NO),
    ("data-scientist", {}, "write photos", put("survey/images/proof.jpg", DATA_BUCKET), NO),
    ("data-scientist", {}, "write a model into staging", put("staging/models/proof"), NO),
    ("ml-engineer", {}, "start a run in dev", start("dev"), NO),
    ("ml-engineer", {}, "delete a stack in staging", delete_stack("staging"), YES),
    ("ml-engineer", {}, "delete a stack in prod", delete_stack("prod"), NO),
    ("ml-engineer", APPROVED, "delete a stack in prod", delete_stack("prod"), YES),
    ("ml-engineer", {}, "write a model into prod", put("prod/models/proof"), NO),
    ("ml-engineer", APPROVED, "write a model into prod", put("prod/models/proof"), YES),
    ("ml-engineer", APPROVED, "write photos", put("survey/images/proof.jpg", DATA_BUCKET), NO),
    ("stakeholder", {}, "ask an endpoint in dev", invoke("dev"), NO),
    ("stakeholder", APPROVED, "delete a stack in prod", delete_stack("prod"), NO),
]


@pytest.mark.parametrize(
    ("role", "tags", "what", "act", "may"), PERFORMED, ids=lambda value: "" if callable(value) else str(value)[:40]
)
def test_performed_with_the_bots_checks_off(
    aws: Aws, role: str, tags: dict[str, str], what: str, act: Callable[[Callable[[str], Any]], Any], may: bool
) -> None:
    client = aws.person(role, tags)
    if may:
        act(client)
        return
    with pytest.raises(ClientError, match=r"not authorized to perform|Access Denied") as refusal:
        act(client)
    assert "AccessDenied" in refusal.value.response["Error"]["Code"], what


def test_nobody_gives_the_approval_tag_to_oneself(aws: Aws) -> None:
    sts = aws.person("ml-engineer")("sts")
    with pytest.raises(ClientError, match="not authorized to perform: sts:"):
        sts.assume_role(
            RoleArn=NAMES.role("ml-engineer"), RoleSessionName="me", Tags=[{"Key": "approval", "Value": "mine"}]
        )


def test_why_names_the_statement_that_denies(ds: Person) -> None:
    told = ds.asks("access why deployment create --env prod", "as data-scientist in prod: AWS says no", "ml-engineer")
    answers = {row[0].split(" ")[0]: row[1:] for row in rows(told)}
    assert answers["cloudformation:CreateStack"] == [
        "no",
        "denied by ProductionNeedsApproval of groundcrew-boundary, and no statement allows it",
    ]
    assert answers["sagemaker:ListModelPackages"][0] == "yes"


def test_why_says_what_an_approval_changes(ml: Person) -> None:
    told = ml.asks("access why deployment create --env prod", "only with an approval", "a second person agrees")
    answers = {row[0].split(" ")[0]: row[1:] for row in rows(told)}
    assert "unless a second person has approved" in answers["cloudformation:CreateStack"][1]
    ml.asks("access why deployment create --env staging", "AWS says yes")
    ml.asks("access why pipeline run --env dev --as-role data-scientist", "as data-scientist in dev: AWS says yes")


def test_the_matrix_and_a_persons_access_can_be_asked_for(ds: Person) -> None:
    told = ds.asks("access matrix", "Who may do what")
    cells = {row[0]: row[1:] for row in rows(told)}
    assert cells["deployment create"] == ["dev", "staging, prod (approval)", "no"]
    ds.asks("access show U0ML1", "Access of a colleague", "ml-engineer", "deployment create (approval)")
    ds.asks("access show", "Your access", "pipeline run, pipeline stop")


def test_help_shows_what_a_person_may_do(sandbox: Sandbox, ds: Person) -> None:
    stakeholder = sandbox.slack.person("U0STK").asks("help", "What you can type")["words"]
    assert "registry list" in stakeholder
    assert "pipeline run" not in stakeholder
    mine = ds.asks("help", "What you can type")["words"]
    assert "pipeline run" in mine
    assert "registry request" in mine  # which a data scientist may ask for
    assert "registry approve" not in mine


def test_the_page_suggests_what_a_person_may_do(sandbox: Sandbox) -> None:
    def offered(user: str) -> set[str]:
        answer = httpx.get(f"{sandbox.slack.url}/page/commands", params={"user": user}, trust_env=False)
        return {each["name"] for each in answer.json()["commands"]}

    assert offered("U0NEW") == {"whoami", "help"}
    assert "registry approve" in offered("U0ML1") - offered("U0DS1")
    assert "pipeline run" in offered("U0DS1") - offered("U0STK")
