"""What publishing puts into the artifact bucket, under keys made from the content: equal content, equal address.

`source.tar.gz` is the code that every step runs; `deployment.yaml` the stack template of a deployment.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from pipeline.names import Environment, Names

PACKAGE = Path(__file__).parent
STEP_FILES = (
    "__init__.py",
    "absent.py",
    "card.py",
    "colours.py",
    "content.py",
    "dataset.py",
    "definition.py",
    "deployment.py",
    "errors.py",
    "hush.py",
    "explaining/*.py",
    "label_files.py",
    "labels.py",
    "monitoring/*.py",
    "names.py",
    "parameters.py",
    "profile/*.py",
    "registry.py",
    "reports.py",
    "scaling.py",
    "serving/__init__.py",
    "serving/detector.py",
    "serving/networks.py",
    "source.py",
    "steps/*.py",
    "tracking.py",
    "transport.py",
    "versions.py",
)
"""What the steps import of this package, and nothing else; a test imports every step from the packed code alone."""
REVISION_SECONDS = 10


@dataclass(frozen=True)
class Artifact:
    """A file on its way into the bucket."""

    name: str
    data: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the content, in hex."""
        return hashlib.sha256(self.data).hexdigest()

    def key(self, env: Environment) -> str:
        """Key in the artifact bucket."""
        return f"{env}/code/{self.digest}/{self.name}"

    def uri(self, env: Environment, names: Names) -> str:
        """`s3://` address."""
        return f"s3://{names.bucket}/{self.key(env)}"

    def url(self, env: Environment, names: Names) -> str:
        """The https address that CloudFormation wants for a template."""
        return f"https://{names.bucket}.s3.{names.region}.amazonaws.com/{self.key(env)}"


def code() -> Artifact:
    """The steps' code as a tar.gz with fixed order, times and owners."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for path in sorted(found for pattern in STEP_FILES for found in PACKAGE.glob(pattern)):
            data = path.read_bytes()
            member = tarfile.TarInfo(f"pipeline/{path.relative_to(PACKAGE).as_posix()}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return Artifact("source.tar.gz", buffer.getvalue())


def template() -> Artifact:
    """The stack template of a deployment."""
    return Artifact("deployment.yaml", (PACKAGE / "deployment.yaml").read_bytes())


def revision() -> str:
    """The checkout's git commit, `+dirty` when it has local changes, `unknown` outside a checkout."""
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return "unknown"
    return commit + ("+dirty" if _git("status", "--porcelain", "--", ".") else "")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(PACKAGE), *arguments],
            capture_output=True,
            text=True,
            timeout=REVISION_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
