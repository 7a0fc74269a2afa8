"""`cost.estimate_gap`: how far the estimate of the tour's run is from what the run then cost, after three runs of it.

The fourth run is estimated before it starts, as every run is, from what the first three took; afterwards its jobs'
billed seconds at list prices are what it cost. The gap is a share of the actual cost.
"""

from __future__ import annotations

import time
from decimal import Decimal

from sqlalchemy import Engine

from benchmarks.figures import Figure, Figures, main, sandbox, say
from pipeline.definition import JOBS
from pipeline.names import Names
from sandbox.environment import ACCOUNT, REGION
from sandbox.person import Person, Slack, buttons
from sandbox.record import Record
from state import database, estimates, jobs
from state.estimates import EstimateRow

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
            told, spent = counted(engine, run(slack.person("U0DS1")))
            say(
                f"run {number + 1}: estimated {told.low} to {told.high}, cost {spent:.6f} {told.currency}; {told.basis}"
            )
        engine.dispose()
        slack.close()
    if told.expected is None:
        raise RuntimeError("the run had no estimate")
    return {"cost.estimate_gap": Figure(float(abs(told.expected - spent) / spent), "share")}


def run(person: Person) -> str:
    """A whole run, as a person starts it; returns the execution's ARN when it has succeeded."""
    live = person.asks(LINE, "Training run", "in dev")
    id = buttons(live)["Stop"].split()[2]
    person.sees("in dev: done", ts=live["ts"], seconds=600)
    return Names(ACCOUNT, REGION).arn("sagemaker", f"pipeline/groundcrew-dev-detector/execution/{id}")


def counted(engine: Engine, execution: str) -> tuple[EstimateRow, Decimal]:
    """A run's estimate and what its jobs cost, when all of them are in the books."""
    deadline = time.monotonic() + COUNTED_S
    while time.monotonic() < deadline:
        with engine.begin() as connection:
            rows, told = jobs.of_execution(connection, execution), estimates.of_subject(connection, execution)
        costs = [row.cost(row.ended_at) for row in rows if row.ended_at is not None]
        if told and len(costs) == len(JOBS):
            known = [cost for cost in costs if cost is not None]
            if len(known) < len(costs):
                raise RuntimeError("a job of the run has no price")
            return told[-1], sum(known, Decimal(0))
        time.sleep(0.5)
    raise RuntimeError(f"the jobs of {execution} are not in the books: {[row.name for row in rows]}")


if __name__ == "__main__":
    main(__doc__ or "", measure)
