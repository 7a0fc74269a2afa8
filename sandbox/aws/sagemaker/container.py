"""A process that stands for a running container: own process group, bare environment, its lines kept and sent on."""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox.aws.core import Cloud

log = logging.getLogger(__name__)

FLUSH_SECONDS = 0.25
LONGEST_LINE = 16_384
"""Bytes after which a line is cut, as container log drivers do."""
TAIL = 20
Sink = Callable[[list[str]], None]


def environment(cloud: Cloud, root: Path, credentials: Mapping[str, Any], own: Mapping[str, str]) -> dict[str, str]:
    """Environment of a container: nothing of ours but where AWS is; the role's keys; then what the request gives."""
    return {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin")),
        "HOME": str(root / "home"),
        "TMPDIR": str(root / "tmp"),
        "ML_ROOT": str(root),
        "AWS_REGION": cloud.region,
        "AWS_DEFAULT_REGION": cloud.region,
        "AWS_ENDPOINT_URL": cloud.endpoint_url,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
        "AWS_SESSION_TOKEN": credentials["SessionToken"],
        **own,
    }


class Container:
    """A started process group. Every line it writes goes to `sink` in batches and to `log_file`."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], cwd: Path, log_file: Path, sink: Sink) -> None:
        """Start it. Raises `OSError` when the program does not exist."""
        self.tail: deque[str] = deque(maxlen=TAIL)
        self._sink = sink
        self._log_file = log_file
        self._process = subprocess.Popen(
            list(command),
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._pump = threading.Thread(target=self._send_lines, name=f"log-{self._process.pid}", daemon=True)
        self._pump.start()

    @property
    def running(self) -> bool:
        """Whether the main process still runs."""
        return self._process.poll() is None

    def wait(self, timeout: float | None = None) -> int | None:
        """Exit status once it ended and its lines are sent on (negative: a signal killed it); None on timeout."""
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        # What the main process left behind ends with its container, which also closes the pipe the pump reads.
        self.signal(signal.SIGKILL)
        self._pump.join()
        return status

    def signal(self, number: int) -> None:
        """Send a signal to the whole group; a group that is gone already is fine."""
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return

    def stop(self, grace: float) -> int:
        """SIGTERM, then SIGKILL after `grace` seconds. The exit status."""
        self.signal(signal.SIGTERM)
        if (status := self.wait(grace)) is None:
            self.signal(signal.SIGKILL)
            status = self.wait()
        return status if status is not None else -signal.SIGKILL

    def _send_lines(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 (asked for in the constructor)
        pipe = self._process.stdout
        rest, lines, flushed = b"", list[str](), time.monotonic()
        with self._log_file.open("ab") as kept:
            while True:
                ready, _, _ = select.select([pipe], [], [], FLUSH_SECONDS)
                chunk = os.read(pipe.fileno(), 65_536) if ready else None
                if chunk:
                    kept.write(chunk)
                    *complete, rest = (rest + chunk).split(b"\n")
                    if len(rest) > LONGEST_LINE:
                        complete, rest = [*complete, rest], b""
                    lines += [line.decode(errors="replace").rstrip("\r") for line in complete]
                if chunk == b"" and rest:
                    lines.append(rest.decode(errors="replace"))
                if lines and (not chunk or time.monotonic() - flushed >= FLUSH_SECONDS):
                    self.tail.extend(lines)
                    kept.flush()
                    self._deliver(lines)
                    lines, flushed = [], time.monotonic()
                if chunk == b"":
                    break
        pipe.close()

    def _deliver(self, lines: list[str]) -> None:
        try:
            self._sink(lines)
        except Exception:
            # Whatever happens to the lines, somebody must go on reading, or the process blocks on a full pipe.
            log.exception("%d log lines are lost", len(lines))
