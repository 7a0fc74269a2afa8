"""Profiles of data sets: what lies in a folder of the data bucket, the job that looks at it, what it has found.

What lies where (`<id>` is made from the folder's objects and from the code):

    s3://<bucket>/dev/profiles/<id>/result/{profile.json, plots.png, sheet.jpg, photos.csv}
    …/<id>/parts/<token>/<host>.json.gz      what each machine of a shared job has looked at

It is always a job, also for ten photos: a worker answers people, holds no imaging libraries, and should not decode
what strangers have uploaded. What stands in a result was written by a job: it is checked before it is shown.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from botocore.exceptions import ClientError

from pipeline import source
from pipeline.absent import missing
from pipeline.definition import HOUR, ML, entrypoint, tags
from pipeline.deployment import publish_code
from pipeline.errors import BadInput, NotFound
from pipeline.names import ENVIRONMENTS, PROJECT, Environment, Names
from pipeline.profile.levels import Level
from pipeline.reports import body_of

INSTANCE = "ml.m5.large"
PICTURES = (".jpg", ".jpeg", ".png")
EACH = 20_000
"""Photos an instance takes: some minutes of work."""
MOST_INSTANCES = 8
MOST_OBJECTS = 400_000
"""Objects that are listed before the job; a larger folder is given all instances, and is looked at anew each time."""
VOLUME_GB, LARGEST_VOLUME_GB = 30, 1000
LARGEST_REPORT, LARGEST_PICTURE = 8 << 20, 8 << 20
RESULT = "result"
_WORDS = 600


@dataclass(frozen=True)
class Folder:
    """A folder of the data bucket: its objects below `prefix` with size and S3's tag. `whole`: all were listed."""

    prefix: str
    objects: Mapping[str, tuple[int, str]]
    whole: bool = True

    @property
    def photos(self) -> list[str]:
        """Names below the prefix that end like pictures."""
        return [name for name in self.objects if name.lower().endswith(PICTURES)]

    @property
    def bytes(self) -> int:
        """How large all of it is."""
        return sum(size for size, _ in self.objects.values())

    @property
    def state(self) -> str:
        """Sixteen hex digits of what lies there, by names, sizes and S3's tags; empty where not all was listed."""
        if not self.whole:
            return ""
        listed = json.dumps([self.prefix, sorted(self.objects.items())])
        return hashlib.sha256(listed.encode()).hexdigest()[:16]

    @property
    def instances(self) -> int:
        """How many machines should share it."""
        return min(MOST_INSTANCES, max(1, -(-len(self.photos) // EACH))) if self.whole else MOST_INSTANCES


@dataclass(frozen=True)
class Place:
    """Where a profile lies."""

    bucket: str
    env: Environment
    id: str

    @property
    def folder(self) -> str:
        """`s3://` address of all that belongs to it."""
        return f"s3://{self.bucket}/{self.env}/profiles/{self.id}"

    @property
    def result(self) -> str:
        """`s3://` address of its files."""
        return f"{self.folder}/{RESULT}"

    @property
    def job(self) -> str:
        """How the names of its jobs begin."""
        return f"{PROJECT}-{self.env}-profile-{self.id}-"


@dataclass(frozen=True)
class Job:
    """A profile's job. `reason` is why it failed, `said` its own last words."""

    arn: str
    status: str
    created: datetime
    reason: str
    said: str
    prefix: str
    instances: int
    place: Place

    @property
    def running(self) -> bool:
        """Whether it can still change."""
        return self.status in ("InProgress", "Stopping")


@dataclass(frozen=True)
class Said:
    """One finding: how bad, in words, some of the files it is about, and how many those are."""

    level: Level
    words: str
    names: Sequence[str]
    files: int


@dataclass(frozen=True)
class Profile:
    """What a profile says, ready to be shown. Pictures are None where there is nothing to draw."""

    place: Place
    version: str
    title: str
    facts: Sequence[tuple[str, str]]
    findings: Sequence[Said]
    classes: Sequence[Sequence[str]]
    plots: bytes | None
    plots_alt: str
    sheet: bytes | None
    sheet_alt: str


def folder(s3: Any, names: Names, prefix: str) -> Folder:
    """What lies below a prefix of the data bucket. Raises NotFound, naming what lies beside it, when nothing does."""
    found: dict[str, tuple[int, str]] = {}
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=names.data_bucket, Prefix=prefix)
    for page in pages:
        for row in page.get("Contents", ()):
            if not row["Key"].endswith("/"):
                found[row["Key"].removeprefix(prefix)] = (row["Size"], row["ETag"])
        if len(found) >= MOST_OBJECTS:
            return Folder(prefix, found, whole=False)
    if not found:
        there = s3.list_objects_v2(Bucket=names.data_bucket, Delimiter="/").get("CommonPrefixes", ())
        near = [row["Prefix"] for row in there]
        raise NotFound("folder", prefix, near, f"It was looked for in s3://{names.data_bucket}/.")
    return Folder(prefix, found)


def place(names: Names, env: Environment, what: Folder, token: str) -> Place:
    """Where the profile of these objects lies, whether it exists or not; of a folder too large to list, a new one."""
    listed = sorted((name, tag) for name, (_, tag) in what.objects.items()) if what.whole else token
    text = json.dumps([what.prefix, listed, source.code().digest])
    return Place(names.bucket, env, hashlib.sha256(text.encode()).hexdigest()[:12])


def running(sagemaker: Any, where: Place) -> str | None:
    """ARN of a job that is looking at just this now."""
    found = sagemaker.list_processing_jobs(NameContains=where.job, StatusEquals="InProgress")
    return next((str(item["ProcessingJobArn"]) for item in found["ProcessingJobSummaries"]), None)


def exists(s3: Any, where: Place) -> bool:
    """Whether this was profiled before."""
    key = f"{where.env}/profiles/{where.id}/{RESULT}/profile.json"
    found = s3.list_objects_v2(Bucket=where.bucket, Prefix=key, MaxKeys=1)
    return any(item["Key"] == key for item in found.get("Contents", ()))


def start(s3: Any, sagemaker: Any, names: Names, where: Place, what: Folder, instances: int, token: str) -> str:
    """Start the job on so many instances; returns its ARN. The same `token` starts it once."""
    code = publish_code(s3, names, where.env)
    job = request(names, where, what, instances, code, token)
    try:
        return str(sagemaker.create_processing_job(**job)["ProcessingJobArn"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceInUse":
            raise
        return names.arn("sagemaker", f"processing-job/{job['ProcessingJobName']}")


def request(names: Names, where: Place, what: Folder, instances: int, code: str, token: str) -> dict[str, Any]:
    """The CreateProcessingJob request. `code` is the `s3://` address of source.tar.gz."""
    data = f"s3://{names.data_bucket}/{what.prefix}"
    output = {"S3Uri": where.result, "LocalPath": f"{ML}/processing/output/profile", "S3UploadMode": "EndOfJob"}
    size = math.ceil(what.bytes / instances / 1e9 * 1.5) + VOLUME_GB if what.whole else LARGEST_VOLUME_GB
    cluster = {
        "InstanceType": INSTANCE,
        "InstanceCount": instances,
        "VolumeSizeInGB": min(LARGEST_VOLUME_GB, size),
    }
    return {
        "ProcessingJobName": f"{where.job}{token[:8]}",
        "ProcessingResources": {"ClusterConfig": cluster},
        "AppSpecification": {
            "ImageUri": names.image(),
            "ContainerEntrypoint": entrypoint("profile", "processing/input/code"),
        },
        "RoleArn": names.role(f"{where.env}-execution"),
        "ProcessingInputs": [_input("code", code), _input("raw", data, shared=instances > 1)],
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "profile", "S3Output": output}]},
        "StoppingCondition": {"MaxRuntimeInSeconds": HOUR},
        "Environment": {"DATA_URI": data, "PARTS_URI": f"{where.folder}/parts/{token[:12]}"},
        "Tags": tags(where.env),
    }


def job(sagemaker: Any, arn: str) -> Job:
    """A job as it stands. Raises NotFound when there is none, or when it profiles nothing."""
    name = arn.rsplit("/", 1)[-1]
    try:
        found = sagemaker.describe_processing_job(ProcessingJobName=name)
    except ClientError as error:
        if not missing(error):
            raise
        raise NotFound("profile job", name) from error
    outputs = found.get("ProcessingOutputConfig", {}).get("Outputs", ())
    uri = next((each["S3Output"]["S3Uri"] for each in outputs if each["OutputName"] == "profile"), "")
    return Job(
        arn=found["ProcessingJobArn"],
        status=found["ProcessingJobStatus"],
        created=found["CreationTime"],
        reason=found.get("FailureReason", ""),
        said=found.get("ExitMessage", ""),
        prefix=found.get("Environment", {}).get("DATA_URI", "").split("/", 3)[-1],
        instances=found["ProcessingResources"]["ClusterConfig"]["InstanceCount"],
        place=_place(uri, name),
    )


def read(s3: Any, where: Place) -> Profile:
    """What a job has found. Raises BadInput when its profile.json is missing or is none."""
    uri = f"{where.result}/profile.json"
    data = body_of(s3, uri, LARGEST_REPORT)
    try:
        if data is None:
            raise ValueError("it is missing or too large")
        body = json.loads(data)
        findings = [
            Said(
                next(level for level in get_args(Level) if level == row["level"]),
                str(row["words"])[:_WORDS],
                [str(name)[:_WORDS] for name in row["names"]],
                int(row["files"]),
            )
            for row in body["findings"]
        ]
        return Profile(
            place=where,
            version=str(body["version"])[:64],
            title=str(body["title"])[:_WORDS],
            facts=[(str(label)[:60], str(value)[:_WORDS]) for label, value in body["facts"]],
            findings=findings,
            classes=[[str(cell)[:80] for cell in row] for row in body["classes"] if len(row) == 5],
            plots=_picture(s3, f"{where.result}/plots.png", b"\x89PNG"),
            plots_alt=str(body["plots_alt"]),
            sheet=_picture(s3, f"{where.result}/sheet.jpg", b"\xff\xd8\xff"),
            sheet_alt=str(body["sheet_alt"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise BadInput(f"{uri} cannot be read: {type(error).__name__}: {error}", "Profile it with `--now`.") from error


def _picture(s3: Any, uri: str, magic: bytes) -> bytes | None:
    data = body_of(s3, uri, LARGEST_PICTURE)
    return data if data is not None and data.startswith(magic) else None


def _place(uri: str, job_name: str) -> Place:
    """The place that a result's address tells."""
    try:
        _, _, bucket, env, kind, identity, result = uri.split("/")
        if (kind, result) != ("profiles", RESULT):
            raise ValueError(uri)
        return Place(bucket, next(each for each in ENVIRONMENTS if each == env), identity)
    except (ValueError, StopIteration) as error:
        raise NotFound("profile job", job_name) from error


def _input(name: str, uri: str, *, shared: bool = False) -> dict[str, Any]:
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": f"{ML}/processing/input/{name}",
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
            "S3DataDistributionType": "ShardedByS3Key" if shared else "FullyReplicated",
            "S3CompressionType": "None",
        },
    }
