"""Tuning jobs: the same training tried with different settings, on what a run has prepared.

A trial is a training job that the service starts by itself, with the image's own `train` (`pipeline.serving`), which
unpacks the run's code as any step does. Each trial has a run of its own in MLflow, in `groundcrew-<env>-tuning`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal, get_args

from botocore.exceptions import ClientError

from pipeline import executions, parameters
from pipeline.absent import missing
from pipeline.definition import HYPERPARAMETERS, JOBS, tags
from pipeline.errors import BadInput, NotFound
from pipeline.names import ENVIRONMENTS, PROJECT, Environment, Names
from pipeline.parameters import Value

METRIC = "val:map50"
"""What is compared: mAP50 on the validation split; the held-out flights stay unseen."""
Knob = Literal["lr", "batch", "optimizer", "augmentation"]
KNOBS: tuple[Knob, ...] = get_args(Knob)
CHANNELS = ("train", "validation", "report")
LONGEST_NAME = 32
LOOK_BACK = 10
"""Runs that are looked through for prepared data."""
BATCHES = ("2", "4", "8", "16")
_TOLD: Mapping[str, str] = MappingProxyType({pipeline: told for told, pipeline in HYPERPARAMETERS.items()})


@dataclass(frozen=True)
class Base:
    """What a run has left that trials need: its data, its code, and where it is tracked."""

    run: str
    channels: Mapping[str, str]
    image: str
    mlflow: str
    revision: str


@dataclass(frozen=True)
class Bounds:
    """How much is tried at most: trials in all and side by side, and seconds for all of them."""

    trials: int
    at_once: int
    seconds: int


@dataclass(frozen=True)
class Trial:
    """One training of a tuning job. `map50` is None while it is not known."""

    arn: str
    status: str
    given: Mapping[str, str]
    map50: float | None
    reason: str


@dataclass(frozen=True)
class Tuning:
    """A tuning job as it stands. `told` is what all trials have in common."""

    arn: str
    status: str
    created: datetime
    ended: datetime | None
    reason: str
    bounds: Bounds
    instance_type: str
    told: Mapping[str, str]
    trials: Sequence[Trial] = field(default_factory=tuple)

    @property
    def name(self) -> str:
        """The last part of its ARN."""
        return self.arn.rsplit("/", 1)[-1]

    @property
    def environment(self) -> Environment:
        """The environment in its name."""
        return next(env for env in ENVIRONMENTS if self.name.startswith(f"{PROJECT}-{env}-"))

    @property
    def running(self) -> bool:
        """Whether it can still change."""
        return self.status in ("InProgress", "Stopping")

    @property
    def best(self) -> Trial | None:
        """The trial with the highest mAP50 so far."""
        known = [trial for trial in self.trials if trial.map50 is not None]
        return max(known, key=lambda trial: trial.map50 or 0.0, default=None)

    def as_options(self, trial: Trial) -> dict[str, str]:
        """What a trial was trained with, by the options of `pipeline run`."""
        given = {**self.told, **trial.given}
        return {each.option: given[told] for each in parameters.SETTINGS if (told := _TOLD.get(each.name)) in given}


def base(sagemaker: Any, names: Names, env: Environment, prefix: str) -> Base:
    """The run whose id begins so, or the latest that has prepared data. Raises NotFound when there is none."""
    if prefix:
        found = [executions.find(sagemaker, names, env, prefix)]
    else:
        found = [each.arn for each in executions.recent(sagemaker, names, env, LOOK_BACK)]
    for arn in found:
        done = [each for each in executions.steps(sagemaker, arn) if each.name == "Preprocess" and each.job]
        if done and done[-1].status == "Succeeded":
            return _base(sagemaker, arn, str(done[-1].job))
    wanted = prefix or "with prepared data"
    raise NotFound(f"run in {env}", wanted, advice=f"`pipeline run --env {env}` prepares data; trials train on it.")


def _base(sagemaker: Any, arn: str, job: str) -> Base:
    definition = json.loads(
        sagemaker.describe_pipeline_definition_for_execution(PipelineExecutionArn=arn)["PipelineDefinition"]
    )
    steps = {step["Name"]: step["Arguments"] for step in definition["Steps"]}
    code = next(each for each in steps["Train"]["InputDataConfig"] if each["ChannelName"] == "code")
    prepared = sagemaker.describe_processing_job(ProcessingJobName=job.rsplit("/", 1)[-1])
    outputs = {each["OutputName"]: each["S3Output"]["S3Uri"] for each in prepared["ProcessingOutputConfig"]["Outputs"]}
    return Base(
        run=arn.rsplit("/", 1)[-1],
        channels={"code": code["DataSource"]["S3DataSource"]["S3Uri"], **{name: outputs[name] for name in CHANNELS}},
        image=steps["Train"]["AlgorithmSpecification"]["TrainingImage"],
        mlflow=steps["Train"]["Environment"]["MLFLOW_TRACKING_URI"],
        revision=steps["Track"]["Environment"]["CODE_REVISION"],
    )


def knobs(text: str) -> list[Knob]:
    """What is varied, from `lr,optimizer`. Raises BadInput for what cannot be."""
    asked = [part.strip() for part in text.split(",") if part.strip()]
    found = [each for each in KNOBS if each in asked]
    if not asked or len(found) != len(set(asked)):
        raise BadInput(f"{text!r} cannot be varied.", f"Vary some of: {', '.join(KNOBS)}.")
    return found


def ranges(over: Sequence[Knob], low: float, high: float) -> dict[str, Any]:
    """The request's ParameterRanges. Raises BadInput for a range of learning rates that is none."""
    if "lr" in over and not low < high:
        raise BadInput(f"From {low:.10g} to {high:.10g} is no range.", "Give --lr-low below --lr-high.")
    rates = [
        {
            "Name": "learning_rate",
            "MinValue": f"{low:.10g}",
            "MaxValue": f"{high:.10g}",
            "ScalingType": "Logarithmic",
        }
    ]
    choices: Mapping[Knob, tuple[str, ...]] = {
        "batch": BATCHES,
        "optimizer": parameters.BY_OPTION["optimizer"].choices,
        "augmentation": parameters.BY_OPTION["augmentation"].choices,
    }
    categories = [{"Name": knob, "Values": list(choices[knob])} for knob in over if knob in choices]
    found = {"ContinuousParameterRanges": rates if "lr" in over else [], "CategoricalParameterRanges": categories}
    return {key: rows for key, rows in found.items() if rows}


def request(
    names: Names,
    env: Environment,
    on: Base,
    chosen: Mapping[str, Value],
    over: Mapping[str, Any],
    bounds: Bounds,
    token: str,
) -> dict[str, Any]:
    """The CreateHyperParameterTuningJob request. `chosen` are the settings that all trials have in common."""
    name = f"{PROJECT}-{env}-tune-{token[:8]}"[:LONGEST_NAME]
    sent = parameters.sent(chosen)
    varied = {each["Name"] for rows in over.values() for each in rows}
    static = {told: sent[setting] for told, setting in HYPERPARAMETERS.items() if told not in varied}
    home = f"s3://{names.bucket}/{env}"
    tracked = {
        "tuning": name,
        "experiment": f"{PROJECT}-{env}-tuning",
        "artifacts": f"{home}/mlflow",
        "revision": on.revision,
    }
    channels = [
        {
            "ChannelName": channel,
            "InputMode": "File",
            "DataSource": {
                "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
            },
        }
        for channel, uri in on.channels.items()
    ]
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": "Bayesian",
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": METRIC},
            "ResourceLimits": {
                "MaxNumberOfTrainingJobs": bounds.trials,
                "MaxParallelTrainingJobs": bounds.at_once,
                "MaxRuntimeInSeconds": bounds.seconds,
            },
            "ParameterRanges": dict(over),
            "TrainingJobEarlyStoppingType": "Off",
            "RandomSeed": int(chosen["seed"]),
        },
        "TrainingJobDefinition": {
            "StaticHyperParameters": {**static, **tracked},
            "AlgorithmSpecification": {
                "TrainingImage": on.image,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": METRIC, "Regex": '"map50": ([0-9.]+)'}],
            },
            "RoleArn": names.role(f"{env}-execution"),
            "InputDataConfig": channels,
            "OutputDataConfig": {"S3OutputPath": f"{home}/tuning/{name}"},
            "ResourceConfig": {
                "InstanceType": str(chosen["instance_type"]),
                "InstanceCount": 1,
                "VolumeSizeInGB": 30,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": min(bounds.seconds, JOBS["Train"][1])},
            "Environment": {"MLFLOW_TRACKING_URI": on.mlflow},
        },
        "Tags": tags(env),
    }


def start(sagemaker: Any, names: Names, job: Mapping[str, Any]) -> str:
    """Start a tuning job; returns its ARN. The same name is started once."""
    try:
        return str(sagemaker.create_hyper_parameter_tuning_job(**job)["HyperParameterTuningJobArn"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceInUse":
            raise
        return names.arn("sagemaker", f"hyper-parameter-tuning-job/{job['HyperParameterTuningJobName']}")


def load(sagemaker: Any, name: str) -> Tuning:
    """A tuning job with its trials, by name or ARN. Raises NotFound when there is none."""
    name = name.rsplit("/", 1)[-1]
    try:
        found = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    except ClientError as error:
        if not missing(error):
            raise
        raise NotFound("tuning job", name) from error
    pages = sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
        HyperParameterTuningJobName=name, SortBy="CreationTime", SortOrder="Ascending"
    )
    trials = [_trial(row) for page in pages for row in page["TrainingJobSummaries"]]
    limits = found["HyperParameterTuningJobConfig"]["ResourceLimits"]
    definition = found["TrainingJobDefinition"]
    return Tuning(
        arn=found["HyperParameterTuningJobArn"],
        status=found["HyperParameterTuningJobStatus"],
        created=found["CreationTime"],
        ended=found.get("HyperParameterTuningEndTime"),
        reason=found.get("FailureReason", ""),
        bounds=Bounds(
            limits["MaxNumberOfTrainingJobs"], limits["MaxParallelTrainingJobs"], limits.get("MaxRuntimeInSeconds", 0)
        ),
        instance_type=definition["ResourceConfig"]["InstanceType"],
        told=definition.get("StaticHyperParameters", {}),
        trials=trials,
    )


def stop(sagemaker: Any, name: str) -> None:
    """Ask a tuning job to stop; running trials get a moment to end."""
    sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)


def _trial(row: Mapping[str, Any]) -> Trial:
    value = row.get("FinalHyperParameterTuningJobObjectiveMetric", {}).get("Value")
    return Trial(
        arn=row["TrainingJobArn"],
        status=row["TrainingJobStatus"],
        given={key: text.strip('"') for key, text in row["TunedHyperParameters"].items()},
        map50=None if value is None else float(value),
        reason=row.get("FailureReason", ""),
    )
