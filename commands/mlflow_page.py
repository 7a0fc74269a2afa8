"""The way into MLflow's own pages: a link where people reach the server, else a button that gets a key from AWS."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import quote

from commands.command import Context
from commands.reply import Action
from pipeline.tracking import Run

LABEL = "Open in MLflow"
ID, SHORT = 32, 12
"""Characters of a run's id, and how many of them a button's command names it by."""


def actions(ctx: Context, runs: Sequence[Run], env: str) -> list[Action]:
    """The button to the page of one run, or to the page that compares several; none where nobody can open MLflow."""
    if not runs:
        return []
    if "mlflow" in ctx.web_links:
        return [Action(LABEL, url=url(ctx, runs))]
    if ctx.tracking.uri.startswith("arn:"):
        return [Action(LABEL, f"experiments open {' '.join(run.id for run in runs)} --env {env}")]
    return []


def url(ctx: Context, runs: Sequence[Run]) -> str:
    """MLflow's page of a run, or its page that compares several."""
    home = f"{ctx.web_links['mlflow'].rstrip('/')}/#"
    if len(runs) == 1:
        return f"{home}/experiments/{runs[0].experiment_id}/runs/{runs[0].id}"
    ids = quote(json.dumps([run.id for run in runs], separators=(",", ":")))
    homes = quote(json.dumps(list(dict.fromkeys(run.experiment_id for run in runs)), separators=(",", ":")))
    return f"{home}/compare-runs?runs={ids}&experiments={homes}"


def search(runs: Sequence[str]) -> str:
    """What finds runs on MLflow's page of an experiment, by their ids or their names as somebody typed them."""
    known = [each.strip().lower().replace("'", "") for each in runs]
    if all(len(each) == ID for each in known):
        return f"attributes.run_id IN ({', '.join(repr(each) for each in known)})"
    return f"attributes.run_name = {known[0]!r}" if len(known) == 1 else ", ".join(known)


def handle(run: Run) -> str:
    """What a command names a run by: shorter than its id, and unlike its name never that of another run."""
    return run.id[:SHORT]
