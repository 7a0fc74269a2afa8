"""`ack.p50_ms`: acknowledging a slash command, against stock Bolt that stores nothing, on the same gunicorn settings.

The bot stores a command in PostgreSQL before it acknowledges it. Both servers run at once; blocks of requests take
turns, each over one kept-alive connection, one request at a time.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import http.client
import os
import socket
import statistics
import sys
import time
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

import psutil

from benchmarks.figures import ROOT, Figure, Figures, main
from sandbox.postgres import Postgres
from sandbox.processes import Child
from state import database

SECRET = "benchmark"
ROUNDS = 20
BLOCK = 50
WARM_UP = 100


def measure() -> Figures:
    """Median milliseconds of a thousand requests on each side."""
    bot, stock = asyncio.run(side_by_side())
    return {"ack.p50_ms": Figure(statistics.median(bot), "ms", statistics.median(stock))}


async def side_by_side() -> tuple[list[float], list[float]]:
    """Start database, bot and stock app, and ask them in turn."""
    with TemporaryDirectory(prefix="groundcrew-bench-") as folder:
        place = Path(folder)
        env = {"PATH": os.environ["PATH"], "SLACK_SIGNING_SECRET": SECRET}
        postgres = Postgres(place / "postgres", env, place / "postgres.log")
        children = [await postgres.start()]
        try:
            database.migrate(database.engine(postgres.url.replace("postgresql:", "postgresql+psycopg:")))
            ports = free_ports()
            settings = env | {"DATABASE_URL": postgres.url, "PORT": str(ports[0])}
            children.append(await started("bot", [sys.executable, "-m", "bot", "web"], settings, place, ports[0]))
            argv = [part.replace(f":{ports[0]}", f":{ports[1]}") for part in psutil.Process(children[1].pid).cmdline()]
            argv[-1] = "benchmarks.stock_bolt:create()"
            children.append(await started("stock", argv, env, place, ports[1]))
            return await asyncio.to_thread(in_turn, ports)
        finally:
            for child in reversed(children):
                await child.stop()
            postgres.close()


async def started(name: str, argv: list[str], env: dict[str, str], place: Path, port: int) -> Child:
    """A server, once it accepts connections. Raises ChildFailed when it ends first."""
    child = Child(name, argv, env, place / f"{name}.log", ROOT)
    await child.start()
    while child.running:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return child
        await asyncio.sleep(0.05)
    raise child.failed(await child.wait())


def in_turn(ports: tuple[int, int]) -> tuple[list[float], list[float]]:
    """Milliseconds of every request to the bot and to the stock app."""
    found: tuple[list[float], list[float]] = ([], [])
    connections = [connect(port) for port in ports]
    for connection in connections:
        for _ in range(WARM_UP):
            ask(connection)
    for _ in range(ROUNDS):
        for times, connection in zip(found, connections, strict=True):
            times.extend(ask(connection) for _ in range(BLOCK))
    for connection in connections:
        connection.close()
    return found


def connect(port: int) -> http.client.HTTPConnection:
    """A kept-alive connection without Nagle's delay."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def ask(connection: http.client.HTTPConnection) -> float:
    """Send one signed command; milliseconds until its acknowledgement was read. Raises when it was refused."""
    body = urlencode(
        {"command": "/mlops", "text": "whoami", "team_id": "T0GC", "channel_id": "C0DEV", "user_id": "U0DS1"}
        | {"user_name": "data-scientist", "trigger_id": uuid.uuid4().hex, "response_url": "http://127.0.0.1:9/hook"}
    ).encode()
    stamp = str(int(time.time()))
    digest = hmac.new(SECRET.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": f"v0={digest}",
    }
    began = time.perf_counter()
    connection.request("POST", "/slack/events", body, headers)
    answer = connection.getresponse()
    said = answer.read()
    took = (time.perf_counter() - began) * 1000
    if answer.status != 200 or said:
        raise RuntimeError(f"HTTP {answer.status}: {said[:200]!r}")
    return took


def free_ports() -> tuple[int, int]:
    """Two free loopback ports."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


if __name__ == "__main__":
    main(__doc__ or "", measure)
