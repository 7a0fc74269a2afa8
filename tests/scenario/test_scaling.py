"""Deployments through the front door: previewed, scaled, a canary taken back, and versions that may not be deployed."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from pipeline.names import Names
from sandbox import evidence
from sandbox.environment import ACCOUNT, DATA_BUCKET, REGION
from sandbox.person import Person
from tests.conftest import Sandbox
from tests.conftest import Training as Training
from tests.scenario.test_access import Aws

pytestmark = pytest.mark.usefixtures("training")
NAMES = Names(ACCOUNT, REGION, DATA_BUCKET)


@dataclass(frozen=True)
class Account:
    """The operator's way into the account, to put versions there that no pipeline would make."""

    sagemaker: Any
    s3: Any

    def register(self, data: bytes, digest: str = "", **more: Any) -> int:
        """Another version in dev with these bytes, otherwise like the first."""
        digest = digest or hashlib.sha256(data).hexdigest()
        key = f"dev/models/{digest}/model.tar.gz"
        self.s3.put_object(Bucket=NAMES.bucket, Key=key, Body=data)
        arn = NAMES.arn("sagemaker", f"model-package/{NAMES.group('dev')}/1")
        first = self.sagemaker.describe_model_package(ModelPackageName=arn)
        specification = first["InferenceSpecification"]
        specification["Containers"][0]["ModelDataUrl"] = f"s3://{NAMES.bucket}/{key}"
        made = self.sagemaker.create_model_package(
            ModelPackageGroupName=NAMES.group("dev"),
            InferenceSpecification=specification,
            ModelApprovalStatus="PendingManualApproval",
            CustomerMetadataProperties={**first["CustomerMetadataProperties"], "digest": digest},
            **more,
        )
        return int(made["ModelPackageArn"].rpartition("/")[2])

    def artifact(self) -> bytes:
        """The first version's."""
        arn = NAMES.arn("sagemaker", f"model-package/{NAMES.group('dev')}/1")
        container = self.sagemaker.describe_model_package(ModelPackageName=arn)["InferenceSpecification"]["Containers"]
        key = container[0]["ModelDataUrl"].partition(f"{NAMES.bucket}/")[2]
        return bytes(self.s3.get_object(Bucket=NAMES.bucket, Key=key)["Body"].read())


@pytest.fixture(scope="module")
def account(sandbox: Sandbox) -> Iterator[Account]:
    """The registry is left as it was found."""
    aws = Aws(sandbox.settings())
    found = Account(aws.client("sagemaker"), aws.client("s3"))
    listed = {"ModelPackageGroupName": NAMES.group("dev")}
    before = {
        row["ModelPackageArn"] for row in found.sagemaker.list_model_packages(**listed)["ModelPackageSummaryList"]
    }
    yield found
    for row in found.sagemaker.list_model_packages(**listed)["ModelPackageSummaryList"]:
        if row["ModelPackageArn"] not in before:
            found.sagemaker.delete_model_package(ModelPackageName=row["ModelPackageArn"])


@pytest.fixture(scope="module", autouse=True)
def serving(sandbox: Sandbox, training: Training) -> None:
    """Dev serves the first version, whatever other tests have deployed."""
    person = sandbox.slack.person("U0DS1")
    begun = person.asks("deployment create --version 1 --yes", "v1", author="U0BOT")
    if "already serves" not in begun["words"]:
        person.sees("groundcrew-dev-detector: in service", ts=begun["ts"], seconds=120)


def passes(sandbox: Sandbox, seconds: float) -> None:
    """Let time pass in the account."""
    url = f"http://127.0.0.1:{sandbox.port('aws')}/_sandbox/clock"
    answer = httpx.post(url, json={"seconds": seconds}, headers={"X-Sandbox": "1"}, trust_env=False, timeout=60)
    answer.raise_for_status()


@pytest.fixture(scope="module")
def two(sandbox: Sandbox) -> Iterator[Person]:
    """A data scientist whose dev endpoint has two instances; one again afterwards."""
    person = sandbox.slack.person("U0DS1")
    after = person.types("deployment scale --min 2 --yes")
    person.sees("groundcrew-dev-detector: in service", "2 now, 2 by load", after=after, seconds=60)
    yield person
    after = person.types("deployment scale --min 1")
    person.sees("groundcrew-dev-detector: in service", "1 to 2 by load", after=after, seconds=60)


def test_a_preview_shows_what_would_change_and_changes_nothing(ds: Person) -> None:
    told = ds.asks("deployment create --version 1 --dry-run", "Nothing would change")
    assert "v1" in told["words"]
    told = ds.asks("deployment create --version 1 --scale-on invocations --dry-run", "would change 1 of its resources")
    assert "ScalingPolicy" in told["words"]
    ds.asks("deployment create --version 1 --dry-run", "Nothing would change")


def test_bounds_that_no_environment_has_are_refused(ds: Person) -> None:
    ds.asks("deployment scale --max 9", "dev has 1 to 2 instances at most")
    ds.asks("deployment scale", "Give --min, --max, or both")
    ds.asks("deployment scale somewhere --max 2", "There is no endpoint")


def test_a_canary_needs_a_second_instance(ds: Person) -> None:
    ds.asks("deployment create --version 1 --canary 50", "this endpoint has one", "deployment scale --env dev --min 2")


def test_a_version_that_was_altered_deleted_or_rejected_is_not_deployed(ds: Person, account: Account) -> None:
    altered = account.register(b"other bytes", digest="f" * 64)
    ds.asks(f"deployment create --version {altered}", "is not the registered model", "written over")
    ds.asks("deployment create --version 999", "There is no version in dev", "999")
    arn = NAMES.arn("sagemaker", f"model-package/{NAMES.group('dev')}/{altered}")
    account.sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Rejected")
    ds.asks(f"deployment create --version {altered}", "is not approved: Rejected")


def without_classes(data: bytes) -> bytes:
    """A model that loads, finds something and cannot name it: it answers 500."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=packed, mode="w:gz") as new:
        for member in old.getmembers():
            file = old.extractfile(member)
            content = file.read() if file else b""
            if member.name.endswith("model.json"):
                content = json.dumps({**json.loads(content), "classes": []}).encode()
            member.size = len(content)
            new.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def test_a_canary_that_answers_500_is_taken_back_and_people_are_told_why(
    sandbox: Sandbox, two: Person, account: Account
) -> None:
    version = account.register(without_classes(account.artifact()))
    photo = f"survey/images/{evidence.labelled_photo(sandbox.state / 'survey').path.name}"
    after = two.types(f"deployment create --version {version} --canary 50 --yes")
    two.sees("being updated", after=after)
    moved, answers = 0, []
    try:
        while not any(NAMES.stack("dev") in text and "rolled back" in text for text in said(two, after)):
            answers.append(two.asks(f"deployment predict {photo}", author="U0BOT")["words"])
            assert len(answers) < 60, answers[-1]
            if len(answers) % 8 == 0 and moved < 4:
                passes(sandbox, 60)
                moved += 1
    finally:
        passes(sandbox, -60 * moved)
    told = two.sees("the update failed and was rolled back", "groundcrew-dev-detector-5xx", after=after)
    assert "what served before serves on" in told["words"]
    assert any("cannot answer" in text or "500" in text for text in answers)
    two.asks(f"deployment predict {photo}", " on ", author="U0BOT")
    two.asks("deployment status", "v1")


def said(person: Person, after: str) -> list[str]:
    """The messages in the person's channel since then."""
    return [message["words"] for message in person.reads(after)]


def test_a_batch_over_a_folder_ends_in_a_summary_with_a_picture(ds: Person) -> None:
    ds.asks("deployment batch 1 survey/", "is no photo", "survey/images/")
    ds.asks("deployment batch 1 survey/nowhere/", "There is no photo")
    after = ds.types("deployment batch 1 survey/images/ --instances 2 --yes")
    told = ds.sees("objects on", "survey/images/", after=after, seconds=180)
    assert "vehicle" in told["words"]
    assert evidence.picture(told)
