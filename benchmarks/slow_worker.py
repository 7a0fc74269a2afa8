"""A worker whose commands take a second each: what is queued behind the acknowledgements of `ack.p99_c500_ms`.

The bot's own worker with its threads, leases and notifications; only the command it runs waits instead of working.
`python -m benchmarks.slow_worker` takes DATABASE_URL from the environment and runs until it is ended.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import cast

from sqlalchemy import Engine

from bot.runner import Runner
from bot.worker import Bells, Worker
from state import database, invocations
from state.invocations import Invocation

SECONDS = 1.0
THREADS = 6
"""As many as the bot's worker has where nobody says (`bot/settings.py`)."""


class Waiting:
    """In the place of the runner."""

    def __init__(self, engine: Engine, stop: threading.Event) -> None:
        self._engine = engine
        self._stop = stop

    def run(self, asked: Invocation) -> None:
        """A second, and done."""
        self._stop.wait(SECONDS)
        with self._engine.begin() as connection:
            invocations.finish(connection, asked.id, "ok")


def main() -> None:
    """See the module's words."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    url = os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:")
    engine = database.engine(url, pool=THREADS)
    waiting = cast(Runner, Waiting(engine, stop))
    Worker(engine, url, waiting, "slow", THREADS, Bells(), stop).run(lambda: None)


if __name__ == "__main__":
    main()
