"""Explanations of a registered model: start the job, find what one has written, read it.

What lies where, for version 3 of dev (`<id>` is made from the model, the photos and the settings):

    s3://<bucket>/dev/explain/v3-<digest>/<id>/input/config/analysis_config.json   what was asked, Clarify's file
    …/<id>/input/data/<photo>                                                      the photos, copies
    …/<id>/analysis_result/{analysis.json, report.html, explanations_shap/}        Clarify's layout

The job is `pipeline/steps/explain.py`, or Clarify's own image on an account that has it. The same program explains a
new model on two photos as a step of the pipeline; where those files lie is in the model package's metrics. What stands
in a result was written by a job, not by this program: it is checked before it is shown.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from pipeline.absent import missing
from pipeline.definition import HOUR, ML, entrypoint, tags
from pipeline.deployment import publish_code
from pipeline.errors import BadInput, NotFound
from pipeline.explaining.config import ANALYSIS, CONFIG, INSTANCE, MAPS, REPORT, RESULT, SETTINGS, SHEET, config
from pipeline.names import ENVIRONMENTS, PROJECT, Environment, Names
from pipeline.registry import Package, read_object

KINDS = (".jpg", ".jpeg", ".png")
LARGEST_ANALYSIS = 4 << 20
LARGEST_SHEET = 8 << 20
_INPUT, _OUTPUT = f"{ML}/processing/input", f"{ML}/processing/output"
_TAG = 12
"""Characters of a digest in keys and names."""


@dataclass(frozen=True)
class Photo:
    """A photo of the data bucket; `tag` is S3's of its content."""

    key: str
    tag: str


@dataclass(frozen=True)
class Place:
    """Where one explanation lies. `id` stands for its model, photos and settings: same explanation, same place."""

    bucket: str
    env: Environment
    version: int
    digest: str
    id: str

    @property
    def folder(self) -> str:
        """`s3://` address of all that belongs to it."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def key(self) -> str:
        """The folder's key."""
        return f"{self.env}/explain/v{self.version}-{self.digest[:_TAG]}/{self.id}"

    @property
    def result(self) -> str:
        """`s3://` address of Clarify's files."""
        return f"{self.folder}/{RESULT}"

    @property
    def job(self) -> str:
        """How the names of its jobs begin."""
        return f"{PROJECT}-{self.env}-explain-v{self.version}-{self.id}-"


@dataclass(frozen=True)
class Job:
    """An explanation's job. `reason` is why it failed, `said` its own last words."""

    arn: str
    status: str
    created: datetime
    ended: datetime | None
    reason: str
    said: str
    place: Place


@dataclass(frozen=True)
class Explained:
    """One detection: its confidence, what of it was left with every segment greyed out, and its own share.

    `own` is the share of what raised the confidence that lies in segments the object occupies; None if nothing did.
    """

    image: str
    name: str
    score: float
    base: float
    own: float | None


@dataclass(frozen=True)
class Result:
    """What an explanation found. `unread` are photos with the reason why they are missing, `sheet` a JPEG.

    `folder` is the `s3://` address of Clarify's files.
    """

    env: Environment
    version: int
    folder: str
    objects: Sequence[Explained]
    images: Sequence[str]
    unread: Mapping[str, str]
    sheet: bytes | None


def home(names: Names, env: Environment) -> str:
    """`s3://` address below which the explanations of an environment's models lie; prod's are explained in staging."""
    return f"s3://{names.bucket}/{'staging' if env == 'prod' else env}/explain/"


def choose(s3: Any, names: Names, prefix: str, count: int) -> list[Photo]:
    """Photos of the survey, chosen by their keys' hash: of all flights, and the same ones while none are added.

    Raises NotFound when there are none.
    """
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=names.data_bucket, Prefix=prefix)
    found = [
        Photo(item["Key"], item["ETag"])
        for page in pages
        for item in page.get("Contents", ())
        if item["Size"] and item["Key"].lower().endswith(KINDS)
    ]
    if not found:
        raise NotFound("photo below", f"s3://{names.data_bucket}/{prefix}", advice="Fill the data set first.")
    found.sort(key=lambda photo: hashlib.sha256(photo.key.encode()).digest())
    return sorted(found[:count], key=lambda photo: photo.key)


def place(names: Names, env: Environment, package: Package, photos: Sequence[Photo], image: str = "") -> Place:
    """Where the explanation of these photos lies, whether it exists or not; `image` is Clarify's, empty for ours."""
    what = json.dumps([package.digest, [asdict(photo) for photo in photos], asdict(SETTINGS), image])
    return Place(names.bucket, env, package.version, package.digest, hashlib.sha256(what.encode()).hexdigest()[:_TAG])


def running(sagemaker: Any, where: Place) -> str | None:
    """ARN of a job that is explaining just this now."""
    found = sagemaker.list_processing_jobs(NameContains=where.job, StatusEquals="InProgress")
    return next((str(item["ProcessingJobArn"]) for item in found["ProcessingJobSummaries"]), None)


def exists(s3: Any, where: Place) -> bool:
    """Whether this was explained before."""
    key = f"{where.key}/{RESULT}/{ANALYSIS}"
    found = s3.list_objects_v2(Bucket=where.bucket, Prefix=key, MaxKeys=1)
    return any(item["Key"] == key for item in found.get("Contents", ()))


def start(
    s3: Any,
    sagemaker: Any,
    names: Names,
    where: Place,
    package: Package,
    photos: Sequence[Photo],
    *,
    prefix: str,
    token: str,
    image: str = "",
) -> str:
    """Copy the photos, write the configuration, start the job; returns its ARN.

    `prefix` is that of the photos' keys, `token` makes the job's name unique. With `image`, Clarify's own for this
    region, the job is native: it needs the model as a deployment makes it.
    """
    for photo in photos:
        s3.copy_object(
            Bucket=where.bucket,
            Key=f"{where.key}/input/data/{photo.key.removeprefix(prefix)}",
            CopySource={"Bucket": names.data_bucket, "Key": photo.key},
            CopySourceIfMatch=photo.tag,
        )
    asked = config(
        SETTINGS,
        model=f"{names.stack(where.env)}-{package.digest[:8]}",
        classes=[name for name in package.metadata.get("classes", "").split("/") if name],
        instance=INSTANCE,
        title=f"Detector v{where.version} in {where.env}: what carried its detections",
    )
    s3.put_object(Bucket=where.bucket, Key=f"{where.key}/input/config/{CONFIG}", Body=json.dumps(asked, indent=1))
    code = "" if image else publish_code(s3, names, where.env)
    job = request(names, where, package, token=token, code=code, image=image)
    return str(sagemaker.create_processing_job(**job)["ProcessingJobArn"])


def request(
    names: Names, where: Place, package: Package, *, token: str, code: str = "", image: str = ""
) -> dict[str, Any]:
    """The CreateProcessingJob request: Clarify's (its `image` given) or ours, which also reads the model and its code.

    `code` is the `s3://` address of source.tar.gz.
    """
    inputs = {"analysis_config": ("config", f"{where.folder}/input/config/{CONFIG}")}
    inputs["dataset"] = ("data", f"{where.folder}/input/data/")
    application: dict[str, Any] = {"ImageUri": image or names.image()}
    if not image:
        inputs["code"] = ("code", code)
        inputs["model"] = ("model", package.model)
        application["ContainerEntrypoint"] = entrypoint("explain", "processing/input/code")
    output = {"S3Uri": where.result, "LocalPath": _OUTPUT, "S3UploadMode": "EndOfJob"}
    return {
        "ProcessingJobName": f"{where.job}{token[:8]}",
        "ProcessingResources": {"ClusterConfig": {"InstanceType": INSTANCE, "InstanceCount": 1, "VolumeSizeInGB": 30}},
        "AppSpecification": application,
        "RoleArn": names.role(f"{where.env}-execution"),
        "ProcessingInputs": [_input(name, local, uri) for name, (local, uri) in inputs.items()],
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": RESULT, "S3Output": output}]},
        "StoppingCondition": {"MaxRuntimeInSeconds": HOUR},
        "Tags": tags(where.env),
        **({} if image else {"Environment": {"MODEL_DIGEST": package.digest}}),
    }


def job(sagemaker: Any, arn: str) -> Job:
    """A job as it stands. Raises NotFound when there is none, or when it is no explanation."""
    name = arn.rsplit("/", 1)[-1]
    try:
        found = sagemaker.describe_processing_job(ProcessingJobName=name)
    except ClientError as error:
        if not missing(error):
            raise
        raise NotFound("explanation job", name) from error
    outputs = found.get("ProcessingOutputConfig", {}).get("Outputs", ())
    uri = next((each["S3Output"]["S3Uri"] for each in outputs if each["OutputName"] == RESULT), "")
    return Job(
        arn=found["ProcessingJobArn"],
        status=found["ProcessingJobStatus"],
        created=found["CreationTime"],
        ended=found.get("ProcessingEndTime"),
        reason=found.get("FailureReason", ""),
        said=found.get("ExitMessage", ""),
        place=_place(uri, name),
    )


def registered(package: Package) -> str:
    """`s3://` address of Clarify's files that came with a model; empty when it was registered without."""
    report = package.metrics.get("Explainability", {}).get("Report", {}).get("S3Uri", "")
    return str(report).rpartition("/")[0]


def read(s3: Any, env: Environment, version: int, folder: str) -> Result:
    """What an explanation found. Raises BadInput when its analysis.json is not one, ClientError when it is not there.

    Clarify's own heat maps have other names: such a result has no sheet, and objects only as far as they read as ours.
    """
    try:
        data = read_object(s3, f"{folder}/{ANALYSIS}")
        if len(data) > LARGEST_ANALYSIS:
            raise ValueError(f"{len(data)} bytes")
        body = json.loads(data)
        classes = body["explanations"]["kernel_shap"]
        objects = [_explained(name, row) for name, rows in classes.items() if isinstance(rows, list) for row in rows]
        images = [(str(row["image"]), str(row["reason"])) for row in body.get("images", ())]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{folder}/{ANALYSIS} cannot be read: {type(error).__name__}: {error}", "Explain again with `--now`."
        ) from error
    return Result(
        env=env,
        version=version,
        folder=folder,
        objects=sorted(objects, key=lambda each: (each.image, -each.score)),
        images=[image for image, reason in images if not reason],
        unread={image: reason for image, reason in images if reason},
        sheet=_sheet(s3, folder),
    )


def report(folder: str) -> str:
    """`s3://` address of the report among Clarify's files."""
    return f"{folder}/{REPORT}.html"


def _sheet(s3: Any, folder: str) -> bytes | None:
    try:
        data = read_object(s3, f"{folder}/{MAPS}/{SHEET}")
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("NoSuchKey", "404", "AccessDenied"):
            raise
        return None
    return data if len(data) <= LARGEST_SHEET and data.startswith(b"\xff\xd8\xff") else None


def _explained(name: str, row: Mapping[str, Any]) -> Explained:
    own = row["own_share"]
    numbers = [float(row["score"]), float(row["expected_value"]), *([] if own is None else [float(own)])]
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"not a number in {name}")
    return Explained(str(row["image"]), name, numbers[0], numbers[1], numbers[2] if own is not None else None)


def _place(uri: str, job_name: str) -> Place:
    """The place that a result's address tells."""
    parts = urlsplit(uri)
    try:
        env, kind, model, identity, result = parts.path.strip("/").split("/")
        version, _, digest = model.removeprefix("v").partition("-")
        known = next(each for each in ENVIRONMENTS if each == env)
        if (kind, result) != ("explain", RESULT):
            raise ValueError(uri)
        return Place(parts.netloc, known, int(version), digest, identity)
    except (ValueError, StopIteration) as error:
        raise NotFound("explanation job", job_name) from error


def _input(name: str, local: str, uri: str) -> dict[str, Any]:
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": f"{_INPUT}/{local}",
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
            "S3DataDistributionType": "FullyReplicated",
            "S3CompressionType": "None",
        },
    }
