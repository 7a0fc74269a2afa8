"""The local AWS over its socket: every layer of a decision in both directions, sessions, signatures, errors."""

from __future__ import annotations

import datetime
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

ACCOUNT, REGION = "123456789012", "us-east-1"
GROUP_ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model-package-group"


class Aws:
    """A running stand-in and clients that sign with keys of one's choice."""

    def __init__(self, url: str, state: Path) -> None:
        self.url = url
        self.state = state
        self.root: dict[str, str] = json.loads((state / "root.json").read_text())

    def client(self, service: str, keys: dict[str, str] | None = None, **config: Any) -> Any:
        keys = keys or self.root
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys.get("SessionToken"),
            config=Config(retries={"max_attempts": 0}, **config),
        )

    def profile(self, name: str) -> dict[str, str]:
        text = (self.state / "credentials").read_text()
        found = re.search(rf"\[{name}\]\naws_access_key_id = (\S+)\naws_secret_access_key = (\S+)", text)
        assert found is not None
        return {"AccessKeyId": found[1], "SecretAccessKey": found[2]}

    def user(self, name: str, *statements: dict[str, Any]) -> dict[str, str]:
        iam = self.client("iam")
        iam.create_user(UserName=name)
        if statements:
            iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document(*statements))
        return iam.create_access_key(UserName=name)["AccessKey"]

    def role(self, name: str, trust: list[dict[str, Any]], *statements: dict[str, Any], **more: Any) -> str:
        iam = self.client("iam")
        arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(*trust), **more)["Role"]["Arn"]
        if statements:
            iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document(*statements))
        return arn

    def assume(self, keys: dict[str, str], arn: str, **more: Any) -> dict[str, str]:
        name = more.pop("RoleSessionName", "U0DS1-12345678")
        return self.client("sts", keys).assume_role(RoleArn=arn, RoleSessionName=name, **more)["Credentials"]

    def calls(self, **query: str) -> list[dict[str, Any]]:
        args = "&".join(f"{k}={v}" for k, v in query.items())
        with urllib.request.urlopen(f"{self.url}/_sandbox/calls?{args}") as answer:
            return json.load(answer)


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: str | list[str], resource: str | list[str] = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: str | list[str], resource: str | list[str] = "*", **more: Any) -> dict[str, Any]:
    return allow(action, resource, **more) | {"Effect": "Deny"}


def trusts(principal: dict[str, str] | str, action: Any = "sts:AssumeRole", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": principal, "Action": action, **more}


def refused(call: Any, code: str, *parts: str) -> ClientError:
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    for part in parts:
        assert part in error["Message"], error
    return caught.value


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    state = tmp_path_factory.mktemp("aws")
    command = [sys.executable, "-m", "sandbox.aws", "--port", "0", "--state", str(state)]
    root = Path(__file__).parents[2]
    process = subprocess.Popen(command, cwd=root, env={"PATH": os.environ["PATH"], "HOME": str(state)})
    config = state / "config"
    deadline = time.monotonic() + 30
    while not config.exists():
        assert process.poll() is None, "the stand-in ended while it started"
        assert time.monotonic() < deadline, "the stand-in did not start"
        time.sleep(0.02)
    found = re.search(r"endpoint_url = (http://127\.0\.0\.1:\d+)", config.read_text())
    assert found is not None
    with urllib.request.urlopen(f"{found[1]}/_sandbox/health") as answer:
        assert json.load(answer)["status"] == "ok"
    yield Aws(found[1], state)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


@pytest.fixture(scope="module")
def bot(aws: Aws) -> dict[str, str]:
    """A user who may take any role, and tag and stamp the session."""
    return aws.user("tester", allow(["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]))


@pytest.fixture(scope="module")
def everyone() -> dict[str, Any]:
    """A trust statement for all of the account."""
    actions = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]
    return trusts({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, actions)


# --- identity policies, boundary, session policy -----------------------------------------------------------------


def test_arn_scoped_allow_and_its_denial_in_aws_words(aws: Aws, bot: dict[str, str], everyone: dict[str, Any]) -> None:
    role = aws.role("scoped", [everyone], allow("sagemaker:*ModelPackageGroup", f"{GROUP_ARN}/mine-*"))
    client = aws.client("sagemaker", aws.assume(bot, role))
    client.create_model_package_group(ModelPackageGroupName="mine-1")
    arn = f"{GROUP_ARN}/theirs"
    error = refused(
        lambda: client.create_model_package_group(ModelPackageGroupName="theirs"),
        "AccessDeniedException",
        f"User: arn:aws:sts::{ACCOUNT}:assumed-role/scoped/U0DS1-12345678 is not authorized to perform: "
        f"sagemaker:CreateModelPackageGroup on resource: {arn} because no identity-based policy allows the "
        "sagemaker:CreateModelPackageGroup action",
    )
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    refused(lambda: client.list_model_package_groups(), "AccessDeniedException", "on resource: *")


def test_boundary_limits_but_grants_nothing(aws: Aws, bot: dict[str, str], everyone: dict[str, Any]) -> None:
    iam = aws.client("iam")
    boundary = iam.create_policy(PolicyName="edge", PolicyDocument=document(allow("s3:*"), deny("s3:DeleteBucket")))
    arn = boundary["Policy"]["Arn"]
    wide = aws.assume(bot, aws.role("wide", [everyone], allow("*"), PermissionsBoundary=arn))
    empty = aws.assume(bot, aws.role("empty", [everyone], PermissionsBoundary=arn))
    aws.client("s3", wide).list_buckets()
    refused(
        lambda: aws.client("sqs", wide).list_queues(), "AccessDeniedException", "because no permissions boundary allows"
    )
    refused(
        lambda: aws.client("s3", wide).delete_bucket(Bucket="any-bucket"),
        "AccessDenied",
        "with an explicit deny in a permissions boundary",
    )
    refused(lambda: aws.client("s3", empty).list_buckets(), "AccessDenied", "because no identity-based policy allows")


def test_session_policy_limits_but_grants_nothing(aws: Aws, bot: dict[str, str], everyone: dict[str, Any]) -> None:
    role = aws.role("narrowed", [everyone], allow("sqs:*"))
    keys = aws.assume(bot, role, Policy=document(allow(["sqs:ListQueues", "s3:*"])))
    aws.client("sqs", keys).list_queues()
    refused(
        lambda: aws.client("sqs", keys).create_queue(QueueName="q"),
        "AccessDeniedException",
        "because no session policy allows",
    )
    refused(lambda: aws.client("s3", keys).list_buckets(), "AccessDenied", "because no identity-based policy allows")
    refused(lambda: aws.assume(bot, role, Policy="{"), "MalformedPolicyDocument")
    refused(lambda: aws.assume(bot, role, Policy=document(allow("s3:" + "x" * 2048))), "ValidationError")


def test_explicit_deny_wins_and_a_missing_key_does_not_fire_it(
    aws: Aws, bot: dict[str, str], everyone: dict[str, Any]
) -> None:
    condition = {"StringEquals": {"aws:PrincipalTag/approval": "none"}}
    role = aws.role("denied", [everyone], allow("sqs:*"), deny("sqs:ListQueues", Condition=condition))
    aws.client("sqs", aws.assume(bot, role)).list_queues()
    tagged = aws.assume(bot, role, Tags=[{"Key": "approval", "Value": "none"}])
    refused(
        lambda: aws.client("sqs", tagged).list_queues(),
        "AccessDeniedException",
        "with an explicit deny in an identity-based policy",
    )


def test_tags_and_instance_types_in_conditions(aws: Aws, bot: dict[str, str], everyone: dict[str, Any]) -> None:
    role = aws.role(
        "conditional",
        [everyone],
        allow("sagemaker:CreateModelPackageGroup", Condition={"StringEquals": {"aws:RequestTag/Environment": "dev"}}),
        allow("sagemaker:AddTags"),
    )
    client = aws.client("sagemaker", aws.assume(bot, role))
    dev = [{"Key": "Environment", "Value": "dev"}]
    client.create_model_package_group(ModelPackageGroupName="tagged-dev", Tags=dev)
    prod = [{"Key": "Environment", "Value": "prod"}]
    refused(
        lambda: client.create_model_package_group(ModelPackageGroupName="tagged-prod", Tags=prod),
        "AccessDeniedException",
    )
    refused(lambda: client.create_model_package_group(ModelPackageGroupName="untagged"), "AccessDeniedException")


def test_creating_with_tags_needs_add_tags(aws: Aws, bot: dict[str, str], everyone: dict[str, Any]) -> None:
    role = aws.role("untagging", [everyone], allow("sagemaker:CreateModelPackageGroup"))
    client = aws.client("sagemaker", aws.assume(bot, role))
    client.create_model_package_group(ModelPackageGroupName="plain")
    refused(
        lambda: client.create_model_package_group(ModelPackageGroupName="fancy", Tags=[{"Key": "a", "Value": "b"}]),
        "AccessDeniedException",
        "sagemaker:AddTags",
    )


def test_endpoint_needs_endpoint_and_config(aws: Aws, bot: dict[str, str], everyone: dict[str, Any]) -> None:
    arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:"
    role = aws.role("half", [everyone], allow("sagemaker:CreateEndpoint", f"{arn}endpoint/e"))
    client = aws.client("sagemaker", aws.assume(bot, role))
    refused(
        lambda: client.create_endpoint(EndpointName="e", EndpointConfigName="c"),
        "AccessDeniedException",
        f"{arn}endpoint-config/c",
    )


# --- PassRole ----------------------------------------------------------------------------------------------------


def test_pass_role_is_asked_for_the_role_and_the_service(
    aws: Aws, bot: dict[str, str], everyone: dict[str, Any]
) -> None:
    target = aws.role("execution", [trusts({"Service": "sagemaker.amazonaws.com"})])
    other = aws.role("deployer", [trusts({"Service": "cloudformation.amazonaws.com"})])
    passing = {"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}}
    role = aws.role(
        "passing",
        [everyone],
        allow(["sagemaker:CreatePipeline", "cloudformation:CreateStack"]),
        allow("iam:PassRole", other, Condition=passing),
    )
    keys = aws.assume(bot, role)
    definition = json.dumps({"Version": "2020-12-01", "Parameters": [], "Steps": []})
    more = {"PipelineName": "p", "PipelineDefinition": definition, "ClientRequestToken": "x" * 32}
    for arn in (target, other):
        refused(
            lambda arn=arn: aws.client("sagemaker", keys).create_pipeline(RoleArn=arn, **more),
            "AccessDeniedException",
            f"iam:PassRole on resource: {arn}",
        )
    refused(
        lambda: aws.client("cloudformation", keys).create_stack(StackName="s", TemplateBody="{}", RoleARN=target),
        "AccessDenied",
        f"iam:PassRole on resource: {target}",
    )


# --- resource policies -------------------------------------------------------------------------------------------


def test_only_the_loader_writes_the_data_bucket(aws: Aws, bot: dict[str, str], everyone: dict[str, Any]) -> None:
    bucket = "lucaskle-ab3-project-pv"
    loader = aws.role("groundcrew-loader", [everyone], allow("s3:*"))
    aws.client("s3", aws.assume(bot, loader)).put_object(Bucket=bucket, Key="survey/a.jpg", Body=b"x")
    operator = aws.client("s3", aws.profile("ab"))
    assert operator.get_object(Bucket=bucket, Key="survey/a.jpg")["Body"].read() == b"x"
    for change in (
        lambda: operator.put_object(Bucket=bucket, Key="survey/b.jpg", Body=b"x"),
        lambda: operator.delete_object(Bucket=bucket, Key="survey/a.jpg"),
        lambda: operator.copy_object(Bucket=bucket, Key="c", CopySource=f"{bucket}/survey/a.jpg"),
        lambda: operator.create_multipart_upload(Bucket=bucket, Key="survey/b.jpg"),
    ):
        refused(change, "AccessDenied", "with an explicit deny in a resource-based policy")


def test_a_bucket_policy_can_grant(aws: Aws) -> None:
    keys, s3 = aws.user("reader"), aws.client("s3")
    s3.create_bucket(Bucket="shared-bucket")
    s3.put_object(Bucket="shared-bucket", Key="k", Body=b"1")
    refused(lambda: aws.client("s3", keys).get_object(Bucket="shared-bucket", Key="k"), "AccessDenied")
    statement = trusts({"AWS": f"arn:aws:iam::{ACCOUNT}:user/reader"}, "s3:GetObject")
    statement["Resource"] = "arn:aws:s3:::shared-bucket/*"
    s3.put_bucket_policy(Bucket="shared-bucket", Policy=document(statement))
    assert aws.client("s3", keys).get_object(Bucket="shared-bucket", Key="k")["Body"].read() == b"1"
    refused(lambda: aws.client("s3", keys).list_objects_v2(Bucket="shared-bucket"), "AccessDenied", "s3:ListBucket")


def test_the_mlflow_key_reaches_artifacts_only(aws: Aws) -> None:
    aws.client("s3").create_bucket(Bucket="groundcrew-x")
    s3 = aws.client("s3", aws.profile("mlflow"))
    s3.put_object(Bucket="groundcrew-x", Key="dev/mlflow/1/a.txt", Body=b"a")
    assert s3.list_objects_v2(Bucket="groundcrew-x", Prefix="dev/mlflow/1")["KeyCount"] == 1
    refused(lambda: s3.put_object(Bucket="groundcrew-x", Key="dev/models/a", Body=b"a"), "AccessDenied")
    refused(lambda: s3.list_objects_v2(Bucket="groundcrew-x"), "AccessDenied")
    refused(lambda: aws.client("sqs", aws.profile("mlflow")).list_queues(), "AccessDeniedException")


# --- AssumeRole --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "statements", "arguments", "allowed"),
    [
        ("root", [trusts({"AWS": f"arn:aws:iam::{ACCOUNT}:root"})], {}, True),
        ("account", [trusts({"AWS": ACCOUNT})], {}, True),
        ("myself", [trusts({"AWS": f"arn:aws:iam::{ACCOUNT}:user/tester"})], {}, True),
        ("other", [trusts({"AWS": f"arn:aws:iam::{ACCOUNT}:user/x"})], {}, False),
        ("service", [trusts({"Service": "sagemaker.amazonaws.com"})], {}, False),
        ("second", [trusts({"AWS": f"arn:aws:iam::{ACCOUNT}:user/x"}), trusts("*")], {}, True),
        ("deny", [trusts("*"), trusts("*") | {"Effect": "Deny"}], {}, False),
        ("external", [trusts("*", Condition={"StringEquals": {"sts:ExternalId": "abc"}})], {}, False),
        (
            "external-ok",
            [trusts("*", Condition={"StringEquals": {"sts:ExternalId": "abc"}})],
            {"ExternalId": "abc"},
            True,
        ),
        ("unstamped", [trusts("*", "sts:*", Condition={"StringLike": {"sts:SourceIdentity": "T0GC.*"}})], {}, False),
        (
            "stamped",
            [trusts("*", "sts:*", Condition={"StringLike": {"sts:SourceIdentity": "T0GC.*"}})],
            {"SourceIdentity": "T0GC.U0DS1"},
            True,
        ),
        ("no-stamp-right", [trusts("*")], {"SourceIdentity": "T0GC.U0DS1"}, False),
        ("no-tag-right", [trusts("*")], {"Tags": [{"Key": "approval", "Value": "1"}]}, False),
        ("too-long", [trusts("*")], {"DurationSeconds": 7200}, False),
    ],
)
def test_trust(
    aws: Aws, bot: dict[str, str], name: str, statements: list[Any], arguments: dict[str, Any], allowed: bool
) -> None:
    arn = aws.role(f"trust-{name}", statements)
    if allowed:
        aws.assume(bot, arn, **arguments)
    else:
        refused(lambda: aws.assume(bot, arn, **arguments), "ValidationError" if name == "too-long" else "AccessDenied")


def test_a_caller_needs_its_own_right_unless_it_is_named(aws: Aws) -> None:
    keys = aws.user("nobody")
    account = aws.role("for-account", [trusts({"AWS": ACCOUNT})])
    named = aws.role("for-nobody", [trusts({"AWS": f"arn:aws:iam::{ACCOUNT}:user/nobody"})])
    refused(lambda: aws.assume(keys, account), "AccessDenied", "because no identity-based policy allows")
    aws.assume(keys, named)
    refused(lambda: aws.assume(keys, f"arn:aws:iam::{ACCOUNT}:role/nope"), "AccessDenied", "sts:AssumeRole")


def test_identity_and_tags_travel_along_a_chain(aws: Aws, bot: dict[str, str], everyone: dict[str, Any]) -> None:
    rights = allow(["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"])
    first = aws.role("first", [everyone], rights, MaxSessionDuration=7200)
    team = {"StringEquals": {"aws:PrincipalTag/approval": "7", "aws:SourceIdentity": "T0GC.U0ML1"}}
    second = aws.role("second", [everyone], allow("sqs:ListQueues", Condition=team))
    tags = [{"Key": "approval", "Value": "7"}, {"Key": "requester", "Value": "U0DS1"}]
    keys = aws.assume(
        bot, first, SourceIdentity="T0GC.U0ML1", Tags=tags, TransitiveTagKeys=["approval"], DurationSeconds=7200
    )
    chained = aws.assume(keys, second)
    aws.client("sqs", chained).list_queues()
    refused(lambda: aws.assume(keys, second, SourceIdentity="T0GC.OTHER"), "AccessDenied")
    refused(lambda: aws.assume(keys, second, DurationSeconds=3601), "ValidationError", "chaining")
    refused(lambda: aws.assume(keys, second, Tags=[{"Key": "approval", "Value": "8"}]), "InvalidParameterValue")
    identity = aws.client("sts", chained).get_caller_identity()
    assert identity["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/second/U0DS1-12345678"
    record = [r for r in aws.calls(source_identity="T0GC.U0ML1") if r["eventName"] == "ListQueues"][-1]
    assert record["userIdentity"]["arn"] == identity["Arn"]
    assert record["userIdentity"]["sessionContext"]["sourceIdentity"] == "T0GC.U0ML1"
    assert "errorCode" not in record
    refused(lambda: aws.client("sqs", aws.assume(bot, second)).list_queues(), "AccessDeniedException")


# --- signatures, keys, expiry ------------------------------------------------------------------------------------


def test_wrong_secret_token_or_key(aws: Aws, bot: dict[str, str], everyone: dict[str, Any]) -> None:
    keys = aws.assume(bot, aws.role("signing", [everyone], allow("*")))
    wrong = {**keys, "SecretAccessKey": "x" * 40}
    refused(lambda: aws.client("sagemaker", wrong).list_models(), "InvalidSignatureException")
    refused(lambda: aws.client("sts", wrong).get_caller_identity(), "SignatureDoesNotMatch")
    refused(lambda: aws.client("s3", wrong).list_buckets(), "SignatureDoesNotMatch")
    refused(lambda: aws.client("iam", {**aws.root, "SecretAccessKey": "x" * 40}).list_users(), "SignatureDoesNotMatch")
    tokenless = {name: keys[name] for name in ("AccessKeyId", "SecretAccessKey")}
    refused(lambda: aws.client("sagemaker", tokenless).list_models(), "UnrecognizedClientException")
    refused(lambda: aws.client("s3", {**tokenless, "SessionToken": "other"}).list_buckets(), "InvalidAccessKeyId")
    refused(
        lambda: aws.client("sqs", {**aws.root, "AccessKeyId": "AKIA" + "0" * 16}).list_queues(),
        "UnrecognizedClientException",
    )
    aws.client("sagemaker", keys).list_models()


def test_a_deactivated_key_is_refused(aws: Aws) -> None:
    keys = aws.user("leaver", allow("sqs:*"))
    aws.client("sqs", keys).list_queues()
    aws.client("iam").update_access_key(UserName="leaver", AccessKeyId=keys["AccessKeyId"], Status="Inactive")
    refused(lambda: aws.client("sqs", keys).list_queues(), "UnrecognizedClientException")


def test_rest_gets_and_odd_keys_are_signed(aws: Aws) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="odd-bucket")
    for key in ("a b/ü+%.txt", "plain", "x=1&y=2", "deep//slash", "tilde~(1)*'!"):
        s3.put_object(Bucket="odd-bucket", Key=key, Body=key.encode(), Metadata={"a": "b"})
        assert s3.get_object(Bucket="odd-bucket", Key=key)["Body"].read() == key.encode()
        assert s3.head_object(Bucket="odd-bucket", Key=key)["ContentLength"] == len(key.encode())
    assert s3.list_objects_v2(Bucket="odd-bucket", Prefix="a b/")["KeyCount"] == 1


def test_presigned_links(aws: Aws, bot: dict[str, str], everyone: dict[str, Any]) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="linked-bucket")
    s3.put_object(Bucket="linked-bucket", Key="a/b.txt", Body=b"hello")
    role = aws.role("linker", [everyone], allow("s3:GetObject", "arn:aws:s3:::linked-bucket/a/*"))
    signer = aws.client("s3", aws.assume(bot, role), signature_version="s3v4")

    def link(key: str, seconds: int = 60) -> str:
        params = {"Bucket": "linked-bucket", "Key": key}
        return signer.generate_presigned_url("get_object", Params=params, ExpiresIn=seconds)

    with urllib.request.urlopen(link("a/b.txt")) as answer:
        assert answer.read() == b"hello"
    for url, part in ((link("other"), b"s3:GetObject"), (link("a/b.txt").replace("b.txt", "c.txt"), b"SignatureDoes")):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(url)
        assert caught.value.code == 403
        assert part in caught.value.read()


def signed(aws: Aws, service: str, keys: dict[str, str], when: datetime.datetime, url: str, **more: Any) -> Any:
    """A request signed as of another time."""
    request = AWSRequest(method="POST", url=url, **more)
    request.context["timestamp"] = when.strftime("%Y%m%dT%H%M%SZ")
    auth = SigV4Auth(Credentials(keys["AccessKeyId"], keys["SecretAccessKey"]), service, REGION)
    request.headers["X-Amz-Date"] = request.context["timestamp"]
    canonical = auth.canonical_request(request)
    signature = auth.signature(auth.string_to_sign(request, canonical), request)
    auth._inject_signature_to_request(request, signature)
    prepared = request.prepare()
    return urllib.request.Request(url, data=prepared.body, headers=dict(prepared.headers), method="POST")


def answer_of(request: Any) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_an_old_signature_is_refused(aws: Aws) -> None:
    now = datetime.datetime.now(datetime.UTC)
    form = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    status, text = answer_of(signed(aws, "sts", aws.root, now, f"{aws.url}/", data=body, headers=form))
    assert status == 200 and f"arn:aws:iam::{ACCOUNT}:root" in text
    old = now - datetime.timedelta(minutes=6)
    status, text = answer_of(signed(aws, "sts", aws.root, old, f"{aws.url}/", data=body, headers=form))
    assert status == 403 and "SignatureDoesNotMatch" in text


def test_a_request_must_say_everything_once(aws: Aws) -> None:
    now = datetime.datetime.now(datetime.UTC)
    headers = {"X-Amz-Target": "SageMaker.ListModels", "Content-Type": "application/x-amz-json-1.1"}
    url = f"{aws.url}/?Action=DeleteModel&ModelName=m"
    status, text = answer_of(signed(aws, "sagemaker", aws.root, now, url, data=b"{}", headers=headers))
    assert status == 400 and "one place" in text


# --- the door itself ---------------------------------------------------------------------------------------------


def test_what_is_closed(aws: Aws) -> None:
    for path in ("/moto-api/data.json", "/moto-api/reset-auth", "/latest/meta-data/iam/", "/"):
        assert answer_of(urllib.request.Request(aws.url + path))[0] == 403
    foreign = urllib.request.Request(aws.url + "/_sandbox/health", headers={"Host": "evil.example"})
    assert answer_of(foreign)[0] == 403
    answer = urllib.request.urlopen(
        urllib.request.Request(aws.url + "/_sandbox/health", headers={"Origin": "http://evil.example"})
    )
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_only_loopback(tmp_path: Path) -> None:
    from sandbox.aws.server import serve

    with pytest.raises(ValueError, match="loopback"):
        serve(0, tmp_path, REGION, host="0.0.0.0")


def test_what_nobody_implements_is_a_modelled_error(aws: Aws) -> None:
    refused(lambda: aws.client("sagemaker").list_clusters(), "UnknownOperationException")
    refused(lambda: aws.client("sts").get_session_token(), "UnknownOperationException")
    refused(lambda: aws.client("lambda").list_functions(), "UnknownOperationException")
    assert "Metrics" in aws.client("cloudwatch").list_metrics()
    path = "/service/GraniteServiceVersion20100801/operation/ListMetrics"
    headers = {"Content-Type": "application/cbor"}
    now = datetime.datetime.now(datetime.UTC)
    request = signed(aws, "monitoring", aws.root, now, aws.url + path, data=b"\xa0", headers=headers)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    assert (caught.value.code, caught.value.headers["smithy-protocol"]) == (400, "rpc-v2-cbor")
    assert b"UnknownOperationException" in caught.value.read()


def test_another_region_is_another_account_nobody_has(aws: Aws) -> None:
    client = boto3.client(
        "sqs",
        region_name="eu-west-1",
        endpoint_url=aws.url,
        aws_access_key_id=aws.root["AccessKeyId"],
        aws_secret_access_key=aws.root["SecretAccessKey"],
    )
    refused(lambda: client.list_queues(), "InvalidRegion")


def test_policies_that_cannot_be_evaluated_are_refused_when_written(aws: Aws) -> None:
    iam = aws.client("iam")
    bad = document(allow("s3:*", Condition={"StringSortOf": {"aws:username": "x"}}))
    refused(lambda: iam.create_policy(PolicyName="bad", PolicyDocument=bad), "MalformedPolicyDocument", "StringSortOf")


def test_denials_are_recorded_and_secrets_are_not(aws: Aws, bot: dict[str, str], everyone: dict[str, Any]) -> None:
    role = aws.role("recorded", [everyone])
    keys = aws.assume(bot, role, SourceIdentity="T0GC.U0STK")
    refused(lambda: aws.client("sagemaker", keys).describe_pipeline(PipelineName="p"), "AccessDeniedException")
    record = aws.calls(source_identity="T0GC.U0STK")[-1]
    assert (record["eventSource"], record["eventName"]) == ("sagemaker.amazonaws.com", "DescribePipeline")
    assert record["errorCode"] == "AccessDeniedException"
    assert record["requestParameters"] == {"PipelineName": "p"}
    assert record["requestID"]
    assert aws.calls(since=record["eventTime"], limit="5") == []
    text = (aws.state / "trail.jsonl").read_text()
    assert record["eventID"] in text
    for secret in (keys["SecretAccessKey"], keys["SessionToken"], aws.root["SecretAccessKey"]):
        assert secret not in text
    assert {
        path.stat().st_mode & 0o777
        for path in aws.state.glob("*")
        if path.name in ("root.json", "config", "credentials")
    } == {0o600}


# --- events and logs ---------------------------------------------------------------------------------------------


@pytest.fixture
def queue(aws: Aws) -> Iterator[tuple[str, str]]:
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName="events")["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:events"
    statement = trusts({"Service": "events.amazonaws.com"}, "sqs:SendMessage", Resource=arn)
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": document(statement)})
    yield url, arn
    sqs.delete_queue(QueueUrl=url)


def received(aws: Aws, url: str, count: int) -> list[Any]:
    """Wait until `count` messages came, then look once more for any too many."""
    sqs, bodies, deadline = aws.client("sqs"), [], time.monotonic() + 10
    while len(bodies) < count and time.monotonic() < deadline:
        for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1, MaxNumberOfMessages=10).get("Messages", []):
            bodies.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    more = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    return bodies + [json.loads(message["Body"]) for message in more]


def test_delivery_isolates_targets_and_shapes_inputs(aws: Aws, queue: tuple[str, str]) -> None:
    url, arn = queue
    events = aws.client("events")
    events.put_rule(Name="on", EventPattern='{"source":["mine"]}')
    events.put_rule(Name="off", EventPattern='{"source":["mine"]}', State="DISABLED")
    transformer = {
        "InputPathsMap": {"name": "$.detail.name", "n": "$.detail.n", "first": "$.resources[0]"},
        "InputTemplate": '{"text":"name is <name>","n":<n>,"quoted":<name>,"first":<first>,'
        '"rule":"<aws.events.rule-name>"}',
    }
    targets = [
        {"Id": "bad", "Arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"},
        {"Id": "plain", "Arn": arn},
        {"Id": "path", "Arn": arn, "InputPath": "$.detail"},
        {"Id": "constant", "Arn": arn, "Input": '{"constant":1}'},
        {"Id": "transformed", "Arn": arn, "InputTransformer": transformer},
    ]
    events.put_targets(Rule="on", Targets=targets)
    events.put_targets(Rule="off", Targets=[{"Id": "plain", "Arn": arn}])
    entry = {"Source": "mine", "DetailType": "d", "Detail": '{"name":"a \\"b\\"","n":3}', "Resources": ["r0"]}
    assert events.put_events(Entries=[entry])["FailedEntryCount"] == 0
    bodies = received(aws, url, 4)
    assert len(bodies) == 4
    whole = bodies[0]
    assert (whole["account"], whole["region"], whole["source"]) == (ACCOUNT, REGION, "mine")
    assert set(whole) == {"version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail"}
    assert bodies[1] == {"name": 'a "b"', "n": 3}
    assert bodies[2] == {"constant": 1}
    assert bodies[3] == {"text": 'name is a "b"', "n": 3, "quoted": 'a "b"', "first": "r0", "rule": "on"}


def test_nobody_but_aws_speaks_as_aws(aws: Aws) -> None:
    good = {"Source": "mine", "DetailType": "d", "Detail": "{}"}
    answer = aws.client("events").put_events(Entries=[good, {**good, "Source": "aws.sagemaker"}, good])
    assert answer["FailedEntryCount"] == 1
    assert answer["Entries"][1]["ErrorCode"] == "NotAuthorizedForSourceException"
    assert all("EventId" in answer["Entries"][place] for place in (0, 2))


def test_logs_read_with_limits(aws: Aws) -> None:
    logs = aws.client("logs")
    logs.create_log_group(logGroupName="/g")
    logs.create_log_stream(logGroupName="/g", logStreamName="s")
    now = int(time.time() * 1000)
    lines = [{"timestamp": now + n, "message": f"line {n}"} for n in range(5)]
    logs.put_log_events(logGroupName="/g", logStreamName="s", logEvents=lines)
    last = logs.get_log_events(logGroupName="/g", logStreamName="s", limit=2)["events"]
    assert [event["message"] for event in last] == ["line 3", "line 4"]
    found = logs.filter_log_events(logGroupName="/g", logStreamNames=["s"], limit=2)
    assert [event["message"] for event in found["events"]] == ["line 0", "line 1"]
    rest = logs.filter_log_events(logGroupName="/g", logStreamNames=["s"], nextToken=found["nextToken"])
    assert len(rest["events"]) == 3
