"""Ask a model about every photo of a folder: a Batch Transform job on several instances, and what came of it.

The job needs no endpoint. Each photo is a request of its own; the answer to `<key>` lies beside the others as
`<key>.out` below `<env>/batch/<job>/`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from pipeline.absent import missing
from pipeline.definition import tags
from pipeline.errors import BadInput, NotFound
from pipeline.inference import LARGEST_PICTURE
from pipeline.names import ENVIRONMENTS, PROJECT, Environment, Names
from pipeline.registry import Package

INSTANCE_TYPE = "ml.m5.large"
MOST_INSTANCES = 4
MOST_PHOTOS = 5_000
"""Of one job: its answers are read again for the summary."""
MOST_S = 24 * 3600.0
TYPICAL_S = 240.0
"""How long a job mostly takes, most of it the start."""
SUFFIXES = (".jpg", ".jpeg", ".png")
THREADS = 8
MIB = 1 << 20


@dataclass(frozen=True)
class Job:
    """A batch job as it stands. `source` and `output` are `s3://` addresses of folders."""

    arn: str
    name: str
    env: Environment
    status: str
    reason: str
    created: datetime
    instances: int
    digest: str
    source: str
    output: str

    @property
    def running(self) -> bool:
        """Whether it is still at work."""
        return self.status in ("InProgress", "Stopping")


@dataclass(frozen=True)
class Summary:
    """What the model said about all of a job's photos; `fullest` are the photos with the most objects."""

    photos: int
    classes: Mapping[str, int]
    confidence: float | None
    empty: int
    per_photo: Sequence[int]
    fullest: Sequence[tuple[str, int]]

    @property
    def objects(self) -> int:
        """All of them."""
        return sum(self.classes.values())


def photos(s3: Any, bucket: str, prefix: str) -> int:
    """How many photos lie below a folder that ends in a slash.

    Raises NotFound when there are none, BadInput for a folder that holds something else too, or what is too large.
    """
    found: list[str] = []
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", ()):
            key = str(item["Key"])
            if not item["Size"]:
                continue
            if not key.lower().endswith(SUFFIXES):
                raise BadInput(
                    f"{key} is no photo, and every object of the folder is sent to the model.",
                    f"Name the folder that holds photos only, such as {prefix}images/.",
                )
            if item["Size"] > LARGEST_PICTURE:
                raise BadInput(
                    f"{key} has {item['Size'] / MIB:.1f} MiB; the model takes {LARGEST_PICTURE // MIB}.",
                    "Make it smaller, or move it elsewhere.",
                )
            found.append(key)
            if len(found) > MOST_PHOTOS:
                raise BadInput(f"{prefix} has more than {MOST_PHOTOS:,} photos.", "Name a smaller folder of it.")
    if not found:
        raise NotFound("photo below", f"s3://{bucket}/{prefix}", advice="`dataset profile` shows what there is.")
    return len(found)


def start(
    sagemaker: Any, names: Names, env: Environment, package: Package, prefix: str, instances: int, token: str
) -> str:
    """Start the job; returns its ARN. The same `token` starts it once."""
    model = f"{names.begin(env)}batch-{package.digest[:8]}"
    container = {
        "Image": package.inference["Containers"][0]["Image"],
        "ModelDataUrl": package.model,
        "Environment": {"MODEL_DIGEST": package.digest},
    }
    role = names.role(f"{env}-execution")
    try:
        sagemaker.create_model(ModelName=model, ExecutionRoleArn=role, PrimaryContainer=container, Tags=tags(env))
    except ClientError as error:  # the model of an earlier job: its name tells that it is the same
        if "already existing" not in error.response["Error"]["Message"]:
            raise
    name = f"{names.begin(env)}batch-{token[:12]}"
    try:
        sagemaker.create_transform_job(
            TransformJobName=name,
            ModelName=model,
            BatchStrategy="SingleRecord",
            MaxPayloadInMB=LARGEST_PICTURE // MIB,
            TransformInput={
                "ContentType": "image/jpeg",
                "SplitType": "None",
                "DataSource": {
                    "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{names.data_bucket}/{prefix}"}
                },
            },
            TransformOutput={"S3OutputPath": f"s3://{names.bucket}/{env}/batch/{name}", "Accept": "application/json"},
            TransformResources={"InstanceType": INSTANCE_TYPE, "InstanceCount": instances},
            Tags=tags(env),
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceInUse":
            raise
    return names.arn("sagemaker", f"transform-job/{name}")


def job(sagemaker: Any, arn: str) -> Job:
    """A job by its ARN. Raises NotFound when there is none."""
    name = arn.rsplit("/", 1)[-1]
    try:
        found = sagemaker.describe_transform_job(TransformJobName=name)
    except ClientError as error:
        if not missing(error):
            raise
        raise NotFound("batch job", name) from error
    return Job(
        arn=found["TransformJobArn"],
        name=name,
        env=next(env for env in ENVIRONMENTS if name.startswith(f"{PROJECT}-{env}-")),
        status=found["TransformJobStatus"],
        reason=found.get("FailureReason", ""),
        created=found["CreationTime"],
        instances=int(found["TransformResources"]["InstanceCount"]),
        digest=found["ModelName"].rsplit("-", 1)[-1],
        source=found["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"],
        output=found["TransformOutput"]["S3OutputPath"],
    )


def summary(s3: Any, of: Job) -> Summary:
    """Read all answers of a job. Raises BadInput for one that is none of the server's."""
    bucket, _, folder = of.output.removeprefix("s3://").partition("/")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{folder}/")
    keys = [item["Key"] for page in pages for item in page.get("Contents", ())]

    def read(key: str) -> tuple[str, list[tuple[str, float]]]:
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        try:
            seen = [(str(each["class"]), float(each["confidence"])) for each in json.loads(body)["detections"]]
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(f"s3://{bucket}/{key} is no answer of the server.", "Run the batch again.") from error
        return key.removeprefix(f"{folder}/").removesuffix(".out"), seen

    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(read, keys))
    found = [each for _, seen in answers for each in seen]
    return Summary(
        photos=len(answers),
        classes=dict(Counter(name for name, _ in found).most_common()),
        confidence=sum(sure for _, sure in found) / len(found) if found else None,
        empty=sum(not seen for _, seen in answers),
        per_photo=[len(seen) for _, seen in answers],
        fullest=sorted(((name, len(seen)) for name, seen in answers if seen), key=lambda row: -row[1])[:5],
    )
