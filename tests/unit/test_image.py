"""The image built in the account: what goes up, what is asked of AWS, and what a person reads of a build."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from infra import image
from infra.__main__ import _check, _parser
from infra.image import PROJECT_NAME, ROOT, build, pack
from pipeline.errors import Refused
from pipeline.names import Names

NAMES = Names("123456789012", "us-east-1")
CONTEXT = b"zipped"
KEY = f"image/{hashlib.sha256(CONTEXT).hexdigest()}/context.zip"
DONE = {"phaseType": "SUBMITTED", "phaseStatus": "SUCCEEDED"}
KEYS = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}


def test_what_goes_up_is_what_the_dockerfile_copies_and_nothing_else() -> None:
    names = zipfile.ZipFile(io.BytesIO(pack())).namelist()
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "pipeline/serving/Dockerfile").read_text(), re.MULTILINE)
    wanted = [source for line in copied for source in line.split()]
    assert "pipeline/serving/Dockerfile" in names
    for source in wanted:
        assert any(name == source or name.startswith(f"{source}/") for name in names), source
    assert {name.partition("/")[0] for name in names} == {source.partition("/")[0] for source in wanted}
    assert not [name for name in names if "__pycache__" in name]
    assert pack() == pack(), "equal content, equal bytes"


def test_the_bot_runs_from_what_its_own_dockerfile_copies(tmp_path: Path) -> None:
    for source in re.findall(r"^COPY (\S+) (?!\./)\S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE):
        shutil.copytree(ROOT / source, tmp_path / source, ignore=shutil.ignore_patterns("__pycache__"))
    env = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    for argv, status, words in (
        (["commands"], 0, "pipeline run"),
        (["worker"], 2, "SLACK_BOT_TOKEN"),
        (["web"], 2, "SLACK_SIGNING_SECRET"),
    ):
        ran = subprocess.run(
            [sys.executable, "-m", "bot", *argv], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert ran.returncode == status, ran.stderr
        assert words in ran.stdout + ran.stderr
    program = "import bot.app, bot.web, bot.sockets, bot.doctor"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=env, check=True)


def asked(*answers: dict[str, Any]) -> tuple[str, list[str]]:
    """A build against clients that check every request against AWS's models; its address, and what is said."""
    s3, codebuild = boto3.client("s3", **KEYS), boto3.client("codebuild", **KEYS)
    said: list[str] = []
    with Stubber(s3) as bucket, Stubber(codebuild) as builder:
        stored = {"Bucket": NAMES.bucket, "Key": KEY, "Body": CONTEXT, "ExpectedBucketOwner": NAMES.account}
        bucket.add_response("put_object", {}, stored)
        place = {"sourceTypeOverride": "S3", "sourceLocationOverride": f"{NAMES.bucket}/{KEY}"}
        builder.add_response("start_build", {"build": {"id": "b:1"}}, {"projectName": PROJECT_NAME, **place})
        for answer in answers:
            builder.add_response("batch_get_builds", {"builds": [{"id": "b:1", **answer}]}, {"ids": ["b:1"]})
        address = build({"s3": s3, "codebuild": codebuild}.__getitem__, NAMES, CONTEXT, said.append)
        builder.assert_no_pending_responses()
    return address, said


def test_a_build_is_followed_phase_by_phase_to_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "LOOK_EVERY_S", 0.0)
    going = {"buildStatus": "IN_PROGRESS", "phases": [DONE, {"phaseType": "BUILD"}]}
    over = {"buildStatus": "SUCCEEDED", "phases": [DONE, {"phaseType": "BUILD", "phaseStatus": "SUCCEEDED"}]}
    address, said = asked(going, going, over)
    assert address == "123456789012.dkr.ecr.us-east-1.amazonaws.com/groundcrew:1"
    assert [line.split() for line in said[1:]] == [["submitted", "succeeded"], ["build", "succeeded"]]


def test_a_build_that_fails_is_said_with_its_phase_its_reason_and_its_log() -> None:
    words = "Error while executing command: docker build. Reason: exit status 1"
    phase = {"phaseType": "BUILD", "phaseStatus": "FAILED", "contexts": [{"message": words}]}
    with pytest.raises(Refused, match="build: Error while executing command") as caught:
        asked({"buildStatus": "FAILED", "phases": [DONE, phase], "logs": {"deepLink": "https://log"}})
    assert caught.value.advice == "Its log: https://log"


def test_registry_project_and_tag_are_those_that_everything_else_names() -> None:
    template = image.TEMPLATE.read_text()
    assert f"Name: {PROJECT_NAME}\n" in template
    assert "RepositoryName: groundcrew\n" in template
    assert "/groundcrew:1\n" in template


def test_nothing_is_built_in_an_account_that_nobody_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GROUNDCREW_ACCOUNT", raising=False)
    with pytest.raises(Refused, match="No account is configured"):
        _check("123456789012", _parser().parse_args(["image", "--profile", "ab"]))
