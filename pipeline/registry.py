"""The model registry: read versions, and copy one with its artifact into the next environment.

A model is known by its digest, the sha256 of `model.tar.gz`. Nothing is promoted whose bytes do not match it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from pipeline import card
from pipeline.absent import missing
from pipeline.errors import NotFound, Refused
from pipeline.explaining.config import MAPS, REPORT, SHEET
from pipeline.names import Environment, Names

PREVIOUS: Mapping[Environment, Environment] = {"staging": "dev", "prod": "staging"}
"""Where a promotion into an environment copies from."""

BESIDE: Mapping[str, tuple[str, Sequence[str]]] = MappingProxyType(
    {
        "ModelDataQuality": ("", ("examples.jpg",)),
        "Explainability": ("explanation/", (f"{REPORT}.html", f"{MAPS}/{SHEET}")),
    }
)
"""Kinds of model metrics whose files travel with a model: below which folder, and what lies beside them, if it does."""

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Package:
    """One version in an environment's model package group. `metadata` are its customer metadata, all strings."""

    arn: str
    version: int
    status: str
    approval: str
    created: datetime
    model: str
    metadata: Mapping[str, str]
    evaluation: str | None = None
    inference: Mapping[str, Any] = field(default_factory=dict, repr=False)
    metrics: Mapping[str, Any] = field(default_factory=dict, repr=False)
    card: str = field(default="", repr=False)
    """The model card's content (`pipeline.card`); empty for a version that was registered without one."""
    card_status: str = ""

    @property
    def digest(self) -> str:
        """sha256 of the model's tar.gz, hexadecimal."""
        return self.metadata.get("digest", "").removeprefix("sha256:")


@dataclass(frozen=True)
class Evaluation:
    """What the Evaluate step measured, and the S3 address of its `folder`.

    `per_class` is mAP50 and mAP50-95 by class name, None for a class that no held-out photo shows.
    `confusion`: None in a report that was written before the counts were kept.
    """

    map50: float
    map50_95: float
    per_class: Mapping[str, tuple[float, float] | None]
    images: Mapping[str, int]
    folder: str
    confusion: Confusion | None = None


@dataclass(frozen=True)
class Confusion:
    """Objects counted: a row for each class predicted, a column for each labelled; the last of both is no object."""

    labels: Sequence[str]
    counts: Sequence[Sequence[int]]


def versions(sagemaker: Any, names: Names, env: Environment, limit: int = 10) -> list[Package]:
    """The newest versions first. An environment without a group has none."""
    return [
        _describe(sagemaker, item["ModelPackageArn"]) for item in islice(_listed(sagemaker, names.group(env)), limit)
    ]


@dataclass(frozen=True)
class Listed:
    """A version as the list of its group has it, without its metadata."""

    version: int
    status: str
    created: datetime


def listed(sagemaker: Any, names: Names, env: Environment, limit: int) -> list[Listed]:
    """The newest versions first, in one call a hundred of them. An environment without a group has none."""
    found = islice(_listed(sagemaker, names.group(env)), limit)
    return [Listed(each["ModelPackageVersion"], each["ModelPackageStatus"], each["CreationTime"]) for each in found]


def load(sagemaker: Any, names: Names, env: Environment, version: int) -> Package:
    """One version. Raises NotFound with the versions that exist."""
    try:
        return _describe(sagemaker, names.arn("sagemaker", f"model-package/{names.group(env)}/{version}"))
    except ClientError as error:
        if not missing(error):
            raise
        existing = [str(item["ModelPackageVersion"]) for item in _listed(sagemaker, names.group(env))]
        raise NotFound(
            f"version in {env}", str(version), existing, f"`registry list --env {env}` shows them."
        ) from error


def by_arn(sagemaker: Any, arn: str) -> Package | None:
    """The version with that ARN, None when it is gone."""
    try:
        return _describe(sagemaker, arn)
    except ClientError as error:
        if not missing(error):
            raise
        return None


def newest(sagemaker: Any, names: Names, env: Environment) -> Package:
    """The newest version that may be deployed: in dev any that was not rejected, elsewhere an approved one.

    Raises NotFound when there is none.
    """
    narrow = {} if env == "dev" else {"ModelApprovalStatus": "Approved"}
    for item in _listed(sagemaker, names.group(env), **narrow):
        if item["ModelApprovalStatus"] != "Rejected":
            return _describe(sagemaker, item["ModelPackageArn"])
    before = PREVIOUS.get(env)
    advice = (
        f"`registry request <version> --to {env}` brings one from {before}." if before else "`pipeline run` makes one."
    )
    raise NotFound("model to deploy in environment", env, advice=advice)


def with_digest(sagemaker: Any, names: Names, env: Environment, digest: str) -> Package | None:
    """The version in `env` that holds the model with this digest."""
    every = (_describe(sagemaker, item["ModelPackageArn"]) for item in _listed(sagemaker, names.group(env)))
    return next((package for package in every if package.digest == digest), None)


def promote(
    sagemaker: Any, s3: Any, names: Names, package: Package, to: Environment, *, token: str, metadata: Mapping[str, str]
) -> Package:
    """Copy the artifact and the package into environment `to`, approved; for a model already there nothing changes.

    `metadata` is added to the package's own. Raises Refused when the artifact's bytes are not those of the digest.
    """
    already = with_digest(sagemaker, names, to, package.digest)
    if already is not None:
        return already
    key = f"{to}/models/{package.digest}/model.tar.gz"
    copy_verified(s3, package.model, package.digest, bucket=names.bucket, key=key)
    container = {**package.inference["Containers"][0], "ModelDataUrl": f"s3://{names.bucket}/{key}"}
    metrics = _with_files(s3, package.metrics, bucket=names.bucket, prefix=f"{to}/models/{package.digest}")
    answer = sagemaker.create_model_package(
        ModelPackageGroupName=names.group(to),
        ModelPackageDescription=f"Promoted from {package.arn.split(':model-package/')[-1]}",
        InferenceSpecification={**package.inference, "Containers": [container]},
        ModelApprovalStatus="Approved",
        CustomerMetadataProperties={**package.metadata, **metadata, "source_package": package.arn},
        ClientToken=token,
        **({"ModelMetrics": metrics} if metrics else {}),
        **({"ModelCard": _approved(package, metadata)} if package.card else {}),
    )
    return _describe(sagemaker, answer["ModelPackageArn"])


def _approved(package: Package, metadata: Mapping[str, str]) -> dict[str, str]:
    """The card for the next environment: it says where the model was promoted from, and who asked and agreed."""
    details = {**metadata, "promoted_from": package.arn}
    return {"ModelCardContent": card.approved(package.card, details), "ModelCardStatus": card.APPROVED}


def _with_files(s3: Any, metrics: Mapping[str, Any], *, bucket: str, prefix: str) -> dict[str, Any]:
    """The metrics with the drift baseline and the explanation copied to where the next environment may read them."""
    moved = dict(metrics)
    for kind, (beneath, more) in BESIDE.items():
        copied = {}
        for name, file in metrics.get(kind, {}).items():
            folder, _, leaf = file["S3Uri"].rpartition("/")
            _copy(s3, file["S3Uri"], bucket, f"{prefix}/{beneath}{leaf}")
            copied[name] = {**file, "S3Uri": f"s3://{bucket}/{prefix}/{beneath}{leaf}"}
        for each in more if copied else ():
            _copy_if_there(s3, f"{folder}/{each}", bucket, f"{prefix}/{beneath}{each}")
        moved |= {kind: copied} if copied else {}
    return moved


def _copy_if_there(s3: Any, source: str, bucket: str, key: str) -> None:
    try:
        _copy(s3, source, bucket, key)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchKey"):
            raise


def _copy(s3: Any, source: str, bucket: str, key: str) -> None:
    place = urlsplit(source)
    s3.copy_object(Bucket=bucket, Key=key, CopySource={"Bucket": place.netloc, "Key": place.path.lstrip("/")})


def copy_verified(s3: Any, source: str, digest: str, *, bucket: str, key: str) -> None:
    """Copy an S3 object after reading it once and comparing its sha256; exactly the bytes read are copied (by ETag).

    Raises Refused when they differ from `digest`.
    """
    place = urlsplit(source)
    origin = {"Bucket": place.netloc, "Key": place.path.lstrip("/")}
    read = s3.get_object(**origin)
    seen = _digest(read)
    if seen != digest:
        raise Refused(
            f"The artifact is not the registered model: its sha256 is {seen[:12]}, not {digest[:12]}.",
            "Nothing was copied. Train again with `pipeline run` and promote the new version.",
        )
    s3.copy_object(Bucket=bucket, Key=key, CopySource=origin, CopySourceIfMatch=read["ETag"])


def verify(s3: Any, package: Package) -> None:
    """Read a version's artifact and compare its sha256. Raises Refused when it is gone or not what was registered."""
    place = urlsplit(package.model)
    content_tag(s3, package.model)
    seen = _digest(s3.get_object(Bucket=place.netloc, Key=place.path.lstrip("/")))
    if seen != package.digest:
        raise Refused(
            f"The artifact of v{package.version} is not the registered model: its sha256 is {seen[:12]}, "
            f"not {package.digest[:12]}.",
            "Somebody has written over it. Train again with `pipeline run`, or deploy another version.",
        )


def _digest(read: Mapping[str, Any]) -> str:
    seen = hashlib.sha256()
    for chunk in read["Body"].iter_chunks(_CHUNK):
        seen.update(chunk)
    return seen.hexdigest()


def content_tag(s3: Any, uri: str) -> str:
    """S3's tag of an object's content (ETag): another one means other bytes. Raises Refused when it is gone."""
    place = urlsplit(uri)
    try:
        return str(s3.head_object(Bucket=place.netloc, Key=place.path.lstrip("/"))["ETag"])
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchKey"):
            raise
        raise Refused(f"The model's artifact {uri} is gone.", "Train again with `pipeline run`.") from error


def evaluation(s3: Any, uri: str) -> Evaluation:
    """Read the evaluation report at `uri`. Raises botocore's ClientError when it cannot be read."""
    report = json.loads(read_object(s3, uri))
    return Evaluation(
        map50=float(report["metrics"]["map50"]["value"]),
        map50_95=float(report["metrics"]["map50_95"]["value"]),
        per_class={
            name: (float(row["map50"]), float(row["map50_95"])) if row else None
            for name, row in report["per_class"].items()
        },
        images={split: int(count) for split, count in report["data"]["images"].items()},
        folder=uri.rsplit("/", 1)[0],
        confusion=_confusion(report.get("confusion")),
    )


def _confusion(told: Mapping[str, Any] | None) -> Confusion | None:
    if told is None:
        return None
    return Confusion([str(name) for name in told["labels"]], [[int(count) for count in row] for row in told["counts"]])


def read_object(s3: Any, uri: str) -> bytes:
    """The bytes at an `s3://` address."""
    place = urlsplit(uri)
    return bytes(s3.get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))["Body"].read())


def _listed(sagemaker: Any, group: str, **narrow: str) -> Iterable[Mapping[str, Any]]:
    pages = sagemaker.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=group, SortBy="CreationTime", SortOrder="Descending", **narrow
    )
    try:
        for page in pages:
            yield from page["ModelPackageSummaryList"]
    except ClientError as error:
        if not missing(error):
            raise


def _describe(sagemaker: Any, arn: str) -> Package:
    found = sagemaker.describe_model_package(ModelPackageName=arn)
    metrics = found.get("ModelMetrics", {})
    specification = found["InferenceSpecification"]
    return Package(
        arn=found["ModelPackageArn"],
        version=int(found["ModelPackageVersion"]),
        status=found["ModelPackageStatus"],
        approval=found["ModelApprovalStatus"],
        created=found["CreationTime"],
        model=specification["Containers"][0]["ModelDataUrl"],
        metadata=found.get("CustomerMetadataProperties", {}),
        evaluation=metrics.get("ModelQuality", {}).get("Statistics", {}).get("S3Uri"),
        inference=specification,
        metrics=metrics,
        card=found.get("ModelCard", {}).get("ModelCardContent", ""),
        card_status=found.get("ModelCard", {}).get("ModelCardStatus", ""),
    )
