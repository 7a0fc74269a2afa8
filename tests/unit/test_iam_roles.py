"""iam/roles.yaml decided by the policy evaluator: what each role may do, and what it may not, per environment."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sandbox.aws.policy import Decision, decide, decide_trust
from sandbox.aws.stacks.parameters import chosen
from sandbox.aws.stacks.plan import desired
from sandbox.aws.stacks.stack import Resource, Stack, Wanted
from sandbox.aws.stacks.template import parse as read
from sandbox.aws.statements import Request, Who, parse

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT, BUCKET = "123456789012", "groundcrew-123456789012-us-east-1"
AUDIT = "groundcrew-audit-123456789012-us-east-1"
OPERATOR = f"arn:aws:iam::{ACCOUNT}:user/operator"
HUMANS = ("data-scientist", "ml-engineer", "stakeholder")
APPROVED = {"aws:principaltag/approval": ("A-1",)}


@cache
def roles() -> dict[str, dict[str, Any]]:
    """Every resource of the three templates with its properties resolved, roles by their short name."""
    given = [{"ParameterKey": "OperatorArn", "ParameterValue": OPERATOR}]
    return resolved("policies.yaml", []) | resolved("roles.yaml", given) | resolved("machines.yaml", [])


def resolved(file: str, given: list[dict[str, str]]) -> dict[str, dict[str, Any]]:
    """The resources of one template."""
    template = read((ROOT / "iam" / file).read_text())
    wanted = Wanted(template, chosen(template.parameters, given, {}), {}, None)
    stack = Stack("groundcrew-roles", "id", ACCOUNT, "us-east-1", wanted)
    found = {}
    for logical, declared in template.resources.items():
        properties = desired(stack, wanted, logical)
        name = properties.get("RoleName") or properties["ManagedPolicyName"]
        kind = "role" if "RoleName" in properties else "policy"
        arn = f"arn:aws:iam::{ACCOUNT}:{kind}/{name}"
        physical = name if kind == "role" else arn
        stack.resources[logical] = Resource(
            logical, declared.type, physical, properties, True, declared.needs, "Delete", {"Arn": arn}
        )
        found[name.removeprefix("groundcrew-") if kind == "role" else arn] = properties
    return found


def documents(role: str) -> tuple[Any, ...]:
    properties = roles()[role]
    inline = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
    managed = [roles()[arn]["PolicyDocument"] for arn in properties.get("ManagedPolicyArns", [])]
    return tuple(parse(document) for document in [*inline, *managed])


def ask(role: str, action: str, resource: str, **context: tuple[str, ...]) -> Decision:
    arn = f"arn:aws:iam::{ACCOUNT}:role/groundcrew-{role}"
    who = Who(ACCOUNT, f"arn:aws:sts::{ACCOUNT}:assumed-role/groundcrew-{role}/s", role_arn=arn)
    tags = {f"aws:principaltag/{tag['Key'].lower()}": (tag["Value"],) for tag in roles()[role]["Tags"]}
    boundary = roles()[role].get("PermissionsBoundary")
    edge = (parse(roles()[boundary]["PolicyDocument"]),) if boundary else None
    return decide(Request(action, resource, {**tags, **context}, who), identity=documents(role), boundary=edge)


def sagemaker(resource: str) -> str:
    return f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:{resource}"


def stack(env: str) -> str:
    return f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/groundcrew-{env}-detector/*"


def deploying(env: str, *, role: str | None = None, url: str | None = None) -> dict[str, tuple[str, ...]]:
    place = f"https://{BUCKET}.s3.us-east-1.amazonaws.com"
    return {
        "cloudformation:rolearn": (role or f"arn:aws:iam::{ACCOUNT}:role/groundcrew-{env}-deploy",),
        "cloudformation:templateurl": (url or f"{place}/{env}/code/abc/deployment.yaml",),
    }


def tagged(env: str) -> dict[str, tuple[str, ...]]:
    return {"aws:resourcetag/environment": (env,)}


YES, NO = True, False
CASES = [
    # a data scientist lives in dev
    ("data-scientist", "sagemaker:StartPipelineExecution", sagemaker("pipeline/groundcrew-dev-detector"), {}, YES),
    ("data-scientist", "sagemaker:StartPipelineExecution", sagemaker("pipeline/groundcrew-staging-detector"), {}, NO),
    (
        "data-scientist",
        "sagemaker:StopPipelineExecution",
        sagemaker("pipeline/groundcrew-dev-detector/execution/a"),
        {},
        YES,
    ),
    (
        "data-scientist",
        "sagemaker:StopPipelineExecution",
        sagemaker("pipeline/groundcrew-prod-detector/execution/a"),
        {},
        NO,
    ),
    ("data-scientist", "sagemaker:InvokeEndpoint", sagemaker("endpoint/groundcrew-dev-detector"), {}, YES),
    ("data-scientist", "sagemaker:InvokeEndpoint", sagemaker("endpoint/groundcrew-prod-detector"), {}, NO),
    (
        "data-scientist",
        "sagemaker:CreateModelPackage",
        sagemaker("model-package-group/groundcrew-dev-detector"),
        {},
        NO,
    ),
    (
        "data-scientist",
        "sagemaker:CreateModelPackage",
        sagemaker("model-package-group/groundcrew-prod-detector"),
        APPROVED,
        NO,
    ),
    # ends what an environment costs, strays outside of a stack too: a data scientist in dev, others once approved
    ("data-scientist", "sagemaker:DeleteEndpoint", sagemaker("endpoint/groundcrew-dev-detector"), {}, YES),
    ("data-scientist", "sagemaker:DeleteEndpoint", sagemaker("endpoint/groundcrew-staging-detector"), APPROVED, NO),
    ("data-scientist", "sagemaker:DeleteEndpoint", sagemaker("endpoint/somebody-elses"), {}, NO),
    ("data-scientist", "sagemaker:DeleteModelPackage", sagemaker("model-package/groundcrew-dev-detector/1"), {}, NO),
    ("ml-engineer", "sagemaker:DeleteEndpoint", sagemaker("endpoint/groundcrew-dev-detector"), APPROVED, NO),
    ("ml-engineer", "sagemaker:DeleteEndpoint", sagemaker("endpoint/groundcrew-staging-detector"), {}, NO),
    ("ml-engineer", "sagemaker:DeleteEndpoint", sagemaker("endpoint/groundcrew-staging-detector"), APPROVED, YES),
    ("ml-engineer", "sagemaker:StopProcessingJob", sagemaker("processing-job/groundcrew-prod-x"), {}, NO),
    ("stakeholder", "sagemaker:DeleteApp", sagemaker("app/d-1/somebody/jupyterlab/default"), APPROVED, NO),
    ("data-scientist", "cloudformation:CreateStack", stack("dev"), deploying("dev"), YES),
    ("data-scientist", "cloudformation:CreateStack", stack("staging"), deploying("staging"), NO),
    ("data-scientist", "cloudformation:CreateStack", stack("prod"), deploying("prod") | APPROVED, NO),
    ("data-scientist", "cloudformation:CreateStack", stack("dev"), deploying("dev", role="arn:x"), NO),
    ("data-scientist", "cloudformation:CreateStack", stack("dev"), deploying("dev", url="https://elsewhere/x"), NO),
    ("data-scientist", "cloudformation:UpdateStack", stack("dev"), {}, NO),
    ("data-scientist", "s3:PutObject", f"arn:aws:s3:::{BUCKET}/dev/code/abc/source.tar.gz", {}, YES),
    ("data-scientist", "s3:PutObject", f"arn:aws:s3:::{BUCKET}/dev/models/abc/model.tar.gz", {}, NO),
    ("data-scientist", "s3:GetObject", f"arn:aws:s3:::{BUCKET}/staging/models/abc/model.tar.gz", {}, NO),
    ("data-scientist", "s3:GetObject", "arn:aws:s3:::lucaskle-ab3-project-pv/survey/images/a.jpg", {}, YES),
    ("data-scientist", "s3:PutObject", "arn:aws:s3:::lucaskle-ab3-project-pv/survey/images/a.jpg", {}, NO),
    ("data-scientist", "iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/groundcrew-x", {}, NO),
    # an explanation is a job that people start themselves, and whose result only the job writes
    (
        "data-scientist",
        "sagemaker:CreateProcessingJob",
        sagemaker("processing-job/groundcrew-dev-explain-v3-x"),
        {},
        YES,
    ),
    (
        "data-scientist",
        "sagemaker:CreateProcessingJob",
        sagemaker("processing-job/groundcrew-staging-explain-v3-x"),
        {},
        NO,
    ),
    ("data-scientist", "sagemaker:CreateProcessingJob", sagemaker("processing-job/groundcrew-dev-other-v3-x"), {}, NO),
    ("data-scientist", "s3:PutObject", f"arn:aws:s3:::{BUCKET}/dev/explain/v3-x/y/input/data/a.jpg", {}, YES),
    (
        "data-scientist",
        "s3:PutObject",
        f"arn:aws:s3:::{BUCKET}/dev/explain/v3-x/y/analysis_result/analysis.json",
        {},
        NO,
    ),
    (
        "ml-engineer",
        "sagemaker:CreateProcessingJob",
        sagemaker("processing-job/groundcrew-staging-explain-v3-x"),
        {},
        YES,
    ),
    (
        "ml-engineer",
        "sagemaker:CreateProcessingJob",
        sagemaker("processing-job/groundcrew-prod-explain-v3-x"),
        APPROVED,
        NO,
    ),
    ("observer", "s3:GetObject", f"arn:aws:s3:::{BUCKET}/dev/explain/v3-x/y/analysis_result/analysis.json", {}, YES),
    ("stakeholder", "sagemaker:CreateProcessingJob", sagemaker("processing-job/groundcrew-dev-explain-v3-x"), {}, NO),
    # so is a data set's profile; which data runs have used is for everybody who may see the environment
    ("data-scientist", "sagemaker:CreateProcessingJob", sagemaker("processing-job/groundcrew-dev-profile-x"), {}, YES),
    ("data-scientist", "sagemaker:CreateProcessingJob", sagemaker("processing-job/groundcrew-dev-other-x"), {}, NO),
    (
        "data-scientist",
        "sagemaker:CreateProcessingJob",
        sagemaker("processing-job/groundcrew-staging-profile-x"),
        {},
        NO,
    ),
    ("data-scientist", "s3:PutObject", f"arn:aws:s3:::{BUCKET}/dev/profiles/x/result/profile.json", {}, NO),
    ("data-scientist", "s3:PutObject", f"arn:aws:s3:::{BUCKET}/dev/data/x/manifest.json", {}, NO),
    ("ml-engineer", "sagemaker:CreateProcessingJob", sagemaker("processing-job/groundcrew-staging-profile-x"), {}, YES),
    (
        "ml-engineer",
        "sagemaker:CreateProcessingJob",
        sagemaker("processing-job/groundcrew-prod-profile-x"),
        APPROVED,
        NO,
    ),
    ("stakeholder", "sagemaker:CreateProcessingJob", sagemaker("processing-job/groundcrew-dev-profile-x"), {}, NO),
    ("stakeholder", "s3:GetObject", f"arn:aws:s3:::{BUCKET}/prod/data/x/summary.json", {}, YES),
    ("stakeholder", "s3:GetObject", f"arn:aws:s3:::{BUCKET}/dev/profiles/x/result/photos.csv", {}, NO),
    ("observer", "s3:GetObject", f"arn:aws:s3:::{BUCKET}/dev/profiles/x/result/profile.json", {}, YES),
    # MLflow: the observer asks for everybody, people open its pages as themselves, jobs log
    *(
        (role, f"sagemaker:{action}", sagemaker("mlflow-app/app-ABC"), {}, role in allowed)
        for action, allowed in (
            ("CallMlflowAppApi", ("observer", "dev-execution")),
            ("CreatePresignedMlflowAppUrl", ("data-scientist", "ml-engineer")),
            ("DeleteMlflowApp", ()),
        )
        for role in (*HUMANS, "observer", "bot", "dev-execution")
    ),
    ("observer", "sagemaker-mlflow:SearchRuns", sagemaker("mlflow-tracking-server/groundcrew"), {}, YES),
    ("observer", "sagemaker-mlflow:UpdateRun", sagemaker("mlflow-tracking-server/groundcrew"), {}, YES),
    ("observer", "sagemaker-mlflow:DeleteRun", sagemaker("mlflow-tracking-server/groundcrew"), {}, NO),
    ("observer", "sagemaker-mlflow:SearchRuns", sagemaker("mlflow-tracking-server/theirs"), {}, NO),
    ("dev-execution", "sagemaker-mlflow:LogBatch", sagemaker("mlflow-tracking-server/groundcrew"), {}, YES),
    ("data-scientist", "sagemaker-mlflow:SearchRuns", sagemaker("mlflow-tracking-server/groundcrew"), {}, NO),
    # an ML engineer promotes and changes production only with an approval
    (
        "ml-engineer",
        "sagemaker:CreateModelPackage",
        sagemaker("model-package-group/groundcrew-staging-detector"),
        {},
        NO,
    ),
    (
        "ml-engineer",
        "sagemaker:CreateModelPackage",
        sagemaker("model-package-group/groundcrew-staging-detector"),
        APPROVED,
        YES,
    ),
    (
        "ml-engineer",
        "sagemaker:CreateModelPackage",
        sagemaker("model-package-group/groundcrew-prod-detector"),
        APPROVED,
        YES,
    ),
    (
        "ml-engineer",
        "sagemaker:CreateModelPackage",
        sagemaker("model-package-group/groundcrew-dev-detector"),
        APPROVED,
        NO,
    ),
    ("ml-engineer", "s3:PutObject", f"arn:aws:s3:::{BUCKET}/prod/models/abc/model.tar.gz", {}, NO),
    ("ml-engineer", "s3:PutObject", f"arn:aws:s3:::{BUCKET}/prod/models/abc/model.tar.gz", APPROVED, YES),
    ("ml-engineer", "cloudformation:CreateStack", stack("staging"), deploying("staging"), YES),
    ("ml-engineer", "cloudformation:CreateStack", stack("prod"), deploying("prod"), NO),
    ("ml-engineer", "cloudformation:CreateStack", stack("prod"), deploying("prod") | APPROVED, YES),
    ("ml-engineer", "cloudformation:DeleteStack", stack("prod"), deploying("prod"), NO),
    ("ml-engineer", "cloudformation:CreateStack", stack("dev"), deploying("dev"), NO),
    ("ml-engineer", "sagemaker:UpdatePipeline", sagemaker("pipeline/groundcrew-dev-detector"), {}, YES),
    ("ml-engineer", "sagemaker:UpdatePipeline", sagemaker("pipeline/groundcrew-prod-detector"), APPROVED, NO),
    ("ml-engineer", "sagemaker:InvokeEndpoint", sagemaker("endpoint/groundcrew-prod-detector"), {}, YES),
    ("ml-engineer", "s3:DeleteObject", "arn:aws:s3:::lucaskle-ab3-project-pv/survey/images/a.jpg", {}, NO),
    # a stakeholder and the bot's eyes read
    ("stakeholder", "sagemaker:DescribeModelPackage", sagemaker("model-package/groundcrew-prod-detector/3"), {}, YES),
    ("stakeholder", "s3:GetObject", f"arn:aws:s3:::{BUCKET}/dev/runs/a/evaluate/evaluation/evaluation.json", {}, YES),
    ("stakeholder", "s3:GetObject", f"arn:aws:s3:::{BUCKET}/dev/models/a/model.tar.gz", {}, NO),
    ("stakeholder", "sagemaker:StartPipelineExecution", sagemaker("pipeline/groundcrew-dev-detector"), {}, NO),
    ("stakeholder", "sagemaker:InvokeEndpoint", sagemaker("endpoint/groundcrew-dev-detector"), {}, NO),
    ("observer", "s3:GetObject", f"arn:aws:s3:::{BUCKET}/prod/mlflow/1/a.png", {}, YES),
    ("observer", "s3:PutObject", f"arn:aws:s3:::{BUCKET}/prod/mlflow/1/a.png", {}, NO),
    ("observer", "sagemaker:StopPipelineExecution", sagemaker("pipeline/groundcrew-dev-detector/execution/a"), {}, NO),
    # the record: read by those who answer for it, added to by the bot, changed by nobody
    ("bot", "s3:PutObject", f"arn:aws:s3:::{AUDIT}/anchors/000000000003-ab.json", {}, YES),
    ("bot", "s3:PutObject", f"arn:aws:s3:::{AUDIT}/cloudtrail/x", {}, NO),
    ("bot", "s3:PutObjectRetention", f"arn:aws:s3:::{AUDIT}/anchors/x", {}, NO),
    ("bot", "s3:DeleteObject", f"arn:aws:s3:::{AUDIT}/anchors/x", {}, NO),
    ("bot", "s3:DeleteObjectVersion", f"arn:aws:s3:::{AUDIT}/anchors/x", {}, NO),
    ("bot", "s3:BypassGovernanceRetention", f"arn:aws:s3:::{AUDIT}/anchors/x", {}, NO),
    ("bot", "s3:GetObject", f"arn:aws:s3:::{AUDIT}/anchors/x", {}, NO),
    ("stakeholder", "s3:GetObject", f"arn:aws:s3:::{AUDIT}/anchors/x", {}, YES),
    ("stakeholder", "s3:ListBucket", f"arn:aws:s3:::{AUDIT}", {}, YES),
    ("stakeholder", "s3:PutObject", f"arn:aws:s3:::{AUDIT}/anchors/x", {}, NO),
    ("stakeholder", "cloudtrail:LookupEvents", "*", {}, YES),
    ("ml-engineer", "s3:GetObject", f"arn:aws:s3:::{AUDIT}/anchors/x", {}, YES),
    ("ml-engineer", "s3:BypassGovernanceRetention", f"arn:aws:s3:::{AUDIT}/anchors/x", APPROVED, NO),
    ("ml-engineer", "cloudtrail:LookupEvents", "*", {}, YES),
    (
        "ml-engineer",
        "cloudtrail:StopLogging",
        "arn:aws:cloudtrail:us-east-1:123456789012:trail/groundcrew",
        APPROVED,
        NO,
    ),
    ("data-scientist", "s3:GetObject", f"arn:aws:s3:::{AUDIT}/anchors/x", {}, NO),
    ("data-scientist", "cloudtrail:LookupEvents", "*", {}, NO),
    ("observer", "iam:SimulatePrincipalPolicy", f"arn:aws:iam::{ACCOUNT}:role/groundcrew-bot", {}, NO),
    # the wrong environment by tag, whatever the name says
    ("data-scientist", "sagemaker:DescribePipeline", sagemaker("pipeline/groundcrew-dev-detector"), tagged("dev"), YES),
    ("data-scientist", "sagemaker:DescribePipeline", sagemaker("pipeline/groundcrew-dev-detector"), tagged("prod"), NO),
    ("data-scientist", "sagemaker:InvokeEndpoint", sagemaker("endpoint/groundcrew-dev-x"), tagged("staging"), NO),
    ("data-scientist", "cloudformation:CreateStack", stack("dev"), deploying("dev") | tagged("prod"), NO),
    (
        "data-scientist",
        "sagemaker:AddTags",
        sagemaker("pipeline/groundcrew-dev-detector"),
        {"aws:requesttag/environment": ("prod",)},
        NO,
    ),
    ("ml-engineer", "cloudformation:UpdateStack", stack("staging"), deploying("staging") | tagged("staging"), YES),
    ("ml-engineer", "cloudformation:UpdateStack", stack("staging"), deploying("staging") | tagged("prod"), NO),
    (
        "ml-engineer",
        "cloudformation:UpdateStack",
        stack("staging"),
        deploying("staging") | tagged("prod") | APPROVED,
        YES,
    ),
    ("ml-engineer", "sagemaker:UpdatePipeline", sagemaker("pipeline/groundcrew-staging-detector"), tagged("prod"), NO),
    ("ml-engineer", "cloudformation:DescribeChangeSet", stack("prod"), tagged("prod"), YES),
    ("ml-engineer", "sagemaker:DescribePipeline", sagemaker("pipeline/groundcrew-prod-detector"), tagged("prod"), YES),
    # machines stay in the environment they are tagged with
    ("dev-execution", "s3:PutObject", f"arn:aws:s3:::{BUCKET}/dev/runs/a/x", {}, YES),
    ("dev-execution", "s3:PutObject", f"arn:aws:s3:::{BUCKET}/prod/runs/a/x", {}, NO),
    ("dev-execution", "s3:PutObject", "arn:aws:s3:::lucaskle-ab3-project-pv/survey/x", {}, NO),
    ("dev-execution", "s3:ListBucket", f"arn:aws:s3:::{BUCKET}", {"s3:prefix": ("dev/runs/",)}, YES),
    ("dev-execution", "s3:ListBucket", f"arn:aws:s3:::{BUCKET}", {"s3:prefix": ("prod/runs/",)}, NO),
    ("dev-execution", "cloudformation:CreateStack", stack("dev"), deploying("dev"), YES),
    ("dev-execution", "cloudformation:CreateStack", stack("staging"), deploying("staging"), NO),
    ("staging-execution", "cloudformation:CreateStack", stack("staging"), deploying("staging"), NO),
    ("staging-execution", "sagemaker:CreateTrainingJob", sagemaker("training-job/groundcrew-staging-train-1"), {}, YES),
    ("staging-execution", "sagemaker:CreateTrainingJob", sagemaker("training-job/groundcrew-dev-train-1"), {}, NO),
    ("prod-deploy", "sagemaker:CreateEndpoint", sagemaker("endpoint/groundcrew-prod-detector"), {}, YES),
    ("prod-deploy", "sagemaker:CreateEndpoint", sagemaker("endpoint/groundcrew-staging-detector"), {}, NO),
    ("dev-deploy", "sagemaker:DeleteModel", sagemaker("model/groundcrew-prod-detector-aa"), {}, NO),
    ("loader", "s3:PutObject", "arn:aws:s3:::lucaskle-ab3-project-pv/survey/images/a.jpg", {}, YES),
    ("loader", "s3:PutObject", f"arn:aws:s3:::{BUCKET}/dev/x", {}, NO),
    ("bot", "sqs:ReceiveMessage", f"arn:aws:sqs:us-east-1:{ACCOUNT}:groundcrew-events", {}, YES),
    ("bot", "sqs:DeleteMessage", f"arn:aws:sqs:us-east-1:{ACCOUNT}:groundcrew-critical", {}, YES),
    ("bot", "sqs:GetQueueAttributes", f"arn:aws:sqs:us-east-1:{ACCOUNT}:groundcrew-events-undelivered", {}, YES),
    ("bot", "sqs:ReceiveMessage", f"arn:aws:sqs:us-east-1:{ACCOUNT}:groundcrew-events-undelivered", {}, NO),
    ("bot", "sqs:DeleteMessage", f"arn:aws:sqs:us-east-1:{ACCOUNT}:groundcrew-events-undelivered", {}, NO),
    ("bot", "events:DescribeRule", f"arn:aws:events:us-east-1:{ACCOUNT}:rule/groundcrew-sagemaker", {}, YES),
    ("bot", "events:DescribeRule", f"arn:aws:events:us-east-1:{ACCOUNT}:rule/another", {}, NO),
    ("bot", "events:DisableRule", f"arn:aws:events:us-east-1:{ACCOUNT}:rule/groundcrew-sagemaker", {}, NO),
    ("bot", "sqs:SendMessage", f"arn:aws:sqs:us-east-1:{ACCOUNT}:groundcrew-events", {}, NO),
    ("bot", "sqs:ReceiveMessage", f"arn:aws:sqs:us-east-1:{ACCOUNT}:another", {}, NO),
    ("bot", "sns:Publish", f"arn:aws:sns:us-east-1:{ACCOUNT}:groundcrew-budgets", {}, NO),
    ("bot", "sagemaker:DescribePipeline", sagemaker("pipeline/groundcrew-dev-detector"), {}, NO),
]


@pytest.mark.parametrize(("role", "action", "resource", "context", "allowed"), CASES)
def test_what_a_role_may_do(role: str, action: str, resource: str, context: dict[str, Any], allowed: bool) -> None:
    assert ask(role, action, resource, **context).allowed is allowed


@pytest.mark.parametrize("env", ["dev", "staging", "prod"])
def test_roles_are_passed_only_where_they_belong(env: str) -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/groundcrew-{env}-deploy"
    for_stacks = {"iam:passedtoservice": ("cloudformation.amazonaws.com",)}
    assert ask("data-scientist", "iam:PassRole", role, **for_stacks, **APPROVED).allowed is (env == "dev")
    assert ask("ml-engineer", "iam:PassRole", role, **for_stacks, **APPROVED).allowed is (env != "dev")
    assert ask("ml-engineer", "iam:PassRole", role, **for_stacks).allowed is (env == "staging")
    assert not ask("ml-engineer", "iam:PassRole", role, **{"iam:passedtoservice": ("sagemaker.amazonaws.com",)}).allowed


def test_the_boundary_alone_keeps_production_shut_without_an_approval() -> None:
    """Even a role that were given everything: the second wall."""
    edge = roles()[f"arn:aws:iam::{ACCOUNT}:policy/groundcrew-boundary"]["PolicyDocument"]
    everything = parse({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
    who = Who(ACCOUNT, f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s")

    def allowed(action: str, resource: str, context: dict[str, Any]) -> bool:
        return decide(Request(action, resource, context, who), identity=(everything,), boundary=(parse(edge),)).allowed

    assert not allowed("cloudformation:UpdateStack", stack("prod"), {})
    assert allowed("cloudformation:UpdateStack", stack("prod"), APPROVED)
    assert not allowed("iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/x", APPROVED)
    assert not allowed("s3:PutObject", "arn:aws:s3:::lucaskle-ab3-project-pv/x", APPROVED)


@pytest.mark.parametrize("role", HUMANS)
def test_everybody_may_ask_why_about_this_project_s_roles_only(role: str) -> None:
    for action in (
        "SimulatePrincipalPolicy",
        "GetRole",
        "ListRolePolicies",
        "GetRolePolicy",
        "ListAttachedRolePolicies",
    ):
        assert ask(role, f"iam:{action}", f"arn:aws:iam::{ACCOUNT}:role/groundcrew-prod-deploy").allowed
        assert not ask(role, f"iam:{action}", f"arn:aws:iam::{ACCOUNT}:role/Admin").allowed
    for action in ("PutRolePolicy", "CreateRole", "DeleteRolePermissionsBoundary"):
        assert not ask(role, f"iam:{action}", f"arn:aws:iam::{ACCOUNT}:role/groundcrew-bot", **APPROVED).allowed


def takes(role: str, caller: str, action: str = "sts:AssumeRole", **context: tuple[str, ...]) -> bool:
    """Whether the trust policy lets the caller (`bot`, `operator`, or a service) take the role."""
    bot = f"arn:aws:iam::{ACCOUNT}:role/groundcrew-bot"
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/groundcrew-bot/s"
    who = {
        "bot": Who(ACCOUNT, session, role_arn=bot),
        "operator": Who(ACCOUNT, OPERATOR),
        "stranger": Who(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:user/stranger"),
    }.get(caller, Who(ACCOUNT, "", service=caller))
    everything = parse({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
    identity = documents("bot") if caller == "bot" else (everything,)
    keys = {"aws:principalarn": (who.role_arn or who.arn,), **context}
    request = Request(action, f"arn:aws:iam::{ACCOUNT}:role/groundcrew-{role}", keys, who)
    return decide_trust(request, trust=parse(roles()[role]["AssumeRolePolicyDocument"]), identity=identity).allowed


@pytest.mark.parametrize("role", HUMANS)
def test_the_bot_takes_a_person_s_role_only_with_the_person_s_stamp(role: str) -> None:
    stamp = {"sts:sourceidentity": ("T0GC.U0DS1",)}
    assert takes(role, "bot", **stamp)
    assert not takes(role, "bot")
    assert not takes(role, "bot", **{"sts:sourceidentity": ("system.watcher",)}), "a machine has no person's role"
    assert takes(role, "bot", "sts:TagSession", **stamp, **{"aws:tagkeys": ("approval", "requester")})
    assert not takes(role, "bot", "sts:TagSession", **stamp, **{"aws:tagkeys": ("approval", "Environment")})
    assert not takes(role, "stranger", **stamp)


def test_only_the_operator_takes_what_it_needs_to_publish_and_load() -> None:
    assert [role for role in roles() if not role.startswith("arn:") and takes(role, "operator")] == [
        "bot",
        "loader",
        "data-scientist",
        "ml-engineer",
    ]
    assert takes("ml-engineer", "operator", "sts:SetSourceIdentity", **{"sts:sourceidentity": ("system.publish",)})
    assert not takes("ml-engineer", "operator", "sts:SetSourceIdentity", **{"sts:sourceidentity": ("T0GC.U0ML1",)})
    assert not takes("bot", "operator", "sts:SetSourceIdentity", **{"sts:sourceidentity": ("system.publish",)})
    assert not takes("ml-engineer", "operator", "sts:TagSession", **{"aws:tagkeys": ("approval",)})
    assert not takes("bot", "stranger")


def test_the_observer_is_the_system_and_services_take_their_own_roles() -> None:
    assert takes("observer", "bot", **{"sts:sourceidentity": ("system.watcher",)})
    assert not takes("observer", "bot", **{"sts:sourceidentity": ("T0GC.U0DS1",)})
    assert takes("dev-execution", "sagemaker.amazonaws.com")
    assert not takes("dev-execution", "cloudformation.amazonaws.com")
    assert takes("prod-deploy", "cloudformation.amazonaws.com")
    assert not takes("prod-deploy", "bot", **{"sts:sourceidentity": ("T0GC.U0DS1",)})


def logs(group: str, stream: str = "") -> str:
    return f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/aws/sagemaker/{group}:log-stream:{stream}"


@pytest.mark.parametrize(("own", "other"), [("dev", "prod"), ("staging", "prod"), ("prod", "dev")])
def test_no_environment_writes_another_s_log(own: str, other: str) -> None:
    for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
        for group in ("TrainingJobs", "ProcessingJobs"):
            assert ask(f"{own}-execution", action, logs(group, f"groundcrew-{own}-train-a/algo-1")).allowed
            assert not ask(f"{own}-execution", action, logs(group, f"groundcrew-{other}-train-a/algo-1")).allowed
        assert ask(f"{own}-execution", action, logs(f"Endpoints/groundcrew-{own}-detector", "v/i")).allowed
        assert not ask(f"{own}-execution", action, logs(f"Endpoints/groundcrew-{other}-detector", "v/i")).allowed
        assert ask(f"{own}-execution", action, logs("ProcessingJobs", "model-monitoring-202601010000-a/x")).allowed


def test_every_human_role_is_bounded_and_nothing_allows_everything_everywhere() -> None:
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/groundcrew-boundary"
    for role in (*HUMANS, "observer"):
        assert roles()[role]["PermissionsBoundary"] == boundary
    for properties in roles().values():
        found = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        for document in [*found, *([properties["PolicyDocument"]] if "PolicyDocument" in properties else [])]:
            for statement in document["Statement"]:
                if statement["Effect"] == "Allow" and statement["Resource"] == "*":
                    assert "*" not in statement["Action"]
                    assert not any(action.endswith(":*") for action in statement["Action"])


def test_policies_stay_within_iam_s_sizes() -> None:
    for name, properties in roles().items():
        inline = sum(len(json.dumps(policy, separators=(",", ":"))) for policy in properties.get("Policies", []))
        assert inline <= 10_240, name
        assert len(json.dumps(properties.get("PolicyDocument", {}), separators=(",", ":"))) <= 6_144, name
        assert len(json.dumps(properties.get("AssumeRolePolicyDocument", {}), separators=(",", ":"))) <= 2_048, name


def scheduler(resource: str) -> str:
    return f"arn:aws:scheduler:us-east-1:{ACCOUNT}:{resource}"


def passing(role: str, service: str) -> tuple[str, dict[str, tuple[str, ...]]]:
    return f"arn:aws:iam::{ACCOUNT}:role/groundcrew-{role}", {"iam:passedtoservice": (f"{service}.amazonaws.com",)}


def monitor_job(env: str) -> str:
    return sagemaker(f"processing-job/groundcrew-{env}-detector-monitor-1")


SCALING = {"application-autoscaling:service-namespace": ("sagemaker",)}
SCALING_ROLE = (
    f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
)


def tracking_alarm(env: str) -> str:
    name = f"TargetTracking-endpoint/groundcrew-{env}-detector/variant/main-AlarmHigh-1"
    return f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm:{name}"


def dashboard(env: str) -> str:
    return f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/groundcrew-{env}-detector"


def batch(kind: str, env: str) -> str:
    return sagemaker(f"{kind}/groundcrew-{env}-batch-1")


def drift_alarm(env: str) -> str:
    return f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm:groundcrew-{env}-detector-drift"


PROD_EXECUTION = passing("prod-execution", "sagemaker")
WATCHING = [
    # what starts the monitor does just that, in its own environment
    ("dev-scheduler", "sagemaker:CreateProcessingJob", monitor_job("dev"), {}),
    ("dev-scheduler", "iam:PassRole", *passing("dev-execution", "sagemaker")),
    # CloudFormation makes the schedule, hands it its role, and makes the alarms
    ("dev-deploy", "scheduler:CreateSchedule", scheduler("schedule/groundcrew-dev-detector/x"), {}),
    ("dev-deploy", "scheduler:CreateScheduleGroup", scheduler("schedule-group/groundcrew-dev-detector"), {}),
    ("dev-deploy", "iam:PassRole", *passing("dev-scheduler", "scheduler")),
    ("dev-deploy", "sagemaker:CreateMonitoringSchedule", sagemaker("monitoring-schedule/groundcrew-dev-x"), {}),
    ("dev-deploy", "cloudwatch:PutMetricAlarm", drift_alarm("dev"), {}),
    # it sets the endpoint's scaling up, and its page in CloudWatch
    ("dev-deploy", "application-autoscaling:RegisterScalableTarget", "*", SCALING),
    ("dev-deploy", "application-autoscaling:PutScalingPolicy", "*", SCALING),
    ("dev-deploy", "sagemaker:UpdateEndpointWeightsAndCapacities", sagemaker("endpoint/groundcrew-dev-detector"), {}),
    ("dev-deploy", "iam:CreateServiceLinkedRole", SCALING_ROLE, {}),
    ("dev-deploy", "cloudwatch:PutMetricAlarm", tracking_alarm("dev"), {}),
    ("dev-deploy", "cloudwatch:PutDashboard", dashboard("dev"), {}),
    # people run a model over a folder
    ("data-scientist", "sagemaker:CreateModel", batch("model", "dev"), {}),
    ("data-scientist", "sagemaker:CreateTransformJob", batch("transform-job", "dev"), {}),
    ("ml-engineer", "sagemaker:CreateTransformJob", batch("transform-job", "staging"), {}),
    ("ml-engineer", "sagemaker:CreateTransformJob", batch("transform-job", "prod"), APPROVED),
    ("observer", "s3:GetObject", f"arn:aws:s3:::{BUCKET}/prod/batch/job/1.jpg.out", {}),
    # SageMaker reads a canary's alarms as the endpoint's role
    ("prod-execution", "cloudwatch:DescribeAlarms", "*", {}),
    # the job says what it found where alarms listen
    ("dev-execution", "cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": ("Groundcrew/Monitoring",)}),
    # people look at schedules and reports, and may look now
    ("stakeholder", "scheduler:GetSchedule", scheduler("schedule/groundcrew-prod-detector/x"), {}),
    ("stakeholder", "s3:GetObject", f"arn:aws:s3:::{BUCKET}/prod/monitoring/e/t/report.html", {}),
    ("data-scientist", "scheduler:GetSchedule", scheduler("schedule/groundcrew-dev-detector/x"), {}),
    ("data-scientist", "sagemaker:CreateProcessingJob", monitor_job("dev"), {}),
    ("ml-engineer", "sagemaker:CreateProcessingJob", monitor_job("staging"), {}),
    ("ml-engineer", "sagemaker:CreateProcessingJob", monitor_job("prod"), APPROVED),
    ("ml-engineer", "iam:PassRole", PROD_EXECUTION[0], APPROVED | PROD_EXECUTION[1]),
]
NOT_WATCHING = [
    ("dev-scheduler", "sagemaker:CreateProcessingJob", sagemaker("processing-job/groundcrew-dev-preprocess-1"), {}),
    ("dev-scheduler", "sagemaker:CreateProcessingJob", monitor_job("prod"), {}),
    ("dev-scheduler", "sagemaker:CreateTrainingJob", sagemaker("training-job/groundcrew-dev-detector-monitor-1"), {}),
    ("dev-scheduler", "iam:PassRole", *passing("prod-execution", "sagemaker")),
    ("dev-scheduler", "iam:PassRole", *passing("dev-execution", "lambda")),
    ("dev-deploy", "scheduler:CreateSchedule", scheduler("schedule/groundcrew-prod-detector/x"), {}),
    ("dev-deploy", "scheduler:CreateSchedule", scheduler("schedule/default/x"), {}),
    ("dev-deploy", "iam:PassRole", *passing("prod-scheduler", "scheduler")),
    ("dev-deploy", "iam:PassRole", *passing("dev-scheduler", "sagemaker")),
    ("dev-deploy", "cloudwatch:DeleteAlarms", drift_alarm("prod"), {}),
    ("dev-deploy", "cloudwatch:PutMetricAlarm", tracking_alarm("prod"), {}),
    ("dev-deploy", "cloudwatch:PutDashboard", dashboard("prod"), {}),
    ("dev-deploy", "sagemaker:UpdateEndpointWeightsAndCapacities", sagemaker("endpoint/groundcrew-prod-detector"), {}),
    ("dev-deploy", "application-autoscaling:RegisterScalableTarget", "*", {}),
    ("dev-deploy", "iam:CreateServiceLinkedRole", SCALING_ROLE.replace("SageMakerEndpoint", "ECSService"), {}),
    ("data-scientist", "application-autoscaling:RegisterScalableTarget", "*", SCALING),
    ("dev-execution", "cloudwatch:PutMetricAlarm", drift_alarm("dev"), {}),
    ("data-scientist", "sagemaker:CreateModel", sagemaker("model/groundcrew-dev-detector-1"), {}),
    ("data-scientist", "sagemaker:CreateTransformJob", batch("transform-job", "staging"), APPROVED),
    ("ml-engineer", "sagemaker:CreateTransformJob", batch("transform-job", "prod"), {}),
    ("ml-engineer", "sagemaker:CreateModel", batch("model", "prod"), {}),
    ("stakeholder", "sagemaker:CreateTransformJob", batch("transform-job", "dev"), {}),
    ("dev-execution", "cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": ("AWS/SageMaker",)}),
    ("stakeholder", "sagemaker:CreateProcessingJob", monitor_job("dev"), {}),
    ("data-scientist", "scheduler:UpdateSchedule", scheduler("schedule/groundcrew-dev-detector/x"), {}),
    ("data-scientist", "sagemaker:CreateProcessingJob", sagemaker("processing-job/groundcrew-dev-other-1"), {}),
    ("data-scientist", "sagemaker:CreateProcessingJob", monitor_job("staging"), {}),
    ("ml-engineer", "scheduler:UpdateSchedule", scheduler("schedule/groundcrew-staging-detector/x"), {}),
    ("ml-engineer", "sagemaker:CreateProcessingJob", monitor_job("prod"), {}),
    ("ml-engineer", "iam:PassRole", *PROD_EXECUTION),
]


@pytest.mark.parametrize(("role", "action", "resource", "context"), WATCHING)
def test_what_watching_a_deployment_takes_is_allowed(
    role: str, action: str, resource: str, context: dict[str, tuple[str, ...]]
) -> None:
    assert ask(role, action, resource, **context).allowed


@pytest.mark.parametrize(("role", "action", "resource", "context"), NOT_WATCHING)
def test_and_nothing_beyond(role: str, action: str, resource: str, context: dict[str, tuple[str, ...]]) -> None:
    assert not ask(role, action, resource, **context).allowed


def test_only_the_scheduler_of_this_account_takes_its_role() -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:role/groundcrew-dev-scheduler"
    trust = parse(roles()["dev-scheduler"]["AssumeRolePolicyDocument"])

    def may(service: str, account: str) -> bool:
        who = Who(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", service=f"{service}.amazonaws.com")
        asked = Request("sts:AssumeRole", arn, {"aws:sourceaccount": (account,)}, who)
        return decide_trust(asked, trust=trust).allowed

    assert may("scheduler", ACCOUNT)
    assert not may("scheduler", "999999999999")
    assert not may("sagemaker", ACCOUNT)


def costs(operation: str) -> tuple[str, str]:
    """An action of Cost Explorer and what it is asked on: an ARN made of the operation."""
    return f"ce:{operation}", f"arn:aws:ce:us-east-1:{ACCOUNT}:/{operation}"


BUDGET, OTHER_BUDGET = (f"arn:aws:budgets::{ACCOUNT}:budget/{name}" for name in ("groundcrew-monthly", "portal"))
APP = sagemaker("app/d-1/someone/JupyterLab/default")
JOB_LOGS = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/aws/sagemaker/TrainingJobs:log-stream:"


def endpoint_logs(env: str) -> str:
    return f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/aws/sagemaker/Endpoints/groundcrew-{env}-detector:log-stream:"


MONEY = [
    *((role, *costs("GetCostAndUsage"), {}, YES) for role in (*HUMANS, "observer")),
    *((role, *costs("GetCostForecast"), {}, YES) for role in (*HUMANS, "observer")),
    *((role, "pricing:GetProducts", "*", {}, YES) for role in (*HUMANS, "observer")),
    *((role, "budgets:ViewBudget", BUDGET, {}, YES) for role in (*HUMANS, "observer")),
    *((role, "budgets:ViewBudget", OTHER_BUDGET, {}, NO) for role in (*HUMANS, "observer")),
    *((role, *costs("UpdateCostAllocationTagsStatus"), APPROVED, NO) for role in (*HUMANS, "observer")),
    *((role, *costs("CreateAnomalyMonitor"), APPROVED, NO) for role in (*HUMANS, "observer")),
    ("bot", *costs("GetCostAndUsage"), {}, NO),
    ("data-scientist", *costs("ProvideAnomalyFeedback"), {}, YES),
    ("ml-engineer", *costs("ProvideAnomalyFeedback"), {}, YES),
    ("stakeholder", *costs("ProvideAnomalyFeedback"), {}, NO),
    ("observer", *costs("ProvideAnomalyFeedback"), {}, NO),
    ("ml-engineer", "budgets:ModifyBudget", BUDGET, APPROVED, YES),
    ("ml-engineer", "budgets:ModifyBudget", BUDGET, {}, NO),
    ("ml-engineer", "budgets:ModifyBudget", OTHER_BUDGET, APPROVED, NO),
    ("data-scientist", "budgets:ModifyBudget", BUDGET, APPROVED, NO),
    ("stakeholder", "budgets:ModifyBudget", BUDGET, APPROVED, NO),
    ("data-scientist", "sagemaker:DeleteModel", sagemaker("model/groundcrew-dev-detector-1"), {}, YES),
    ("data-scientist", "sagemaker:DeleteModel", sagemaker("model/groundcrew-staging-detector-1"), APPROVED, NO),
    ("ml-engineer", "sagemaker:DeleteModel", sagemaker("model/groundcrew-staging-detector-1"), {}, NO),
    ("ml-engineer", "sagemaker:DeleteModel", sagemaker("model/groundcrew-staging-detector-1"), APPROVED, YES),
    ("ml-engineer", "sagemaker:DeleteModel", sagemaker("model/groundcrew-prod-detector-1"), {}, NO),
    ("ml-engineer", "sagemaker:DeleteModel", sagemaker("model/groundcrew-prod-detector-1"), APPROVED, YES),
    ("data-scientist", "logs:DeleteLogGroup", endpoint_logs("dev"), {}, NO),
    ("data-scientist", "logs:DeleteLogGroup", endpoint_logs("prod"), APPROVED, NO),
    ("ml-engineer", "logs:DeleteLogGroup", endpoint_logs("prod"), APPROVED, NO),
    ("ml-engineer", "logs:PutRetentionPolicy", JOB_LOGS, {}, NO),
    ("ml-engineer", "logs:PutRetentionPolicy", JOB_LOGS, APPROVED, YES),
    ("ml-engineer", "logs:DeleteLogGroup", JOB_LOGS, APPROVED, NO),
    ("data-scientist", "s3:DeleteObjectVersion", f"arn:aws:s3:::{BUCKET}/dev/runs/1/train/model.tar.gz", {}, NO),
    ("ml-engineer", "s3:DeleteObjectVersion", f"arn:aws:s3:::{BUCKET}/prod/models/1/model.tar.gz", APPROVED, NO),
    ("ml-engineer", "s3:DeleteObjectVersion", f"arn:aws:s3:::{AUDIT}/anchors/1", APPROVED, NO),
    ("stakeholder", "sagemaker:DescribeApp", APP, {}, YES),
    ("ml-engineer", "sagemaker:DeleteApp", APP, {}, YES),
    ("data-scientist", "sagemaker:DeleteApp", APP, {}, NO),
]


@pytest.mark.parametrize(("role", "action", "resource", "context", "allowed"), MONEY)
def test_who_sees_costs_and_who_may_end_them(
    role: str, action: str, resource: str, context: dict[str, Any], allowed: bool
) -> None:
    assert ask(role, action, resource, **context).allowed is allowed
