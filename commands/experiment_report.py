"""How runs read: one line each in a list, one with all it has, several side by side with the best marked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from commands.curve_chart import Curve, curves
from commands.reply import Code, Fact, Moment, Picture, Table
from commands.wording import day, duration, score, short_digest
from pipeline import experiments
from pipeline.experiments import Row
from pipeline.tracking import Point, Run

HEADLINE = ("test/map50", "best/map50", experiments.CURVE)
"""What a run is judged by, the first of them that it has."""
CHOSEN = ("epochs", "imgsz", "batch", "lr0", "optimizer", "patience", "seed")
"""Parameters that people choose."""
ASKED = 4
"""Columns added for what a search names."""
_NAMED = re.compile(r"\b(metrics?|params?|parameters?|tags?)\.(?:`([^`]+)`|\"([^\"]+)\"|([\w-]+))")
_LISTED = ("test/map50", "test/map50_95", "epochs", "data_version")
_NONE = "–"


def found(first: int, count: int, env: str, *, more: bool) -> str:
    """The title of a page of runs."""
    if first == 1 and not more:
        return f"{count} runs in {env}" if count > 1 else f"One run in {env}"
    which = f"Runs {first} to {first + count - 1}" if count > 1 else f"Run {first}"
    return f"{which} in {env}" + (", and there are more" if more else "")


def listing(runs: Sequence[Run], search: str) -> Table:
    """One line for each run, with a column for each metric, parameter or tag that the search names."""
    asked = [(kind[0], next(filter(None, names))) for kind, *names in _NAMED.findall(search)]
    extra = [(kind, name) for kind, name in dict.fromkeys(asked) if name not in _LISTED][:ASKED]
    rows = [
        (
            run.name,
            _metric(run, "test/map50"),
            _metric(run, "test/map50_95"),
            *(_value(run, kind, name) for kind, name in extra),
            run.params.get("epochs", _NONE),
            run.tags.get("data_version", _NONE),
            run.status.lower(),
            day(datetime.fromtimestamp(run.started, UTC)),
        )
        for run in runs
    ]
    columns = ("Run", "mAP50", "mAP50-95", *(name for _, name in extra), "Epochs", "Data", "State", "Started")
    return Table(columns, rows, "Runs")


def headline(run: Run, env: str) -> str:
    """What became of a run, in one line."""
    metric, value = _judged(run)
    reached = f", {_called(metric)} {score(value)}" if value is not None else ""
    return f"Run {run.name} in {env}: {run.status.lower()}{reached}"


def facts(run: Run) -> list[Fact]:
    """Where a run comes from and what it was set to."""
    lasted = [f", took {duration(run.ended - run.started)}"] if run.ended else []
    chosen = [f"{name} {run.params[name]}" for name in CHOSEN if name in run.params]
    images = [
        f"{run.params[name]} {name.removeprefix('data/').removesuffix('_images')}"
        for name in sorted(run.params)
        if name.startswith("data/") and name.endswith("_images")
    ]
    told = [
        Fact("Started", [Moment(run.started), *lasted]),
        Fact("Data", run.tags.get("data_version", "unknown") + (f": {', '.join(images)}" if images else "")),
        Fact("Revision", run.tags.get("code_revision", "unknown")[:12]),
        Fact("Settings", " · ".join(chosen) or "not logged"),
        Fact("MLflow run", [Code(run.id)]),
    ]
    return [*told, Fact("Model", short_digest(run.tags["digest"]))] if "digest" in run.tags else told


def metrics(run: Run) -> Table:
    """The last value of each metric."""
    rows = [(row.name, _cell(row.values[0])) for row in experiments.metrics([run])]
    return Table(("Metric", "Last value"), rows, "Metrics")


def parameters(run: Run) -> Table:
    """All parameters."""
    return Table(("Parameter", "Value"), sorted(run.params.items()), "Parameters")


def verdict(runs: Sequence[Run]) -> str:
    """Which of several runs is best by the metric that all of them have."""
    metric = next((name for name in HEADLINE if all(name in run.metrics for run in runs)), None)
    if metric is None:
        return f"{len(runs)} runs compared"
    top = experiments.best(metric, [run.metrics[metric] for run in runs])
    if len(top) != 1:
        return f"{len(runs)} runs compared: none is best by {_called(metric)}"
    winner = runs[next(iter(top))]
    return f"{len(runs)} runs compared: {winner.name} is best, {_called(metric)} {score(winner.metrics[metric])}"


def caveats(runs: Sequence[Run], drawn: Mapping[str, Sequence[Point]], metric: str) -> str:
    """What must be known to read the comparison."""
    said = []
    if len({run.tags.get("data_version") for run in runs}) > 1:
        said.append("The runs used different versions of the data: their metrics were not measured on the same photos.")
    if unfinished := [run.name for run in runs if run.status != "FINISHED"]:
        said.append(f"Not finished: {', '.join(unfinished)}.")
    if without := [run.name for run in runs if run.id not in drawn]:
        said.append(f"No curve of {metric}: {', '.join(without)}.")
    if not experiments.settings(runs):
        said.append("No parameter differs.")
    return "\n".join(said)


def comparison(runs: Sequence[Run]) -> Table:
    """The metrics with the best marked, then the parameters that differ, a column for each run.

    In this order, as a message may have no room for the last of many parameters.
    """
    rows = [*experiments.metrics(runs), *experiments.settings(runs)]
    return Table(
        ("Run", *(run.name for run in runs)), [(row.name, *_cells(row)) for row in rows], "Metrics and parameters"
    )


def picture(runs: Sequence[Run], drawn: Mapping[str, Sequence[Point]], metric: str) -> Picture | None:
    """The curves of a metric; None when no run has one."""
    found = [Curve(run.name, [(point.step, point.value) for point in drawn[run.id]]) for run in runs if run.id in drawn]
    if not found:
        return None
    ends = ", ".join(
        f"{curve.label} from {_cell(curve.points[0][1])} to {_cell(curve.points[-1][1])}" for curve in found
    )
    return Picture(curves(found, f"{metric} by epoch"), "curves.png", f"{metric} by epoch: {ends}")


def _judged(run: Run) -> tuple[str, float | None]:
    name = next((name for name in HEADLINE if name in run.metrics), "")
    return name, run.metrics.get(name)


def _called(metric: str) -> str:
    return "mAP50" if metric == "test/map50" else f"mAP50 {'of validation' if metric else ''}".strip()


def _cells(row: Row) -> list[str]:
    return [_cell(value) + (" · best" if at in row.best else "") for at, value in enumerate(row.values)]


def _cell(value: str | float | None) -> str:
    if value is None:
        return _NONE
    return value if isinstance(value, str) else f"{value:.4g}"


def _metric(run: Run, name: str) -> str:
    return score(run.metrics[name]) if name in run.metrics else _NONE


def _value(run: Run, kind: str, name: str) -> str:
    """What a search calls `metrics.`, `params.` or `tags.` with that name."""
    return _cell({"m": run.metrics.get(name), "p": run.params.get(name), "t": run.tags.get(name)}[kind])
