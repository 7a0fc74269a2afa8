"""What runs and hears the monitor, in a local AWS of its own: schedules that fire, monitoring schedules, alarms."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from infra import stacks
from pipeline import deployment, monitor
from pipeline.deployment import Stack
from pipeline.monitor import Watch
from pipeline.names import Names
from pipeline.registry import Package
from tests.sandbox.test_sagemaker import LAUNCH, SERVER

ACCOUNT, REGION = "123456789012", "us-east-1"
NAMES = Names(ACCOUNT, REGION)
ENDPOINT = NAMES.stack("dev")
SEND = "arn:aws:scheduler:::aws-sdk:sqs:sendMessage"
PROGRAM = """
import json, os, pathlib, boto3
root, seen = pathlib.Path(os.environ["ML_ROOT"]), dict(os.environ)
place = lambda name: root / pathlib.PurePosixPath(seen[name]).relative_to("/opt/ml")
source = place("dataset_source")
files = sorted(path.relative_to(source).as_posix() for path in source.rglob("*.jsonl"))
known = [json.loads(place(name).read_text()) for name in ("baseline_statistics", "baseline_constraints")]
place("output_path").mkdir(parents=True, exist_ok=True)
(place("output_path") / "seen.json").write_text(json.dumps({"files": files, "baseline": known, **seen}))
dimensions = [{"Name": "EndpointName", "Value": seen["sagemaker_endpoint_name"]}]
datum = {"MetricName": "drift_distance_ratio", "Timestamp": seen["end_time"], "Dimensions": dimensions, "Value": 2.0}
boto3.client("cloudwatch").put_metric_data(Namespace="Groundcrew/Monitoring", MetricData=[datum])
(root / "output").mkdir(exist_ok=True)
(root / "output/message").write_text("CompletedWithViolations: Job completed successfully with 1 violations.")
"""


class Account:
    """A running local AWS, its operator, and what may be let happen."""

    def __init__(self, url: str, keys: dict[str, str]) -> None:
        self.url, self._session = url, boto3.Session(**keys)
        self.iam, self.sqs = self.client("iam"), self.client("sqs")
        self.scheduler, self.cloudwatch = self.client("scheduler"), self.client("cloudwatch")
        self.sagemaker, self.s3, self.cloudformation = map(self.client, ("sagemaker", "s3", "cloudformation"))

    def client(self, service: str) -> Any:
        once = Config(retries={"total_max_attempts": 1})
        return self._session.client(service, endpoint_url=self.url, region_name=REGION, config=once)

    def acting(self, role: str) -> Account:
        """The same, as somebody who has taken this role (an ARN)."""
        given = self.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
        names = {"aws_access_key_id": "AccessKeyId", "aws_secret_access_key": "SecretAccessKey"}
        names["aws_session_token"] = "SessionToken"
        return Account(self.url, {name: given[key] for name, key in names.items()})

    def role(self, name: str, service: str, **allowed: str) -> str:
        trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        document = {"Version": "2012-10-17", "Statement": [trust]}
        made = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(document))["Role"]["Arn"]
        rows = [{"Effect": "Allow", "Action": key.replace("_", ":"), "Resource": arn} for key, arn in allowed.items()]
        if rows:
            text = json.dumps({"Version": "2012-10-17", "Statement": rows})
            self.iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=text)
        return str(made)

    def control(self, path: str, body: Any, header: str = "1") -> httpx.Response:
        headers = {"X-Sandbox": header}
        return httpx.post(f"{self.url}/_sandbox/{path}", json=body, headers=headers, trust_env=False, timeout=60)

    def now(self) -> datetime:
        return self.passes()

    def passes(self, **by: float) -> datetime:
        """Let time pass; the account's time then."""
        answer = self.control("clock", {"seconds": timedelta(**by).total_seconds()})
        answer.raise_for_status()
        return datetime.fromisoformat(answer.json()["now"])

    def alarm(self, name: str) -> str:
        return str(self.cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"])


@contextmanager
def local_aws(state: Path, text: str) -> Iterator[Account]:
    """A local AWS whose model server is this Python text."""
    server, images = state / "model_server.py", state / "images.json"
    server.write_text(text)
    images.write_text(json.dumps({"groundcrew": {"serve": ["python3", str(server)]}}))
    process = subprocess.Popen([sys.executable, "-c", LAUNCH, str(images), str(state)], env=dict(os.environ))
    try:
        assert eventually(lambda: (state / "config").exists(), True, 30)
        url = (state / "config").read_text().partition("endpoint_url = ")[2].split()[0]
        keys = dict(line.split(" = ") for line in (state / "credentials").read_text().split("\n\n")[0].splitlines()[1:])
        yield Account(url, keys)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with local_aws(tmp_path_factory.mktemp("aws"), SERVER) as found:
        yield found


@pytest.fixture(autouse=True)
def present(account: Account) -> Iterator[None]:
    """The clock is where the machine's is, before and after."""
    yield
    account.passes(seconds=(datetime.now(UTC) - account.now()).total_seconds())


@pytest.fixture(scope="module")
def queue(account: Account) -> str:
    return str(account.sqs.create_queue(QueueName="fired")["QueueUrl"])


@pytest.fixture(scope="module")
def sender(account: Account, queue: str) -> str:
    return account.role("sender", "scheduler.amazonaws.com", sqs_SendMessage=f"arn:aws:sqs:{REGION}:{ACCOUNT}:fired")


def taken(account: Account, queue: str) -> list[dict[str, Any]]:
    found = []
    while messages := account.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        for each in messages:
            found.append(json.loads(each["Body"]))
            account.sqs.delete_message(QueueUrl=queue, ReceiptHandle=each["ReceiptHandle"])
    return found


def code(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as raised:
        call()
    return str(raised.value.response["Error"]["Code"])


def eventually(read: Callable[[], Any], wanted: Any, seconds: float = 20.0) -> Any:
    """Wait until `read` answers what is wanted; what it answered last."""
    until = time.monotonic() + seconds
    while (found := read()) != wanted and time.monotonic() < until:
        time.sleep(0.05)
    return found


def schedule(queue: str, sender: str, **more: Any) -> dict[str, Any]:
    body = {"at": "<aws.scheduler.scheduled-time>", "id": "<aws.scheduler.execution-id>"}
    target = {"Arn": SEND, "RoleArn": sender, "Input": json.dumps({"QueueUrl": queue, "MessageBody": json.dumps(body)})}
    return {
        "Name": "hourly",
        "ScheduleExpression": "cron(0 * * * ? *)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": target,
        **more,
    }


# Schedules


def test_a_schedule_fires_at_its_time_as_its_role(account: Account, queue: str, sender: str) -> None:
    account.scheduler.create_schedule(**schedule(queue, sender))
    began = account.now()
    account.passes(hours=3)
    fired = taken(account, queue)
    whole = began.replace(minute=0, second=0, microsecond=0)
    assert [each["at"] for each in fired] == [f"{whole + timedelta(hours=n):%Y-%m-%dT%H:%M:%SZ}" for n in (1, 2, 3)]
    assert len({each["id"] for each in fired}) == 3
    account.passes(hours=-3)
    account.passes(hours=1)
    assert [each["at"] for each in taken(account, queue)] == [fired[0]["at"]]
    account.scheduler.update_schedule(**schedule(queue, sender, State="DISABLED"))
    account.passes(hours=2)
    assert account.scheduler.get_schedule(Name="hourly")["State"] == "DISABLED"
    assert taken(account, queue) == []
    answer = account.control("schedules", {"schedule": "default/hourly", "at": "2026-03-01T12:00:00Z"})
    assert answer.status_code == 200
    assert [each["at"] for each in taken(account, queue)] == ["2026-03-01T12:00:00Z"]
    account.scheduler.delete_schedule(Name="hourly")
    assert code(lambda: account.scheduler.get_schedule(Name="hourly")) == "ResourceNotFoundException"


def test_only_this_machine_s_people_move_the_clock(account: Account) -> None:
    assert account.control("clock", {"seconds": 1}, header="").status_code == 403
    for nonsense in ({}, {"seconds": "1"}, {"seconds": 1e9}, [1]):
        assert account.control("clock", nonsense).status_code == 400
    assert account.control("schedules", {"schedule": "default/none"}).status_code == 400


def test_what_the_role_may_not_do_is_not_done_and_is_counted(account: Account, queue: str) -> None:
    powerless = account.role("powerless", "scheduler.amazonaws.com")
    account.scheduler.create_schedule_group(Name="weak", Tags=[{"Key": "Environment", "Value": "dev"}])
    account.scheduler.create_schedule(**schedule(queue, powerless, GroupName="weak"))
    alarm = {
        "AlarmName": "weak-schedule", "Namespace": "AWS/Scheduler", "MetricName": "TargetErrorCount",
        "Dimensions": [{"Name": "ScheduleGroup", "Value": "weak"}], "Statistic": "Sum", "Period": 3600,
        "EvaluationPeriods": 1, "Threshold": 0, "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    }  # fmt: skip
    account.cloudwatch.put_metric_alarm(**alarm)
    account.control("schedules", {"schedule": "weak/hourly"}).raise_for_status()
    assert taken(account, queue) == []

    assert eventually(lambda: account.alarm("weak-schedule"), "ALARM") == "ALARM"
    account.scheduler.delete_schedule_group(Name="weak")
    assert code(lambda: account.scheduler.get_schedule(Name="hourly", GroupName="weak")) == "ResourceNotFoundException"
    account.cloudwatch.delete_alarms(AlarmNames=["weak-schedule"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"ScheduleExpression": "cron(0 * * * * *)"},
        {"ScheduleExpression": "every hour"},
        {"ScheduleExpressionTimezone": "Mars/Olympus"},
        {"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}},
        {"GroupName": "absent"},
        {"Target": {"Arn": "arn:aws:sqs:us-east-1:123456789012:fired"}},
        {"Target": {"Arn": "arn:aws:scheduler:::aws-sdk:sqs:listQueues"}},
        {"Target": {"Arn": "arn:aws:scheduler:::aws-sdk:moon:land"}},
        {"Target": {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/absent"}},
    ],
    ids=str,
)
def test_a_schedule_nobody_could_fire_is_refused(
    account: Account, queue: str, sender: str, wrong: dict[str, Any]
) -> None:
    good = schedule(queue, sender)
    asked = {**good, **wrong, "Target": {**good["Target"], **wrong.get("Target", {})}}
    expected = "ResourceNotFoundException" if "GroupName" in wrong else "ValidationException"
    assert code(lambda: account.scheduler.create_schedule(**asked)) == expected
    assert account.scheduler.list_schedules()["Schedules"] == []


# The deployment's stack


@pytest.fixture(scope="module")
def package(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The account as `infra up` leaves it, with a model that has a baseline."""
    every = stacks.stacks("arn:aws:iam::123456789012:user/operator", NAMES)
    for file in takewhile(lambda file: file.name != "groundcrew-events", every):
        stacks.up(account.cloudformation, file, lambda line: None)
    home = f"dev/models/{'a' * 64}"
    objects = {
        f"{home}/model.tar.gz": archive({"model.json": "{}"}),
        f"{home}/statistics.json": b'{"baseline": "statistics"}',
        f"{home}/constraints.json": b'{"baseline": "constraints"}',
        "dev/code/0/source.tar.gz": archive(dict.fromkeys(("pipeline/__init__.py", "pipeline/steps/__init__.py"), "")
                                            | {"pipeline/steps/monitor.py": PROGRAM}),
    }  # fmt: skip
    for key, data in objects.items():
        account.s3.put_object(Bucket=NAMES.bucket, Key=key, Body=data)
    files = {
        kind: {"S3Uri": f"s3://{NAMES.bucket}/{home}/{kind.lower()}.json"} for kind in ("Statistics", "Constraints")
    }
    return Package(
        arn=NAMES.arn("sagemaker", f"model-package/{NAMES.group('dev')}/1"),
        version=1,
        status="Completed",
        approval="Approved",
        created=datetime.now(UTC),
        model=f"s3://{NAMES.bucket}/{home}/model.tar.gz",
        metadata={"digest": "a" * 64},
        inference={"Containers": [{"Image": NAMES.image()}]},
        metrics={"ModelDataQuality": files},
    )


def archive(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def settled(account: Account) -> Stack:
    def read() -> bool:
        found = deployment.find(account.cloudformation, ENDPOINT)
        return found is not None and not found.busy

    assert eventually(read, True, 60)
    found = deployment.find(account.cloudformation, ENDPOINT)
    assert found is not None
    assert not found.failed, deployment.first_failure(account.cloudformation, found.id)
    return found


@pytest.fixture(scope="module")
def deployed(account: Account, package: Package) -> Stack:
    given = deployment.parameters(
        NAMES, "dev", package, "ml.m5.large", code=f"s3://{NAMES.bucket}/dev/code/0/source.tar.gz"
    )
    url = deployment.publish_template(account.s3, NAMES, "dev")
    deployment.deploy(account.cloudformation, NAMES, "dev", template_url=url, parameters=given, token="1")
    return settled(account)


def change(account: Account, token: str, **changes: str) -> Stack:
    url = deployment.publish_template(account.s3, NAMES, "dev")
    deployment.change(account.cloudformation, NAMES, "dev", template_url=url, changes=changes, token=token)
    return settled(account)


def watch(account: Account, stack: Stack) -> Watch:
    return monitor.watch(account.scheduler, account.sagemaker, stack)


def capture(account: Account, at: datetime, name: str) -> str:
    """A capture file of the hour; its path below the endpoint's."""
    path = f"main/{at:%Y/%m/%d/%H}/{name}.jsonl"
    account.s3.put_object(Bucket=NAMES.bucket, Key=f"dev/capture/{ENDPOINT}/{path}", Body=b"{}\n")
    return path


def seen(account: Account, prefix: str) -> dict[str, Any]:
    """What the monitor's job found around it."""
    body = account.s3.get_object(Bucket=NAMES.bucket, Key=f"dev/monitoring/{prefix}/seen.json")["Body"].read()
    found: dict[str, Any] = json.loads(body)
    return found


def hour(at: datetime) -> datetime:
    """The next full hour."""
    return at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)


def test_a_deployment_is_watched_every_hour_and_two_windows_of_drift_raise_the_alarm(
    account: Account, deployed: Stack
) -> None:
    assert watch(account, deployed) == Watch(f"{ENDPOINT}-monitor", "processing", "on", "cron(0 * ? * * *)", 1)
    assert account.alarm(f"{ENDPOINT}-drift") == "INSUFFICIENT_DATA"
    dimensions = [{"Name": "EndpointName", "Value": ENDPOINT}]
    quiet = {"MetricName": "drift_distance_ratio", "Dimensions": dimensions, "Value": 0.4}
    account.cloudwatch.put_metric_data(Namespace="Groundcrew/Monitoring", MetricData=[quiet])
    assert eventually(lambda: account.alarm(f"{ENDPOINT}-drift"), "OK") == "OK"
    for run in (1, 2):
        until = hour(account.now())
        account.passes(seconds=(until - account.now()).total_seconds() + 5)
        done = ["CompletedWithViolations"] * run
        assert (
            eventually(lambda: [each.status for each in monitor.executions(account.sagemaker, deployed)], done) == done
        )
        wanted = "OK" if run == 1 else "ALARM"
        assert eventually(lambda: account.alarm(f"{ENDPOINT}-drift"), wanted) == wanted
        found = seen(account, f"{ENDPOINT}/{until:%Y-%m-%dT%H:%M:%SZ}")
        assert (found["end_time"], found["WINDOW_HOURS"]) == (f"{until:%Y-%m-%dT%H:%M:%SZ}", "1")
        assert found["baseline"] == [{"baseline": "statistics"}, {"baseline": "constraints"}]
        assert found["CAPTURE_URI"] == f"s3://{NAMES.bucket}/dev/capture/{ENDPOINT}"
    (job, _) = monitor.executions(account.sagemaker, deployed)
    assert job.job.rpartition("/")[2].startswith(f"{ENDPOINT}-monitor-")
    tags = account.sagemaker.list_tags(ResourceArn=job.job)["Tags"]
    assert {"Key": "Environment", "Value": "dev"} in tags
    history = account.cloudwatch.describe_alarm_history(AlarmName=f"{ENDPOINT}-drift", HistoryItemType="StateUpdate")
    told = [each["HistorySummary"] for each in history["AlarmHistoryItems"]]
    assert told == ["Alarm updated from OK to ALARM", "Alarm updated from INSUFFICIENT_DATA to OK"]


def test_paused_it_does_not_look_and_then_does_again(account: Account, deployed: Stack) -> None:
    before = len(monitor.executions(account.sagemaker, deployed))
    paused = change(account, "2", MonitorState="DISABLED")
    account.passes(hours=2)
    assert watch(account, paused).state == "paused"
    assert len(monitor.executions(account.sagemaker, deployed)) == before
    assert watch(account, change(account, "3", MonitorState="ENABLED")).state == "on"


def test_the_program_itself_looks_at_what_was_captured(account: Account, deployed: Stack) -> None:
    code = deployment.publish_code(account.s3, NAMES, "dev")
    without = {"BaselineStatistics": "", "BaselineConstraints": ""}
    given = {name: deployed.parameters[name] for name in (*without, "CodeUri")}
    change(account, "real", CodeUri=code, **without)
    until = hour(account.now())
    capture(account, until - timedelta(minutes=1), "unreadable")
    capture(account, until - timedelta(hours=5), "too old")
    known = {each.job for each in monitor.executions(account.sagemaker, deployed)}
    at = f"{until:%Y-%m-%dT%H:%M:%SZ}"
    account.control("schedules", {"schedule": f"{ENDPOINT}/{ENDPOINT}-monitor", "at": at}).raise_for_status()
    (run,) = (each for each in monitor.executions(account.sagemaker, deployed) if each.job not in known)
    name = run.job.rpartition("/")[2]

    def job() -> dict[str, Any]:
        found: dict[str, Any] = account.sagemaker.describe_processing_job(ProcessingJobName=name)
        return found

    assert eventually(lambda: job()["ProcessingJobStatus"], "Completed", 60) == "Completed", job().get("ExitMessage")
    key = f"dev/monitoring/{ENDPOINT}/{at}/verdict.json"
    verdict = json.loads(account.s3.get_object(Bucket=NAMES.bucket, Key=key)["Body"].read())
    assert (verdict["window"]["end"], verdict["records"], verdict["images"]) == (at, 1, 0)
    assert account.cloudwatch.list_metrics(Namespace="Groundcrew/Monitoring", MetricName="malformed")["Metrics"]
    change(account, "stub", **given)


def test_the_native_schedule_runs_the_same_program(account: Account, deployed: Stack) -> None:
    native = change(account, "4", Monitor="native")
    assert watch(account, native) == Watch(f"{ENDPOINT}-monitor", "native", "on", "cron(0 * ? * * *)", 1)
    until = hour(account.now())
    inside = capture(account, until - timedelta(minutes=1), "inside")
    capture(account, until + timedelta(hours=3), "later")
    account.passes(seconds=(until - account.now()).total_seconds() + 1)

    def runs() -> list[str]:
        return [each.status for each in monitor.executions(account.sagemaker, native)]

    assert eventually(runs, ["CompletedWithViolations"]) == ["CompletedWithViolations"]
    found = seen(account, f"{ENDPOINT}/{ENDPOINT}-monitor/{until:%Y/%m/%d/%H}")
    start = until - timedelta(hours=1)
    assert (found["start_time"], found["end_time"]) == (f"{start:%Y-%m-%dT%H:%M:%SZ}", f"{until:%Y-%m-%dT%H:%M:%SZ}")
    assert f"{ENDPOINT}/{inside}" in found["files"]
    assert not any("later" in name or "too old" in name for name in found["files"])
    assert found["baseline"] == [{"baseline": "statistics"}, {"baseline": "constraints"}]
    assert found["sagemaker_monitoring_schedule_name"] == f"{ENDPOINT}-monitor"
    assert found["publish_cloudwatch_metrics"] == "Enabled"
    account.passes(hours=1)
    (silent, _) = monitor.executions(account.sagemaker, native)
    assert (silent.status, silent.reason, silent.job) == ("Failed", "Job inputs had no data", "")
    described = account.sagemaker.describe_monitoring_schedule(MonitoringScheduleName=f"{ENDPOINT}-monitor")
    assert described["LastMonitoringExecutionSummary"]["MonitoringExecutionStatus"] == "Failed"
    assert watch(account, change(account, "5", MonitorState="DISABLED")).state == "paused"


def native(**more: Any) -> dict[str, Any]:
    definition = {
        "MonitoringInputs": [{"EndpointInput": {"EndpointName": ENDPOINT, "LocalPath": "/opt/ml/processing/input/e"}}],
        "MonitoringOutputConfig": {
            "MonitoringOutputs": [
                {"S3Output": {"S3Uri": f"s3://{NAMES.bucket}/dev/m", "LocalPath": "/opt/ml/processing/output/m"}}
            ]
        },
        "MonitoringResources": {
            "ClusterConfig": {"InstanceType": "ml.t3.medium", "InstanceCount": 1, "VolumeSizeInGB": 30}
        },
        "MonitoringAppSpecification": {"ImageUri": NAMES.image(), "ContainerEntrypoint": ["/bin/true"]},
        "RoleArn": NAMES.role("dev-execution"),
    }
    config = {"ScheduleConfig": {"ScheduleExpression": "cron(0 * ? * * *)"}, "MonitoringJobDefinition": definition}
    return {"MonitoringScheduleName": "once", "MonitoringScheduleConfig": config | more}


@pytest.mark.parametrize(
    ("when", "words"),
    [
        ({"ScheduleExpression": "cron(0 99 ? * * *)"}, "out of range"),
        ({"ScheduleExpression": "cron(30 * ? * * *)"}, "not an hourly or daily"),
        ({"ScheduleExpression": "NOW"}, "NOW needs"),
        (
            {"ScheduleExpression": "NOW", "DataAnalysisStartTime": "-1h", "DataAnalysisEndTime": "-PT0H"},
            "not a duration",
        ),
    ],
)
def test_a_monitoring_schedule_nobody_could_run_is_refused(
    account: Account, deployed: Stack, when: dict[str, str], words: str
) -> None:
    with pytest.raises(ClientError, match=words):
        account.sagemaker.create_monitoring_schedule(**native(ScheduleConfig=when))


def test_a_look_now_happens_once(account: Account, deployed: Stack) -> None:
    capture(account, account.now() - timedelta(hours=1), "before")
    edges = {"DataAnalysisStartTime": "-PT2H", "DataAnalysisEndTime": "-PT0H"}
    account.sagemaker.create_monitoring_schedule(**native(ScheduleConfig={"ScheduleExpression": "NOW", **edges}))

    def runs() -> list[str]:
        found = account.sagemaker.list_monitoring_executions(MonitoringScheduleName="once")
        return [each["MonitoringExecutionStatus"] for each in found["MonitoringExecutionSummaries"]]

    account.passes(hours=2)
    assert eventually(runs, ["Completed"]) == ["Completed"]
    account.sagemaker.stop_monitoring_schedule(MonitoringScheduleName="once")
    described = account.sagemaker.describe_monitoring_schedule(MonitoringScheduleName="once")
    assert described["MonitoringScheduleStatus"] == "Stopped"
    account.sagemaker.delete_monitoring_schedule(MonitoringScheduleName="once")
    assert (
        code(lambda: account.sagemaker.describe_monitoring_schedule(MonitoringScheduleName="once"))
        == "ResourceNotFound"
    )


def test_with_the_stack_everything_goes(account: Account, deployed: Stack) -> None:
    deployment.delete(account.cloudformation, NAMES, "dev", token="6")
    assert eventually(lambda: deployment.find(account.cloudformation, ENDPOINT), None, 60) is None
    assert account.scheduler.list_schedules()["Schedules"] == []
    assert [each["Name"] for each in account.scheduler.list_schedule_groups()["ScheduleGroups"]] == ["default"]
    assert account.sagemaker.list_monitoring_schedules()["MonitoringScheduleSummaries"] == []
    assert account.cloudwatch.describe_alarms()["MetricAlarms"] == []
