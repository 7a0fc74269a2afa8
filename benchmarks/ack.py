"""`ack.p50_ms`, `ack.rate_c50`, `ack.p99_c500_ms`: acknowledging a command, against stock Bolt that stores nothing.

The bot stores a command in PostgreSQL before it acknowledges it. Both servers run at once with the same gunicorn
settings; blocks of requests take turns, over kept-alive connections. p50: one connection, one request at a time; the
rate: fifty connections, each sending its next command when the last is acknowledged. The p99 is of the bot alone: five
hundred connections opened at one moment with a command each, while a worker is busy with commands of a second that
pile up behind them; none may take Slack's three seconds.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import socket
import statistics
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

import psutil

from benchmarks.figures import ROOT, Figure, Figures, main, say
from sandbox.postgres import Postgres
from sandbox.processes import Child
from state import database

SECRET = "benchmark"
ROUNDS = 20
BLOCK = 50
WARM_UP = 100
RATE_ROUNDS = 4
CROWD = 50
CROWD_BLOCK = 40
"""Commands of each connection of the crowd in a round."""
RUSH = 500
RUSHES = 5
MISSED_S = 3.0
"""Slack shows the person an error after this long."""


def measure() -> Figures:
    """Medians and rates of both sides; the rush's p99 of the bot."""
    return asyncio.run(side_by_side())


async def side_by_side() -> Figures:
    """Start database, bot and stock app, and ask them in turn."""
    async with servers() as (bot, stock, settings, place):
        times = await in_turn(bot, stock)
        rates = await crowds(bot, stock)
        worker = Child("worker", [sys.executable, "-m", "benchmarks.slow_worker"], settings, place / "worker.log", ROOT)
        await worker.start()
        try:
            rush = await rushes(bot)
        finally:
            await worker.stop()
    missed = sum(each > MISSED_S * 1000 for each in rush)
    say(f"rush: median {statistics.median(rush):.0f} ms, slowest {max(rush):.0f} ms, {missed} of {len(rush)} missed")
    if missed:
        raise RuntimeError(f"{missed} of {len(rush)} acknowledgements took longer than {MISSED_S:.0f} s")
    return {
        "ack.p50_ms": Figure(statistics.median(times[0]), "ms", statistics.median(times[1])),
        "ack.rate_c50": Figure(rates[0], "1/s", rates[1]),
        "ack.p99_c500_ms": Figure(statistics.quantiles(rush, n=100)[98], "ms"),
    }


@asynccontextmanager
async def servers() -> AsyncIterator[tuple[int, int, dict[str, str], Path]]:
    """The ports of bot and stock app, the bot's environment, and a folder for logs."""
    with TemporaryDirectory(prefix="groundcrew-bench-") as folder:
        place = Path(folder)
        env = {"PATH": os.environ["PATH"], "SLACK_SIGNING_SECRET": SECRET}
        postgres = Postgres(place / "postgres", env, place / "postgres.log")
        children = [await postgres.start()]
        try:
            database.migrate(database.engine(postgres.url.replace("postgresql:", "postgresql+psycopg:")))
            bot, stock = free_ports()
            settings = env | {"DATABASE_URL": postgres.url, "PORT": str(bot)}
            children.append(await started("bot", [sys.executable, "-m", "bot", "web"], settings, place, bot))
            argv = [part.replace(f":{bot}", f":{stock}") for part in psutil.Process(children[1].pid).cmdline()]
            argv[-1] = "benchmarks.stock_bolt:create()"
            children.append(await started("stock", argv, env, place, stock))
            yield bot, stock, settings, place
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


async def in_turn(*ports: int) -> list[list[float]]:
    """Milliseconds of every request to each server, one at a time."""
    connections = [await Connection.to(port) for port in ports]
    for connection in connections:
        await connection.several(WARM_UP)
    found: list[list[float]] = [[] for _ in ports]
    for _ in range(ROUNDS):
        for times, connection in zip(found, connections, strict=True):
            times += await connection.several(BLOCK)
    for connection in connections:
        connection.close()
    return found


async def crowds(*ports: int) -> list[float]:
    """Acknowledgements a second of each server under fifty connections; the mean of the rounds."""
    found: list[list[float]] = [[] for _ in ports]
    for _ in range(RATE_ROUNDS):
        for rates, port in zip(found, ports, strict=True):
            connections = [await Connection.to(port) for _ in range(CROWD)]
            began = time.perf_counter()
            await asyncio.gather(*(each.several(CROWD_BLOCK) for each in connections))
            rates.append(CROWD * CROWD_BLOCK / (time.perf_counter() - began))
            for each in connections:
                each.close()
    return [statistics.mean(rates) for rates in found]


async def rushes(port: int) -> list[float]:
    """Milliseconds from each connection's opening to its acknowledgement, of five hundred at one moment."""

    async def one(request: bytes) -> float:
        began = time.perf_counter()
        connection = await Connection.to(port)
        await connection.ask(request)
        connection.close()
        return (time.perf_counter() - began) * 1000

    found: list[float] = []
    for _ in range(RUSHES):
        requests = [signed() for _ in range(RUSH)]  # beforehand: Slack does not sign on our processors
        found += await asyncio.gather(*(one(each) for each in requests))
    return found


class Connection:
    """A kept-alive connection of Slack's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def to(cls, port: int) -> Connection:
        """Open one."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def several(self, count: int) -> list[float]:
        """Milliseconds of each of so many commands, one after the other."""
        return [await self.ask(signed()) for _ in range(count)]

    async def ask(self, request: bytes) -> float:
        """Send a signed command; milliseconds until its acknowledgement was read. Raises when it was refused."""
        began = time.perf_counter()
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        took = (time.perf_counter() - began) * 1000
        if not head.startswith(b"HTTP/1.1 200") or b"content-length: 0" not in head.lower():
            raise RuntimeError(f"no plain acknowledgement: {head!r}")
        return took

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


def signed() -> bytes:
    """A slash command nobody has sent before, as an HTTP request with Slack's signature."""
    body = urlencode(
        {"command": "/mlops", "text": "whoami", "team_id": "T0GC", "channel_id": "C0DEV", "user_id": "U0DS1"}
        | {"user_name": "data-scientist", "trigger_id": uuid.uuid4().hex, "response_url": "http://127.0.0.1:9/hook"}
    ).encode()
    stamp = str(int(time.time()))
    digest = hmac.new(SECRET.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    head = (
        "POST /slack/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"X-Slack-Request-Timestamp: {stamp}\r\nX-Slack-Signature: v0={digest}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def free_ports() -> tuple[int, int]:
    """Two free loopback ports."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


if __name__ == "__main__":
    main(__doc__ or "", measure)
