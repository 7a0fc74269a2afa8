"""Put the pipeline of an environment into the account: `python -m pipeline.publish --env dev --profile ab`.

Uploads the steps' code and the deployment template under content-addressed keys (nothing is ever overwritten), renders
the definition, checks it, and creates or updates the pipeline, all as role `groundcrew-ml-engineer`, which the
profile assumes. Prints what changed. prod has no pipeline: models come there by promotion.
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

from pipeline import gate, source
from pipeline.definition import definition, tags
from pipeline.errors import Denied, GroundcrewError, Unavailable
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
            for line in publish(session, names, env, options.mlflow):
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
    s3 = session.client("s3")
    code, template = source.code(), source.template()
    changes = [upload(s3, names, env, artifact) for artifact in (template, code)]
    text = definition(
        env, names, names.image(), code.uri(env, names), template.url(env, names), mlflow, source.revision()
    )
    gate.check(text)
    return [*changes, put_pipeline(session.client("sagemaker"), names, env, text)]


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


def put_pipeline(sagemaker: Any, names: Names, env: Environment, text: str) -> str:
    """Create the pipeline, or update it where its definition differs."""
    name, role = names.pipeline(env), names.role(f"{env}-execution")
    try:
        found = sagemaker.describe_pipeline(PipelineName=name)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("ResourceNotFound", "ResourceNotFoundException"):
            raise
        sagemaker.create_pipeline(
            PipelineName=name,
            PipelineDescription="Trains, evaluates and registers the detector",
            PipelineDefinition=text,
            RoleArn=role,
            Tags=tags(env),
        )
        return f"pipeline {name} created"
    if found["RoleArn"] == role and json.loads(found["PipelineDefinition"]) == json.loads(text):
        return f"pipeline {name} unchanged"
    sagemaker.update_pipeline(PipelineName=name, PipelineDefinition=text, RoleArn=role)
    return f"pipeline {name} updated"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline.publish", description="Create or update a pipeline.")
    parser.add_argument("--env", nargs="+", choices=PIPELINES, required=True, help="environments to publish to")
    parser.add_argument("--profile", required=True, help="AWS profile that may assume groundcrew-ml-engineer")
    parser.add_argument("--region", help="AWS region; default: the profile's")
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
