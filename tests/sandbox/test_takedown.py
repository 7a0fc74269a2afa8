"""`python -m infra` from an empty account and back to one: up, twice, down with everything in it, and what stays."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from infra import stacks
from infra.takedown import empty, takedown
from pipeline.definition import definition
from pipeline.errors import Refused
from pipeline.names import Names
from tests.conftest import ROOT

NAMES = Names("123456789012", "us-east-1")


@dataclass(frozen=True)
class Account:
    """A local AWS of its own, and the operator in front of it."""

    environment: dict[str, str]
    session: boto3.Session
    url: str

    def client(self, service: str) -> Any:
        return self.session.client(service, endpoint_url=self.url, region_name=NAMES.region)

    def infra(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "infra", *arguments, "--profile", "ab"]
        return subprocess.run(
            argv,
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    state = tmp_path_factory.mktemp("aws")
    process = subprocess.Popen([sys.executable, "-m", "sandbox.aws", "--port", "0", "--state", str(state)], cwd=ROOT)
    try:
        until = time.monotonic() + 60
        while not (state / "config").exists():
            assert time.monotonic() < until, "the local AWS does not start"
            time.sleep(0.05)
        url = (state / "config").read_text().partition("endpoint_url = ")[2].split()[0]
        environment = {
            "PATH": os.environ["PATH"],
            "AWS_CONFIG_FILE": str(state / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(state / "credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "GROUNDCREW_ACCOUNT": NAMES.account,
        }
        text = (state / "credentials").read_text().partition("[ab]")[2].partition("\n[")[0]
        keys = dict(re.findall(r"^(aws_\w+) = (\S+)$", text, re.MULTILINE))
        yield Account(environment, boto3.Session(**keys), url)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def fill(account: Account) -> None:
    """What people leave behind: objects with versions, an unfinished upload, a pipeline, a registered model."""
    s3, sagemaker = account.client("s3"), account.client("sagemaker")
    for body in (b"1", b"2"):
        s3.put_object(Bucket=NAMES.bucket, Key="dev/runs/x/model", Body=body)
    s3.delete_object(Bucket=NAMES.bucket, Key="dev/runs/x/model")
    s3.create_multipart_upload(Bucket=NAMES.bucket, Key="dev/unfinished")
    s3.put_object(Bucket=NAMES.audit_bucket, Key="cloudtrail/a", Body=b"evidence")
    text = definition("dev", NAMES, NAMES.image(), "s3://b/source.tar.gz", "https://x", "", "abc")
    sagemaker.create_pipeline(
        PipelineName=NAMES.pipeline("dev"), PipelineDefinition=text, RoleArn=NAMES.role("dev-execution")
    )
    sagemaker.create_model_package(
        ModelPackageGroupName=NAMES.group("dev"),
        InferenceSpecification={
            "Containers": [{"Image": NAMES.image(), "ModelDataUrl": "s3://b/model.tar.gz"}],
            "SupportedContentTypes": ["image/jpeg"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )


def buckets(account: Account) -> set[str]:
    return {row["Name"] for row in account.client("s3").list_buckets()["Buckets"]}


def standing(account: Account) -> set[str]:
    rows = account.client("cloudformation").describe_stacks()["Stacks"]
    return {row["StackName"] for row in rows if row["StackName"].startswith("groundcrew-")}


def test_an_account_is_brought_up_filled_and_taken_down_to_its_evidence(account: Account) -> None:
    planned = account.infra("plan")
    assert planned.returncode == 0, planned.stderr
    assert re.search(r"Add +AWS::S3::Bucket +Artifacts", planned.stdout)
    assert standing(account) == set(), "a plan leaves nothing behind"

    unasked = account.infra("up")
    assert unasked.returncode == 1
    assert "Nobody can be asked here" in unasked.stderr
    assert "Add" in unasked.stdout, "the change sets are shown before anybody is asked"
    assert standing(account) == set()

    first = account.infra("up", "--yes")
    assert first.returncode == 0, first.stderr
    assert "CREATE_COMPLETE      AWS::IAM::Role" in first.stdout
    second = account.infra("up", "--yes")
    assert {line.partition(": ")[2] for line in second.stdout.splitlines()} == {"nothing to change"}
    for name in standing(account):
        (stack,) = account.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        assert {"Project", "Environment", "CostCenter", "Owner"} <= {tag["Key"] for tag in stack["Tags"]}

    fill(account)
    other = account.infra("down", "--yes", "--account", "999999999999")
    assert (other.returncode, "is of account 123456789012" in other.stderr) == (1, True)
    assert account.infra("down").returncode == 1
    assert NAMES.bucket in buckets(account)

    gone = account.infra("down", "--yes")
    assert gone.returncode == 0, gone.stderr
    for words in (
        f"dev      pipeline  {NAMES.pipeline('dev')}",
        f"1 registered versions of {NAMES.group('dev')}",
        "with 3 versions of objects",
        f"evidence {NAMES.audit_bucket} stays",
        f"{NAMES.bucket}: 3 versions deleted",
        f"  stays: bucket {NAMES.audit_bucket}",
    ):
        assert words in gone.stdout
    told = gone.stdout.partition("What still costs:")[2]
    assert re.search(rf"bucket {NAMES.audit_bucket}: 0\.00 GB, about 0\.00 USD a month\. the evidence", told), told
    assert NAMES.bucket not in told
    assert buckets(account) & {NAMES.bucket, NAMES.audit_bucket} == {NAMES.audit_bucket}
    assert standing(account) == set()
    kept = account.client("s3").list_object_versions(Bucket=NAMES.audit_bucket)["Versions"]
    assert "cloudtrail/a" in [row["Key"] for row in kept]


def test_the_evidence_goes_only_when_it_is_said_and_down_can_be_typed_again(account: Account) -> None:
    assert NAMES.audit_bucket in buckets(account)
    again = account.infra("up", "--yes")
    assert again.returncode == 0, again.stderr
    s3 = account.client("s3")
    with pytest.raises(Refused, match="cannot be deleted"):
        empty(s3, NAMES.audit_bucket)
    gone = account.infra("down", "--yes", "--audit-too")
    assert gone.returncode == 0, gone.stderr
    assert "goes too, locked as it is" in gone.stdout
    assert not buckets(account) & {NAMES.bucket, NAMES.audit_bucket}
    once_more = account.infra("down", "--yes")
    assert once_more.returncode == 0, once_more.stderr
    assert "groundcrew-roles: not there" in once_more.stdout
    with pytest.raises(ClientError):
        s3.head_bucket(Bucket=NAMES.audit_bucket)


def test_whoever_does_not_type_the_account_s_number_changes_nothing(account: Account) -> None:
    said: list[str] = []
    files = stacks.stacks(f"arn:aws:iam::{NAMES.account}:user/operator", NAMES)
    with pytest.raises(Refused, match="not the account's number"):
        takedown(
            account.client, NAMES, files, audit_too=False, confirmed=False, say=said.append, ask=lambda question: "yes"
        )
    assert said[0] == "Account 123456789012, region us-east-1. This goes:"
    assert json.dumps(said)
