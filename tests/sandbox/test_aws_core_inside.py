"""What services may do inside the local AWS: take roles, speak as AWS, write logs; and what the clock does to keys."""

from __future__ import annotations

import dataclasses
import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from sandbox.aws.core import Cloud

REGION = "us-east-1"
EXECUTION = "arn:aws:iam::123456789012:role/execution"


@pytest.fixture(scope="module", autouse=True)
def role(cloud: Cloud, root: dict[str, str]) -> None:
    service = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    stamped = service | {"Action": "sts:SetSourceIdentity", "Principal": {"Service": "cloudformation.amazonaws.com"}}
    trust = [service, stamped, service | {"Principal": stamped["Principal"]}]
    trust.append(service | {"Principal": {"AWS": "arn:aws:iam::123456789012:root"}})
    iam = cloud.client("iam", root)
    iam.create_role(RoleName="execution", AssumeRolePolicyDocument=document(trust))
    rights = {"Effect": "Allow", "Action": ["sqs:ListQueues", "s3:GetObject"], "Resource": "*"}
    iam.put_role_policy(RoleName="execution", PolicyName="p", PolicyDocument=document([rights]))


def document(statements: list[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def code(call: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    found: str = caught.value.response["Error"]["Code"]
    return found


def test_a_service_takes_a_role_that_names_it(cloud: Cloud) -> None:
    from sandbox.aws.sts import RoleRefused

    keys = cloud.assume_service_role(EXECUTION, "sagemaker.amazonaws.com", "job/1 of 2")
    arn = cloud.client("sts", keys).get_caller_identity()["Arn"]
    assert arn == "arn:aws:sts::123456789012:assumed-role/execution/job-1-of-2"
    assert cloud.client("sqs", keys).list_queues()["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert code(lambda: cloud.client("sqs", keys).create_queue(QueueName="q")) == "AccessDeniedException"
    for arn, service in ((EXECUTION, "events.amazonaws.com"), (EXECUTION + "-not", "sagemaker.amazonaws.com")):
        with pytest.raises(RoleRefused):
            cloud.assume_service_role(arn, service, "s")


def test_a_service_stamps_only_where_trust_allows_it(cloud: Cloud) -> None:
    from sandbox.aws.sts import RoleRefused

    keys = cloud.assume_service_role(EXECUTION, "cloudformation.amazonaws.com", "stack", "T0GC.U0ML1")
    principal = cloud.directory.find(keys["AccessKeyId"])
    assert principal is not None and principal.source_identity == "T0GC.U0ML1"
    with pytest.raises(RoleRefused):
        cloud.assume_service_role(EXECUTION, "sagemaker.amazonaws.com", "job", "T0GC.U0ML1")


def test_expired_keys_are_refused_in_each_dialect(cloud: Cloud) -> None:
    keys = cloud.assume_service_role(EXECUTION, "sagemaker.amazonaws.com", "late")
    principal = cloud.directory.find(keys["AccessKeyId"])
    assert principal is not None and principal.session is not None
    ended = datetime.now(UTC) - timedelta(seconds=1)
    cloud.directory.add(dataclasses.replace(principal.session, expires=ended))
    assert code(lambda: cloud.client("sqs", keys).list_queues()) == "ExpiredTokenException"
    assert code(lambda: cloud.client("sts", keys).get_caller_identity()) == "ExpiredToken"
    assert code(lambda: cloud.client("s3", keys).list_buckets()) == "ExpiredToken"


def test_revoked_sessions_lose_their_rights(cloud: Cloud, root: dict[str, str]) -> None:
    keys = cloud.assume_service_role(EXECUTION, "sagemaker.amazonaws.com", "revoked")
    later = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    revoke = {"DateLessThan": {"aws:TokenIssueTime": later}}
    statement = {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": revoke}
    iam = cloud.client("iam", root)
    iam.put_role_policy(RoleName="execution", PolicyName="revoke", PolicyDocument=document([statement]))
    assert code(lambda: cloud.client("sqs", keys).list_queues()) == "AccessDeniedException"
    iam.delete_role_policy(RoleName="execution", PolicyName="revoke")
    assert cloud.client("sqs", keys).list_queues()["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_absence_is_told_to_those_who_may_list(cloud: Cloud, root: dict[str, str]) -> None:
    cloud.client("s3", root).create_bucket(Bucket="quiet-bucket")
    keys = cloud.assume_service_role(EXECUTION, "sagemaker.amazonaws.com", "reader")
    assert code(lambda: cloud.client("s3", keys).get_object(Bucket="quiet-bucket", Key="k")) == "AccessDenied"
    assert code(lambda: cloud.client("s3", root).get_object(Bucket="quiet-bucket", Key="k")) == "NoSuchKey"


def test_emit_reaches_a_queue_whose_policy_lets_it(cloud: Cloud, root: dict[str, str]) -> None:
    sqs, events = cloud.client("sqs", root), cloud.client("events", root)
    urls = {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("open", "shut")}
    arns = {name: f"arn:aws:sqs:{REGION}:123456789012:{name}" for name in urls}
    rule = events.put_rule(Name="jobs", EventPattern='{"source":["aws.sagemaker"]}')["RuleArn"]
    events.put_targets(Rule="jobs", Targets=[{"Id": name, "Arn": arns[name]} for name in ("shut", "open")])
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arns["open"],
        "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
    }
    sqs.set_queue_attributes(QueueUrl=urls["open"], Attributes={"Policy": document([statement])})
    cloud.emit("aws.sagemaker", "SageMaker Training Job State Change", ["arn:job"], {"TrainingJobName": "j"})
    body = json.loads(sqs.receive_message(QueueUrl=urls["open"], WaitTimeSeconds=5)["Messages"][0]["Body"])
    assert body["detail"] == {"TrainingJobName": "j"}
    assert (body["account"], body["resources"]) == ("123456789012", ["arn:job"])
    assert time.strptime(body["time"], "%Y-%m-%dT%H:%M:%SZ")
    assert "Messages" not in sqs.receive_message(QueueUrl=urls["shut"])


def test_services_write_logs(cloud: Cloud, root: dict[str, str]) -> None:
    cloud.log_lines("/aws/sagemaker/TrainingJobs", "j/algo-1", ["one", "", "two"])
    cloud.log_lines("/aws/sagemaker/TrainingJobs", "j/algo-1", [])
    logs = cloud.client("logs", root)
    found = logs.get_log_events(logGroupName="/aws/sagemaker/TrainingJobs", logStreamName="j/algo-1")
    assert [event["message"] for event in found["events"]] == ["one", "two"]


def test_tags_reach_conditions_through_readers(cloud: Cloud, root: dict[str, str]) -> None:
    sqs = cloud.client("sqs", root)
    for name, team in (("ours", "survey"), ("theirs", "other")):
        sqs.create_queue(QueueName=name, tags={"team": team})
    iam = cloud.client("iam", root)
    iam.create_user(UserName="tagged")
    condition = {"StringEquals": {"aws:ResourceTag/team": "survey"}}
    statement = {"Effect": "Allow", "Action": "sqs:*", "Resource": "*", "Condition": condition}
    iam.put_user_policy(UserName="tagged", PolicyName="p", PolicyDocument=document([statement]))
    client = cloud.client("sqs", iam.create_access_key(UserName="tagged")["AccessKey"])
    assert client.get_queue_url(QueueName="ours")["QueueUrl"].endswith("/ours")
    assert code(lambda: client.get_queue_url(QueueName="theirs")) == "AccessDeniedException"


def test_our_own_response_class_answers_and_knows_its_caller(cloud: Cloud, root: dict[str, str]) -> None:
    from moto.core.responses import ActionResult, BaseResponse

    seen: list[Any] = []

    class Scaling(BaseResponse):
        def __init__(self) -> None:
            super().__init__(service_name="application-autoscaling")
            self.automated_parameter_parsing = True

        def describe_scalable_targets(self) -> ActionResult:
            seen.append((cloud.caller().arn, cloud.call().params["ServiceNamespace"]))
            if cloud.call().params.get("ResourceIds"):
                raise NotImplementedError
            return ActionResult({"ScalableTargets": []})

    cloud.responses["application-autoscaling"] = Scaling
    client = cloud.client("application-autoscaling", root)
    assert client.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
    assert seen == [("arn:aws:iam::123456789012:root", "sagemaker")]
    missing = {"ServiceNamespace": "sagemaker", "ResourceIds": ["x"]}
    assert code(lambda: client.describe_scalable_targets(**missing)) == "UnknownOperationException"
    del cloud.responses["application-autoscaling"]
    with pytest.raises(LookupError):
        cloud.caller()


def test_stop_hooks_run_once_and_outlive_a_failure(caplog: pytest.LogCaptureFixture, tmp_path: Any) -> None:
    from sandbox.aws.core import Cloud

    order: list[str] = []
    cloud = Cloud("123456789012", REGION, tmp_path, 1)
    cloud.on_stop(lambda: order.append("first registered"))
    cloud.on_stop(lambda: 1 / 0)  # type: ignore[arg-type]
    cloud.on_stop(lambda: order.append("last registered"))
    cloud.stop()
    cloud.stop()
    assert order == ["last registered", "first registered"]
    assert "stop hook failed" in caplog.text


def test_a_client_of_the_account_ignores_the_environment(
    cloud: Cloud, root: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAZZZZZZZZZZZZZZZZ")
    assert cloud.client("sts", root).get_caller_identity()["Account"] == "123456789012"
    assert boto3.DEFAULT_SESSION is None
