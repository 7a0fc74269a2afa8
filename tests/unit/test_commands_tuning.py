"""`pipeline tune`: what it asks of SageMaker, what it may cost, and how its message tells what the trials found."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from sqlalchemy import Engine

from commands import tuning as commands_tuning
from commands.command import Context, Person
from commands.parsing import parse
from commands.reply import Follow, Reply
from pipeline import tuning
from pipeline.errors import BadInput, NotFound, Refused
from pipeline.names import Names
from pipeline.tracking import Tracking
from tests.unit.fake_aws import FakeClient, refusal
from tests.unit.test_definition import render

NAMES = Names("123456789012", "us-east-1")
RUN = NAMES.arn("sagemaker", "pipeline/groundcrew-dev-detector/execution/7f3abc12def0")
ARN = NAMES.arn("sagemaker", "hyper-parameter-tuning-job/groundcrew-dev-tune-12345678")
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
PREPARED = {
    "ProcessingOutputConfig": {
        "Outputs": [
            {"OutputName": name, "S3Output": {"S3Uri": f"s3://b/dev/runs/1234/preprocess/{name}"}}
            for name in ("train", "validation", "test", "report")
        ]
    }
}


def account(preprocess: str = "Succeeded", **more: Any) -> FakeClient:
    job = {"ProcessingJob": {"Arn": NAMES.arn("sagemaker", "processing-job/groundcrew-dev-preprocess-x1")}}
    answers: dict[str, Any] = {
        "list_pipeline_executions": {
            "PipelineExecutionSummaries": [
                {"PipelineExecutionArn": RUN, "PipelineExecutionStatus": "Failed", "StartTime": NOON}
            ]
        },
        "list_pipeline_execution_steps": {
            "PipelineExecutionSteps": [{"StepName": "Preprocess", "StepStatus": preprocess, "Metadata": job}]
        },
        "describe_pipeline_definition_for_execution": {"PipelineDefinition": render(mlflow="http://m")},
        "describe_processing_job": PREPARED,
        "create_hyper_parameter_tuning_job": {"HyperParameterTuningJobArn": ARN},
    }
    return FakeClient(**{**answers, **more})


def context(engine: Engine, sagemaker: FakeClient) -> Context:
    me = Person("T0GC", "U0DS1", "somebody", "data-scientist")
    return Context(me, "i", NAMES, {"sagemaker": sagemaker}.__getitem__, Tracking(""), engine)


def ask(engine: Engine, line: str, sagemaker: FakeClient) -> Reply:
    command, arguments = parse(line)
    return command.handler(context(engine, sagemaker), **arguments)


def test_trials_train_on_what_a_run_has_prepared_with_its_code(engine: Engine) -> None:
    sagemaker = account()
    reply = ask(
        engine, "pipeline tune --trials 3 --over lr,optimizer --epochs 2 --image-size 64 --minutes 10", sagemaker
    )
    (sent,) = sagemaker.requests("create_hyper_parameter_tuning_job")
    model: Any = botocore.session.get_session().get_service_model("sagemaker")
    shape = model.operation_model("CreateHyperParameterTuningJob").input_shape
    assert not ParamValidator().validate(sent, shape).has_errors()
    assert len(sent["HyperParameterTuningJobName"]) <= 32
    config, trial = sent["HyperParameterTuningJobConfig"], sent["TrainingJobDefinition"]
    assert config["ResourceLimits"] == {
        "MaxNumberOfTrainingJobs": 3,
        "MaxParallelTrainingJobs": 2,
        "MaxRuntimeInSeconds": 600,
    }
    (rate,) = config["ParameterRanges"]["ContinuousParameterRanges"]
    assert (rate["Name"], rate["MinValue"], rate["MaxValue"]) == ("learning_rate", "0.0005", "0.02")
    (kind,) = config["ParameterRanges"]["CategoricalParameterRanges"]
    assert kind == {"Name": "optimizer", "Values": ["AdamW", "Adam", "SGD"]}
    static = trial["StaticHyperParameters"]
    assert not {"learning_rate", "optimizer"} & set(static), "AWS refuses what is both varied and not"
    assert (static["epochs"], static["image_size"], static["model"], static["revision"]) == (
        "2",
        "64",
        "yolo11n",
        "abc",
    )
    assert static["tuning"] == sent["HyperParameterTuningJobName"]
    channels = {each["ChannelName"]: each["DataSource"]["S3DataSource"]["S3Uri"] for each in trial["InputDataConfig"]}
    assert channels["train"] == "s3://b/dev/runs/1234/preprocess/train"
    assert channels["code"].endswith("/dev/code/0/source.tar.gz")
    assert "test" not in channels, "the held-out flights stay unseen"
    assert trial["Environment"] == {"MLFLOW_TRACKING_URI": "http://m"}
    assert trial["StoppingCondition"]["MaxRuntimeInSeconds"] == 600
    assert {tag["Key"] for tag in sent["Tags"]} == {"Project", "Environment", "CostCenter", "Owner"}
    assert reply.follow == Follow("tuning", ARN)
    assert reply.actions[0].command == "pipeline tune-stop groundcrew-dev-tune-12345678 --env dev"


def test_environments_with_long_names_fit_the_service_s_32_characters() -> None:
    for env in ("dev", "staging"):
        assert len(f"groundcrew-{env}-tune-12345678") <= tuning.LONGEST_NAME


def test_without_prepared_data_there_is_nothing_to_try_on(engine: Engine) -> None:
    with pytest.raises(NotFound, match="with prepared data") as caught:
        ask(engine, "pipeline tune", account("Failed"))
    assert "pipeline run --env dev" in caught.value.advice


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("pipeline tune --over lr,color", "cannot be varied"),
        ("pipeline tune --over ''", "cannot be varied"),
        ("pipeline tune --lr-low 0.1 --lr-high 0.01", "is no range"),
        ("pipeline tune --trials 21", "between 2 and 20"),
        ("pipeline tune --at-once 5", "between 1 and 4"),
    ],
)
def test_what_cannot_be_tried_is_said(engine: Engine, line: str, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        ask(engine, line, account())
    assert words in f"{caught.value.message} {caught.value.advice}"


def test_its_price_is_that_of_all_trials_and_none_outlasts_the_time_for_all(engine: Engine) -> None:
    command, arguments = parse("pipeline tune --trials 5 --minutes 2 --epochs 100 --image-size 640")
    assert command.spends is not None
    spend = command.spends(context(engine, FakeClient()), **arguments)
    assert spend is not None
    (use,) = spend.uses
    assert (use.step, use.component, use.instance_type, use.instances, use.most_s) == (
        *("Tune", "Training", "ml.c5.xlarge"),
        *(5, 120),
    )


def trial(number: int, status: str, map50: float | None = None, reason: str = "", **given: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "TrainingJobArn": NAMES.arn("sagemaker", f"training-job/groundcrew-dev-tune-12345678-{number:03d}-ab"),
        "TrainingJobStatus": status,
        "TunedHyperParameters": {"learning_rate": "0.00412345", "augmentation": "survey", **given},
    }
    if map50 is not None:
        row["FinalHyperParameterTuningJobObjectiveMetric"] = {"MetricName": "val:map50", "Value": map50}
    return row | ({"FailureReason": reason} if reason else {})


def described(status: str, trials: list[dict[str, Any]], reason: str = "") -> FakeClient:
    told = {"model": "yolo11n", "epochs": "2", "image_size": "128", "batch": "4", "optimizer": "AdamW", "weights": ""}
    found = {
        "HyperParameterTuningJobArn": ARN,
        "HyperParameterTuningJobStatus": status,
        "CreationTime": NOON,
        "HyperParameterTuningJobConfig": {
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 2, "MaxRuntimeInSeconds": 600}
        },
        "TrainingJobDefinition": {
            "StaticHyperParameters": told,
            "ResourceConfig": {"InstanceType": "ml.c5.xlarge"},
        },
        "FailureReason": reason,
    }
    if status in ("Completed", "Failed", "Stopped"):
        found["HyperParameterTuningEndTime"] = NOON + timedelta(minutes=2)
    return FakeClient(
        describe_hyper_parameter_tuning_job=found,
        list_training_jobs_for_hyper_parameter_tuning_job={"TrainingJobSummaries": trials},
        stop_hyper_parameter_tuning_job={},
    )


def live(engine: Engine, sagemaker: FakeClient) -> tuple[Reply, bool]:
    return commands_tuning.tuning_live(context(engine, sagemaker), ARN)


def test_while_it_runs_it_tells_the_best_so_far_and_can_be_stopped(engine: Engine) -> None:
    reply, ended = live(engine, described("InProgress", [trial(1, "Completed", 0.81), trial(2, "InProgress")]))
    assert not ended
    assert reply.title.startswith("Tuning in dev: trial 2 of 3, ")
    assert reply.table is not None
    assert reply.table.columns == ("Trial", "learning rate", "augmentation", "State", "mAP50")
    assert reply.table.rows[0] == ("1", "0.004123", "survey", "Completed", "0.810 (best)")
    assert [action.label for action in reply.actions] == ["Stop"]


def test_at_the_end_the_best_is_named_and_a_run_with_it_is_one_press_away(engine: Engine) -> None:
    trials = [
        trial(1, "Completed", 0.81),
        trial(2, "Completed", 0.93, learning_rate="0.01", augmentation="none"),
        trial(3, "Failed", reason="AlgorithmError: out of memory"),
    ]
    reply, ended = live(engine, described("Completed", trials))
    assert ended
    assert reply.title == "Tuning in dev: done, best mAP50 0.930"
    assert reply.text == "1 of the trials failed: AlgorithmError: out of memory"
    assert reply.table is not None
    assert [row[0] for row in reply.table.rows] == ["2", "1", "3"]
    (again,) = [action.command for action in reply.actions if action.label == "Train with the best"]
    _, arguments = parse(again)
    assert (arguments["lr"], arguments["augmentation"], arguments["epochs"]) == (0.01, "none", None)


def test_a_tuning_job_of_which_nothing_came_says_why(engine: Engine) -> None:
    limit = "The account-level service limit 'ml.g5.xlarge for training job usage' is 0 Instances, …"
    reply, _ = live(engine, described("Failed", [], limit))
    assert reply.title == "Tuning in dev: no trial has told anything"
    assert "Service Quotas" in reply.text


def test_what_has_ended_is_not_stopped_and_what_there_is_not_is_not_found(engine: Engine) -> None:
    with pytest.raises(Refused, match="it is Completed"):
        ask(engine, "pipeline tune-stop groundcrew-dev-tune-12345678", described("Completed", []))
    running = described("InProgress", [])
    ask(engine, "pipeline tune-stop groundcrew-dev-tune-12345678", running)
    assert running.requests("stop_hyper_parameter_tuning_job")
    gone = FakeClient(
        describe_hyper_parameter_tuning_job=refusal("ValidationException", "Requested resource not found.")
    )
    with pytest.raises(NotFound):
        ask(engine, "pipeline tune-stop groundcrew-dev-tune-12345678", gone)


def test_what_is_in_the_request_is_what_the_training_step_reads() -> None:
    """A trial's words: those of the pipeline's training, and where it is tracked."""
    on = tuning.Base("7f3a", dict.fromkeys(("code", *tuning.CHANNELS), "s3://b/x"), "image", "http://m", "abc")
    chosen = {each.option.replace("-", "_"): each.dev for each in tuning.parameters.SETTINGS}
    over = tuning.ranges(["lr", "augmentation"], 0.001, 0.01)
    sent = tuning.request(NAMES, "staging", on, chosen, over, tuning.Bounds(2, 1, 60), "12345678")
    told = {**sent["TrainingJobDefinition"]["StaticHyperParameters"], "learning_rate": "0.002", "augmentation": "none"}
    assert set(tuning.HYPERPARAMETERS) <= set(told)
    assert json.dumps(told)
