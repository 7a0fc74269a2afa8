"""Runs of an experiment, found by what people type and put side by side: which parameters differ, which metric is best.

An environment's experiment is called like its pipeline, and a run like its pipeline execution. All of it is read from
MLflow through `pipeline.tracking`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.errors import BadInput, NotFound
from pipeline.tracking import Point, Run, Tracking

CURVE = "val/map50"
"""The metric of a run's every epoch that says most."""
KEPT_TAGS = ("data_version", "code_revision")
"""Tags that are settings of a run as much as its parameters are."""
_ID = re.compile(r"[0-9a-f]{32}")
_TYPED = re.compile(r"[0-9a-z][0-9a-z-]{2,63}")
_NEAR = 50
_LOWER = re.compile(r"loss|seconds|_time|latency|gap")
_HIGHER = re.compile(r"map50|precision|recall|accuracy|f1")


@dataclass(frozen=True)
class Row:
    """One parameter or metric of several runs; None where a run has none. `best` are the positions of the best."""

    name: str
    values: Sequence[str | float | None]
    best: frozenset[int] = frozenset()


def find(tracking: Tracking, experiment: str, text: str, elsewhere: Sequence[str] = ()) -> Run:
    """The run of an experiment whose name (its execution's id) or MLflow id is `text` or begins with it.

    Raises BadInput when several begin so, and for a run of another experiment (of `elsewhere`, or told by its id);
    NotFound with the nearest names when there is none.
    """
    wanted = text.strip().lower()
    if _ID.fullmatch(wanted):
        run = tracking.get_run(wanted)
        home = tracking.experiment_name(run.experiment_id)
        if home != experiment:
            raise _foreign(run, home, experiment)
        return run
    if not _TYPED.fullmatch(wanted):
        raise BadInput(
            f"{text[:60]!r} is no run.",
            "A run is named by its pipeline execution, or by MLflow's id, from 3 characters on.",
        )
    found = _beginning(tracking, experiment, wanted)
    if len(found) > 1:
        raise BadInput(f"{len(found)} runs begin with {wanted!r}.", f"Say more of it: {_names(found)}.")
    if found:
        return found[0]
    for other in elsewhere:
        if strangers := _beginning(tracking, other, wanted):
            raise _foreign(strangers[0], other, experiment)
    known = [run.name for run in tracking.search_runs([experiment], limit=_NEAR)]
    raise NotFound(f"run of {experiment}", wanted, known, "`experiments search` lists them.")


def _beginning(tracking: Tracking, experiment: str, text: str) -> list[Run]:
    """Runs whose name, or whose id, begins so; one that is called exactly so stands for itself."""
    named = tracking.search_runs([experiment], f"attributes.run_name LIKE '{text}%'", limit=6)
    exact = [run for run in named if run.name == text]
    if len(exact) == 1:
        return exact
    known = {run.id for run in named}
    by_id = tracking.search_runs([experiment], f"attributes.run_id LIKE '{text}%'", limit=6)
    return named + [run for run in by_id if run.id not in known]


def _foreign(run: Run, home: str, experiment: str) -> BadInput:
    return BadInput(
        f"Run {run.name} belongs to the experiment {home}, not to {experiment}.",
        "Runs of different experiments had other aims and are not compared; `--env` names the environment whose "
        "runs are meant.",
    )


def _names(runs: Sequence[Run]) -> str:
    return ", ".join(run.name if len({each.name for each in runs}) == len(runs) else run.id for run in runs[:5])


def settings(runs: Sequence[Run]) -> list[Row]:
    """The parameters, data version and code revision that differ between runs, by name.

    Left out is where a job kept its files: absolute paths differ from run to run and say nothing.
    """
    each = [{**run.params, **{tag: run.tags[tag] for tag in KEPT_TAGS if tag in run.tags}} for run in runs]
    rows = [Row(name, [one.get(name) for one in each]) for name in sorted({name for one in each for name in one})]
    return [row for row in rows if len(set(row.values)) > 1 and not all(_is_place(value) for value in row.values)]


def metrics(runs: Sequence[Run]) -> list[Row]:
    """The last value of every metric with the best marked: what was measured on the test photos first."""
    names = sorted({name for run in runs for name in run.metrics}, key=_rank)
    rows = [(name, [run.metrics.get(name) for run in runs]) for name in names]
    return [Row(name, values, best(name, values)) for name, values in rows]


def better(metric: str) -> Literal["higher", "lower"] | None:
    """Which values of a metric are better; None for one that has no better (a count, a rate)."""
    name = metric.lower()
    if _LOWER.search(name):
        return "lower"
    return "higher" if _HIGHER.search(name) else None


def best(metric: str, values: Sequence[float | None]) -> frozenset[int]:
    """Positions of the best values, several when they are equal; none when all are equal or nobody could be better."""
    known = {at: value for at, value in enumerate(values) if value is not None and math.isfinite(value)}
    direction = better(metric)
    if direction is None or len(set(known.values())) < 2:
        return frozenset()
    top = max(known.values()) if direction == "higher" else min(known.values())
    return frozenset(at for at, value in known.items() if value == top)


def curves(tracking: Tracking, runs: Sequence[Run], metric: str) -> Mapping[str, Sequence[Point]]:
    """The values of a metric over the epochs, by run id; runs without it are left out."""
    found = {run.id: tracking.metric_history(run.id, metric) for run in runs if metric in run.metrics}
    return {id: points for id, points in found.items() if points}


def drawable(runs: Sequence[Run]) -> list[str]:
    """The metrics that have a value for every epoch (validation and training), the most telling first."""
    names = {name for run in runs for name in run.metrics if name.startswith(("val/", "train/"))}
    return sorted((name for name in names if "seconds" not in name), key=lambda name: (name != CURVE, _rank(name)))


def _rank(name: str) -> tuple[int, bool, int, str]:
    groups = ("test/", "best/", "val/", "train/")
    group = next((at for at, begin in enumerate(groups) if name.startswith(begin)), len(groups))
    return group, "map50" not in name, name.count("/"), name


def _is_place(value: object) -> bool:
    return value is None or (isinstance(value, str) and value.startswith("/"))
