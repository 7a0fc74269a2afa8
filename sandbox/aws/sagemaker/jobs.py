"""Processing and training jobs: the API calls, and the thread that takes each job through its states."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.aws.core import Cloud
from sandbox.aws.sagemaker import contract, quotas
from sandbox.aws.sagemaker.contract import Plan
from sandbox.aws.sagemaker.errors import ResourceInUse, ValidationException
from sandbox.aws.sagemaker.events import Events
from sandbox.aws.sagemaker.resources import Body, Record, Resources, listing, now, tag_map
from sandbox.aws.sagemaker.runner import Outcome, Phase, Runner
from sandbox.aws.sts import RoleRefused

SERVICE = "sagemaker.amazonaws.com"
ON_SPOT = "EnableManagedSpotTraining"
SPOT = 0.35
"""The share of its seconds that a spot training is billed for; on AWS it is known afterwards only, and varies."""


@dataclass(frozen=True)
class Kind:
    """What differs in the words of processing and training jobs."""

    word: str
    title: str
    plan: Callable[[Mapping[str, Any], Path], tuple[Plan, ...]]
    """One plan for each instance."""

    @property
    def group(self) -> str:
        """The log group of such jobs."""
        return f"/aws/sagemaker/{self.title}s"


PROCESSING = Kind("processing-job", "ProcessingJob", contract.processing)
TRAINING = Kind("training-job", "TrainingJob", contract.training)


@dataclass
class Job(Record):
    """A job's record with what its thread listens to and says."""

    stop: threading.Event = field(default_factory=threading.Event)
    interrupt: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)


class Jobs:
    """All jobs of the account."""

    def __init__(self, cloud: Cloud, resources: Resources, events: Events, runner: Runner) -> None:
        self._cloud = cloud
        self._resources = resources
        self._events = events
        self._runner = runner
        self._threads: list[threading.Thread] = []
        self._quotas = quotas.load()
        cloud.controls["interruptions"] = self.interrupt
        cloud.on_stop(self.shut_down)

    # --- API -------------------------------------------------------------------------------------------------------

    def create_processing_job(self, request: Body) -> Body:
        """CreateProcessingJob."""
        return self._create(PROCESSING, request)

    def create_training_job(self, request: Body) -> Body:
        """CreateTrainingJob."""
        return self._create(TRAINING, request)

    def describe_processing_job(self, request: Body) -> Body:
        """DescribeProcessingJob."""
        return self._describe(PROCESSING, request)

    def describe_training_job(self, request: Body) -> Body:
        """DescribeTrainingJob."""
        return self._describe(TRAINING, request)

    def stop_processing_job(self, request: Body) -> Body:
        """StopProcessingJob."""
        return self._stop(PROCESSING, request)

    def stop_training_job(self, request: Body) -> Body:
        """StopTrainingJob."""
        return self._stop(TRAINING, request)

    def list_processing_jobs(self, request: Body) -> Body:
        """ListProcessingJobs."""
        return self._list(PROCESSING, request)

    def list_training_jobs(self, request: Body) -> Body:
        """ListTrainingJobs."""
        return self._list(TRAINING, request)

    # --- for the pipeline executor ---------------------------------------------------------------------------------

    def job(self, kind: Kind, name: str) -> Job:
        """A job by name or ARN.

        Raises `ValidationException` when there is none.
        """
        record = self._resources.find(kind.word, name)
        if not isinstance(record, Job):
            raise ValidationException("Requested resource not found.")
        return record

    def ask_to_stop(self, kind: Kind, job: Job) -> None:
        """SIGTERM to the job's process, and SIGKILL after the grace period. A job that is over stays as it is."""
        with self._resources.lock:
            if job.body[f"{kind.title}Status"] == "InProgress":
                self._change(kind, job, {f"{kind.title}Status": "Stopping"}, "Stopping")
                job.stop.set()

    def interrupt(self, body: Any) -> list[str]:
        """Take the machine of a spot training, as AWS does when it needs it itself: POST /_sandbox/interruptions.

        `{"job": <how its name begins>}`; the names of those that were interrupted. Raises ValueError for none.
        """
        begin = body.get("job") if isinstance(body, dict) else None
        if not isinstance(begin, str) or not begin:
            raise ValueError("an interruption is an object with the beginning of a training job's name as `job`")
        with self._resources.lock:
            found = [job for job in self._training() if job.name.startswith(begin) and job.body.get(ON_SPOT)]
            for job in found:
                job.interrupt.set()
        if not found:
            raise ValueError(f"no spot training runs whose name begins with {begin}")
        return [job.name for job in found]

    # --- behind them -----------------------------------------------------------------------------------------------

    def _create(self, kind: Kind, request: Body) -> Body:
        name = request[f"{kind.title}Name"]
        arn = self._resources.arn(kind.word, name)
        tags = tag_map(request.pop("Tags", None))
        root = self._cloud.state.resolve() / "jobs" / name
        plans = kind.plan({**request, f"{kind.title}Arn": arn}, root)
        try:
            self._cloud.assume_service_role(request["RoleArn"], SERVICE, "SageMaker")
        except RoleRefused as error:
            raise ValidationException(
                f"Could not assume role {request['RoleArn']}. Please ensure that the role exists and allows principal "
                f"'{SERVICE}' to assume the role."
            ) from error
        moment = now()
        body: Body = {
            **request,
            f"{kind.title}Arn": arn,
            f"{kind.title}Status": "InProgress",
            "CreationTime": moment,
            "LastModifiedTime": moment,
        }
        body.setdefault("StoppingCondition", {"MaxRuntimeInSeconds": contract.DEFAULT_LIMIT})
        if kind is TRAINING:
            body |= {"SecondaryStatus": "Starting", "SecondaryStatusTransitions": []}
            body["ModelArtifacts"] = {"S3ModelArtifacts": plans[0].outputs[0].uri}
            _transition(body, "Starting")
        job = Job(kind.word, name, arn, body, tags)
        thread = threading.Thread(target=self._run, args=(kind, job, plans, root), name=f"job-{name}", daemon=True)
        with self._resources.lock:
            if self._resources.find(kind.word, name):
                raise ResourceInUse(
                    "Job name must be unique within an AWS account and region, "
                    f"and a job with this name already exists ({arn})"
                )
            if kind is TRAINING:
                quotas.check(self._quotas, body, [each.body for each in self._training()])
            self._resources.add(job)
            self._threads = [each for each in self._threads if each.is_alive()] + [thread]
            self._announce(kind, job)
        thread.start()
        return {f"{kind.title}Arn": arn}

    def _training(self) -> list[Job]:
        jobs = [each for each in self._resources.all(TRAINING.word) if isinstance(each, Job)]
        return [each for each in jobs if each.body["TrainingJobStatus"] == "InProgress"]

    def _describe(self, kind: Kind, request: Body) -> Body:
        with self._resources.lock:
            return dict(self.job(kind, request[f"{kind.title}Name"]).body)

    def _stop(self, kind: Kind, request: Body) -> Body:
        self.ask_to_stop(kind, self.job(kind, request[f"{kind.title}Name"]))
        return {}

    def _list(self, kind: Kind, request: Body) -> Body:
        records, token = listing(
            self._resources.all(kind.word),
            request,
            status=f"{kind.title}Status",
            sort={"Name": f"{kind.title}Name", "Status": f"{kind.title}Status"},
        )
        return {f"{kind.title}Summaries": [record.body for record in records], "NextToken": token}

    # --- the job's thread ------------------------------------------------------------------------------------------

    def _run(self, kind: Kind, job: Job, plans: tuple[Plan, ...], root: Path) -> None:
        begun = round(job.body["CreationTime"].timestamp() * 1000)

        def sink(host: str, lines: list[str]) -> None:
            self._cloud.log_lines(kind.group, f"{job.name}/{host}-{begun}", lines)

        def phase(name: Phase) -> None:
            with self._resources.lock:
                clock = f"{kind.title.removesuffix('Job')}StartTime"
                started = {clock: now()} if name == "Training" and clock not in job.body else {}
                if kind is TRAINING and not job.stop.is_set():
                    self._change(kind, job, started, name)
                elif started:
                    job.body |= started

        while (outcome := self._runner.run(plans, root, sink, job.stop, job.interrupt, phase)).status == "Interrupted":
            job.interrupt.clear()
            with self._resources.lock:
                for secondary in ("Interrupted", "Restarting"):
                    self._change(kind, job, {}, secondary)
        with self._resources.lock:
            self._finish(kind, job, outcome, root)
        job.done.set()

    def _finish(self, kind: Kind, job: Job, outcome: Outcome, root: Path) -> None:
        changes: Body = {f"{kind.title}Status": outcome.status, f"{kind.title.removesuffix('Job')}EndTime": now()}
        if outcome.reason:
            changes["FailureReason"] = outcome.reason
        if outcome.exit_message:
            changes["ExitMessage"] = outcome.exit_message
        if kind is TRAINING:
            changes |= _billing(job.body)
            if metrics := _final_metrics(job.body, root / "log.txt"):
                changes["FinalMetricDataList"] = metrics
        self._change(kind, job, changes, "MaxRuntimeExceeded" if outcome.timed_out else outcome.status)

    def _change(self, kind: Kind, job: Job, changes: Mapping[str, Any], secondary: str) -> None:
        job.body |= {**changes, "LastModifiedTime": now()}
        if kind is TRAINING:
            job.body["SecondaryStatus"] = secondary
            _transition(job.body, secondary)
        self._announce(kind, job)

    def _announce(self, kind: Kind, job: Job) -> None:
        if kind is TRAINING:
            self._events.training_job(job.body, job.tags)
        else:
            self._events.processing_job(job.body)

    def shut_down(self) -> None:
        """Kill what runs: the server is stopping."""
        self._runner.kill_all()
        for thread in self._threads:
            thread.join(5)


TRANSITION_MESSAGES: Mapping[str, str] = {
    "Starting": "Starting the training job",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Interrupted": "Training job was interrupted: the instance was reclaimed",
    "Restarting": "Restarting the training job from its checkpoints",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job exceeded its maximum runtime",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
}


def _transition(body: Body, secondary: str) -> None:
    moment = now()
    earlier = [dict(entry) for entry in body["SecondaryStatusTransitions"]]
    if earlier and "EndTime" not in earlier[-1]:
        earlier[-1]["EndTime"] = moment
    entry = {"Status": secondary, "StartTime": moment, "StatusMessage": TRANSITION_MESSAGES[secondary]}
    if secondary in ("Completed", "Failed", "Stopped", "MaxRuntimeExceeded"):
        entry["EndTime"] = moment
    body["SecondaryStatusTransitions"] = [*earlier, entry]


def _billing(body: Body) -> Body:
    started = body.get("TrainingStartTime")
    seconds = max(1, round((now() - started).total_seconds())) if started else 0
    billed = max(1, round(seconds * SPOT)) if seconds and body.get(ON_SPOT) else seconds
    return {"TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": billed}


def _final_metrics(body: Body, log_file: Path) -> list[Body]:
    """The last value of each `MetricDefinitions` expression in the job's log."""
    definitions = body["AlgorithmSpecification"].get("MetricDefinitions") or ()
    text = log_file.read_text(errors="replace") if definitions and log_file.is_file() else ""
    metrics = []
    for definition in definitions:
        found = re.findall(definition["Regex"], text)
        if found:
            metrics.append({"MetricName": definition["Name"], "Value": float(found[-1]), "Timestamp": now()})
    return metrics
