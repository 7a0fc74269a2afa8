"""What each process may see: no process gets the caller's own environment, and `web` gets nothing of AWS.

A developer's shell may hold real AWS keys, a real Slack token or a proxy. None of them reaches a child.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEPT = ("LANG", "LC_ALL", "TZ", "TERM", "SYSTEMROOT")
REGION = "us-east-1"
ACCOUNT = "123456789012"
DATA_BUCKET = "lucaskle-ab3-project-pv"
BUCKET = f"groundcrew-{ACCOUNT}-{REGION}"


@dataclass(frozen=True)
class Ports:
    """Loopback ports of one sandbox. Only `page` is chosen by a person."""

    page: int
    aws: int
    web: int
    mlflow: int


class PortTaken(Exception):
    """Somebody else listens where the page should be."""


def choose_ports(page: int | None) -> Ports:
    """Free ports for everything. `page=None`: a free one too. Raises `PortTaken`, before anything is started."""
    if page is not None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", page))
            except OSError as error:
                raise PortTaken(
                    f"Port {page} is taken by another program ({error.strerror}). "
                    f"Stop that program, or choose another port: make up PORT={page + 1}"
                ) from error
    with ExitStack() as held:  # all are held until all are known, so that no two are the same
        free = []
        for _ in range(4):
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            free.append(probe.getsockname()[1])
    return Ports(page or free[0], *free[1:])


@dataclass(frozen=True)
class Environments:
    """The environment of every process, by what it is for."""

    state: Path
    ports: Ports

    def base(self) -> dict[str, str]:
        """What everybody gets: this virtual environment first on PATH, a home and a temporary folder of the sandbox."""
        home, temporary = self.state / "home", self.state / "tmp"
        for folder in (home, temporary):
            folder.mkdir(parents=True, exist_ok=True)
        inherited = {name: os.environ[name] for name in KEPT if name in os.environ}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        mine = {"PATH": path, "HOME": str(home), "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1", "NO_PROXY": "*"}
        return inherited | mine

    def aws(self, profile: str) -> dict[str, str]:
        """AWS as somebody with a profile sees it: the stand-in's files and address, never the caller's."""
        return self.base() | {
            "AWS_CONFIG_FILE": str(self.state / "aws" / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.state / "aws" / "credentials"),
            "AWS_PROFILE": profile,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.ports.aws}",
            "AWS_EC2_METADATA_DISABLED": "true",
            "GROUNDCREW_ACCOUNT": ACCOUNT,
        }

    def bot(self, database: str, token: str, secret: str) -> dict[str, str]:
        """Settings that `web` and `worker` share; nothing of AWS."""
        return {
            "SLACK_BOT_TOKEN": token,
            "SLACK_SIGNING_SECRET": secret,
            "SLACK_API_URL": f"http://127.0.0.1:{self.ports.page}/api/",
            "DATABASE_URL": database,
            "ACCESS_FILE": str(self._copy("access.yaml")),
            "ROUTES_FILE": str(self._copy("routes.yaml")),
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{self.ports.mlflow}",
        }

    def _copy(self, name: str) -> Path:
        """A file of `config/`: the sandbox's own copy, which may be edited while everything runs."""
        return Path(shutil.copyfile(ROOT / "sandbox" / "config" / name, self.state / name))
