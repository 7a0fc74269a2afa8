"""Carries out one job's plans, one for each instance: folders, inputs, processes, outputs, and how it ended.

Knows nothing of API calls.
"""

from __future__ import annotations

import json
import logging
import shutil
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

from sandbox.aws.core import Cloud
from sandbox.aws.sagemaker.container import Container, Sink, environment
from sandbox.aws.sagemaker.contract import Plan
from sandbox.aws.sagemaker.images import PROJECT, ImageNotFound, Images
from sandbox.aws.sagemaker.storage import Storage, StorageError
from sandbox.aws.sts import RoleRefused

log = logging.getLogger(__name__)

GRACE_SECONDS = 120
REASON_CHARACTERS = 1024
MESSAGE_BYTES = 1024
POLL_SECONDS = 0.05

Phase = Literal["Downloading", "Training", "Uploading"]
HostSink = Callable[[str, list[str]], None]
"""Takes the name of an instance and lines that it has written."""


@dataclass(frozen=True)
class Outcome:
    """How a job ended. `reason` is set when it failed; `exit_message` is what the container left as its message.

    An interrupted one has lost its machine and is to be run again: what it kept in S3 is there.
    """

    status: Literal["Completed", "Failed", "Stopped", "Interrupted"]
    reason: str = ""
    exit_message: str = ""
    timed_out: bool = False


class JobFailed(Exception):
    """The job cannot go on; the text is its FailureReason."""


class Runner:
    """Runs jobs one by one or side by side; at most `slots` at a time, others wait for their turn.

    A job takes one slot, however many instances it has: they may wait for each other.
    """

    def __init__(self, cloud: Cloud, images: Images, slots: int) -> None:
        self._cloud = cloud
        self._images = images
        self._slots = threading.BoundedSemaphore(slots)
        self._running: set[Container] = set()
        self._lock = threading.Lock()
        self._closed = False

    def run(
        self,
        plans: Sequence[Plan],
        root: Path,
        sink: HostSink,
        stop: threading.Event,
        interrupt: threading.Event,
        phase: Callable[[Phase], None],
    ) -> Outcome:
        """Run a job to its end. `stop` asks it to stop, `interrupt` takes its machine; `phase` hears where it is."""
        while not self._slots.acquire(timeout=POLL_SECONDS):
            if stop.is_set() or self._closed:
                return Outcome("Stopped")
        try:
            return self._run(plans, sink, stop, interrupt, phase)
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
        self,
        plans: Sequence[Plan],
        sink: HostSink,
        stop: threading.Event,
        interrupt: threading.Event,
        phase: Callable[[Phase], None],
    ) -> Outcome:
        for plan in plans:
            _lay_out(plan)
        first = plans[0]
        try:
            image = self._images.find(first.image)
            credentials = self._cloud.assume_service_role(first.role, "sagemaker.amazonaws.com", "SageMaker")
        except (ImageNotFound, RoleRefused) as error:
            raise JobFailed(f"ClientError: {error}") from error
        s3 = Storage(self._cloud, credentials)
        phase("Downloading")
        for plan in plans:
            _transfer(partial(_fetch, s3, plan))
        if stop.is_set():
            return Outcome("Stopped")
        phase("Training")
        containers: list[Container] = []
        try:
            for plan in plans:
                env = environment(self._cloud, plan.root, credentials, {**image.environment, **plan.environment})
                command = _command(plan, image.commands.get(plan.default_argument, ()))
                place = plan.root if plan.entrypoint else PROJECT
                containers.append(self._start(command, env, plan.root, place, partial(sink, plan.host)))
            statuses, timed_out = _watch(containers, first.limit, stop, interrupt)
        finally:
            for container in containers:
                if container.running:  # one of several could not be started
                    container.stop(0)
            with self._lock:
                self._running.difference_update(containers)
        for plan in plans:
            _transfer(partial(_sync, s3, plan))
        stopped = stop.is_set() or timed_out
        if interrupt.is_set() and not stopped:
            return Outcome("Interrupted")
        message = _message(first)
        if not stopped:
            for plan, status in zip(plans, statuses, strict=True):
                if status not in (0, None):
                    return Outcome("Failed", _reason(plan, status), message)
        phase("Uploading")
        for plan in plans:
            _transfer(partial(_send, s3, plan, stopped))
        return Outcome("Stopped" if stopped else "Completed", "", message, timed_out)

    def _start(self, command: tuple[str, ...], env: dict[str, str], root: Path, place: Path, sink: Sink) -> Container:
        with self._lock:
            if self._closed:
                raise JobFailed("InternalServerError: the service is shutting down")
            try:
                container = Container(command, env, place, root / "log.txt", sink)
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


def _lay_out(plan: Plan) -> None:
    root = plan.root
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


def _watch(
    containers: Sequence[Container], limit: float, stop: threading.Event, interrupt: threading.Event
) -> tuple[list[int | None], bool]:
    """Wait for the end of all, for one to fail, for a stop, for an interruption, or for the time limit.

    Exit statuses, and whether time ran out. Where one has failed the others are ended, and their status is None.
    """
    deadline = time.monotonic() + limit
    statuses: list[int | None] = [None] * len(containers)
    while None in statuses:
        for number, container in enumerate(containers):
            if statuses[number] is None:
                statuses[number] = container.wait(POLL_SECONDS / len(containers))
        timed_out = time.monotonic() > deadline
        if stop.is_set() or interrupt.is_set() or timed_out:
            return _ended(containers), timed_out and not stop.is_set()
        if any(statuses):
            for number, container in enumerate(containers):
                if statuses[number] is None:
                    container.stop(0)
            break
    return statuses, False


def _ended(containers: Sequence[Container]) -> list[int | None]:
    """SIGTERM to all, SIGKILL to those that are still there after the grace period."""
    for container in containers:
        container.signal(signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    for container in containers:
        if container.wait(max(0.0, deadline - time.monotonic())) is None:
            container.signal(signal.SIGKILL)
    return [container.wait() for container in containers]


def _fetch(s3: Storage, plan: Plan) -> None:
    for each in plan.inputs:
        s3.download(each.uri, each.folder, optional=each.optional, share=each.share)


def _transfer(work: Callable[[], object]) -> None:
    try:
        work()
    except StorageError as error:
        raise JobFailed(f"ClientError: {error}") from error


def _sync(s3: Storage, plan: Plan) -> None:
    for output in plan.outputs:
        if output.synced and output.folder.is_dir():
            s3.upload(output.folder, output.uri)


def _send(s3: Storage, plan: Plan, stopped: bool) -> None:
    for output in plan.outputs:
        empty = not any(output.folder.iterdir()) if output.folder.is_dir() else True
        if output.synced or (stopped and not output.partial) or (empty and not output.always):
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
