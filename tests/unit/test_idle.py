"""What counts as idle, by AWS's own response shapes: each answer below is checked against botocore's model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from pipeline import idle
from pipeline.absent import missing
from pipeline.idle import Endpoint
from pipeline.names import Names
from tests.unit.fake_aws import FakeClient, refusal

NAMES = Names("123456789012", "us-east-1")
NOW = datetime(2026, 5, 20, 12, 0, tzinfo=UTC)
WEEK = timedelta(days=7)
DETECTOR = "groundcrew-staging-detector"
CONFIG = f"{DETECTOR}-0a1b2c3d"
ENDPOINT_ARN = NAMES.arn("sagemaker", f"endpoint/{DETECTOR}")
Stub = Callable[..., Any]


def ago(**time: float) -> datetime:
    return NOW - timedelta(**time)


@pytest.fixture
def stubbed() -> Iterator[Stub]:
    """`stubbed("sagemaker", ("list_endpoints", {...}), …)`: a boto3 client that gives just these answers in turn."""
    with ExitStack() as stack:

        def client(service: str, *answers: tuple[str, dict[str, Any]]) -> Any:
            made = boto3.client(service, "us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
            stub = stack.enter_context(Stubber(made))
            for operation, answer in answers:
                if "Error" in answer:
                    stub.add_client_error(operation, answer["Error"], answer["Message"])
                else:
                    stub.add_response(operation, answer)
            stack.callback(stub.assert_no_pending_responses)
            return made

        yield client


def listed(*names: str) -> tuple[str, dict[str, Any]]:
    rows = [
        {
            "EndpointName": name,
            "EndpointArn": NAMES.arn("sagemaker", f"endpoint/{name}"),
            "CreationTime": NOW,
            "LastModifiedTime": NOW,
            "EndpointStatus": "InService",
        }
        for name in names
    ]
    return "list_endpoints", {"Endpoints": rows}


def described(made: datetime, *, count: int = 1, **more: Any) -> tuple[str, dict[str, Any]]:
    variants = [{"VariantName": "main", "CurrentInstanceCount": count}]
    answer = {
        "EndpointName": DETECTOR,
        "EndpointArn": ENDPOINT_ARN,
        "EndpointConfigName": CONFIG,
        "EndpointStatus": "InService",
        "CreationTime": made,
        "LastModifiedTime": made,
        "ProductionVariants": variants,
    }
    return "describe_endpoint", answer | more


def config(name: str = CONFIG, model: str = CONFIG, instance: str = "ml.m5.large") -> tuple[str, dict[str, Any]]:
    variant = {"VariantName": "main", "ModelName": model, "InitialInstanceCount": 1}
    variant |= (
        {"InstanceType": instance} if instance else {"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1}}
    )
    answer = {
        "EndpointConfigName": name,
        "EndpointConfigArn": NAMES.arn("sagemaker", f"endpoint-config/{name}"),
        "ProductionVariants": [variant],
        "CreationTime": NOW,
    }
    return "describe_endpoint_config", answer


def asked(*hours: tuple[float, float]) -> tuple[str, dict[str, Any]]:
    """CloudWatch's answer: requests by how many hours ago."""
    points = [{"Timestamp": ago(hours=back), "Sum": count, "Unit": "None"} for back, count in hours]
    return "get_metric_statistics", {"Label": "Invocations", "Datapoints": points}


# ---------------------------------------------------------------- endpoints


@pytest.mark.parametrize(
    ("made", "requests", "days", "why"),
    [
        (ago(days=30), [], 7, "no request"),
        (ago(days=10), [], 7, "no request since it was made 2026-05-10 12:00 UTC"),
        (ago(days=30), [(24 * 9, 3)], 7, "last request 2026-05-11 13:00 UTC"),
        (ago(days=30), [(24 * 9, 3), (24 * 3, 0)], 7, "last request 2026-05-11 13:00 UTC"),
        (ago(days=30), [(24 * 3, 1)], 7, None),
        (ago(days=3), [], 7, None),
        (ago(minutes=5), [(0.05, 1)], 0, "last request 2026-05-20 12:00 UTC"),
    ],
    ids=["never", "never, young", "long ago", "zeroes are no requests", "in use", "too young", "all that is on"],
)
def test_an_endpoint_is_idle_by_its_requests_and_its_age(
    stubbed: Stub, made: datetime, requests: list[tuple[float, float]], days: int, why: str | None
) -> None:
    sagemaker = stubbed("sagemaker", listed(DETECTOR), described(made, count=2), config())
    cloudwatch = stubbed("cloudwatch", asked(*requests))
    found = idle.idle_endpoints(sagemaker, cloudwatch, NAMES, "staging", NOW, timedelta(days=days))
    assert [each.why for each in found] == ([] if why is None else [why])
    assert [each.runs_on for each in found] == ([] if why is None else [{"ml.m5.large": 2}])


def test_other_environments_and_projects_are_none_of_it(stubbed: Stub) -> None:
    sagemaker = stubbed("sagemaker", listed("groundcrew-prod-detector", "my-groundcrew-staging-thing"))
    assert idle.idle_endpoints(sagemaker, stubbed("cloudwatch"), NAMES, "staging", NOW, WEEK) == []


def test_an_endpoint_that_goes_meanwhile_is_not_found(stubbed: Stub) -> None:
    gone = (
        "describe_endpoint",
        {"Error": "ValidationException", "Message": f'Could not find endpoint "{ENDPOINT_ARN}".'},
    )
    assert idle.endpoints(stubbed("sagemaker", listed(DETECTOR), gone), NAMES, "staging") == []


def test_a_serverless_endpoint_costs_nothing_while_nobody_asks(stubbed: Stub) -> None:
    sagemaker = stubbed("sagemaker", listed(DETECTOR), described(ago(days=30)), config(instance=""))
    found = idle.idle_endpoints(sagemaker, stubbed("cloudwatch", asked()), NAMES, "staging", NOW, WEEK)
    assert found == []


@given(st.lists(st.integers(min_value=1, max_value=24 * 14), max_size=8), st.integers(min_value=1, max_value=14))
def test_whoever_was_asked_within_the_time_is_never_idle(hours: list[int], days: int) -> None:
    endpoint = Endpoint(DETECTOR, ENDPOINT_ARN, "InService", ago(days=60), ["main"], frozenset(), {"ml.m5.large": 1})
    points = [{"Timestamp": ago(hours=back), "Sum": 1.0} for back in hours]
    cloudwatch = FakeClient(get_metric_statistics={"Datapoints": points})
    last = idle.last_request(cloudwatch, endpoint, NOW, idle.LOOK_BACK)
    if hours:
        assert last == ago(hours=min(hours) - 1)
        assert (last <= ago(days=days)) == all(back >= 24 * days + 1 for back in hours)
    else:
        assert last is None


def test_a_long_time_is_asked_for_in_days(stubbed: Stub) -> None:
    endpoint = Endpoint(DETECTOR, ENDPOINT_ARN, "InService", ago(days=90), ["main"], frozenset(), {})
    cloudwatch = FakeClient(get_metric_statistics={"Datapoints": []})
    idle.last_request(cloudwatch, endpoint, NOW, timedelta(days=60))
    (request,) = cloudwatch.requests("get_metric_statistics")
    assert (request["EndTime"] - request["StartTime"]).total_seconds() / request["Period"] <= 1440  # CloudWatch's limit


# ---------------------------------------------------------------- Studio


def app(kind: str = "JupyterLab", status: str = "InService", **more: Any) -> dict[str, Any]:
    return {"DomainId": "d-1", "AppType": kind, "AppName": "default", "Status": status, **more}


def studio(*apps: dict[str, Any], domain: str = "groundcrew-studio") -> tuple[tuple[str, dict[str, Any]], ...]:
    domains = [{"DomainId": "d-1", "DomainName": domain}]
    return ("list_domains", {"Domains": domains}), ("list_apps", {"Apps": [*apps]})


@pytest.mark.parametrize(
    ("used", "days", "found"),
    [(ago(hours=5), 7, True), (ago(hours=3), 7, False), (None, 7, True), (ago(minutes=1), 0, True)],
    ids=["left on", "in use", "never used", "all that is on"],
)
def test_an_app_unused_for_longer_than_studio_allows_was_left_on(
    stubbed: Stub, used: datetime | None, days: int, found: bool
) -> None:
    about = app(CreationTime=ago(days=2), ResourceSpec={"InstanceType": "ml.t3.large"}, SpaceName="my-space")
    about |= {"LastUserActivityTimestamp": used} if used else {}
    sagemaker = stubbed("sagemaker", *studio(app(SpaceName="my-space")), ("describe_app", about))
    apps = idle.apps(sagemaker, NAMES, NOW, timedelta(days=days))
    assert [(each.name, each.runs_on, each.env) for each in apps] == (
        [("my-space", {"ml.t3.large": 1}, None)] if found else []
    )


def test_stopped_apps_and_other_domains_do_not_count(stubbed: Stub) -> None:
    sagemaker = stubbed(
        "sagemaker", *studio(app(status="Deleted", SpaceName="a"), app(status="Pending", SpaceName="b"))
    )
    assert idle.apps(sagemaker, NAMES, NOW, WEEK) == []
    elsewhere = stubbed("sagemaker", studio(domain="somebody-elses")[0])
    assert idle.apps(elsewhere, NAMES, NOW, WEEK) == []


# ---------------------------------------------------------------- models, logs, stacks, storage


def made(kind: str, *rows: tuple[str, datetime]) -> tuple[str, dict[str, Any]]:
    names = {"config": ("EndpointConfig", "list_endpoint_configs"), "model": ("Model", "list_models")}
    member, operation = names[kind]
    part = {"config": "endpoint-config", "model": "model"}[kind]
    listed = [
        {f"{member}Name": name, f"{member}Arn": NAMES.arn("sagemaker", f"{part}/{name}"), "CreationTime": at}
        for name, at in rows
    ]
    return operation, {f"{member}s": listed}


def test_what_an_endpoint_uses_or_is_moving_to_is_no_leftover(stubbed: Stub) -> None:
    serving, coming, old, young = (f"{DETECTOR}-{name}" for name in ("0a1b2c3d", "new", "old", "young"))
    sagemaker = stubbed(
        "sagemaker",
        listed(DETECTOR),
        described(ago(days=30), PendingDeploymentSummary={"EndpointConfigName": coming}),
        config(serving),
        made("config", *((name, ago(days=20)) for name in (serving, coming, old)), (young, ago(days=1))),
        config(serving, serving),
        config(coming, coming),
        config(young, young),
        made("model", *((name, ago(days=20)) for name in (serving, coming, old, f"{DETECTOR}-stray", young))),
    )
    found = idle.unserved(sagemaker, NAMES, "staging", ago(days=7))
    assert found == ([old], [old, f"{DETECTOR}-stray"])


def test_leftovers_are_one_finding_with_their_number(stubbed: Stub) -> None:
    client = ("sagemaker", listed(), made("config"), made("model", ("groundcrew-staging-a", ago(days=9))))
    (one,) = idle.leftovers(stubbed(*client), NAMES, "staging", NOW, WEEK)
    assert (one.kind, one.name, one.runs_on) == ("models", "model groundcrew-staging-a", {})
    none = ("sagemaker", listed(), made("config"), made("model", ("groundcrew-staging-a", ago(days=2))))
    assert idle.leftovers(stubbed(*none), NAMES, "staging", NOW, WEEK) == []


def test_a_log_group_is_kept_for_ever_when_it_has_no_retention(stubbed: Stub) -> None:
    groups = [
        {"logGroupName": "/aws/sagemaker/TrainingJobs", "storedBytes": 4096},
        {"logGroupName": "/aws/sagemaker/ProcessingJobs", "storedBytes": 10, "retentionInDays": 30},
        {"logGroupName": f"/aws/sagemaker/Endpoints/{DETECTOR}", "storedBytes": 7},
        {"logGroupName": "/aws/sagemaker/Endpoints/groundcrew-prod-detector", "storedBytes": 8},
        {"logGroupName": "/aws/sagemaker/Endpoints/somebody-elses", "storedBytes": 9},
    ]
    answer = ("describe_log_groups", {"logGroups": groups})
    found = idle.endless_logs(stubbed("logs", answer), NAMES, "staging")
    assert [(each.name.rsplit("/", 1)[-1], each.env, each.stored) for each in found] == [
        ("TrainingJobs", None, 4096),
        (DETECTOR, "staging", 7),
    ]
    assert idle.stored_logs(stubbed("logs", answer), NAMES, "staging") == 4096 + 10 + 7


def summary(name: str, status: str) -> dict[str, Any]:
    return {"StackName": name, "StackStatus": status, "CreationTime": NOW}


def test_a_stack_is_orphaned_when_it_failed_or_lost_its_endpoint(stubbed: Stub) -> None:
    rows = [
        summary(DETECTOR, "UPDATE_COMPLETE"),
        summary("groundcrew-staging-second", "CREATE_COMPLETE"),
        summary("groundcrew-staging-third", "ROLLBACK_COMPLETE"),
        summary("groundcrew-staging-fourth", "DELETE_FAILED"),
        summary("groundcrew-prod-detector", "DELETE_FAILED"),
        summary("groundcrew-roles", "UPDATE_COMPLETE"),
    ]
    cloudformation = stubbed("cloudformation", ("list_stacks", {"StackSummaries": rows}))
    found = idle.dead_stacks(cloudformation, stubbed("sagemaker", listed(DETECTOR)), NAMES, "staging")
    assert {each.name: each.why for each in found} == {
        "groundcrew-staging-second": "its endpoint is gone",
        "groundcrew-staging-third": "left over: ROLLBACK_COMPLETE",
        "groundcrew-staging-fourth": "left over: DELETE_FAILED",
    }


def test_a_bucket_s_size_is_the_newest_that_s3_has_measured(stubbed: Stub) -> None:
    points = [
        {"Timestamp": ago(days=back), "Average": size, "Unit": "Bytes"} for back, size in ((1, 900.0), (2, 100.0))
    ]
    answer = ("get_metric_statistics", {"Label": "BucketSizeBytes", "Datapoints": points})
    assert idle.stored(stubbed("cloudwatch", answer), NAMES.bucket, NOW) == 900
    none = ("get_metric_statistics", {"Label": "BucketSizeBytes", "Datapoints": []})
    assert idle.stored(stubbed("cloudwatch", none), NAMES.bucket, NOW) is None


@pytest.mark.parametrize(
    ("error", "gone"),
    [
        (refusal("ValidationException", 'Could not find model "arn:…".'), True),
        (refusal("ResourceNotFound", "App does not exist"), True),
        (refusal("ResourceNotFoundException", "The specified log group does not exist."), True),
        (refusal("ValidationException", "Cannot update in-progress endpoint"), False),
        (refusal("AccessDeniedException", "not authorized to perform: it does not exist"), False),
    ],
    ids=["validation", "sagemaker", "logs", "busy", "denied"],
)
def test_what_aws_says_of_a_thing_that_is_gone(error: Any, gone: bool) -> None:
    assert missing(error) is gone
