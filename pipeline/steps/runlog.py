"""What the steps of one execution tell MLflow, and what they do when it does not listen: go on, and say so.

Track opens the run and writes `run.json`, Preprocess writes what its data are into `data.json`; the later steps join
the run from both. No failure of tracking ends a step.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.errors import GroundcrewError
from pipeline.steps.container import Stopped, say
from pipeline.tracking import Status, Tracking

START_SECONDS = 60.0
"""How long the first step waits for an MLflow server that is still starting."""
PATIENCE = 3
"""Failed calls after which a step stops asking: a dead server must not slow a training down."""


@dataclass(frozen=True)
class Facts:
    """What every step knows about its execution (run.json) and its data (the rest, from data.json)."""

    execution: str
    revision: str
    experiment: str
    mlflow: Mapping[str, str] | None = None
    """`run_id` and `artifact_uri`, or None with a `reason`."""
    reason: str = ""
    data_version: str = ""
    images: Mapping[str, int] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Write run.json."""
        body = {key: value for key, value in asdict(self).items() if key not in OF_DATA}
        path.write_text(json.dumps(body, indent=2), "utf-8")

    @classmethod
    def read(cls, run: Path, data: Path) -> Facts:
        """Read run.json and data.json."""
        return cls(**json.loads(run.read_text("utf-8")), **read_data(data))


OF_DATA = ("data_version", "images", "classes")


def read_data(path: Path) -> dict[str, Any]:
    """What `write_data` has written, by the names of `Facts`."""
    body: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return {name: body[name] for name in OF_DATA}


def write_data(path: Path, version: str, images: Mapping[str, int], classes: Sequence[str]) -> None:
    """Write data.json: the data's version, how many pictures each part has, and its classes."""
    path.write_text(json.dumps(dict(zip(OF_DATA, (version, images, list(classes)), strict=True)), indent=2), "utf-8")


@dataclass
class RunLog:
    """The execution's MLflow run as one step sees it. Without a run every method does nothing."""

    facts: Facts
    tracking: Tracking
    problems: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, facts: Facts, tracking: Tracking, artifact_location: str, tags: Mapping[str, str]) -> RunLog:
        """Open the run of this execution, or find the one that an earlier attempt of the step has opened."""
        try:
            tracking.wait(START_SECONDS)
            run = tracking.run_for_execution(facts.execution)
            if run is None:
                experiment = tracking.experiment(facts.experiment, artifact_location)
                run = tracking.create_run(experiment, facts.execution.rpartition("/")[2], tags)
            elif run.status != "RUNNING":
                tracking.finish(run.id, "RUNNING")
        except GroundcrewError as error:
            say("tracking", problem=error.message)
            return cls(replace(facts, mlflow=None, reason=error.message), tracking)
        return cls(replace(facts, mlflow={"run_id": run.id, "artifact_uri": run.artifact_uri}), tracking)

    @classmethod
    def join(cls, run: Path, report: Path, tracking: Tracking) -> RunLog:
        """Join the run that Track has opened; the folders hold its run.json and Preprocess's data.json.

        A run that was closed because an earlier attempt of a step has failed is open again from here on.
        """
        log = cls(Facts.read(run / "run.json", report / "data.json"), tracking)
        log._attempt(log._reopen)
        return log

    def params(self, values: Mapping[str, object]) -> None:
        """Record parameters."""
        self._attempt(lambda run_id: self.tracking.log_params(run_id, values))

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Record metrics at a step."""
        self._attempt(lambda run_id: self.tracking.log_metrics(run_id, values, step))

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        self._attempt(lambda run_id: self.tracking.set_tags(run_id, values))

    def files(self, *paths: Path, folder: str = "") -> None:
        """Store files as artifacts."""
        for path in paths:
            self._attempt(partial(self._upload, path, folder))

    def close(self, status: Status) -> None:
        """Close the run. Tried even after other calls have failed."""
        self.problems = self.problems[: PATIENCE - 1]
        self._attempt(lambda run_id: self.tracking.finish(run_id, status))

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Mark the run FAILED (KILLED on a stop request) when the block does not end well, and pass the error on."""
        try:
            yield
        except Stopped:
            self.close("KILLED")
            raise
        except Exception as error:
            self.tags({"failure": str(error)[:1000]})
            self.close("FAILED")
            raise

    def remark(self) -> str:
        """What the step's message says about tracking: nothing when all is well."""
        if self.facts.mlflow is None:
            return f" Not tracked in MLflow: {self.facts.reason}"
        return f" MLflow tracking is incomplete: {self.problems[0]}" if self.problems else ""

    def _reopen(self, run_id: str) -> None:
        if self.tracking.get_run(run_id).status != "RUNNING":
            self.tracking.finish(run_id, "RUNNING")

    def _upload(self, path: Path, folder: str, run_id: str) -> None:
        artifacts = self.facts.mlflow["artifact_uri"] if self.facts.mlflow else ""
        self.tracking.upload(artifacts, path, folder)

    def _attempt(self, call: Callable[[str], Any]) -> None:
        if self.facts.mlflow is None or len(self.problems) >= PATIENCE:
            return
        try:
            call(self.facts.mlflow["run_id"])
        except GroundcrewError as error:
            self.problems.append(error.message)
            say("tracking", problem=error.message)
            print(f"MLflow: {error.message} {error.advice}", file=sys.stderr)
