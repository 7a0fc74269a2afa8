"""`python -m infra down`: ends and empties what Groundcrew has made in the account, then its stacks.

The order is that of docs/cleanup.md: what runs, deployments and strays of every environment, pipelines and registered
models, the artifact bucket with all its versions, the stacks. What proves what was done stays: the audit bucket, whose
objects are locked, goes only when that is said, with a right of its own (s3:BypassGovernanceRetention).
Typed again after an interruption it goes on from what is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from botocore.exceptions import ClientError

from infra import stacks
from infra.stacks import File, Say
from pipeline import cleanup
from pipeline.absent import missing
from pipeline.errors import Refused
from pipeline.names import ENVIRONMENTS, Names

Client = Callable[[str], Any]
Ask = Callable[[str], str]
AT_A_TIME = 1000
"""Objects in one DeleteObjects."""
PAUSE_S, LONGEST_PAUSE_S = 0.2, 10.0
DEADLINE_S = 3600.0


def takedown(
    client: Client, names: Names, files: Sequence[File], *, audit_too: bool, confirmed: bool, say: Say, ask: Ask
) -> None:
    """Show what is there, ask, take it down. Raises Refused when it is not agreed to, or something is in the way."""
    if stacks.find(client("cloudformation"), names.studio) is not None:
        raise Refused("Studio is up, and its roles need ours.", "`python -m infra studio --step down` first.")
    for line in inventory(client, names, files, audit_too=audit_too):
        say(line)
    if not confirmed and ask("Type the account's number to take all of it down: ").strip() != names.account:
        raise Refused("That is not the account's number.", "Nothing was changed.")
    for env in ENVIRONMENTS:
        _end(client, names, env, say)
    _pipelines_and_models(client("sagemaker"), names, say)
    s3 = client("s3")
    if stacks.exists(s3, names.bucket):
        say(f"{names.bucket}: {empty(s3, names.bucket)} versions deleted")
    for file in reversed(files):
        stacks.down(client("cloudformation"), stacks.complete(client("cloudformation"), s3, file), say)
    if audit_too and stacks.exists(s3, names.audit_bucket):
        say(f"{names.audit_bucket}: {empty(s3, names.audit_bucket, bypass=True)} locked versions deleted")
        s3.delete_bucket(Bucket=names.audit_bucket)


def inventory(client: Client, names: Names, files: Sequence[File], *, audit_too: bool) -> Iterator[str]:
    """What would go, a line each."""
    sagemaker, s3 = client("sagemaker"), client("s3")
    yield f"Account {names.account}, region {names.region}. This goes:"
    for env in ENVIRONMENTS:
        for item in cleanup.found(client, names, env):
            yield f"  {env:<8} {item.kind:<9} {item.name} ({item.status})"
        if _pipeline_there(sagemaker, names.pipeline(env)):
            yield f"  {env:<8} pipeline  {names.pipeline(env)}"
        count = sum(1 for _ in _packages(sagemaker, names.group(env)))
        if count:
            yield f"  {env:<8} models    {count} registered versions of {names.group(env)}"
    if stacks.exists(s3, names.bucket):
        count = sum(1 for _ in _versions(s3, names.bucket))
        yield f"  bucket   {names.bucket} with {count} versions of objects"
    for file in reversed(files):
        if stacks.find(client("cloudformation"), file.name) is not None:
            yield f"  stack    {file.name}"
    if stacks.exists(s3, names.audit_bucket):
        what = "goes too, locked as it is" if audit_too else "stays: it is evidence (--audit-too ends it as well)"
        yield f"  evidence {names.audit_bucket} {what}"


def empty(s3: Any, bucket: str, *, bypass: bool = False) -> int:
    """Delete every version, delete marker and unfinished upload of a bucket; how many there were.

    `bypass`: also what Object Lock keeps in governance mode. Raises Refused for what S3 does not delete.
    """
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for upload in page.get("Uploads", ()):
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    deleted, batch = 0, list[dict[str, str]]()
    more = {"BypassGovernanceRetention": True} if bypass else {}
    for version in _versions(s3, bucket):
        batch.append(version)
        if len(batch) == AT_A_TIME:
            deleted += _delete(s3, bucket, batch, more)
            batch = []
    return deleted + (_delete(s3, bucket, batch, more) if batch else 0)


def _delete(s3: Any, bucket: str, batch: list[dict[str, str]], more: dict[str, bool]) -> int:
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True}, **more)
    if errors := answer.get("Errors"):
        key, why = errors[0]["Key"], errors[0].get("Message", errors[0]["Code"])
        raise Refused(
            f"{len(errors)} objects of {bucket} cannot be deleted, {key}: {why}",
            "Locked ones need s3:BypassGovernanceRetention.",
        )
    return len(batch)


def _versions(s3: Any, bucket: str) -> Iterator[dict[str, str]]:
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for row in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            yield {"Key": row["Key"], "VersionId": row["VersionId"]}


def _end(client: Client, names: Names, env: Any, say: Say) -> None:
    """End what runs and hangs about in an environment, one kind after another, and wait until all of it is gone."""
    asked: set[str] = set()
    pause, until = PAUSE_S, time.monotonic() + DEADLINE_S
    while left := cleanup.found(client, names, env):
        first = left[0].kind
        for item in left:
            if item.kind == first and not item.going and item.id not in asked:
                say(f"  ending {item.kind} {item.name}")
                cleanup.end(client, names, env, item, token=_token(item.id))
                asked.add(item.id)
        if any(item.status.endswith("DELETE_FAILED") for item in left):
            stuck = next(item for item in left if item.status.endswith("DELETE_FAILED"))
            raise Refused(f"{stuck.name} ended in {stuck.status}.", "docs/cleanup.md says what to do; then go on here.")
        if time.monotonic() > until:
            raise Refused(f"{left[0].name} is still {left[0].status}.", "Look at it, then type this again.")
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE_S)


def _token(id: str) -> str:
    """A client request token of the allowed characters, new for each call of `down`."""
    return f"down-{time.time_ns()}-{abs(hash(id)) % 10**9:09d}"


def _pipelines_and_models(sagemaker: Any, names: Names, say: Say) -> None:
    for env in ENVIRONMENTS:
        name = names.pipeline(env)
        if _pipeline_there(sagemaker, name):
            sagemaker.delete_pipeline(PipelineName=name)
            say(f"  deleted pipeline {name}")
        for arn in list(_packages(sagemaker, names.group(env))):
            sagemaker.delete_model_package(ModelPackageName=arn)
            say(f"  deleted {arn.rsplit(':', 1)[-1]}")


def _pipeline_there(sagemaker: Any, name: str) -> bool:
    try:
        sagemaker.describe_pipeline(PipelineName=name)
    except ClientError as error:
        if missing(error):
            return False
        raise
    return True


def _packages(sagemaker: Any, group: str) -> Iterator[str]:
    try:
        for page in sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group):
            yield from (row["ModelPackageArn"] for row in page["ModelPackageSummaryList"])
    except ClientError as error:
        if not missing(error):
            raise
