"""What is told about money, against the truth that the sandbox's bill is made from.

`cost.total_gap`: the largest gap, in currency, between a total that a person reads and a straightforward sum over the
lines of the bill, over several periods and groupings. `cost.calls`: requests of Cost Explorer that any of these reports
made, at most. Both in a sandbox, typed and read as a person does.
`cost.forecast`: mean error of our forecast of a day (MAPE), made 1 to 7 days before, against "the same as last week",
over the last 30 of the seeded 90 days of several seeds; only days before the one on which it is made are known to it.
`cost.anomalies`, `cost.false_anomalies`: share of the seeded spikes that our own test finds, and findings of it for
each quarter that are none, over the same seeds and more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from statistics import mean
from typing import Any

import httpx

from benchmarks.figures import Figure, Figures, main, sandbox, say
from pipeline import anomalies, forecast
from sandbox.aws.costs.history import DAYS, history, spikes
from sandbox.person import Slack
from sandbox.record import Record

OURS = "groundcrew"
FORECAST_SEEDS, ANOMALY_SEEDS = range(101, 109), range(101, 131)
"""Not those by which the rules were made."""
JUDGED, FURTHEST = 30, 7
"""Days foretold, and how many days before at most."""
REPORTS = ("", " --by environment", " --by tag --tag Owner", " --days 7", " --days 60 --by environment")
TOLD = re.compile(r"([\d,]+\.\d\d) USD in (\d+) days")


def measure() -> Figures:
    """All figures; what each seed had goes beside them."""
    today = datetime.now(UTC).date()
    return reports() | foretold(today) | found(today)


def reports() -> dict[str, Figure]:
    """A stakeholder reads; the lines of the bill are added up beside."""
    with sandbox() as state:
        aws = f"http://127.0.0.1:{Record(state).read('ports.json')['aws']}/_sandbox"
        slack = Slack(Record(state).url())
        person, gaps, calls = slack.person("U0STK"), list[Decimal](), list[int]()
        for more in REPORTS:
            before = asked(aws)
            words = person.asks(f"cost report{more}", "USD in", "from the bill")["words"]
            amount, days = (part.replace(",", "") for part in TOLD.search(words).groups())  # type: ignore[union-attr]
            gaps.append(abs(Decimal(amount) - billed(aws, int(days))))
            calls.append(asked(aws) - before)
        slack.close()
    say(f"gaps {[str(gap) for gap in gaps]}, requests {calls}")
    return {"cost.total_gap": Figure(float(max(gaps)), "USD"), "cost.calls": Figure(max(calls), "calls")}


def billed(aws: str, days: int) -> Decimal:
    """What is ours in the days up to yesterday, to the cent."""
    today = datetime.now(UTC).date()
    period = {"start": str(today - timedelta(days=days)), "end": str(today)}
    lines = httpx.post(f"{aws}/cost-lines", json=period, headers={"X-Sandbox": "1"}, trust_env=False).json()
    ours = [Decimal(line["amount"]) for line in lines if line["tags"].get("Project") == OURS]
    return round(sum(ours, Decimal(0)), 2)


def asked(aws: str) -> int:
    """The requests of Cost Explorer so far: each is charged for."""
    rows: list[dict[str, Any]] = httpx.get(f"{aws}/calls", params={"limit": 100_000}, trust_env=False).json()
    return sum(row["eventSource"] == "ce.amazonaws.com" for row in rows)


def foretold(today: date) -> dict[str, Figure]:
    """Errors of both over the same days and the same distances."""
    ours, theirs = [], []
    for seed in FORECAST_SEEDS:
        values = [float(sum(day)) for day in zip(*series(seed, today).values(), strict=True)]
        first, seen = today - timedelta(days=DAYS), (len(ours), len(theirs))
        for at in range(DAYS - JUDGED, DAYS):
            for before in range(1, FURTHEST + 1):
                known = values[: at - before + 1]
                told = forecast.ahead(known, first + timedelta(days=len(known) - 1), before)[-1]
                ours.append(abs(told - values[at]) / values[at])
                theirs.append(abs(values[at - 7] - values[at]) / values[at])
        say(f"seed {seed}: {mean(ours[seen[0] :]):.3f} against {mean(theirs[seen[1] :]):.3f}")
    return {"cost.forecast": Figure(mean(ours), "MAPE", mean(theirs))}


def found(today: date) -> dict[str, Figure]:
    """Spikes and findings, matched by service and day."""
    planted, hits, false = 0, 0, 0
    for seed in ANOMALY_SEEDS:
        told, truth = anomalies.find(series(seed, today), today - timedelta(days=DAYS)), spikes(seed, today)
        planted += len(truth)
        hits += sum(any(each.start <= spike.first <= each.end for each in told) for spike in truth)
        false += sum(not any(spike.covers(each.start) or spike.covers(each.end) for spike in truth) for each in told)
    say(f"{hits} of {planted} spikes found, {false} findings that are none in {len(ANOMALY_SEEDS)} quarters")
    return {
        "cost.anomalies": Figure(hits / planted, "share"),
        "cost.false_anomalies": Figure(false / len(ANOMALY_SEEDS), "a quarter"),
    }


def series(seed: int, today: date) -> Mapping[str, Sequence[Decimal]]:
    """What each service of ours cost on each of the seeded days."""
    first, rows = today - timedelta(days=DAYS), dict[str, list[Decimal]]()
    for line in history(seed, today):
        if line.tag.get("Project") == OURS:
            rows.setdefault(line.service, [Decimal(0)] * DAYS)[(line.day - first).days] += line.amount
    return rows


if __name__ == "__main__":
    main(__doc__ or "", measure)
