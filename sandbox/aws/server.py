"""The process: one threaded server on loopback, seeded before it answers, stopped without leaving anything behind."""

from __future__ import annotations

import ipaddress
import os
import shutil
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from werkzeug.serving import BaseWSGIServer

    from sandbox.aws.core import Cloud

ACCOUNT = "123456789012"


def serve(port: int, state: Path, region: str, host: str = "127.0.0.1") -> None:
    """Serve until SIGTERM or SIGINT. Raises ValueError for a host that is not loopback, OSError for a port taken."""
    if not ipaddress.ip_address(host).is_loopback:
        raise ValueError(f"{host} is not loopback: this server has no business on a network")
    server, cloud = build(port, state, region, host)

    def stop(number: int, frame: FrameType | None) -> None:
        # shutdown() waits for the loop that this very thread runs, so another one has to call it.
        threading.Thread(target=server.shutdown, name="shutdown").start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        server.serve_forever(poll_interval=0.05)
    finally:
        cloud.stop()
        server.server_close()


def build(port: int, state: Path, region: str, host: str = "127.0.0.1") -> tuple[BaseWSGIServer, Cloud]:
    """A bound server with a freshly seeded account; port 0 picks a free one. One account a process."""
    # moto reads these while it is imported: no CORS headers, one account whatever key is used.
    os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "1"
    os.environ["MOTO_ACCOUNT_ID"] = ACCOUNT
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    from sandbox.aws import costs, sagemaker, scaling, scheduler, seams, stacks
    from sandbox.aws.core import Cloud
    from sandbox.aws.door import Door
    from sandbox.aws.seeds import seed
    from sandbox.aws.tags import readers
    from sandbox.aws.trail import Trail

    class Handler(MotoRequestHandler):
        """moto's handler without a line of log for every call."""

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """The trail records calls."""

    state.mkdir(parents=True, exist_ok=True)
    _empty(state)
    server = make_server(host, port, _not_yet, threaded=True, request_handler=Handler)
    cloud = Cloud(ACCOUNT, region, state.resolve(), server.server_port)
    trail = Trail(cloud.state / "trail.jsonl", ACCOUNT, region)
    cloud.on_stop(trail.close)
    cloud.tag_readers.update(readers(cloud))
    seams.install(cloud, trail)
    records, endpoints = sagemaker.install(cloud)
    stacks.install(cloud)
    scheduler.install(cloud)
    scaling.install(cloud, endpoints)
    costs.install(cloud, records)
    cloud.controls |= {"clock": cloud.clock.control, "faults": cloud.faults.control}
    seed(cloud)
    cloud.clock.start()
    cloud.on_stop(cloud.clock.stop)
    server.app = Door(cloud, trail, DomainDispatcherApplication(create_backend_app))
    return server, cloud


def _not_yet(environ: object, start_response: object) -> list[bytes]:
    raise RuntimeError("the server answers after it is seeded")


def _empty(state: Path) -> None:
    """Nothing survives a restart: moto keeps its state in memory, so old keys and records would only mislead."""
    for name in ("root.json", "config", "credentials", "trail.jsonl"):
        (state / name).unlink(missing_ok=True)
    shutil.rmtree(state / "jobs", ignore_errors=True)
