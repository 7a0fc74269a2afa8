"""Carries out one job's plan: folders, inputs, the process, outputs, and how it ended. Knows nothing of API calls."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from sandbox.aws.core import Cloud
from sandbox.aws.sagemaker.container import Container, Sink, environment
from sandbox.aws.sagemaker.contract import Plan
from sandbox.aws.sagemaker.images import ImageNotFound, Images
from sandbox.aws.sagemaker.storage import Storage, StorageError
from sandbox.aws.sts import RoleRefused

log = logging.getLogger(__name__)

GRACE_SECONDS = 120
REASON_CHARACTERS = 1024
MESSAGE_BYTES = 1024
POLL_SECONDS = 0.05

Phase = Literal["Downloading", "Training", "Uploading"]


@dataclass(frozen=True)
class Outcome:
    """How a job ended. `reason` is set when it failed; `exit_message` is what the container left as its message."""

    status: Literal["Completed", "Failed", "Stopped"]
    reason: str = ""
    exit_message: str = ""
    timed_out: bool = False


class JobFailed(Exception):
    """The job cannot go on; the text is its FailureReason."""


class Runner:
    """Runs plans one by one or side by side; at most `slots` processes at a time, others wait for their turn."""

    def __init__(self, cloud: Cloud, images: Images, slots: int) -> None:
        self._cloud = cloud
        self._images = images
        self._slots = threading.BoundedSemaphore(slots)
        self._running: set[Container] = set()
        self._lock = threading.Lock()
        self._closed = False

    def run(self, plan: Plan, root: Path, sink: Sink, stop: threading.Event, phase: Callable[[Phase], None]) -> Outcome:
        """Run a job to its end. `stop` asks it to stop; `phase` hears where it is."""
        while not self._slots.acquire(timeout=POLL_SECONDS):
            if stop.is_set() or self._closed:
                return Outcome("Stopped")
        try:
            return self._run(plan, root, sink, stop, phase)
        except JobFailed as error:
            return Outcome("Failed", str(error)[:REASON_CHARACTERS])
        except Exception as error:
            # The thread must end in a terminal state whatever happens; the server's log has the rest.
            log.exception("a job could not be run")
            return Outcome("Failed", f"InternalServerError: {error!r}"[:REASON_CHARACTERS])
        finally:
            self._slots.release()
            _clear(root)

    def _run(
        self, plan: Plan, root: Path, sink: Sink, stop: threading.Event, phase: Callable[[Phase], None]
    ) -> Outcome:
        _lay_out(plan, root)
        try:
            image = self._images.find(plan.image)
            credentials = self._cloud.assume_service_role(plan.role, "sagemaker.amazonaws.com", "SageMaker")
        except (ImageNotFound, RoleRefused) as error:
            raise JobFailed(f"ClientError: {error}") from error
        s3 = Storage(self._cloud, credentials)
        phase("Downloading")
        _transfer(lambda: [s3.download(each.uri, each.folder, optional=each.optional) for each in plan.inputs])
        if stop.is_set():
            return Outcome("Stopped")
        phase("Training")
        command = _command(plan, image.commands.get(plan.default_argument, ()))
        env = environment(self._cloud, root, credentials, {**image.environment, **plan.environment})
        container = self._start(command, env, root, sink)
        try:
            status, timed_out = _watch(container, plan.limit, stop)
        finally:
            with self._lock:
                self._running.discard(container)
        stopped = stop.is_set() or timed_out
        message = _message(plan)
        if status != 0 and not stopped:
            return Outcome("Failed", _reason(plan, status), message)
        phase("Uploading")
        _transfer(lambda: _send(s3, plan, stopped))
        return Outcome("Stopped" if stopped else "Completed", "", message, timed_out)

    def _start(self, command: tuple[str, ...], env: dict[str, str], root: Path, sink: Sink) -> Container:
        with self._lock:
            if self._closed:
                raise JobFailed("InternalServerError: the service is shutting down")
            try:
                container = Container(command, env, root, root / "log.txt", sink)
            except OSError as error:
                raise JobFailed(f"AlgorithmError: {command[0]}: {error.strerror}, exit code: 127") from error
            self._running.add(container)
            return container

    def kill_all(self) -> None:
        """Kill every running job and start no more."""
        with self._lock:
            self._closed = True
            for container in self._running:
                container.signal(signal.SIGKILL)


def _lay_out(plan: Plan, root: Path) -> None:
    for folder in (root, root / "home", root / "tmp", *plan.folders):
        folder.mkdir(parents=True, exist_ok=True)
    for file, content in plan.files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, default=_moment))


def _moment(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} in a job's configuration")


def _command(plan: Plan, image_command: tuple[str, ...]) -> tuple[str, ...]:
    # As a container engine does it: an entrypoint replaces the image's, and its arguments with it.
    if plan.entrypoint:
        return plan.entrypoint + plan.arguments
    if not image_command:
        raise JobFailed(
            f'AlgorithmError: exec: "{plan.default_argument}": executable file not found in $PATH, exit code: 127'
        )
    return image_command + plan.arguments


def _watch(container: Container, limit: float, stop: threading.Event) -> tuple[int, bool]:
    """Wait for the end, for a stop, or for the time limit. Exit status, and whether time ran out."""
    deadline = time.monotonic() + limit
    while (status := container.wait(POLL_SECONDS)) is None:
        timed_out = time.monotonic() > deadline
        if stop.is_set() or timed_out:
            return container.stop(GRACE_SECONDS), timed_out and not stop.is_set()
    return status, False


def _transfer(work: Callable[[], object]) -> None:
    try:
        work()
    except StorageError as error:
        raise JobFailed(f"ClientError: {error}") from error


def _send(s3: Storage, plan: Plan, stopped: bool) -> None:
    for output in plan.outputs:
        empty = not any(output.folder.iterdir()) if output.folder.is_dir() else True
        if (stopped and not output.partial) or (empty and not output.always):
            continue
        if output.archive:
            s3.upload_archive(output.folder, output.uri)
        else:
            s3.upload(output.folder, output.uri)


def _reason(plan: Plan, status: int) -> str:
    code = status if status >= 0 else 128 - status
    killed = f" (killed by {signal.Signals(-status).name})" if status < 0 else ""
    if plan.reason_file is None:
        return f"AlgorithmError: See job logs for more information{killed}"
    text = ""
    if plan.reason_file.is_file():
        text = plan.reason_file.read_text(errors="replace")[:REASON_CHARACTERS]
    ending = f", exit code: {code}{killed}"
    return f"AlgorithmError: {text[: REASON_CHARACTERS - len(ending) - 16]}{ending}"


def _message(plan: Plan) -> str:
    if plan.message_file is None or not plan.message_file.is_file():
        return ""
    raw = plan.message_file.read_bytes()[:MESSAGE_BYTES]
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        if error.start > MESSAGE_BYTES - 4 and error.reason == "unexpected end of data":
            return raw[: error.start].decode()
        raise JobFailed("AlgorithmError: /opt/ml/output/message is not UTF-8") from error


def _clear(root: Path) -> None:
    """Remove what the job worked on; its log stays."""
    for child in root.iterdir() if root.is_dir() else ():
        if child.is_dir():
            shutil.rmtree(child, ignore_errors=True)
        elif child.name != "log.txt":
            child.unlink()
