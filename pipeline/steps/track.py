"""Beside the first step: open the execution's MLflow run.

Out: `run` (run.json). Settings: EXECUTION_ARN, EXPERIMENT, MLFLOW_ARTIFACTS, CODE_REVISION, MLFLOW_TRACKING_URI.
A step of its own, because nothing else that prepares a run may name it: what Preprocess is given decides whether
SageMaker takes its result again.
"""

from __future__ import annotations

from pipeline.steps.container import Container, run
from pipeline.steps.runlog import Facts, RunLog
from pipeline.tracking import Tracking


def track(container: Container) -> str:
    """Open the run, or find the one that an earlier attempt has opened; returns the step's message."""
    execution, revision = container.setting("EXECUTION_ARN"), container.setting("CODE_REVISION")
    log = RunLog.open(
        Facts(execution, revision, container.setting("EXPERIMENT")),
        Tracking(container.environment.get("MLFLOW_TRACKING_URI", "")),
        container.setting("MLFLOW_ARTIFACTS"),
        {"execution": execution, "code_revision": revision},
    )
    log.facts.write(container.output("run") / "run.json")
    mlflow = log.facts.mlflow
    return f"MLflow run {mlflow['run_id']}." if mlflow else log.remark().strip()


if __name__ == "__main__":
    run(track)
