"""The worker process: threads that claim invocations, leases that are kept alive, and the candidate for leadership."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from bot.runner import Runner
from state import database, invocations

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 5.0
"""A notification can get lost with a connection; this often the tables are looked at anyway."""
STOP_WITHIN_S = 20.0


@dataclass
class Bells:
    """What wakes the threads of this process: a ticket for each new invocation, bells for the leader."""

    tickets: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    outbox: threading.Event = field(default_factory=threading.Event)
    live: threading.Event = field(default_factory=threading.Event)
    alerts: threading.Event = field(default_factory=threading.Event)
    schedules: threading.Event = field(default_factory=threading.Event)
    homes: threading.Event = field(default_factory=threading.Event)
    catalog: threading.Event = field(default_factory=threading.Event)

    def ring(self, channel: str) -> None:
        """Pass on a notification from the database."""
        if channel == database.CHANNEL_INVOCATIONS:
            self.tickets.release()
        elif channel == database.CHANNEL_OUTBOX:
            self.outbox.set()
        elif channel == database.CHANNEL_LIVE:
            self.live.set()
        elif channel == database.CHANNEL_ALERTS:
            self.alerts.set()
        elif channel == database.CHANNEL_SCHEDULES:
            self.schedules.set()
        if channel in (database.CHANNEL_HOMES, database.CHANNEL_ALERTS, database.CHANNEL_OUTBOX):
            self.homes.set()  # whatever is said to people has changed something that a Home may show
        if channel in (database.CHANNEL_LIVE, database.CHANNEL_ALERTS):
            self.catalog.set()  # something has begun, or an event has moved something

    def ring_all(self) -> None:
        """After a gap in listening nobody knows what was missed."""
        self.tickets.release()
        self.outbox.set()
        self.live.set()
        self.alerts.set()
        self.schedules.set()
        self.homes.set()
        self.catalog.set()


def name() -> str:
    """A name for this process that no other has, now or after a restart."""
    return f"{socket.gethostname()}-{os.getpid()}-{int(time.time())}"


class Worker:
    """Runs until `stop` is set. `lead` is what the process does besides when it holds the leader's lock."""

    def __init__(
        self, engine: Engine, url: str, runner: Runner, me: str, threads: int, bells: Bells, stop: threading.Event
    ) -> None:
        self._engine = engine
        self._url = url
        self._runner = runner
        self._me = me
        self._threads = threads
        self._bells = bells
        self._stop = stop

    def run(self, lead: Callable[[], None]) -> None:
        """Start all threads, say `ready`, wait for the stop, and let running commands finish."""
        listening = threading.Event()
        helpers = [
            threading.Thread(target=self._listen, args=(listening,), name="listen", daemon=True),
            threading.Thread(target=self._tend_leases, name="leases", daemon=True),
            threading.Thread(target=lead, name="leader", daemon=True),
        ]
        workers = [
            threading.Thread(target=self._work, name=f"work-{number}", daemon=True) for number in range(self._threads)
        ]
        for thread in [*helpers, *workers]:
            thread.start()
        listening.wait(LOOK_AGAIN_S)
        log.info("worker %s with %s threads is ready", self._me, self._threads)
        self._stop.wait()
        self._bells.ring_all()
        deadline = time.monotonic() + STOP_WITHIN_S
        self._bells.tickets.release(len(workers))
        for thread in [*workers, helpers[-1]]:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        while not self._stop.is_set():
            self._bells.tickets.acquire(timeout=LOOK_AGAIN_S)
            try:
                while not self._stop.is_set() and (asked := invocations.claim(self._engine, self._me)):
                    self._runner.run(asked)
            except SQLAlchemyError as error:
                # The invocation keeps its lease and is taken up again when that runs out.
                log.error("the database failed a command thread: %s", error)
                self._stop.wait(1.0)

    def _tend_leases(self) -> None:
        """Renew our own leases; look after those that others let run out."""
        while not self._stop.wait(invocations.LEASE.total_seconds() / 3):
            try:
                invocations.renew(self._engine, self._me)
                while asked := invocations.claim_abandoned(self._engine, self._me):
                    log.warning("invocation %s was abandoned by its worker", asked.id)
                    if self._runner.abandon(asked) is None:
                        invocations.release(self._engine, asked.id)
            except SQLAlchemyError as error:
                log.error("leases cannot be tended: %s", type(error).__name__)

    def _listen(self, listening: threading.Event) -> None:
        channels = (
            database.CHANNEL_INVOCATIONS,
            database.CHANNEL_OUTBOX,
            database.CHANNEL_LIVE,
            database.CHANNEL_ALERTS,
            database.CHANNEL_SCHEDULES,
            database.CHANNEL_HOMES,
        )
        while not self._stop.is_set():
            try:
                with database.dedicated(self._url) as connection:
                    database.listen(connection, channels)
                    listening.set()
                    self._bells.ring_all()
                    while not self._stop.is_set():
                        for note in connection.notifies(timeout=1.0):
                            self._bells.ring(note.channel)
            except psycopg.Error as error:
                log.error("listening for notifications failed: %s", type(error).__name__)
                self._stop.wait(1.0)
