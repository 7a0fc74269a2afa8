"""The live message of a run says what happens, what came of it and what to do next."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from commands.command import Context, Person
from commands.execution import execution_live
from commands.parsing import parse
from commands.reply import Mention, Outcome, Reply
from pipeline import definition
from pipeline.errors import Unavailable
from pipeline.names import Names
from pipeline.tracking import Point, Run
from tests.unit.fake_aws import FakeClient

NAMES = Names("123456789012", "us-east-1")
ARN = NAMES.arn("sagemaker", "pipeline/groundcrew-dev-detector/execution/7f3abc12def0")
BEGAN = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
JOB = NAMES.arn("sagemaker", "training-job/groundcrew-dev-train-x1")
SESSION = "arn:aws:sts::123456789012:assumed-role/groundcrew-data-scientist/U0DS1-abcdef12"


class Books:
    """Where the job records lie that the messages read: a database of the test's own."""

    state: Engine


@pytest.fixture(autouse=True)
def books(engine: Engine) -> None:
    Books.state = engine


class Tracked:
    """MLflow as the message sees it: one run with points, none, or no answer."""

    def __init__(self, values: list[float] | None = None, *, final: float | None = None, down: bool = False) -> None:
        self.values, self.final, self.down = values, final, down

    def run_for_execution(self, arn: str) -> Run | None:
        if self.down:
            raise Unavailable("MLflow does not answer.")
        if self.values is None:
            return None
        metrics = {} if self.final is None else {"test/map50": self.final}
        tags = {"data_version": "v12", "code_revision": "4be1c02aaaa"}
        params = {"data/train_images": "200", "data/validation_images": "50", "data/test_images": "50"}
        return Run("r1", "7", "", "RUNNING", "", 0.0, None, params=params, metrics=metrics, tags=tags)

    def metric_history(self, run_id: str, key: str) -> list[Point]:
        assert key == "val/map50"
        return [Point(step, value, 1000.0 + 8 * step) for step, value in enumerate(self.values or [], 1)]


def step(name: str, status: str, *, seconds: int = 6, **more: Any) -> dict[str, Any]:
    times = {"StartTime": BEGAN, "EndTime": BEGAN + timedelta(seconds=seconds)}
    return {"StepName": name, "StepStatus": status, **times, "Metadata": {}, **more}


def live(status: str, steps: list[dict[str, Any]], tracked: Tracked, *, lines: tuple[str, ...] = ()) -> Reply:
    text = definition.definition("dev", NAMES, "image", "s3://b/code", "https://t", "http://mlflow", "rev")
    sagemaker = FakeClient(
        describe_pipeline_execution={
            "PipelineExecutionStatus": status,
            "CreationTime": BEGAN,
            "LastModifiedTime": BEGAN + timedelta(seconds=65),
            "CreatedBy": {"IamIdentity": {"Arn": SESSION, "SourceIdentity": "T0GC.U0DS1"}},
        },
        describe_pipeline_definition_for_execution={"PipelineDefinition": text},
        list_pipeline_execution_steps={"PipelineExecutionSteps": steps},
        list_pipeline_parameters_for_execution={"PipelineParameters": [{"Name": "Seed", "Value": "3"}]},
    )
    logs = FakeClient(
        describe_log_streams={"logStreams": [{"logStreamName": "groundcrew-dev-train-x1/algo-1"}]},
        get_log_events={"events": [{"message": line} for line in lines]},
    )
    context = Context(
        person=Person("T0GC", "system", "watcher", "observer"),
        invocation="i",
        names=NAMES,
        client={"sagemaker": sagemaker, "logs": logs}.__getitem__,
        tracking=tracked,  # type: ignore[arg-type]
        state=Books.state,
        web_links={"mlflow": "http://mlflow/"},
    )
    reply, ended = execution_live(context, ARN)
    assert ended == (status not in ("Executing", "Stopping"))
    for action in reply.actions:
        assert action.url or parse(action.command)
    return reply


def told(reply: Reply) -> dict[str, str]:
    return {line.name: f"{line.state}: {line.detail}" for line in reply.steps}


TRAINING = [
    step("Preprocess", "Succeeded"),
    step("Train", "Executing", Metadata={"TrainingJob": {"Arn": JOB}}),
]
EVALUATED = [
    step("Preprocess", "Succeeded"),
    step("Train", "Succeeded", seconds=40, Metadata={"TrainingJob": {"Arn": JOB}}),
    step("Evaluate", "Succeeded"),
]


def test_training_shows_the_epoch_and_the_metric_so_far() -> None:
    reply = live("Executing", TRAINING, Tracked([0.2, 0.5, 0.81]))
    assert reply.title == "Training run 7f3a in dev: training, epoch 3 of 4"
    assert told(reply) == {
        "Preprocess": "done: done in 6 s",
        "Train": "running: 3 of 4 · mAP50 0.810 · about 8 s left",
        "Evaluate": "waiting: waiting",
        "Check mAP": "waiting: waiting",
        "Baseline": "waiting: waiting · only if mAP50 ≥ 0.60",
        "Explain": "waiting: waiting · only if mAP50 ≥ 0.60",
        "Register": "waiting: waiting · only if mAP50 ≥ 0.60",
        "Deploy": "waiting: waiting · only if mAP50 ≥ 0.60",
    }
    assert [line.progress for line in reply.steps if line.name == "Train"] == [0.75]
    assert Mention("U0DS1") in reply.context
    assert "".join(part for part in reply.context if isinstance(part, str)) == (
        "started by  · yolo11n · data v12 (300 photos) · revision 4be1c02"
    )
    assert {fact.label: fact.value for fact in reply.facts}["Role"] == "data-scientist"
    assert [action.label for action in reply.actions] == ["Stop", "Logs", "Open in MLflow"]
    assert reply.actions[0].confirm is not None
    assert reply.actions[2].url == "http://mlflow/#/experiments/7/runs/r1"


def test_without_mlflow_the_log_tells_the_epochs_and_the_message_says_so() -> None:
    lines = ("noise", json.dumps({"event": "epoch", "epoch": 2, "of": 4, "map50": 0.33}), "[1]")
    reply = live("Executing", TRAINING, Tracked(down=True), lines=lines)
    assert reply.title.endswith("training, epoch 2 of 4")
    assert "MLflow does not answer" in str(reply.context)
    assert told(reply)["Train"] == "running: 2 of 4 · mAP50 0.330"


def test_a_finished_run_offers_its_model() -> None:
    package = NAMES.arn("sagemaker", "model-package/groundcrew-dev-detector/8")
    steps = [
        *EVALUATED,
        step("CheckMap", "Succeeded", Metadata={"Condition": {"Outcome": "True"}}),
        step("Register", "Succeeded", Metadata={"RegisterModel": {"Arn": package}}),
        step("Deploy", "Succeeded"),
    ]
    reply = live("Succeeded", steps, Tracked([0.5], final=0.966))
    assert reply.title == "Training run 7f3a in dev: done, mAP50 0.966"
    assert told(reply)["Check mAP"] == "done: 0.966 reaches 0.60"
    assert [action.command for action in reply.actions if not action.url] == [
        "registry request 8 --to staging",
        "registry show 8 --env dev",
        "deployment predict --env dev",
    ]
    assert {fact.label: fact.value for fact in reply.facts}["Took"] == "1 min 5 s"


def test_a_model_below_the_threshold_is_told_by_how_much() -> None:
    steps = [
        *EVALUATED,
        step("CheckMap", "Succeeded", Metadata={"Condition": {"Outcome": "False"}}),
        step("BelowThreshold", "Failed", Metadata={"Fail": {"ErrorMessage": "below"}}),
    ]
    reply = live("Failed", steps, Tracked([0.5], final=0.43))
    assert reply.title == "Training run 7f3a in dev: mAP50 too low"
    assert reply.text == "mAP50 0.430 is 0.170 below 0.60: nothing was registered."
    assert reply.outcome is Outcome.ERROR
    assert reply.actions[0].label == "Train for 8 epochs"
    assert parse(reply.actions[0].command)[1]["epochs"] == 8
    assert parse(reply.actions[0].command)[1]["seed"] == 3
    assert told(reply)["Register"] == "skipped: not run"


def test_a_step_that_dies_is_named_with_reason_and_last_lines() -> None:
    failed = step("Train", "Failed", FailureReason="AlgorithmError: exit 1", Metadata={"TrainingJob": {"Arn": JOB}})
    reply = live("Failed", [step("Preprocess", "Succeeded"), failed], Tracked([]), lines=("a", "RuntimeError: b"))
    assert reply.title == "Training run 7f3a in dev: failed in Train"
    assert reply.text == "Train failed: AlgorithmError: exit 1"
    assert reply.quote == "a\nRuntimeError: b"
    offered = {action.label: parse(action.command)[0].name for action in reply.actions if action.command}
    assert offered == {"Retry": "pipeline retry", "Run again": "pipeline run", "Logs": "pipeline logs"}


def test_a_deployment_that_fails_offers_its_model_and_a_retry() -> None:
    package = NAMES.arn("sagemaker", "model-package/groundcrew-dev-detector/8")
    registered = step("Register", "Succeeded", Metadata={"RegisterModel": {"Arn": package}})
    reply = live("Failed", [*EVALUATED, registered, step("Deploy", "Failed")], Tracked([0.5], final=0.966))
    commands = [action.command for action in reply.actions]
    assert "deployment create --env dev --version 8" in commands
    assert "pipeline retry 7f3abc12def0 --env dev" in commands


@pytest.mark.parametrize("status", ["Stopping", "Stopped"])
def test_a_stop_is_shown(status: str) -> None:
    reply = live(status, [step("Preprocess", "Stopped")], Tracked())
    assert reply.title == f"Training run 7f3a in dev: {status.lower()}"
    assert told(reply)["Preprocess"] == "stopped: stopped after 6 s"
