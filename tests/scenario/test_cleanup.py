"""What costs is found and ended through the front door: idle things, a Studio app, logs, a whole environment.

Staging is used up here and left empty; dev is only looked at, as the tests after this one need its endpoint.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import httpx
import pytest

from pipeline.names import Names
from sandbox.environment import ACCOUNT, DATA_BUCKET, REGION
from sandbox.person import Person, buttons, rows
from tests.conftest import Sandbox

NAMES = Names(ACCOUNT, REGION, DATA_BUCKET)
STAGING = NAMES.stack("staging")
APPLY = "cleanup apply staging --confirm staging"

pytestmark = pytest.mark.usefixtures("training")


@pytest.fixture
def operator(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Clients of the account's operator."""
    for name, value in sandbox.settings().items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    return boto3.Session(profile_name="ab", region_name=REGION).client


@pytest.fixture(scope="module")
def in_staging(sandbox: Sandbox) -> str:
    """The trained model, promoted; its version in staging."""
    ds, ml = sandbox.slack.person("U0DS1"), sandbox.slack.person("U0ML1")
    after = ds.types("registry request 1 --to staging")
    card = ds.sees("Approval needed", "staging", button="Approve…", after=after)
    told = ml.sees("is now v", "in staging", after=ml.presses(card, "Approve…"))["words"]
    return str(told.split("is now v")[1].split()[0])


def deployed(ml: Person, version: str) -> None:
    """Staging serves it."""
    after = ml.types(f"deployment create --env staging --version {version}")
    ml.sees(STAGING, "in service", after=after, seconds=120)


def stray(sagemaker: Any, name: str, served: dict[str, Any]) -> None:
    """A model and an endpoint configuration of staging that belong to no deployment, made like a served model."""
    sagemaker.create_model(
        ModelName=name, PrimaryContainer=served["PrimaryContainer"], ExecutionRoleArn=served["ExecutionRoleArn"]
    )
    variant = {"VariantName": "main", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])


def agreed(ml: Person, other: Person) -> str:
    """A clean-up of staging, asked for by one and agreed to by another; the moment before the second word."""
    card = ml.sees("Approval needed", "end everything that costs in staging", after=ml.types(APPLY), button="Approve…")
    return other.presses(card, "Approve…")


def left(operator: Any) -> list[str]:
    """What there still is in staging."""
    sagemaker, about = operator("sagemaker"), {"NameContains": NAMES.begin("staging")}
    found = [each["EndpointName"] for each in sagemaker.list_endpoints(**about)["Endpoints"]]
    found += [each["EndpointConfigName"] for each in sagemaker.list_endpoint_configs(**about)["EndpointConfigs"]]
    found += [each["ModelName"] for each in sagemaker.list_models(**about)["Models"]]
    stacks = operator("cloudformation").get_paginator("list_stacks").paginate()
    rows = [each for page in stacks for each in page["StackSummaries"] if each["StackStatus"] != "DELETE_COMPLETE"]
    return found + [each["StackName"] for each in rows if each["StackName"].startswith(NAMES.begin("staging"))]


def fault(sandbox: Sandbox, **how: Any) -> None:
    """Have the next calls of an operation refused."""
    url = f"http://127.0.0.1:{sandbox.port('aws')}/_sandbox/faults"
    answer = httpx.post(url, json=how, headers={"X-Sandbox": "1"}, trust_env=False)
    answer.raise_for_status()


# ---------------------------------------------------------------- idle


def test_what_is_on_is_listed_with_its_cost_and_the_button_asks_before_it_ends_it(ds: Person) -> None:
    told = ds.asks("cost idle --days 0", "Idle in dev", "83.95 USD", "groundcrew-dev-detector")
    table = {row[1]: row for row in rows(told)}
    assert table["groundcrew-dev-detector"][0] == "endpoint on ml.m5.large"
    assert table["groundcrew-dev-detector"][3] == "83.95 USD"
    assert table["/aws/sagemaker/TrainingJobs"][2] == "kept for ever"
    assert [*table][1] == "groundcrew-dev-detector", "the dearest comes first"
    after = ds.presses(told, "Delete the deployment in dev…")
    question = ds.sees("Really delete the deployment in dev?", after=after)
    assert question["ephemeral"]


def test_what_is_young_or_in_use_is_not_idle(ds: Person) -> None:
    told = ds.asks("cost idle", "in dev")["words"]
    assert "groundcrew-dev-detector" not in told


def test_idle_things_of_another_environment_are_not_for_everybody(sandbox: Sandbox, ds: Person) -> None:
    ds.asks("cost idle --env staging --days 0", "AWS said no", "DescribeStacks")
    sandbox.slack.person("U0STK").asks("cost idle --env prod", "in prod")


@pytest.fixture
def left_on(operator: Any) -> Iterator[str]:
    """A notebook that somebody forgot: the name of its space."""
    sagemaker, space = operator("sagemaker"), "forgotten-space"
    made = sagemaker.create_domain(
        DomainName=NAMES.studio, AuthMode="IAM", VpcId="vpc-1", SubnetIds=["subnet-1"], DefaultUserSettings={}
    )
    domain = made["DomainArn"].rsplit("/", 1)[-1]
    sagemaker.create_user_profile(DomainId=domain, UserProfileName="T0GC-U0DS1")
    sagemaker.create_space(
        DomainId=domain,
        SpaceName=space,
        OwnershipSettings={"OwnerUserProfileName": "T0GC-U0DS1"},
        SpaceSharingSettings={"SharingType": "Private"},
    )
    app = {"DomainId": domain, "SpaceName": space, "AppType": "JupyterLab", "AppName": "default"}
    sagemaker.create_app(**app, ResourceSpec={"InstanceType": "ml.t3.large"})
    yield space
    if sagemaker.describe_app(**app)["Status"] == "InService":
        sagemaker.delete_app(**app)
    sagemaker.delete_space(DomainId=domain, SpaceName=space)
    sagemaker.delete_user_profile(DomainId=domain, UserProfileName="T0GC-U0DS1")
    sagemaker.delete_domain(DomainId=domain, RetentionPolicy={"HomeEfsFileSystem": "Delete"})


def test_a_notebook_left_on_is_stopped_from_the_message(left_on: str, operator: Any, ds: Person, ml: Person) -> None:
    told = ml.asks("cost idle --days 0", left_on, "73.00 USD")
    question = ml.sees(f"Really stop Studio of {left_on}?", after=ml.presses(told, f"Stop Studio of {left_on}…"))
    assert "what a notebook holds in memory is lost" in question["words"]
    ds.asks(f"studio stop {left_on} --yes", "AWS said no", "DeleteApp")
    ml.sees(f"Stopping Studio of {left_on}", after=ml.presses(question, "Yes, do it"))
    running = [each for each in operator("sagemaker").list_apps()["Apps"] if each["Status"] == "InService"]
    assert running == []
    ml.asks(f"studio stop {left_on} --yes", "There is no Studio app that is on")


def test_logs_get_a_limit_once_a_second_person_agrees(sandbox: Sandbox, operator: Any, ml: Person) -> None:
    sandbox.slack.person("U0DS1").asks("cleanup logs", "you are data-scientist")
    ml.asks("cleanup logs --keep 100", "Logs cannot be kept for 100 days", "--keep 90")
    card = ml.sees("Approval needed", "keep logs for 90 days", after=ml.types("cleanup logs"), button="Approve…")
    other = sandbox.slack.person("U0ML2")
    other.sees("Logs are kept for 90 days", after=other.presses(card, "Approve…"))
    groups = operator("logs").describe_log_groups(logGroupNamePrefix="/aws/sagemaker/TrainingJobs")["logGroups"]
    assert [group["retentionInDays"] for group in groups] == [90]


# ---------------------------------------------------------------- a whole environment


def test_a_plan_says_what_goes_what_stays_and_changes_nothing(sandbox: Sandbox, ds: Person) -> None:
    told = ds.asks(
        "cleanup plan dev", "Cleaning up dev would end", "saves 83.95 USD a month", "groundcrew-dev-detector"
    )
    assert "cleanup apply dev --confirm dev" in told["words"]
    assert "Artifacts (all environments)" in told["words"]
    assert "apply" not in " ".join(buttons(told).values()), "the environment's name is to be typed"
    ds.asks("deployment status", "in service")
    sandbox.slack.person("U0STK").asks("cleanup plan prod", "Nothing in prod runs or is left over")


@pytest.mark.parametrize(
    "line", ["cleanup apply dev", "cleanup apply dev --confirm staging", "cleanup apply dev --confirm de"]
)
def test_a_name_mistyped_ends_nothing(ds: Person, line: str) -> None:
    told = ds.asks(line, "This ends everything that dev costs", "nothing was done", "cleanup apply dev --confirm dev")
    assert told["ephemeral"]
    ds.asks("deployment status", "in service")


def test_a_data_scientist_cleans_up_no_other_environment(ds: Person) -> None:
    ds.asks(APPLY, "AWS said no")
    ds.asks("cleanup apply prod --confirm prod", "AWS said no")


def test_an_environment_is_cleaned_up_although_something_goes_meanwhile_and_something_fails(
    sandbox: Sandbox, operator: Any, in_staging: str, ml: Person
) -> None:
    """Asked for by one, agreed to by another; a model goes in between. Then AWS refuses once: a second try ends it."""
    sagemaker, other = operator("sagemaker"), sandbox.slack.person("U0ML2")
    deployed(ml, in_staging)
    (served,) = sagemaker.list_models(NameContains=f"{STAGING}-")["Models"]
    served = sagemaker.describe_model(ModelName=served["ModelName"])
    stray(sagemaker, "groundcrew-staging-older", served)
    card = ml.sees("Approval needed", "groundcrew-staging-older", STAGING, after=ml.types(APPLY), button="Approve…")
    sagemaker.delete_model(ModelName="groundcrew-staging-older")
    after = other.presses(card, "Approve…")
    done = ml.sees("Cleaned up staging", "saves 83.95 USD a month", "Artifacts", after=after, seconds=90)
    assert "Audit record (locked)" in done["words"]
    assert left(operator) == []

    stray(sagemaker, "groundcrew-staging-stray", served)
    busy = {"code": "ValidationException", "message": "Model groundcrew-staging-stray is being looked at."}
    fault(sandbox, service="sagemaker", operation="DeleteModel", **busy)
    after = agreed(ml, other)
    stopped = other.sees("Cleaning up staging has come to a stop", "one thing still there", after=after, seconds=60)
    assert "groundcrew-staging-stray" in stopped["words"]
    other.sees("Cleaning up staging would end one thing", after=other.presses(stopped, "Plan again"))
    ml.sees("Cleaned up staging", after=agreed(ml, other), seconds=60)
    assert left(operator) == []
    ml.asks("registry list --env staging", "approved")
    ml.asks(APPLY, "Nothing in staging runs or is left over")
