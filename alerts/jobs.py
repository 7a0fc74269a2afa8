"""Training, processing, transform and tuning jobs: those of a pipeline are its progress, the others stand alone."""

from __future__ import annotations

import re
from collections.abc import Mapping

from alerts.envelope import Event, environment_of, failure, last_part
from alerts.happening import Effect, Happening, Severity
from alerts.texts import ARN, TEXT
from pipeline.names import ENVIRONMENTS, PROJECT, Environment, Names

KINDS: Mapping[str, str] = {
    "Training": "Training job",
    "Processing": "Processing job",
    "Transform": "Transform job",
    "HyperParameterTuning": "Tuning job",
}
"""Beginning of the members' names, and what people call it."""
ENDED = frozenset({"completed", "failed", "stopped"})
STEPS = ("track", "preprocess", "train", "evaluate", "baseline", "explain", "deploy")
"""Steps of `pipeline.definition` that are jobs; not any word, or a failed job that stands alone would pass for one."""
EXECUTION_TAG = "sagemaker:pipeline-execution-arn"
"""The tag that SageMaker gives to what a pipeline creates."""
VIOLATIONS = "CompletedWithViolations"
DRIFT = f"{VIOLATIONS}: Drift"
"""How the monitor's exit message begins when a window drifts (`pipeline/steps/monitor.py`)."""

_OURS = re.compile(rf"{PROJECT}-({'|'.join(ENVIRONMENTS)})-(?:{'|'.join(STEPS)})-([a-z0-9]{{12}})-[a-z0-9]+", re.I)
_THEIRS = re.compile(r"pipelines-[a-z0-9]{12}-.+", re.I)


def job(event: Event, kind: str) -> Happening:
    """A job's status; `kind` is a key of KINDS. Raises Misshapen."""
    detail = event.detail
    arn, state = detail.need(f"{kind}JobArn", ARN), detail.status(f"{kind}JobStatus")
    name = detail.text(f"{kind}JobName") or last_part(arn)
    secondary, message = detail.text("SecondaryStatus"), detail.text("ExitMessage", TEXT)
    tags = detail.tags("Tags")
    part, execution = execution_of(name, tags, Names(event.account, event.region))
    # Model Monitor's jobs have neither our names nor tags in the event, but run as our role.
    environment = environment_of(arn, tags) or environment_of(detail.text("RoleArn", ARN))
    at = detail.moment("LastModifiedTime", f"{kind}EndTime") or event.time
    drifts = message.startswith(DRIFT)
    return event.happened(
        topic="job",
        subject=arn,
        family=_alarm(event, name) if drifts else f"{arn.rpartition('/')[0]}/{_series(name)}",
        state=state,
        at=at,
        key=(at, secondary),
        severity=_severity(state, message, environment),
        effect="moves" if part else _effect(state, message),
        environment=environment,
        tags=tags,
        title=f"{KINDS[kind]} {name} {state if state in ENDED else f'is {state}'}",
        text=detail.text("FailureReason", TEXT) or message,
        facts={
            "Job": name,
            "Status": secondary if state not in ENDED else "",
            "Instance": _instance(event),
        },
        ended=state in ENDED,
        followed=execution,
    )


def execution_of(name: str, tags: Mapping[str, str], names: Names) -> tuple[bool, str]:
    """Whether a job is a step of a pipeline, and the ARN of its execution where tag or name tell it.

    The service names jobs `<prefix>-<execution id>-<random>`, without an own prefix `pipelines-<execution id>-…`.
    """
    if tagged := tags.get(EXECUTION_TAG):
        return True, tagged
    if ours := _OURS.fullmatch(name):
        environment: Environment = next(each for each in ENVIRONMENTS if each == ours[1].lower())
        return True, names.arn("sagemaker", f"pipeline/{names.pipeline(environment)}/execution/{ours[2]}")
    return _THEIRS.fullmatch(name) is not None, ""


def _severity(state: str, message: str, environment: Environment | None) -> Severity:
    """One window that drifts is a note: the alarm hears of two in a row. Other violations have no alarm."""
    if state == "failed":
        return failure(environment)
    return Severity.WARNING if message.startswith(VIOLATIONS) and not message.startswith(DRIFT) else Severity.INFO


def _alarm(event: Event, name: str) -> str:
    """The family of the alarm that counts the endpoint's windows: what it says belongs to that alert, while it fires.

    Model Monitor's jobs have their endpoint in their environment only.
    """
    told = event.detail.members("Environment").text("sagemaker_endpoint_name")
    endpoint = told or name.rpartition("-monitor-")[0]
    return f"arn:aws:cloudwatch:{event.region}:{event.account}:alarm:{endpoint}-drift"


def _effect(state: str, message: str) -> Effect:
    if state == "failed":
        return "fires"
    if message.startswith(VIOLATIONS):  # a monitor that found drift has completed
        return "tells"
    return "clears" if state in ENDED else "moves"


def _series(name: str) -> str:
    """A job's name without what makes it unique, so that the runs of one nightly job are one family."""
    parts = name.split("-")
    while len(parts) > 1 and re.search(r"\d", parts[-1]):
        parts.pop()
    return "-".join(parts)


def _instance(event: Event) -> str:
    training = event.detail.members("ResourceConfig").text("InstanceType")
    return training or event.detail.members("ProcessingResources").members("ClusterConfig").text("InstanceType")
