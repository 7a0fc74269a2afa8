"""`start.page_s`: seconds from `python -m sandbox up` to a page whose bot answers a command; median of three."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figures import Figure, Figures, control, main
from sandbox.person import Slack
from sandbox.record import Record

RUNS = 3


def measure() -> Figures:
    """The clock runs until `whoami` has been answered, not only until `up` says so."""
    return {"start.page_s": Figure(statistics.median(once() for _ in range(RUNS)), "s")}


def once() -> float:
    """One start on a fresh state folder."""
    with TemporaryDirectory(prefix="groundcrew-bench-") as folder:
        state = Path(folder)
        began = time.perf_counter()
        try:
            control("up", state, "--port", "0", "--seed", "7")
            slack = Slack(Record(state).url())
            slack.person("U0DS1").asks("whoami", "You are")
            took = time.perf_counter() - began
            slack.close()
        finally:
            control("down", state)
    return took


if __name__ == "__main__":
    main(__doc__ or "", measure)
