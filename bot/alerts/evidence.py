"""Runs in the leader, beside the drawer: reads up on failed executions, so that their message says why they failed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from commands.evidence import of_execution
from state import alerts

log = logging.getLogger(__name__)

LOOK_S = 30.0
"""Longer than this nobody waits for AWS: the message then says that the reason could not be read."""
IDLE_S = 30.0

Eyes = Callable[[], Callable[[str], Any]]
"""Takes the observer's session and returns its maker of clients."""


def explain(engine: Engine, eyes: Eyes, bell: threading.Event, stop: threading.Event) -> None:
    """Read up on one failure after the other; `bell` rings when something was posted."""
    while not stop.is_set():
        bell.clear()
        try:
            while not stop.is_set() and explain_next(engine, eyes):
                continue
        except SQLAlchemyError as error:
            log.error("alerts cannot be read up on: %s", type(error).__name__)
        bell.wait(IDLE_S)


def explain_next(engine: Engine, eyes: Eyes, patience: float = LOOK_S) -> int:
    """Read up on what waits for it; returns how much that was. Raises only what the database raises."""
    with engine.begin() as connection:
        rows = alerts.unexplained(connection)
    for row in rows:
        found = _within(patience, partial(_read, eyes, row.subject)) or _note("AWS did not answer in time")
        with engine.begin() as connection:
            alerts.explained(connection, row.id, {**found, "count": row.count})
    return len(rows)


def _read(eyes: Eyes, arn: str) -> Mapping[str, Any]:
    try:
        return of_execution(eyes(), arn)
    except Exception as error:
        # Whatever could not be read, the alert stands; its message only lacks the reason.
        log.warning("the failure of %s could not be read", arn, exc_info=True)
        return _note(type(error).__name__)


def _note(why: str) -> Mapping[str, Any]:
    return {"note": f"why it failed could not be read ({why}); try Logs"}


def _within(seconds: float, look: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """What `look` returns; None when it takes longer. It then ends in its own thread, unheard."""
    found: list[Mapping[str, Any]] = []
    thread = threading.Thread(target=lambda: found.append(look()), daemon=True, name="evidence")
    thread.start()
    thread.join(seconds)
    return found[0] if found else None
