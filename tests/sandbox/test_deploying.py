"""A deployment's stack in a local AWS of its own: it scales with load, and a canary moves traffic or is rolled back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline import batches, deployment, remedies
from pipeline.deployment import Stack
from pipeline.errors import Refused
from tests.sandbox.canary import (
    BAD,
    BETTER,
    ENDPOINT,
    GOOD,
    NAMES,
    Traffic,
    answered,
    ask,
    begin,
    over,
    package,
    running,
    stage,
)
from tests.sandbox.test_monitoring import Account, eventually

RESOURCE = f"endpoint/{ENDPOINT}/variant/main"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with running(tmp_path_factory.mktemp("aws")) as found:
        yield found


@pytest.fixture(autouse=True)
def present(account: Account) -> Iterator[None]:
    """The clock is where the machine's is, before and after."""
    yield
    account.passes(seconds=(datetime.now(UTC) - account.now()).total_seconds())


@pytest.fixture(scope="module")
def deployed(account: Account) -> Stack:
    begin(account, package(account, GOOD, "good"), "1")
    found = over(account)
    assert not found.failed, deployment.first_failure(account.cloudformation, found.id)
    return found


@pytest.fixture(scope="module")
def scaling(account: Account) -> Any:
    return account.client("application-autoscaling")


def instances(account: Account) -> int:
    found = deployment.endpoint_now(account.sagemaker, ENDPOINT)
    return found.instances if found else 0


def change(account: Account, token: str, **changes: str) -> Stack:
    url = deployment.publish_template(account.s3, NAMES, "dev")
    deployment.change(account.cloudformation, NAMES, "dev", template_url=url, changes=changes, token=token)
    return over(account)


def test_a_deployment_scales_between_its_environments_bounds_on_requests_at_once(deployed: Stack, scaling: Any) -> None:
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (target["ResourceId"], target["MinCapacity"], target["MaxCapacity"]) == (RESOURCE, 1, 2)
    (policy,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    tracked = policy["TargetTrackingScalingPolicyConfiguration"]
    metric = tracked["PredefinedMetricSpecification"]["PredefinedMetricType"]
    assert (metric, tracked["TargetValue"]) == ("SageMakerVariantConcurrentRequestsPerModelHighResolution", 4.0)
    assert len(policy["Alarms"]) == 2


def test_its_alarms_dashboard_and_log_come_with_it(account: Account, deployed: Stack) -> None:
    found = account.cloudwatch.describe_alarms(AlarmNamePrefix=f"{ENDPOINT}-")["MetricAlarms"]
    # No traffic is no news in dev.
    assert sorted(each["AlarmName"].removeprefix(f"{ENDPOINT}-") for each in found) == [
        *("5xx", "drift", "latency", "monitor"),
    ]
    assert next(each for each in found if each["AlarmName"].endswith("latency"))["ExtendedStatistic"] == "p95"
    body = json.loads(account.cloudwatch.get_dashboard(DashboardName=ENDPOINT)["DashboardBody"])
    assert f"alarm:{ENDPOINT}-latency" in json.dumps(body)
    (group,) = account.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/sagemaker/Endpoints/{ENDPOINT}")[
        "logGroups"
    ]
    assert group["retentionInDays"] == 30


def test_load_brings_an_instance_and_quiet_takes_it_away(account: Account, deployed: Stack, scaling: Any) -> None:
    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(lambda _: ask(account, b"slow"), range(12))) == {200}
    account.passes(seconds=60)
    assert eventually(lambda: instances(account), 2) == 2
    last = scaling.describe_scaling_activities(ServiceNamespace="sagemaker")["ScalingActivities"][0]
    assert last["Description"] == "Setting desired instance count to 2."
    assert "AlarmHigh" in last["Cause"]
    for _ in range(20):
        assert ask(account) == 200
        account.passes(seconds=60)
    assert eventually(lambda: instances(account), 1) == 1
    newest = scaling.describe_scaling_activities(ServiceNamespace="sagemaker")["ScalingActivities"][0]
    assert "AlarmLow" in newest["Cause"]


def test_a_larger_minimum_comes_at_once_and_the_other_metric_takes_its_place(
    account: Account, deployed: Stack, scaling: Any
) -> None:
    found = change(account, "scale", MinInstances="2", ScaleOn="invocations")
    assert not found.failed
    assert instances(account) == 2
    (policy,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    specified = policy["TargetTrackingScalingPolicyConfiguration"]["PredefinedMetricSpecification"]
    assert specified["PredefinedMetricType"] == "SageMakerVariantInvocationsPerInstance"
    names = [
        each["AlarmName"]
        for each in account.cloudwatch.describe_alarms(AlarmNamePrefix="TargetTracking-")["MetricAlarms"]
    ]
    assert len(names) == 2
    change(account, "back", MinInstances="1", ScaleOn="concurrency")


def test_an_endpoint_that_scales_keeps_its_instance_type(account: Account, deployed: Stack) -> None:
    config = account.sagemaker.describe_endpoint_config(EndpointConfigName=f"{ENDPOINT}-{GOOD[:8]}")
    variants = [{**config["ProductionVariants"][0], "InstanceType": "ml.c5.large"}]
    account.sagemaker.create_endpoint_config(EndpointConfigName="other", ProductionVariants=variants)
    with pytest.raises(ClientError, match="instance type"):
        account.sagemaker.update_endpoint(EndpointName=ENDPOINT, EndpointConfigName="other")


def test_a_canary_that_answers_500_is_rolled_back_and_the_old_fleet_fails_nobody(
    account: Account, deployed: Stack
) -> None:
    bad = package(account, BAD, "bad")
    with Traffic(account) as traffic:
        begin(account, bad, "bad", CanaryPercent="50")
        assert eventually(lambda: stage(account), "Baking") == "Baking"
        assert eventually(lambda: 500 in traffic.seen, True)
        with pytest.raises(Refused, match="busy"):
            begin(account, bad, "meanwhile")
        for _ in range(3):  # two minutes with errors of three
            account.passes(seconds=60)
            assert eventually(lambda: answered(account, BAD)["failed"] > 0, True)
        found = over(account)
        since = len(traffic.seen)
        assert eventually(lambda: len(traffic.seen) > since + 20, True)
        # A request that was on its way to the canary may end late; whatever came after it is answered by the old fleet.
        assert set(traffic.seen[since + 2 :]) == {200}
    assert found.status == "UPDATE_ROLLBACK_COMPLETE"
    assert f"{ENDPOINT}-5xx" in deployment.first_failure(account.cloudformation, found.id)
    assert "50% of the traffic" in deployment.first_failure(account.cloudformation, found.id)
    old, new = answered(account, GOOD), answered(account, BAD)
    assert old["failed"] == 0
    assert old["asked"] > 0
    assert new["failed"] == new["asked"] > 0
    assert found.digest == GOOD
    config = account.sagemaker.describe_endpoint(EndpointName=ENDPOINT)["EndpointConfigName"]
    assert config == f"{ENDPOINT}-{GOOD[:8]}"


def test_a_canary_whose_alarms_stay_quiet_takes_over_and_nobody_notices(account: Account, deployed: Stack) -> None:
    account.passes(minutes=10)  # the errors of before are history
    assert eventually(lambda: account.alarm(f"{ENDPOINT}-5xx"), "OK") == "OK"
    with Traffic(account) as traffic:
        begin(account, package(account, BETTER, "better"), "better", CanaryPercent="50")
        assert eventually(lambda: stage(account), "Baking") == "Baking"
        assert eventually(lambda: answered(account, BETTER)["asked"] > 0, True)

        def rests() -> bool:
            """The canary bakes, and then the old fleet is kept a while: both are over when time has passed."""
            account.passes(minutes=11)
            found = deployment.find(account.cloudformation, ENDPOINT)
            return found is not None and not found.busy

        assert eventually(rests, True, 60)
        found = over(account)
    assert found.status == "UPDATE_COMPLETE"
    assert set(traffic.seen) == {200}
    assert found.digest == BETTER


def test_a_canary_is_refused_with_alarms_that_do_not_exist(account: Account, deployed: Stack) -> None:
    policy = {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}}
    with pytest.raises(ClientError, match="do not exist"):
        account.sagemaker.update_endpoint(
            EndpointName=ENDPOINT,
            EndpointConfigName=f"{ENDPOINT}-{BETTER[:8]}",
            DeploymentConfig={
                "BlueGreenUpdatePolicy": policy,
                "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "nowhere"}]},
            },
        )


def test_a_part_that_fails_takes_the_stack_back_and_says_what(account: Account, deployed: Stack) -> None:
    missing = replace(package(account, BAD, "bad"), model=f"s3://{NAMES.bucket}/dev/models/none/model.tar.gz")
    begin(account, missing, "missing")
    found = over(account)
    assert found.status == "UPDATE_ROLLBACK_COMPLETE"
    assert deployment.first_failure(account.cloudformation, found.id).startswith("Model: ")
    assert ask(account) == 200


def test_a_metric_that_does_not_exist_and_a_stack_that_is_stuck_half_way(account: Account, deployed: Stack) -> None:
    words = "Predefined metric type X is not supported for this scalable target."
    fault = {"service": "application-autoscaling", "operation": "PutScalingPolicy", "code": "ValidationException"}
    account.control("faults", {**fault, "message": words, "count": 2}).raise_for_status()
    found = change(account, "stuck", ScaleOn="invocations")
    # The change failed, and so did taking it back.
    assert (found.status, found.stuck) == ("UPDATE_ROLLBACK_FAILED", True)
    failure = deployment.first_failure(account.cloudformation, found.id)
    assert "--scale-on invocations" in remedies.remedy(failure, "dev"), failure
    with pytest.raises(Refused, match="stuck half-way") as refused:
        change(account, "again", MaxInstances="1")
    assert "deployment recover --env dev" in refused.value.advice
    deployment.recover(account.cloudformation, NAMES, "dev", token="recover")
    found = over(account)
    assert found.status == "UPDATE_ROLLBACK_COMPLETE"
    assert not change(account, "well", MaxInstances="1").failed
    change(account, "well again", MaxInstances="2")


def test_with_the_stack_its_scaling_goes(account: Account, deployed: Stack, scaling: Any) -> None:
    deployment.delete(account.cloudformation, NAMES, "dev", token="end")
    assert eventually(lambda: deployment.find(account.cloudformation, ENDPOINT), None, 60) is None
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
    assert account.cloudwatch.describe_alarms()["MetricAlarms"] == []
    assert account.cloudwatch.list_dashboards()["DashboardEntries"] == []


DATA = NAMES.data_bucket
ANSWER = json.dumps({"detections": [{"class": "vehicle", "confidence": 0.8}, {"class": "pool", "confidence": 0.6}]})


def finished(account: Account, arn: str) -> batches.Job:
    assert eventually(lambda: batches.job(account.sagemaker, arn).running, False, 60) is False
    return batches.job(account.sagemaker, arn)


def test_a_batch_is_shared_by_its_instances_and_summed_up(account: Account) -> None:
    account.s3.create_bucket(Bucket=DATA)
    loader = account.acting(NAMES.role("loader")).s3
    for number in range(7):  # the test's server answers with its model's file, and the body behind it
        loader.put_object(Bucket=DATA, Key=f"survey/images/{number}.jpg", Body=b" ")
    made = package(account, BETTER, ANSWER)
    assert batches.photos(account.s3, DATA, "survey/images/") == 7
    arn = batches.start(account.sagemaker, NAMES, "dev", made, "survey/images/", 2, "0" * 64)
    assert batches.start(account.sagemaker, NAMES, "dev", made, "survey/images/", 2, "0" * 64) == arn
    job = finished(account, arn)
    assert (job.status, job.instances, job.digest) == ("Completed", 2, BETTER[:8]), job.reason
    found = batches.summary(account.s3, job)
    assert (found.photos, dict(found.classes), found.empty) == (7, {"vehicle": 7, "pool": 7}, 0)
    assert found.confidence == pytest.approx(0.7)
    streams = account.client("logs").describe_log_streams(logGroupName="/aws/sagemaker/TransformJobs")["logStreams"]
    assert len({each["logStreamName"] for each in streams}) == 2


def test_one_photo_that_is_none_fails_the_batch_and_is_named(account: Account) -> None:
    made = package(account, BAD, "bad")
    job = finished(account, batches.start(account.sagemaker, NAMES, "dev", made, "survey/images/", 1, "1" * 64))
    assert job.status == "Failed"
    assert "survey/images/0.jpg: the model answered 500: no answer" in job.reason


def test_serverless_has_alarms_and_no_capture_no_monitor_no_scaling(account: Account, scaling: Any) -> None:
    given = deployment.parameters(
        NAMES, "dev", package(account, GOOD, "good"), "serverless", code="s3://b/source.tar.gz"
    )
    url = deployment.publish_template(account.s3, NAMES, "dev")
    deployment.deploy(account.cloudformation, NAMES, "dev", template_url=url, parameters=given, token="serverless")
    found = over(account)
    assert not found.failed, deployment.first_failure(account.cloudformation, found.id)
    assert ask(account) == 200
    config = account.sagemaker.describe_endpoint_config(EndpointConfigName=f"{ENDPOINT}-{GOOD[:8]}")
    assert "DataCaptureConfig" not in config
    assert config["ProductionVariants"][0]["ServerlessConfig"]["MemorySizeInMB"] == 3072
    kinds = {each.kind for each in deployment.resources(account.cloudformation, found.id)}
    assert kinds == {f"AWS::{each}" for each in (
        "Logs::LogGroup", "SageMaker::Model", "SageMaker::EndpointConfig", "SageMaker::Endpoint", "CloudWatch::Alarm"
    )}  # fmt: skip
    with pytest.raises(Refused, match="cannot change its instance type"):
        begin(account, package(account, BETTER, "better"), "instances")
    deployment.delete(account.cloudformation, NAMES, "dev", token="end-serverless")
    assert eventually(lambda: deployment.find(account.cloudformation, ENDPOINT), None, 60) is None
