"""Put the pipeline of an environment into the account: `python -m pipeline.publish --env dev --profile ab`.

Uploads the steps' code and the deployment template under content-addressed keys (nothing is ever overwritten), renders
the definitions (`on-demand` and `spot`), checks them, and creates or updates the pipeline, all as role
`groundcrew-ml-engineer`, which the profile assumes. Prints what changed; with `--dry-run` only what would change.
prod has no pipeline: models come there by promotion.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from pipeline import changes, executions, gate, source
from pipeline.absent import missing
from pipeline.definition import ALIASES, Alias, definition, tags
from pipeline.errors import Denied, GroundcrewError, NotFound, Unavailable
from pipeline.names import Environment, Names

ROLE = "ml-engineer"
SOURCE_IDENTITY = "system.publish"
PIPELINES: tuple[Environment, ...] = ("dev", "staging")


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish; returns the exit status (0 done, 1 with the reason on stderr)."""
    options = _parser().parse_args(arguments)
    try:
        session, names = assume(options.profile, options.region, options.data_bucket)
        for env in options.env:
            for line in (preview if options.dry_run else publish)(session, names, env, options.mlflow):
                print(f"{env}: {line}")
    except GroundcrewError as error:
        print(f"{error.message} {error.advice}".strip(), file=sys.stderr)
        return 1
    except ClientError as error:
        print(f"AWS refused: {error}. Check that `python -m infra up` has run for this account.", file=sys.stderr)
        return 1
    except BotoCoreError as error:
        print(f"AWS cannot be reached: {error}. Check the profile and its region.", file=sys.stderr)
        return 1
    return 0


def assume(profile: str, region: str | None, data_bucket: str) -> tuple[boto3.Session, Names]:
    """A session as the ML engineer's role, and the names of its account.

    The profile's name goes into the new session too: its endpoint settings must hold for the assumed role.
    """
    operator = boto3.Session(profile_name=profile, region_name=region)
    if operator.region_name is None:
        raise Unavailable(f"Profile {profile!r} has no region.", "Give one with --region.")
    sts = operator.client("sts")
    names = Names(sts.get_caller_identity()["Account"], operator.region_name, data_bucket)
    try:
        answer = sts.assume_role(
            RoleArn=names.role(ROLE), RoleSessionName="publish", SourceIdentity=SOURCE_IDENTITY, DurationSeconds=900
        )
    except ClientError as error:
        raise Denied(
            str(error),
            f"Profile {profile!r} must be allowed to assume {names.role(ROLE)}; `python -m infra up` makes it.",
        ) from error
    keys = answer["Credentials"]
    session = boto3.Session(
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
        region_name=names.region,
        profile_name=profile,
    )
    return session, names


def publish(session: boto3.Session, names: Names, env: Environment, mlflow: str) -> list[str]:
    """Publish one environment; returns what changed, a line each."""
    s3, sagemaker = session.client("s3"), session.client("sagemaker")
    done = [upload(s3, names, env, artifact) for artifact in (source.template(), source.code())]
    for alias, text in texts(names, env, mlflow).items():
        done.append(put_version(sagemaker, names, env, alias, text))
    return [*done, *_under_way(sagemaker, names, env)]


def preview(session: boto3.Session, names: Names, env: Environment, mlflow: str) -> list[str]:
    """What `publish` would change in the definition, a line each; changes nothing."""
    sagemaker, lines = session.client("sagemaker"), []
    for alias, text in texts(names, env, mlflow).items():
        old = published(sagemaker, names.pipeline(env), alias)
        found = changes.between(old, text) if old else ["new"]
        lines += [f"{alias}: {line}" for line in found or ["unchanged"]]
    return [*lines, *_under_way(sagemaker, names, env)]


def texts(names: Names, env: Environment, mlflow: str) -> dict[Alias, str]:
    """The environment's definitions by alias, checked. Raises BadInput for one that is not valid."""
    code, template = source.code().uri(env, names), source.template().url(env, names)
    revision = source.revision()
    found = {alias: definition(env, names, names.image(), code, template, mlflow, revision, alias) for alias in ALIASES}
    for text in found.values():
        gate.check(text)
    return found


def upload(s3: Any, names: Names, env: Environment, artifact: source.Artifact) -> str:
    """Upload an artifact unless it is there; its key is its content's, so what is there is the same."""
    key = artifact.key(env)
    try:
        s3.put_object(Bucket=names.bucket, Key=key, Body=artifact.data, IfNoneMatch="*")
    except ClientError as error:
        if error.response["Error"]["Code"] in ("PreconditionFailed", "412"):
            return f"{artifact.name} unchanged"
        raise
    return f"{artifact.name} uploaded to s3://{names.bucket}/{key}"


def put_version(sagemaker: Any, names: Names, env: Environment, alias: Alias, text: str) -> str:
    """Make a definition the one that an alias means; creates the pipeline where there is none.

    An alias moves in two calls: between them, for a moment, no version has it, and a run that starts then is told so.
    """
    name, role = names.pipeline(env), names.role(f"{env}-execution")
    try:
        latest = sagemaker.describe_pipeline(PipelineName=name)
    except ClientError as error:
        if not missing(error):
            raise
        sagemaker.create_pipeline(
            PipelineName=name,
            PipelineDescription="Trains, evaluates and registers the detector",
            PipelineDefinition=text,
            RoleArn=role,
            Tags=tags(env),
            PipelineVersionAliases=[alias],
        )
        return f"pipeline {name} created, {alias}"
    old = published(sagemaker, name, alias)
    if old is not None and latest["RoleArn"] == role and json.loads(old) == json.loads(text):
        return f"pipeline {name} unchanged, {alias}"
    if old is not None:
        holder = _holder(sagemaker, name, alias)
        operations = {"Remove": [alias]}
        sagemaker.update_pipeline_version(
            PipelineArn=latest["PipelineArn"], PipelineVersionId=holder, PipelineVersionAliasOperations=operations
        )
    made = sagemaker.update_pipeline(
        PipelineName=name, PipelineDefinition=text, RoleArn=role, PipelineVersionAliases=[alias]
    )
    return f"pipeline {name} updated, {alias} (version {made['PipelineVersionId']})"


def published(sagemaker: Any, name: str, alias: Alias) -> str | None:
    """The definition that an alias means now; None where there is none."""
    try:
        return str(sagemaker.describe_pipeline(PipelineName=name, PipelineVersionAlias=alias)["PipelineDefinition"])
    except ClientError as error:
        if missing(error):
            return None
        raise


def _holder(sagemaker: Any, name: str, alias: Alias) -> int:
    for page in sagemaker.get_paginator("list_pipeline_versions").paginate(PipelineName=name):
        for found in page["PipelineVersionSummaries"]:
            if alias in found.get("PipelineVersionAliases", ()):
                return int(found["PipelineVersionId"])
    raise NotFound("version of the pipeline", alias, advice="Somebody else is publishing; try again.")


def _under_way(sagemaker: Any, names: Names, env: Environment) -> list[str]:
    """Runs that publishing does not touch: each keeps the definition it began with."""
    try:
        going = [run for run in executions.recent(sagemaker, names, env) if run.status in executions.RUNNING]
    except NotFound:
        return []
    return [f"run {run.id} is under way and keeps the definition it began with" for run in going]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline.publish", description="Create or update a pipeline.")
    parser.add_argument("--env", nargs="+", choices=PIPELINES, required=True, help="environments to publish to")
    parser.add_argument("--profile", required=True, help="AWS profile that may assume groundcrew-ml-engineer")
    parser.add_argument("--region", help="AWS region; default: the profile's")
    parser.add_argument("--dry-run", action="store_true", help="say what would change in the definition, and stop")
    parser.add_argument(
        "--mlflow",
        default=os.environ.get("MLFLOW_TRACKING_URI", ""),
        help="MLflow tracking URI that the jobs use; default: MLFLOW_TRACKING_URI",
    )
    parser.add_argument(
        "--data-bucket",
        default=os.environ.get("DATA_BUCKET", Names.data_bucket),
        help="bucket with the survey photos; default: DATA_BUCKET or %(default)s",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
