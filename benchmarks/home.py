"""`home.p50_ms`: from opening the Home to its picture at Slack, with 50 runs and 20 endpoints in the catalog; median.

Each time it is a first opening: what stands there is forgotten before, so that it is drawn and published anew.
"""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, text

from benchmarks.figures import Figure, Figures, main, sandbox
from sandbox.person import Slack, words
from sandbox.record import Record
from state import catalog, database
from state.catalog import Entry

SAMPLES = 40
WARM_UP = 5
PAUSE_S = 0.5
RUNS, ENDPOINTS = 50, 20
TEAM, USER = "T0GC", "U0ML1"
LONGEST_S = 10.0


def measure() -> Figures:
    """One ML engineer, who sees all environments."""
    with sandbox() as state:
        record = Record(state)
        slack = Slack(record.url())
        engine = database.engine(record.read("settings.json")["DATABASE_URL"].replace("://", "+psycopg://", 1))
        seconds = [once(slack, engine, number) for number in range(WARM_UP + SAMPLES)][WARM_UP:]
        engine.dispose()
        slack.close()
    return {"home.p50_ms": Figure(statistics.median(seconds) * 1000, "ms")}


def once(slack: Slack, engine: Engine, number: int) -> float:
    """Seconds from opening to a view that shows what was put into the catalog for this sample."""
    time.sleep(PAUSE_S)
    mark = f"sample {number}"
    fill(engine, mark)
    began = time.perf_counter()
    slack.act("home", user=USER)
    while time.perf_counter() - began < LONGEST_S:
        view = slack.ask("view", user=USER)["home"]
        if view is not None and mark in words(view):
            return time.perf_counter() - began
        time.sleep(0.002)
    raise RuntimeError(f"the Home never showed {mark!r}")


def fill(engine: Engine, mark: str) -> None:
    """Fifty runs and twenty endpoints, some of them this person's; nobody has looked at a Home yet."""
    now = datetime.now(UTC)
    runs = [
        Entry("run", "staging", f"run{n:09}", "done" if n else "running", now - timedelta(minutes=n), {"about": mark})
        for n in range(RUNS)
    ]
    mine = [Entry(**{**vars(run), "team": TEAM, "user_id": USER}) for run in runs]
    serving = [Entry("endpoint", "prod", f"groundcrew-prod-{n}", "InService", now) for n in range(ENDPOINTS)]
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM homes"))
        catalog.replace(connection, "run", "staging", mine)
        catalog.replace(connection, "endpoint", "prod", serving)


if __name__ == "__main__":
    main(__doc__ or "", measure)
