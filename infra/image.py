"""The image, built in the account: the checkout's part of it goes to S3, CodeBuild builds and pushes it.

Nobody needs a Docker engine of their own. What goes up is what `pipeline/serving/Dockerfile` copies, under a key made
of its content; a build of the same content gives the same image but for what its base image and index bring.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from infra.stacks import File, Say
from pipeline.errors import Refused
from pipeline.names import PROJECT, Names

TEMPLATE = Path(__file__).parent / "image.yaml"
ROOT = Path(__file__).parents[1]
CONTEXT = ("requirements-dev.txt", "pipeline/**/*")
"""What the Dockerfile copies; a test compares."""
PROJECT_NAME = f"{PROJECT}-image"
LOOK_EVERY_S = 5.0
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time a ZIP knows: equal content, equal bytes."""


def options(parser: argparse.ArgumentParser) -> None:
    """The command line's arguments for `image`; its `--step` is that of `studio`."""
    group = parser.add_argument_group("image")
    group.add_argument(
        "--extra-index", default="", help="package index with the CPU-only pair of torch and torchvision"
    )


def stacks(chosen: argparse.Namespace) -> Sequence[File]:
    """Registry, builder and its role."""
    return (File(PROJECT_NAME, TEMPLATE, {"ExtraIndex": chosen.extra_index}),)


def pack(root: Path = ROOT) -> bytes:
    """The build's context as a ZIP with fixed order and times."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in _files(root):
            entry = zipfile.ZipInfo(path.relative_to(root).as_posix(), _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def build(client: Callable[[str], Any], names: Names, context: bytes, say: Say) -> str:
    """Upload the context, build it and wait; returns the image's address.

    Raises Refused with the phase and AWS's words when the build fails, and botocore's ClientError.
    """
    key = f"image/{hashlib.sha256(context).hexdigest()}/context.zip"
    client("s3").put_object(Bucket=names.bucket, Key=key, Body=context, ExpectedBucketOwner=names.account)
    codebuild = client("codebuild")
    begun = codebuild.start_build(
        projectName=PROJECT_NAME, sourceTypeOverride="S3", sourceLocationOverride=f"{names.bucket}/{key}"
    )["build"]
    say(f"build {begun['id']} of {len(context) // 1024:,} KiB")
    seen: set[str] = set()
    while True:
        (now,) = codebuild.batch_get_builds(ids=[begun["id"]])["builds"]
        for phase in now.get("phases", []):
            if phase.get("phaseStatus") and phase["phaseType"] not in seen:
                seen.add(phase["phaseType"])
                say(f"  {phase['phaseType'].lower():<18} {phase['phaseStatus'].lower()}")
        if now["buildStatus"] != "IN_PROGRESS":
            break
        time.sleep(LOOK_EVERY_S)
    if now["buildStatus"] != "SUCCEEDED":
        raise Refused(f"The build {now['buildStatus'].lower()}: {_reason(now)}", _where(now))
    return f"{names.account}.dkr.ecr.{names.region}.amazonaws.com/{PROJECT}:1"


def _files(root: Path) -> Iterator[Path]:
    found = {path for pattern in CONTEXT for path in root.glob(pattern)}
    return (path for path in sorted(found) if path.is_file() and "__pycache__" not in path.parts)


def _reason(build: dict[str, Any]) -> str:
    """The first phase that went wrong, in CodeBuild's words."""
    for phase in build.get("phases", []):
        if phase.get("phaseStatus") not in (None, "SUCCEEDED"):
            words = "; ".join(context["message"] for context in phase.get("contexts", []) if context.get("message"))
            return f"{phase['phaseType'].lower()}: {words or phase['phaseStatus'].lower()}"
    return "no phase says why"


def _where(build: dict[str, Any]) -> str:
    link = build.get("logs", {}).get("deepLink", "")
    return f"Its log: {link}" if link else f"Its log is in /aws/codebuild/{PROJECT_NAME}."
