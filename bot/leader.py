"""The leader: the one worker that holds an advisory lock. It alone sends to Slack and watches what is followed."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence

import psycopg

from state import database

log = logging.getLogger(__name__)

CHECK_S = 1.0
END_WITHIN_S = 10.0
"""How long all duties together may take to end what they are at; what they leave the next leader takes up."""


def lead(url: str, duties: Sequence[Callable[[], None]], stop: threading.Event) -> None:
    """Stand for election until elected, then run `duties` in threads while the lock is ours.

    The lock lives on its own connection. When that is lost another process may already lead, so this one ends at once
    rather than send anything a second time.
    """
    while not stop.is_set():
        try:
            with database.dedicated(url) as connection:
                if _elected(connection, stop):
                    _serve(connection, duties, stop)
        except psycopg.Error as error:
            log.error("cannot stand for election: %s", type(error).__name__)
            stop.wait(CHECK_S)


def _elected(connection: database.Dedicated, stop: threading.Event) -> bool:
    while not stop.is_set():
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (database.LOCK_LEADER,)).fetchone()
        if row and row[0]:
            return True
        stop.wait(CHECK_S)
    return False


def _serve(connection: database.Dedicated, duties: Sequence[Callable[[], None]], stop: threading.Event) -> None:
    log.info("this worker leads")
    threads = [threading.Thread(target=_duty, args=(duty,), daemon=True) for duty in duties]
    for thread in threads:
        thread.start()
    while not stop.wait(CHECK_S):
        try:
            connection.execute("SELECT 1")
        except psycopg.Error as error:
            _end(f"the leader's lock is lost ({type(error).__name__})")
    deadline = time.monotonic() + END_WITHIN_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def _duty(duty: Callable[[], None]) -> None:
    try:
        duty()
    except Exception:
        log.exception("a duty of the leader failed")
        _end("a leader without all its duties must not hold the lock")


def _end(reason: str) -> None:
    log.critical("%s: this process ends so that another can lead", reason)
    logging.shutdown()
    os._exit(1)
