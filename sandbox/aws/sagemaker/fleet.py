"""The processes behind one deployment of an endpoint: one model server per variant, started, watched, stopped."""

from __future__ import annotations

import http.client
import random
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.aws.core import Cloud
from sandbox.aws.sagemaker.container import Container, environment
from sandbox.aws.sagemaker.images import PROJECT, ImageNotFound, Images
from sandbox.aws.sagemaker.jobs import SERVICE
from sandbox.aws.sagemaker.storage import Storage, StorageError
from sandbox.aws.sts import RoleRefused

PING_SECONDS = 2.0
POLL_SECONDS = 0.1
HEALTHY_WITHIN = 480
GRACE_SECONDS = 30
DRAIN_SECONDS = 60
"""How long a fleet without new traffic may take for what it has begun: InvokeEndpoint's own limit."""
RESTART_SECONDS = 1.0
TAIL_LINES = 5


class StartFailed(Exception):
    """A variant does not come up; the text is the endpoint's FailureReason."""


@dataclass(frozen=True)
class Variant:
    """What one variant serves: its model's container definition, the role it runs under, its share of the traffic."""

    name: str
    container: Mapping[str, Any]
    role: str
    weight: float
    healthy_within: float = HEALTHY_WITHIN


class Server:
    """One variant's model server. Once healthy it is started again when it dies, as SageMaker does."""

    def __init__(
        self, cloud: Cloud, images: Images, endpoint: str, variant: Variant, root: Path, group: str = ""
    ) -> None:
        """For an endpoint, or with a log group of its own for something else of that name."""
        self.variant = variant
        self.port = 0
        self.busy = 0
        self._cloud = cloud
        self._images = images
        self._group = group or f"/aws/sagemaker/Endpoints/{endpoint}"
        self._stream = f"{endpoint if group else variant.name}/{root.name}"
        self._root = root
        self._container: Container | None = None
        self._closed = threading.Event()
        self._lock = threading.Lock()

    @contextmanager
    def answering(self) -> Iterator[int]:
        """Around one request; how many are being answered, this one included."""
        with self._lock:
            self.busy += 1
            busy = self.busy
        try:
            yield busy
        finally:
            with self._lock:
                self.busy -= 1

    def start(self) -> None:
        """Fetch and unpack the model, start its server and wait until it is healthy.

        Raises `StartFailed`.
        """
        try:
            image = self._images.find(self.variant.container["Image"])
            credentials = self._cloud.assume_service_role(self.variant.role, SERVICE, "SageMaker")
            for folder in ("home", "tmp"):
                (self._root / folder).mkdir(parents=True, exist_ok=True)
            url = self.variant.container["ModelDataUrl"]
            Storage(self._cloud, credentials).extract(url, self._root / "model")
        except (ImageNotFound, RoleRefused, StorageError) as error:
            raise StartFailed(f"{error}") from error
        if "serve" not in image.commands:
            raise StartFailed(f"Image {image.name} has no command for `serve`.")
        self._spawn(image.commands["serve"], image.environment)
        self._await_health()
        threading.Thread(target=self._keep_up, name=f"server-{self._stream}", daemon=True).start()

    def _spawn(self, command: tuple[str, ...], own: Mapping[str, str]) -> None:
        # A session's keys run out; a server that is started again gets fresh ones.
        credentials = self._cloud.assume_service_role(self.variant.role, SERVICE, "SageMaker")
        port = free_port()
        env = environment(
            self._cloud,
            self._root,
            credentials,
            {**own, **(self.variant.container.get("Environment") or {}), "SAGEMAKER_BIND_TO_PORT": str(port)},
        )

        def sink(lines: list[str]) -> None:
            self._cloud.log_lines(self._group, self._stream, lines)

        with self._lock:
            if self._closed.is_set():
                raise StartFailed("The endpoint is being deleted.")
            self._container = Container(command, env, PROJECT, self._root / "log.txt", sink)
            self.port = port

    def _await_health(self) -> None:
        deadline = time.monotonic() + self.variant.healthy_within
        container = self._container
        while container is not None and time.monotonic() < deadline:
            if ping(self.port):
                return
            if container.wait(POLL_SECONDS) is not None:
                break
        raise StartFailed(self._unhealthy())

    def _unhealthy(self) -> str:
        container = self._container
        lines = " | ".join(list(container.tail)[-TAIL_LINES:]) if container else ""
        return (
            f"The primary container for production variant {self.variant.name} did not pass the ping health check. "
            f"Please check CloudWatch logs for this endpoint. Last lines: {lines or '(none)'}"
        )

    def _keep_up(self) -> None:
        while not self._closed.is_set():
            container = self._container
            if container is None or container.wait() is None:
                return
            if self._closed.wait(RESTART_SECONDS):
                return
            self._cloud.log_lines(self._group, self._stream, ["The container exited; it is started again."])
            image = self._images.find(self.variant.container["Image"])
            try:
                self._spawn(image.commands["serve"], image.environment)
            except (StartFailed, RoleRefused, OSError) as error:
                self._cloud.log_lines(self._group, self._stream, [f"It cannot be started: {error}"])
                return

    def stop(self, grace: float = GRACE_SECONDS) -> None:
        """SIGTERM, SIGKILL after `grace` seconds, and remove its files."""
        with self._lock:
            self._closed.set()
            container = self._container
        if container is not None:
            container.stop(grace)
        shutil.rmtree(self._root, ignore_errors=True)


class Fleet:
    """All variants of one deployment; `config` is the endpoint configuration it was made from."""

    def __init__(self, config: Mapping[str, Any], servers: list[Server]) -> None:
        self.config = config
        self.servers = servers

    def start(self) -> None:
        """Bring every variant up. Raises `StartFailed`."""
        for server in self.servers:
            server.start()

    def drain(self) -> None:
        """Wait for what is being answered; new requests go elsewhere already."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while any(server.busy for server in self.servers) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def stop(self, grace: float = GRACE_SECONDS) -> None:
        """Stop every variant."""
        for server in self.servers:
            server.stop(grace)

    def pick(self, wanted: str | None) -> Server | None:
        """The variant a request goes to: the one it names, or one by weight. None for an unknown name."""
        if wanted:
            return next((server for server in self.servers if server.variant.name == wanted), None)
        weights = [server.variant.weight for server in self.servers]
        if not any(weights):
            weights = [1.0] * len(weights)
        return random.choices(self.servers, weights)[0]  # noqa: S311 (traffic, not secrets)


def free_port() -> int:
    """A loopback port that is free now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ping(port: int) -> bool:
    """Whether the model server on a port says it is healthy."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PING_SECONDS)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
