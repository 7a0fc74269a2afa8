"""`python -m infra plan|up|down --profile ab [--region …]`: the account's roles, platform and audit record.

`python -m infra studio --profile ab --access FILE --vpc … --subnets …`: the notebooks, for accounts that want them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra import stacks, studio
from pipeline.errors import Denied, GroundcrewError, Unavailable
from pipeline.names import Names

_DATA_BUCKET = Names("", "").data_bucket


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; 0 when it is done, 1 with a message when not."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except GroundcrewError as error:
        print(f"{error.message}\n{error.advice}".strip(), file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra", description=__doc__)
    parser.add_argument("action", choices=("plan", "up", "down", "studio"))
    parser.add_argument("--profile", help="AWS profile of the operator, for example ab")
    parser.add_argument("--region", help="AWS region; otherwise the profile's")
    parser.add_argument("--operator-arn", help="IAM user or role that may publish and run the bot; otherwise you")
    parser.add_argument("--data-bucket", default=_DATA_BUCKET, help="bucket with the survey photos (%(default)s)")
    studio.options(parser)
    return parser


def _run(options: argparse.Namespace) -> None:
    try:
        session: Any = boto3.Session(profile_name=options.profile, region_name=options.region)
        files: Sequence[stacks.File]
        if options.action == "studio":
            step, files = options.step, studio.stacks(options)
        else:
            operator = options.operator_arn or _operator(session)
            names = Names(operator.split(":")[4], session.region_name, options.data_bucket)
            step, files = options.action, stacks.stacks(operator, names)
        action = {"plan": stacks.plan, "up": stacks.up, "down": stacks.down}[step]
        cloudformation, s3 = session.client("cloudformation"), session.client("s3")
        for file in reversed(files) if step == "down" else files:
            action(cloudformation, stacks.complete(cloudformation, s3, file), _say)
    except ClientError as refusal:
        error = refusal.response["Error"]
        needed = "CloudFormation, IAM, S3, SQS, SNS, EventBridge, CloudTrail, SageMaker, Budgets, Cost Explorer"
        advice = f"Provisioning needs rights on {needed}."
        raise Denied(f"AWS refused: {error.get('Code')}: {error.get('Message')}", advice) from refusal
    except BotoCoreError as fault:
        raise Unavailable(f"AWS cannot be asked: {fault}", "Check --profile, --region and the network.") from fault


def _operator(session: Any) -> str:
    """The caller as trust policies name it: a user, or the role behind a session (its path is only known to IAM)."""
    arn = str(session.client("sts").get_caller_identity()["Arn"])
    if ":assumed-role/" not in arn:
        return arn
    return str(session.client("iam").get_role(RoleName=arn.split("/")[1])["Role"]["Arn"])


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
