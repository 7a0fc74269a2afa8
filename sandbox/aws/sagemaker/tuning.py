"""Hyperparameter tuning jobs: each trial is a training job that really runs; the best by its last metric wins.

The strategies Random and Bayesian both draw at random here: which is better is not what is tried on a laptop.
"""

from __future__ import annotations

import logging
import math
import random
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from moto.core.exceptions import ServiceException

from sandbox.aws.core import Cloud
from sandbox.aws.sagemaker.errors import ResourceInUse, ValidationException
from sandbox.aws.sagemaker.events import Events
from sandbox.aws.sagemaker.jobs import SERVICE, TRAINING, Job, Jobs
from sandbox.aws.sagemaker.resources import Body, Record, Resources, listing, now, page, tag_map
from sandbox.aws.sts import RoleRefused

log = logging.getLogger(__name__)

TUNING = "hyper-parameter-tuning-job"
STRATEGIES = frozenset({"Random", "Bayesian"})
POLL_SECONDS = 0.1
MOST_TRIALS = 20
"""Of one job on this machine."""


@dataclass
class Tuning(Record):
    """A tuning job with its trials, in the order of their start."""

    trials: list[Job] = field(default_factory=list)
    drawn: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """What each trial was given, by its name."""
    stop: threading.Event = field(default_factory=threading.Event)


class TuningJobs:
    """All tuning jobs of the account."""

    def __init__(self, cloud: Cloud, resources: Resources, events: Events, jobs: Jobs) -> None:
        self._cloud = cloud
        self._resources = resources
        self._events = events
        self._jobs = jobs
        self._closed = threading.Event()
        cloud.on_stop(self._closed.set)

    def create_hyper_parameter_tuning_job(self, request: Body) -> Body:
        """CreateHyperParameterTuningJob."""
        name = request["HyperParameterTuningJobName"]
        arn = self._resources.arn(TUNING, name)
        tags = tag_map(request.pop("Tags", None))
        _check(request)
        role = request["TrainingJobDefinition"]["RoleArn"]
        try:
            self._cloud.assume_service_role(role, SERVICE, "SageMaker")
        except RoleRefused as error:
            raise ValidationException(f"Could not assume role {role}: {error}") from error
        moment = now()
        body: Body = {
            **request,
            "HyperParameterTuningJobArn": arn,
            "HyperParameterTuningJobStatus": "InProgress",
            "CreationTime": moment,
            "LastModifiedTime": moment,
        }
        record = Tuning(TUNING, name, arn, body, tags)
        with self._resources.lock:
            if self._resources.find(TUNING, name):
                raise ResourceInUse(
                    "Hyper parameter tuning job name must be unique within an AWS account and region, "
                    f"and a job with this name already exists ({arn})"
                )
            self._resources.add(record)
            self._events.tuning_job(self._described(record), tags)
        threading.Thread(target=self._run, args=(record,), name=f"tuning-{name}", daemon=True).start()
        return {"HyperParameterTuningJobArn": arn}

    def describe_hyper_parameter_tuning_job(self, request: Body) -> Body:
        """DescribeHyperParameterTuningJob."""
        with self._resources.lock:
            return self._described(self._tuning(request))

    def stop_hyper_parameter_tuning_job(self, request: Body) -> Body:
        """StopHyperParameterTuningJob: the running trials get their signal, no other begins."""
        with self._resources.lock:
            record = self._tuning(request)
            if record.body["HyperParameterTuningJobStatus"] == "InProgress":
                record.body["HyperParameterTuningJobStatus"] = "Stopping"
                record.stop.set()
        return {}

    def list_hyper_parameter_tuning_jobs(self, request: Body) -> Body:
        """ListHyperParameterTuningJobs."""
        found, token = listing(self._resources.all(TUNING), request, status="HyperParameterTuningJobStatus")
        counters = [self._described(each) for each in found if isinstance(each, Tuning)]
        return {"HyperParameterTuningJobSummaries": counters, "NextToken": token}

    def list_training_jobs_for_hyper_parameter_tuning_job(self, request: Body) -> Body:
        """ListTrainingJobsForHyperParameterTuningJob, by creation time."""
        with self._resources.lock:
            record = self._tuning(request)
            trials = [_trial(record, job) for job in record.trials]
        found, token = page(trials, request)
        return {"TrainingJobSummaries": found, "NextToken": token}

    # --- behind them -----------------------------------------------------------------------------------------------

    def _tuning(self, request: Body) -> Tuning:
        record = self._resources.find(TUNING, request["HyperParameterTuningJobName"])
        if not isinstance(record, Tuning):
            raise ValidationException("Requested resource not found.")
        return record

    def _described(self, record: Tuning) -> Body:
        states = [job.body["TrainingJobStatus"] for job in record.trials]
        counted = {
            "Completed": states.count("Completed"),
            "InProgress": states.count("InProgress") + states.count("Stopping"),
            "RetryableError": 0,
            "NonRetryableError": states.count("Failed"),
            "Stopped": states.count("Stopped"),
        }
        told = [_trial(record, job)["ObjectiveStatus"] for job in record.trials]
        objective = {state: told.count(state) for state in ("Succeeded", "Pending", "Failed")}
        found = {**record.body, "TrainingJobStatusCounters": counted, "ObjectiveStatusCounters": objective}
        best = _best(record)
        return found | ({"BestTrainingJob": best} if best else {})

    def _run(self, record: Tuning) -> None:
        limits = record.body["HyperParameterTuningJobConfig"]["ResourceLimits"]
        draw = random.Random(record.body["HyperParameterTuningJobConfig"].get("RandomSeed"))  # noqa: S311
        status, reason = "Completed", ""
        try:
            while len(record.trials) < limits["MaxNumberOfTrainingJobs"] and not self._ends(record):
                if len(_going(record)) >= limits["MaxParallelTrainingJobs"]:
                    self._closed.wait(POLL_SECONDS)
                    continue
                self._begin(record, draw)
            if self._ends(record):
                status = "Stopped" if record.stop.is_set() else "Completed"
                for job in _going(record):
                    self._jobs.ask_to_stop(TRAINING, job)
            while _going(record) and not self._closed.wait(POLL_SECONDS):
                pass
        except ServiceException as error:
            status, reason = "Failed", f"ClientError: {error.message}"
        except Exception as error:
            # The thread must end in a terminal state whatever happens; the server's log has the rest.
            log.exception("a tuning job could not be run")
            status, reason = "Failed", f"InternalServerError: {error!r}"
        with self._resources.lock:
            if status == "Completed" and not _best(record):
                status, reason = "Failed", "All training jobs failed. See their logs for more information."
            ended = {"HyperParameterTuningJobStatus": status, "HyperParameterTuningEndTime": now()}
            record.body |= {**ended, "LastModifiedTime": now()} | ({"FailureReason": reason} if reason else {})
            self._events.tuning_job(self._described(record), record.tags)

    def _ends(self, record: Tuning) -> bool:
        """Asked to stop, out of time, or the server is stopping."""
        limits = record.body["HyperParameterTuningJobConfig"]["ResourceLimits"]
        longest = limits.get("MaxRuntimeInSeconds", math.inf)
        ran = (now() - record.body["CreationTime"]).total_seconds()
        return record.stop.is_set() or self._closed.is_set() or ran > longest

    def _begin(self, record: Tuning, draw: random.Random) -> None:
        definition = record.body["TrainingJobDefinition"]
        config = record.body["HyperParameterTuningJobConfig"]
        drawn = _drawn(config["ParameterRanges"], draw)
        name = f"{record.name}-{len(record.trials) + 1:03d}-{secrets.token_hex(4)}"
        kept = ("AlgorithmSpecification", "RoleArn", "InputDataConfig", "OutputDataConfig", "ResourceConfig")
        more = ("StoppingCondition", "Environment", "EnableManagedSpotTraining", "CheckpointConfig")
        objective = {"_tuning_objective_metric": config["HyperParameterTuningJobObjective"]["MetricName"]}
        request = {key: definition[key] for key in (*kept, *more) if key in definition} | {
            "TrainingJobName": name,
            "HyperParameters": {**definition.get("StaticHyperParameters", {}), **objective, **drawn},
            "Tags": [{"Key": key, "Value": value} for key, value in record.tags.items()],
        }
        self._jobs.create_training_job(request)
        with self._resources.lock:
            job = self._jobs.job(TRAINING, name)
            job.body["TuningJobArn"] = record.arn
            record.drawn[name] = drawn
            record.trials.append(job)


def _check(request: Body) -> None:
    """Raise ValidationException for what this stand-in does not do."""
    config = request["HyperParameterTuningJobConfig"]
    if "TrainingJobDefinition" not in request or "HyperParameterTuningJobObjective" not in config:
        raise ValidationException("Only jobs with one TrainingJobDefinition and an objective exist here.")
    odd = {"TrainingJobDefinitions", "WarmStartConfig", "Autotune"} & set(request)
    if odd or config["Strategy"] not in STRATEGIES or config.get("TrainingJobEarlyStoppingType", "Off") != "Off":
        raise ValidationException(f"Not available here: {', '.join(sorted(odd)) or config['Strategy']}.")
    if not 1 <= config["ResourceLimits"].get("MaxNumberOfTrainingJobs", 0) <= MOST_TRIALS:
        raise ValidationException(f"MaxNumberOfTrainingJobs must be 1 to {MOST_TRIALS} here.")
    metric = config["HyperParameterTuningJobObjective"]["MetricName"]
    known = request["TrainingJobDefinition"]["AlgorithmSpecification"].get("MetricDefinitions") or ()
    if metric not in [each["Name"] for each in known]:
        raise ValidationException(f"The objective metric {metric} is not among the metric definitions.")
    static = set(request["TrainingJobDefinition"].get("StaticHyperParameters") or ())
    if both := static & _names(config.get("ParameterRanges") or {}):
        raise ValidationException(f"Hyperparameters both static and tuned: {', '.join(sorted(both))}.")


def _names(ranges: Mapping[str, Any]) -> set[str]:
    return {each["Name"] for rows in ranges.values() for each in rows}


def _drawn(ranges: Mapping[str, Any], draw: random.Random) -> dict[str, str]:
    """One value of each range, as text."""
    found: dict[str, str] = {}
    for each in ranges.get("ContinuousParameterRanges") or ():
        low, high = float(each["MinValue"]), float(each["MaxValue"])
        if each.get("ScalingType") == "Logarithmic":
            found[each["Name"]] = str(math.exp(draw.uniform(math.log(low), math.log(high))))
        else:
            found[each["Name"]] = str(draw.uniform(low, high))
    for each in ranges.get("IntegerParameterRanges") or ():
        found[each["Name"]] = str(draw.randint(int(each["MinValue"]), int(each["MaxValue"])))
    for each in ranges.get("CategoricalParameterRanges") or ():
        found[each["Name"]] = draw.choice(each["Values"])
    return found


def _going(record: Tuning) -> list[Job]:
    return [job for job in record.trials if not job.done.is_set()]


def _trial(record: Tuning, job: Job) -> Body:
    kept = ("TrainingJobName", "TrainingJobArn", "TrainingJobStatus", "CreationTime", "TrainingStartTime")
    about = {key: job.body[key] for key in (*kept, "TrainingEndTime", "FailureReason") if key in job.body}
    objective = record.body["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    last = {each["MetricName"]: each["Value"] for each in job.body.get("FinalMetricDataList", ())}
    status = "Pending" if not job.done.is_set() else "Failed"
    found: Body = {**about, "TuningJobName": record.name, "TunedHyperParameters": dict(record.drawn.get(job.name, {}))}
    if job.done.is_set() and job.body["TrainingJobStatus"] == "Completed" and objective["MetricName"] in last:
        metric = {"Type": objective["Type"], "MetricName": objective["MetricName"]}
        found["FinalHyperParameterTuningJobObjectiveMetric"] = {**metric, "Value": last[objective["MetricName"]]}
        status = "Succeeded"
    return {**found, "ObjectiveStatus": status}


def _best(record: Tuning) -> Body | None:
    told = [each for job in record.trials if (each := _trial(record, job))["ObjectiveStatus"] == "Succeeded"]
    sign = (
        1
        if record.body["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["Type"] == "Maximize"
        else -1
    )
    return max(told, key=lambda each: sign * each["FinalHyperParameterTuningJobObjectiveMetric"]["Value"], default=None)
