"""infra/events.yaml in the local AWS: which event reaches which queue, and that none is lost on the way."""

from __future__ import annotations

import json
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from botocore.exceptions import ClientError

from infra import stacks

if TYPE_CHECKING:
    from sandbox.aws.core import Cloud

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT, REGION = "123456789012", "us-east-1"
FILE = stacks.File("groundcrew-events", ROOT / "infra" / "events.yaml")
EVENTS, CRITICAL, UNDELIVERED = "groundcrew-events", "groundcrew-critical", "groundcrew-events-undelivered"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:groundcrew-budgets"
EXECUTION = "SageMaker Model Building Pipeline Execution Status Change"
STEP = "SageMaker Model Building Pipeline Execution Step Status Change"
ENDPOINT = "SageMaker Endpoint State Change"
ALARM = "CloudWatch Alarm State Change"


class Wires:
    """The deployed queues, and a way to let things happen."""

    def __init__(self, cloud: Cloud, root: dict[str, str]) -> None:
        self.cloud, self.sqs, self.root = cloud, cloud.client("sqs", root), root

    def happens(self, *events: Any) -> dict[str, int]:
        """Publish events as AWS's services do."""
        answer = self.post(list(events))
        answer.raise_for_status()
        told: dict[str, int] = answer.json()
        return told

    def post(self, body: Any, header: str = "1") -> httpx.Response:
        url, headers = f"{self.cloud.endpoint_url}/_sandbox/events", {"X-Sandbox": header}
        return httpx.post(url, json=body, headers=headers, trust_env=False, timeout=30)

    def url(self, queue: str) -> str:
        found: str = self.sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        return found

    def drain(self, queue: str) -> list[dict[str, Any]]:
        """Take all messages off a queue; their bodies."""
        url, bodies = self.url(queue), []
        while messages := self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            bodies += [json.loads(message["Body"]) for message in messages]
            entries = [{"Id": each["MessageId"], "ReceiptHandle": each["ReceiptHandle"]} for each in messages]
            assert not self.sqs.delete_message_batch(QueueUrl=url, Entries=entries).get("Failed")
        return bodies


@pytest.fixture(scope="module")
def wires(cloud: Cloud, root: dict[str, str]) -> Wires:
    stacks.up(cloud.client("cloudformation", root), FILE, lambda line: None)
    return Wires(cloud, root)


@pytest.fixture(autouse=True)
def empty(wires: Wires) -> None:
    """The account is every file's: what their jobs have told is taken off before each test."""
    for queue in (EVENTS, CRITICAL, UNDELIVERED):
        wires.drain(queue)


def sagemaker(kind: str, resource: str, **detail: Any) -> dict[str, Any]:
    arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{resource}"
    return {"source": "aws.sagemaker", "detail-type": kind, "resources": [arn], "detail": detail}


def alarm(name: str, value: str) -> dict[str, Any]:
    arn = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}"
    return {
        "source": "aws.cloudwatch",
        "detail-type": ALARM,
        "resources": [arn],
        "detail": {"alarmName": name, "state": {"value": value}},
    }


def plain(source: str, kind: str) -> dict[str, Any]:
    return {"source": source, "detail-type": kind, "detail": {"x": 1}}


def monitored(role: str) -> dict[str, Any]:
    arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
    return sagemaker("SageMaker Processing Job State Change", "processing-job/model-monitoring-1", RoleArn=arn)


def execution(env: str, status: str) -> dict[str, Any]:
    return sagemaker(EXECUTION, f"pipeline/groundcrew-{env}-detector", currentPipelineExecutionStatus=status)


ONE, BOTH, NONE = {EVENTS}, {EVENTS, CRITICAL}, set[str]()


@pytest.mark.parametrize(
    ("event", "queues"),
    [
        (execution("dev", "Failed"), ONE),
        (execution("prod", "Executing"), ONE),
        (execution("prod", "Failed"), BOTH),
        (execution("prod", "CompletedWithFailures"), BOTH),
        (sagemaker(EXECUTION, "pipeline/somebody-elses", currentPipelineExecutionStatus="Failed"), NONE),
        (sagemaker(STEP, "pipeline/groundcrew-dev-detector/execution/abc"), ONE),
        (sagemaker("SageMaker Training Job State Change", "training-job/groundcrew-dev-train-1"), ONE),
        (sagemaker("SageMaker Training Job Status Change", "training-job/groundcrew-dev-train-1"), NONE),
        (sagemaker("SageMaker Processing Job State Change", "processing-job/groundcrew-prod-monitor-1"), ONE),
        (monitored("groundcrew-dev-execution"), ONE),
        (monitored("somebody-elses"), NONE),
        (sagemaker("SageMaker Transform Job State Change", "transform-job/groundcrew-dev-batch-1"), ONE),
        (
            sagemaker(
                "SageMaker HyperParameter Tuning Job State Change", "hyper-parameter-tuning-job/groundcrew-dev-tune-1"
            ),
            ONE,
        ),
        (sagemaker("SageMaker Model Package State Change", "model-package/groundcrew-staging-detector/3"), ONE),
        (sagemaker("SageMaker Model State Change", "model/groundcrew-dev-x"), NONE),
        (sagemaker(ENDPOINT, "endpoint/groundcrew-prod-detector", EndpointStatus="IN_SERVICE"), ONE),
        (sagemaker(ENDPOINT, "endpoint/groundcrew-prod-detector", EndpointStatus="OUT_OF_SERVICE"), BOTH),
        (sagemaker(ENDPOINT, "endpoint/groundcrew-prod-detector", EndpointStatus="ROLLING_BACK"), BOTH),
        (sagemaker(ENDPOINT, "endpoint/groundcrew-dev-detector", EndpointStatus="FAILED"), ONE),
        (sagemaker("SageMaker Endpoint Deployment State Change", "endpoint/groundcrew-prod-detector"), ONE),
        (alarm("groundcrew-prod-detector-5xx", "ALARM"), BOTH),
        (alarm("groundcrew-prod-detector-5xx", "OK"), ONE),
        (alarm("groundcrew-dev-detector-5xx", "ALARM"), ONE),
        (alarm("somebody-elses", "ALARM"), NONE),
        (plain("aws.ce", "Anomaly Detected"), ONE),
        (plain("aws.health", "AWS Health Event"), ONE),
        (plain("aws.health", "AWS Health Abuse Event"), ONE),
        (plain("aws.s3", "Object Created"), NONE),
    ],
    ids=lambda value: value["detail-type"] if isinstance(value, dict) else "+".join(sorted(value)),
)
def test_an_event_reaches_its_queues_and_no_other(wires: Wires, event: dict[str, Any], queues: set[str]) -> None:
    assert wires.happens(event)["deliveries"] >= len(queues)  # rules that other tests left may take a copy too
    for queue in (EVENTS, CRITICAL):
        bodies = wires.drain(queue)
        assert [body["detail"] for body in bodies] == [event["detail"]] * (queue in queues)
    assert not wires.drain(UNDELIVERED)


def test_a_copy_keeps_what_its_envelope_says(wires: Wires) -> None:
    event = execution("dev", "Failed") | {"id": "e-1", "time": "1583831889050", "account": "999999999999"}
    wires.happens(event, event, event)
    bodies = wires.drain(EVENTS)
    assert [(body["id"], body["time"], body["account"]) for body in bodies] == [
        ("e-1", "1583831889050", "999999999999")
    ] * 3
    wires.happens(execution("dev", "Failed"))
    (filled,) = wires.drain(EVENTS)
    assert (filled["account"], filled["region"], filled["version"]) == (ACCOUNT, REGION, "0")
    assert time.strptime(filled["time"], "%Y-%m-%dT%H:%M:%SZ")


def test_only_this_machine_s_people_let_things_happen(wires: Wires) -> None:
    assert wires.post(execution("dev", "Failed"), header="").status_code == 403
    for nonsense in ([1], {"source": "aws.ce"}, {**plain("aws.ce", "Anomaly Detected"), "detail": "text"}):
        assert wires.post(nonsense).status_code == 400
    events = wires.cloud.client("events", wires.root)
    entry = {"Source": "aws.ce", "DetailType": "Anomaly Detected", "Detail": "{}"}
    (told,) = events.put_events(Entries=[entry])["Entries"]
    assert told["ErrorCode"] == "NotAuthorizedForSourceException"
    assert not wires.drain(EVENTS)


def test_a_budget_s_letter_comes_wrapped_and_another_topic_s_does_not_come(wires: Wires) -> None:
    sns = wires.cloud.client("sns", wires.root)
    sns.publish(TopicArn=TOPIC, Subject="AWS Budgets: gpu", Message="AWS Budget Notification")
    (letter,) = wires.drain(EVENTS)
    assert (letter["Type"], letter["TopicArn"]) == ("Notification", TOPIC)
    assert (letter["Subject"], letter["Message"]) == ("AWS Budgets: gpu", "AWS Budget Notification")
    other = sns.create_topic(Name="other")["TopicArn"]
    sns.subscribe(TopicArn=other, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:{ACCOUNT}:{EVENTS}")
    sns.publish(TopicArn=other, Message="let me in")
    assert not wires.drain(EVENTS)
    sns.delete_topic(TopicArn=other)


def test_a_rule_of_somebody_else_cannot_fill_the_queue(wires: Wires) -> None:
    events = wires.cloud.client("events", wires.root)
    events.put_rule(Name="foreign", EventPattern=json.dumps({"source": ["aws.s3"]}))
    events.put_targets(Rule="foreign", Targets=[{"Id": "q", "Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{EVENTS}"}])
    assert wires.happens(plain("aws.s3", "Object Created"))["deliveries"] >= 1
    assert not wires.drain(EVENTS)
    events.remove_targets(Rule="foreign", Ids=["q"])
    events.delete_rule(Name="foreign")


def test_what_a_rule_cannot_deliver_is_kept_with_the_reason(wires: Wires) -> None:
    url = wires.url(CRITICAL)
    policy = wires.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"]
    wires.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})
    try:
        wires.happens(execution("prod", "Failed"))
    finally:
        wires.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    (kept,) = wires.sqs.receive_message(QueueUrl=wires.url(UNDELIVERED), MessageAttributeNames=["All"])["Messages"]
    why = {name: value["StringValue"] for name, value in kept["MessageAttributes"].items()}
    assert why["ERROR_CODE"] == "NO_PERMISSIONS"
    assert why["RULE_ARN"].endswith("rule/groundcrew-critical-executions")
    wires.sqs.delete_message(QueueUrl=wires.url(UNDELIVERED), ReceiptHandle=kept["ReceiptHandle"])


def test_a_message_nobody_can_read_is_given_up_after_five_receptions(wires: Wires) -> None:
    url = wires.url(EVENTS)
    wires.sqs.send_message(QueueUrl=url, MessageBody='"poison"')
    for _ in range(5):
        (message,) = wires.sqs.receive_message(QueueUrl=url, AttributeNames=["All"])["Messages"]
        wires.sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    assert message["Attributes"]["ApproximateReceiveCount"] == "5"
    assert "Messages" not in wires.sqs.receive_message(QueueUrl=url)
    assert wires.drain(UNDELIVERED) == ["poison"]


def test_a_hidden_message_is_seen_by_nobody_else_and_is_deleted_once(wires: Wires) -> None:
    url = wires.url(EVENTS)
    wires.happens(execution("dev", "Failed"))
    (message,) = wires.sqs.receive_message(QueueUrl=url)["Messages"]
    assert "Messages" not in wires.sqs.receive_message(QueueUrl=url)
    counted = wires.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert (counted["ApproximateNumberOfMessages"], counted["ApproximateNumberOfMessagesNotVisible"]) == ("0", "1")
    for _ in range(2):
        wires.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    with pytest.raises(ClientError, match="ReceiptHandleIsInvalid"):
        wires.sqs.delete_message(QueueUrl=url, ReceiptHandle="nobody's")


def test_whoever_changes_an_attribute_of_a_queue_leaves_its_policy(wires: Wires) -> None:
    url = wires.url(EVENTS)
    before = wires.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]
    wires.sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "61"})
    wires.sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "60"})
    assert wires.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"] == before
    wires.happens(alarm("groundcrew-dev-detector-5xx", "ALARM"))
    assert len(wires.drain(EVENTS)) == 1


def test_a_waiting_reader_is_woken_by_the_first_message(wires: Wires) -> None:
    teller = threading.Timer(0.3, wires.happens, [execution("dev", "Failed")])
    teller.start()
    began = time.monotonic()
    found = wires.sqs.receive_message(QueueUrl=wires.url(EVENTS), WaitTimeSeconds=20)["Messages"]
    assert len(found) == 1
    assert time.monotonic() - began < 10
    teller.join()
    wires.sqs.delete_message(QueueUrl=wires.url(EVENTS), ReceiptHandle=found[0]["ReceiptHandle"])


def test_nothing_is_lost_while_others_are_deleted_and_a_backlog_costs_no_more(wires: Wires) -> None:
    wires.happens(*(execution("dev", "Failed") | {"id": f"old-{each}"} for each in range(5000)))
    ids, url = [str(uuid.uuid4()) for _ in range(500)], wires.url(EVENTS)

    def tell() -> None:
        for start in range(0, len(ids), 10):
            wires.happens(*(execution("dev", "Failed") | {"id": each} for each in ids[start : start + 10]))

    teller = threading.Thread(target=tell)
    teller.start()
    began = time.process_time()
    for _ in range(100):  # a thousand messages from before a backlog of thousands
        messages = wires.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
        entries = [{"Id": each["MessageId"], "ReceiptHandle": each["ReceiptHandle"]} for each in messages]
        wires.sqs.delete_message_batch(QueueUrl=url, Entries=entries)
    teller.join()
    spent = time.process_time() - began
    left = wires.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert left["ApproximateNumberOfMessages"] == str(5000 + len(ids) - 1000)
    assert spent < 8, "a message must cost the same however many others wait"
    wires.sqs.purge_queue(QueueUrl=url)


def test_an_alarm_begins_without_data_and_its_changes_are_told_once(wires: Wires) -> None:
    cloudwatch = wires.cloud.client("cloudwatch", wires.root)
    name = "groundcrew-prod-detector-5xx"
    definition = {
        "AlarmName": name,
        "Namespace": "AWS/SageMaker",
        "MetricName": "Invocation5XXErrors",
        "Dimensions": [{"Name": "EndpointName", "Value": "groundcrew-prod-detector"}],
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "ignore",
    }
    cloudwatch.put_metric_alarm(**definition)
    (found,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert found["StateValue"] == "INSUFFICIENT_DATA"
    for reason in ("five errors", "six errors"):
        data = json.dumps({"version": "1.0"})
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason=reason, StateReasonData=data)
    cloudwatch.put_metric_alarm(**definition | {"Threshold": 2})
    assert cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"] == "ALARM"
    wires.cloud.events.settle()
    (told,) = wires.drain(CRITICAL)
    assert len(wires.drain(EVENTS)) == 1
    assert told["resources"] == [f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}"]
    detail = told["detail"]
    assert (detail["alarmName"], detail["previousState"]["value"]) == (name, "INSUFFICIENT_DATA")
    assert (detail["state"]["value"], detail["state"]["reason"]) == ("ALARM", "five errors")
    assert json.loads(detail["state"]["reasonData"]) == {"version": "1.0"}
    assert detail["state"]["timestamp"].endswith("+0000")
    (metric,) = detail["configuration"]["metrics"]
    assert metric["metricStat"]["metric"]["dimensions"] == {"EndpointName": "groundcrew-prod-detector"}
    cloudwatch.delete_alarms(AlarmNames=[name])


def test_the_stack_changes_nothing_the_second_time_and_goes_as_it_came(wires: Wires) -> None:
    cloudformation = wires.cloud.client("cloudformation", wires.root)
    said: list[str] = []
    stacks.up(cloudformation, FILE, said.append)
    assert said == ["groundcrew-events: nothing to change"]
    stacks.down(cloudformation, FILE, said.append)
    sns, events = wires.cloud.client("sns", wires.root), wires.cloud.client("events", wires.root)
    assert not sns.list_topics()["Topics"]
    assert not sns.list_subscriptions()["Subscriptions"]
    assert not [rule for rule in events.list_rules()["Rules"] if rule["Name"].startswith("groundcrew-")]
    stacks.up(cloudformation, FILE, said.append)
