"""`python -m infra plan|up|down --profile ab [--region …]`: the account's roles, platform and audit record.

`up` shows the change sets and asks; `down` shows what is there, asks, ends and empties it, and says what still costs.
Both want to know the account beforehand (--account, or GROUNDCREW_ACCOUNT) and refuse any other.
`python -m infra image --profile ab [--step plan|down]`: the registry, and the one image built in the account.
`python -m infra studio --profile ab --access FILE --vpc … --subnets …`: the notebooks, for accounts that want them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra import image, stacks, studio
from infra.remains import remains
from infra.takedown import takedown
from pipeline.errors import Denied, GroundcrewError, Refused, Unavailable
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
    parser.add_argument("action", choices=("plan", "up", "down", "image", "studio"))
    parser.add_argument("--profile", help="AWS profile of the operator, for example ab")
    parser.add_argument("--region", help="AWS region; otherwise the profile's")
    parser.add_argument(
        "--account",
        default=os.environ.get("GROUNDCREW_ACCOUNT", ""),
        help="the account's number; any other is refused; default: GROUNDCREW_ACCOUNT",
    )
    parser.add_argument("--yes", action="store_true", help="do not show and ask first")
    parser.add_argument("--audit-too", action="store_true", help="down: end the locked evidence as well")
    parser.add_argument("--operator-arn", help="IAM user or role that may publish and run the bot; otherwise you")
    parser.add_argument("--data-bucket", default=_DATA_BUCKET, help="bucket with the survey photos (%(default)s)")
    studio.options(parser)
    image.options(parser)
    return parser


def _run(options: argparse.Namespace) -> None:
    try:
        session: Any = boto3.Session(profile_name=options.profile, region_name=options.region)
        caller = session.client("sts").get_caller_identity()
        _check(caller["Account"], options)
        names = Names(caller["Account"], session.region_name, options.data_bucket)
        if options.action == "studio":
            _each(
                session,
                {"plan": stacks.plan, "up": stacks.up, "down": stacks.down}[options.step],
                studio.stacks(options),
            )
            return
        if options.action == "image":
            _image(session, names, options)
            return
        files = stacks.stacks(options.operator_arn or _operator(session, caller["Arn"]), names)
        if options.action == "plan":
            _each(session, stacks.plan, files)
        elif options.action == "up":
            _up(session, files, confirmed=options.yes)
        else:
            takedown(
                session.client, names, files, audit_too=options.audit_too, confirmed=options.yes, say=_say, ask=_ask
            )
            _say("What still costs:")
            for line in remains(session.client, names):
                _say(f"  {line}")
    except ClientError as refusal:
        error = refusal.response["Error"]
        needed = (
            "CloudFormation, IAM, S3, SQS, SNS, EventBridge, CloudTrail, SageMaker, Budgets, Cost Explorer, "
            "and for the image on ECR and CodeBuild"
        )
        advice = f"Provisioning needs rights on {needed}."
        raise Denied(f"AWS refused: {error.get('Code')}: {error.get('Message')}", advice) from refusal
    except BotoCoreError as fault:
        raise Unavailable(f"AWS cannot be asked: {fault}", "Check --profile, --region and the network.") from fault


def _check(account: str, options: argparse.Namespace) -> None:
    """Raise Refused for an account that is not the configured one; a plan may be made of any."""
    if options.account and options.account != account:
        raise Refused(
            f"Profile {options.profile} is of account {account}, not of {options.account}.",
            "Take another profile, or correct --account or GROUNDCREW_ACCOUNT.",
        )
    if not options.account and options.action in ("up", "down", "image"):
        raise Refused(
            f"No account is configured; profile {options.profile} is of {account}.",
            f"If that is the one, say so: --account {account}.",
        )


def _up(session: Any, files: Sequence[stacks.File], *, confirmed: bool) -> None:
    """Show the change sets, ask, and bring everything up; what has not changed stays as it is."""
    if not confirmed:
        _each(session, stacks.plan, files)
        if _ask("Bring this up? [y/N] ").strip().lower() not in ("y", "yes"):
            raise Refused("It was not agreed to.", "Nothing was changed.")
    _each(session, stacks.up, files)


def _image(session: Any, names: Names, options: argparse.Namespace) -> None:
    """Bring registry and builder up, as `up` does, and build; or show what would change, or take both down."""
    files = image.stacks(options)
    if options.step != "up":
        _each(session, {"plan": stacks.plan, "down": stacks.down}[options.step], files)
        return
    _up(session, files, confirmed=options.yes)
    _say(f"pushed {image.build(session.client, names, image.pack(), _say)}")


def _each(session: Any, action: Callable[[Any, stacks.File, stacks.Say], None], files: Sequence[stacks.File]) -> None:
    cloudformation, s3 = session.client("cloudformation"), session.client("s3")
    down = action is stacks.down
    for file in reversed(files) if down else files:
        action(cloudformation, stacks.complete(cloudformation, s3, file), _say)


def _ask(question: str) -> str:
    """What somebody at the terminal answers. Raises Refused when nobody is there."""
    if not sys.stdin.isatty():
        raise Refused("Nobody can be asked here.", "Look at `python -m infra plan`, then give --yes.")
    return input(question)


def _operator(session: Any, arn: str) -> str:
    """The caller as trust policies name it: a user, or the role behind a session (its path is only known to IAM)."""
    if ":assumed-role/" not in arn:
        return arn
    return str(session.client("iam").get_role(RoleName=arn.split("/")[1])["Role"]["Arn"])


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
