"""`audit.verify_s`, `audit.verify_mib`: `audit verify` over 100,000 records on a PostgreSQL of its own.

The records are written as the bot writes them, two an invocation, by whole batches; every hundredth is anchored.
Seconds are those of the proof with its anchors; MiB is how far this process's memory rose meanwhile, looked at every
20 ms, after a verification of the first 5,000 records has loaded whatever is loaded once.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Engine, insert

from benchmarks.figures import Figure, Figures, main, say
from commands.proof import prove
from sandbox.environment import Environments, Ports
from sandbox.postgres import Postgres
from state import anchors, chain, database
from state.anchors import Anchor
from state.tables import anchors as anchors_table
from state.tables import audit

RECORDS = 100_000
FIRST = 5_000
BATCH = 1_000
ANCHORED = 100
START = datetime(2026, 1, 1, tzinfo=UTC)


class Kept:
    """A bucket whose listing is what was put there, each read from its key."""

    def __init__(self) -> None:
        self._stored: list[tuple[str, datetime]] = []

    def add(self, anchor: Anchor) -> None:
        """Put one there."""
        self._stored.append((anchor.key, anchor.at))

    def anchors(self) -> Iterator[Anchor]:
        """All of them, in the order of their records."""
        return (found for key, at in self._stored if (found := anchors.read(key, at)))


class Memory:
    """Watches this process's resident memory while it is entered; `rise` is the most it rose by, MiB."""

    def __init__(self) -> None:
        self._process = psutil.Process(os.getpid())
        self._left = threading.Event()
        self._watching = threading.Thread(target=self._watch)
        self._before = 0
        self._most = 0

    def __enter__(self) -> Memory:
        """Begin to watch."""
        self._before = self._most = self._process.memory_info().rss
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop watching."""
        self._left.set()
        self._watching.join()

    @property
    def rise(self) -> float:
        """How far it rose, MiB."""
        return (self._most - self._before) / 2**20

    def _watch(self) -> None:
        while not self._left.wait(0.02):
            self._most = max(self._most, self._process.memory_info().rss)


def measure() -> Figures:
    """A cluster, the records, the proof."""
    return asyncio.run(_measured())


async def _measured() -> Figures:
    with tempfile.TemporaryDirectory(prefix="groundcrew-bench-") as folder:
        state = Path(folder)
        base = Environments(state, Ports(0, 0, 0, 0)).base()
        cluster = Postgres(state / "postgres", base, state / "database.log")
        server = await cluster.start()
        try:
            engine = database.engine(cluster.url.replace("postgresql://", "postgresql+psycopg://", 1))
            database.migrate(engine)
            found = _verified(engine)
            engine.dispose()
            return found
        finally:
            await server.stop()
            cluster.close()


def _verified(engine: Engine) -> Figures:
    bucket, records = Kept(), _records()
    _write(engine, bucket, records, FIRST)
    _prove(engine, bucket, FIRST)
    _write(engine, bucket, records, RECORDS - FIRST)
    with Memory() as memory:
        seconds = _prove(engine, bucket, RECORDS)
    return {"audit.verify_s": Figure(seconds, "s"), "audit.verify_mib": Figure(memory.rise, "MiB")}


def _prove(engine: Engine, bucket: Kept, records: int) -> float:
    began = time.perf_counter()
    proof = prove(engine, bucket)
    seconds = time.perf_counter() - began
    if proof.finding or proof.walk.records != records or proof.anchors != records // ANCHORED:
        raise RuntimeError(f"what was just written is not proven: {proof}")
    say(f"{records:,} records verified in {seconds:.2f} s")
    return seconds


def _write(engine: Engine, bucket: Kept, records: Iterator[dict[str, Any]], count: int) -> None:
    for _ in range(count // BATCH):
        batch = [next(records) for _ in range(BATCH)]
        ends = [row for row in batch if row["id"] % ANCHORED == 0]
        made = [Anchor(row["id"], row["hash"], row["at"]) for row in ends]
        with engine.begin() as connection:
            connection.execute(insert(audit), batch)
            rows = [{"record": each.record, "hash": each.hash, "key": each.key, "at": each.at} for each in made]
            connection.execute(insert(anchors_table), rows)
        for each in made:
            bucket.add(each)


def _records() -> Iterator[dict[str, Any]]:
    """Records like those of ordinary commands, without end."""
    previous, number = chain.GENESIS, 0
    while True:
        number += 1
        closed = number % 2 == 0
        row = {
            "id": number, "invocation": f"{(number - 1) // 2:032x}", "type": "command",
            "phase": "closed" if closed else "opened", "surface": "command", "team": "T0GC", "user_id": "U0DS1",
            "role": "data-scientist", "command": "deployment create --env dev --version 12",
            "arguments": {"env": "dev", "version": "12", "instance": "None"}, "approval": None,
            "outcome": "ok" if closed else None,
            "detail": "Deploying detector v12 to dev" if closed else "",
            "session": f"U0DS1-{number:08x}" if closed else None,
            "requests": [f"{number:08x}-0000-4000-8000-{call:012x}" for call in range(4)] if closed else [],
            "at": START + timedelta(seconds=10 * number), "previous": previous,
        }  # fmt: skip
        previous = chain.digest(row)
        yield row | {"hash": previous}


if __name__ == "__main__":
    main(__doc__ or "", measure)
