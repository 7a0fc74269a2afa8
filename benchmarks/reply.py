"""`reply.p50_ms`: from typing `whoami` to its visible answer, stand-ins included; median of forty, one at a time."""

from __future__ import annotations

import statistics
import time

from benchmarks.figures import Figure, Figures, main, sandbox
from sandbox.person import Person, Slack
from sandbox.record import Record

SAMPLES = 40
WARM_UP = 5
PAUSE_S = 1.2
"""Slack allows one message per channel and second; a person who types faster waits, and that is not measured here."""


def measure() -> Figures:
    """One data scientist, one channel."""
    with sandbox() as state:
        slack = Slack(Record(state).url())
        person = slack.person("U0DS1")
        seconds = [once(person) for _ in range(WARM_UP + SAMPLES)][WARM_UP:]
        slack.close()
    return {"reply.p50_ms": Figure(statistics.median(seconds) * 1000, "ms")}


def once(person: Person) -> float:
    """Seconds for one command."""
    time.sleep(PAUSE_S)
    began = time.perf_counter()
    person.asks("whoami", "You are")
    return time.perf_counter() - began


if __name__ == "__main__":
    main(__doc__ or "", measure)
