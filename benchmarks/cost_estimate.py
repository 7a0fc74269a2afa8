"""`cost.estimate_gap`: how far the estimate of the tour's run is from what the run then cost, after three runs of it.

The fourth run is estimated before it starts, as every run is, from what the first three took; afterwards its jobs'
billed seconds at list prices are what it cost. The gap is a share of the actual cost.
"""

from __future__ import annotations

import time
from decimal import Decimal

from sqlalchemy import Connection

from benchmarks.figures import Figure, Figures, main, sandbox, say
from sandbox.person import Person, Slack
from sandbox.record import Record
from state import database, estimates, jobs
from state.estimates import EstimateRow
from state.jobs import Job

LINE = "pipeline run"
BEFORE = 3
COUNTED_S = 60.0
"""Within this the books are complete after a run's end."""


def measure() -> Figures:
    """One sandbox, four runs one after another."""
    with sandbox() as state:
        slack = Slack(Record(state).url())
        engine = database.engine(Record(state).read("settings.json")["DATABASE_URL"])
        for number in range(BEFORE + 1):
            run(slack.person("U0DS1"))
            with engine.begin() as connection:
                told, spent = last(connection)
            say(
                f"run {number + 1}: estimated {told.low} to {told.high}, cost {spent:.6f} {told.currency}; {told.basis}"
            )
        engine.dispose()
        slack.close()
    if told.expected is None:
        raise RuntimeError("the run had no estimate")
    return {"cost.estimate_gap": Figure(float(abs(told.expected - spent) / spent), "share")}


def run(person: Person) -> None:
    """A whole run, until its message has the last word about its cost."""
    live = person.asks(LINE, "Training run", "in dev")
    person.sees("in dev: done", ts=live["ts"], seconds=600)
    deadline = time.monotonic() + COUNTED_S
    while (
        "Cost so far" in (said := person.sees("in dev: done", ts=live["ts"], seconds=30)["words"]) or "Cost" not in said
    ):
        if time.monotonic() > deadline:
            raise RuntimeError(f"what the run cost is not told: {said}")
        time.sleep(0.5)
    time.sleep(10)  # the last job's record may come a look after the run's own end


def last(connection: Connection) -> tuple[EstimateRow, Decimal]:
    """The newest run's estimate and what its jobs cost."""
    execution = max((row for row in _jobs(connection)), key=lambda row: row.started_at).execution or ""
    costs = [row.cost(row.ended_at or row.started_at) for row in jobs.of_execution(connection, execution)]
    if None in costs or not costs:
        raise RuntimeError("a job of the run has no price")
    return estimates.of_subject(connection, execution)[-1], sum((each for each in costs if each), Decimal(0))


def _jobs(connection: Connection) -> list[Job]:
    return [row for row in jobs.like(connection, "Train", "ml.c5.xlarge", 10) if row.execution]


if __name__ == "__main__":
    main(__doc__ or "", measure)
