"""Studio through the front door: not there, set up by an operator, opened by its owner only, and taken down again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from iam.policy import statements
from iam.sessions import Session, Sessions
from pipeline.names import Names
from sandbox.person import Person
from tests.conftest import ROOT, Sandbox
from tests.notebooks import run

NAMES = Names("123456789012", "us-east-1")
NEEDS = [
    (("sagemaker:ListDomains", "sagemaker:ListUserProfiles"), "*", None),
    ("sagemaker:CreatePresignedDomainUrl", "user-profile/*/*", None),
    (("s3:GetObject", "s3:ListBucket"), "arn:aws:s3:::{data_bucket}", None),
    (("s3:GetObject", "s3:ListBucket"), "arn:aws:s3:::{data_bucket}/*", None),
]


def infra(sandbox: Sandbox, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m infra studio …` as the operator types it."""
    argv = [sys.executable, "-m", "infra", "studio", "--profile", "ab", *arguments]
    env = sandbox.settings() | {"PATH": os.environ["PATH"]}
    return subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def studio(sandbox: Sandbox) -> Iterator[str]:
    """A Studio while a test runs; what the operator was told."""
    network = ("--vpc", "vpc-0a1b2c3d", "--subnets", "subnet-0a1b2c3d,subnet-1a2b3c4d")
    made = infra(sandbox, "--access", sandbox.settings()["ACCESS_FILE"], *network)
    assert made.returncode == 0, made.stderr
    yield made.stdout
    gone = infra(sandbox, "--step", "down")
    assert gone.returncode == 0, gone.stderr


@pytest.fixture
def session(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A data scientist's own session, as the bot takes it."""
    for name, value in sandbox.settings().items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    sessions = Sessions("ab", NAMES.region)
    policy = statements(NEEDS, NAMES, {})
    return sessions.person("T0GC", "U0DS1", "data-scientist", invocation="studio00", policy=policy, changing=True)


def test_without_a_studio_the_person_is_told_what_it_takes(ds: Person) -> None:
    answer = ds.asks("studio open", "no Studio domain", "It needs AWS", "python -m infra studio")
    assert answer["ephemeral"]


def test_a_studio_opens_for_its_owner_only_and_says_that_apps_need_aws(
    studio: str, sandbox: Sandbox, session: Session, ds: Person
) -> None:
    assert studio.count("AWS::SageMaker::UserProfile") == 6
    assert ds.asks("studio open", "Studio cannot be opened now", "apps run on AWS only")["ephemeral"]
    assert sandbox.slack.person("U0STK").asks("studio open", "AWS said no to studio open")["ephemeral"]

    sagemaker = session.client("sagemaker")
    (domain,) = [item["DomainId"] for item in sagemaker.list_domains()["Domains"]]
    for profile, code in (("T0GC-U0DS1", "UnknownOperationException"), ("T0GC-U0DS2", "AccessDeniedException")):
        with pytest.raises(ClientError) as refused:
            sagemaker.create_presigned_domain_url(DomainId=domain, UserProfileName=profile)
        assert refused.value.response["Error"]["Code"] == code, profile

    operator = boto3.Session(profile_name="ab").client("sagemaker")
    found = operator.describe_user_profile(DomainId=domain, UserProfileName="T0GC-U0ML1")
    assert found["UserSettings"]["ExecutionRole"] == NAMES.role("studio-ml-engineer")


def test_the_survey_in_s3_is_explored_with_the_person_s_own_rights(
    sandbox: Sandbox, session: Session, tmp_path: Path
) -> None:
    keys = {name.upper(): value for name, value in session.keys.explicit().items()}
    aws = {name: value for name, value in sandbox.settings().items() if name in ("AWS_ENDPOINT_URL", "AWS_REGION")}
    env = keys | aws | {"AWS_DEFAULT_REGION": NAMES.region, "NO_PROXY": "*"}
    ran = run("explore_dataset", tmp_path, env, SHOWN=4)
    assert ran.summary["photos"] > 100
    assert all(count > 0 for count in ran.summary["objects"].values())
    assert len(ran.figures) == 3
