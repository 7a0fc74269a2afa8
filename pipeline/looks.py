"""A look of the monitor outside of its schedule: start its job over a window, and see how a monitor's job stands.

The job is the one that the schedule of the deployment starts (`pipeline/deployment.yaml`), over another window and
without metrics: an alarm must not hear of a time that was looked at twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from pipeline import definition, reports
from pipeline.absent import missing
from pipeline.deployment import Stack
from pipeline.errors import NotFound, Refused
from pipeline.names import Environment, Names

INSTANCE_TYPE = "ml.t3.medium"
TYPICAL_S = 120.0
"""How long it mostly takes, start included."""
MOST_S = 3000
"""Seconds after which SageMaker stops the job."""
ROOT = "/opt/ml/processing"
ENTRYPOINT = (
    "/bin/sh",
    "-c",
    'R=${ML_ROOT:-/opt/ml}; mkdir -p "$R/code" && cd "$R/code" && python3 -c "$FETCH" && tar -xzf source.tar.gz '
    "&& exec python3 -m pipeline.steps.monitor",
)
FETCH = (
    "import os,boto3;p=os.environ['CODE_URI'].split('/',3);boto3.client('s3').download_file(p[2],p[3],'source.tar.gz')"
)


@dataclass(frozen=True)
class Job:
    """A monitor's job. `output` is where its report lies once it is `Completed`; times are UTC."""

    arn: str
    name: str
    status: str
    created: datetime
    ended: datetime | None
    reason: str
    message: str
    output: str
    endpoint: str
    start: datetime | None
    end: datetime | None

    @property
    def running(self) -> bool:
        """Whether it can still change."""
        return self.status in ("InProgress", "Stopping")


def begin(
    sagemaker: Any,
    names: Names,
    env: Environment,
    stack: Stack,
    start: datetime,
    end: datetime,
    *,
    token: str,
    truth: str = "",
) -> str:
    """Start the monitor over `start` to `end` (exclusive) and return its job's ARN; `truth` is an `s3://` prefix.

    The same `token` starts it once. Raises Refused for a deployment from before there was a monitor.
    """
    if not stack.parameters.get("CodeUri"):
        raise Refused(
            f"{stack.name} was deployed without a monitor.", f"`deployment create --env {env}` deploys it with one."
        )
    name = f"{stack.name}-monitor-{token[:12]}"
    request = _request(names, env, stack, name, start, end, truth, f"{_stamp(end)}/{token[:12]}")
    try:
        return str(sagemaker.create_processing_job(**request)["ProcessingJobArn"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceInUse":
            raise
        return names.arn("sagemaker", f"processing-job/{name}")


def load(sagemaker: Any, arn: str) -> Job:
    """A monitor's job by its ARN. Raises NotFound when there is none."""
    name = arn.rsplit("/", 1)[-1]
    try:
        found = sagemaker.describe_processing_job(ProcessingJobName=name)
    except ClientError as error:
        if missing(error):
            raise NotFound("job", name) from error
        raise
    told = found.get("Environment", {})
    outputs = found.get("ProcessingOutputConfig", {}).get("Outputs", [])
    return Job(
        arn=found["ProcessingJobArn"],
        name=name,
        status=found["ProcessingJobStatus"],
        created=found["CreationTime"],
        ended=found.get("ProcessingEndTime"),
        reason=found.get("FailureReason", ""),
        message=found.get("ExitMessage", ""),
        output=str(outputs[0]["S3Output"]["S3Uri"]).rstrip("/") if outputs else "",
        endpoint=told.get("sagemaker_endpoint_name", name.rpartition("-monitor-")[0]),
        start=_moment(told.get("start_time", "")),
        end=_moment(told.get("end_time", "")),
    )


def _request(
    names: Names,
    env: Environment,
    stack: Stack,
    name: str,
    start: datetime,
    end: datetime,
    truth: str,
    folder: str,
) -> dict[str, Any]:
    given, bucket = stack.parameters, f"s3://{names.bucket}/{env}"
    baseline = {
        kind: given[f"Baseline{kind.capitalize()}"]
        for kind in ("statistics", "constraints")
        if given.get("BaselineStatistics") and given.get("BaselineConstraints")
    }
    return {
        "ProcessingJobName": name,
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": INSTANCE_TYPE, "InstanceCount": 1, "VolumeSizeInGB": 30}
        },
        "AppSpecification": {"ImageUri": given["ImageUri"], "ContainerEntrypoint": list(ENTRYPOINT)},
        "RoleArn": given["ExecutionRoleArn"],
        "Environment": {
            "FETCH": FETCH,
            "CODE_URI": given["CodeUri"],
            "CAPTURE_URI": f"{given['CaptureUri']}/{stack.name}",
            "GROUND_TRUTH_URI": truth or f"{bucket}/ground-truth/{stack.name}",
            "REVIEW_URI": f"{bucket}/review/{stack.name}",
            "start_time": _stamp(start),
            "end_time": _stamp(end),
            "dataset_source": f"{ROOT}/input/endpoint",
            "output_path": f"{ROOT}/output/monitor",
            "BASELINE_URI": given.get("BaselineStatistics", ""),
            **{f"baseline_{kind}": f"{ROOT}/input/baseline/{kind}/{kind}.json" for kind in baseline},
            "publish_cloudwatch_metrics": "Disabled",
            "sagemaker_endpoint_name": stack.name,
            "sagemaker_monitoring_schedule_name": f"{stack.name}-monitor",
        },
        "ProcessingInputs": [_input(kind, uri) for kind, uri in baseline.items()],
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": "monitor",
                    "S3Output": {
                        "S3Uri": f"{reports.home(names, env, stack.name)}/{folder}",
                        "LocalPath": f"{ROOT}/output/monitor",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ]
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": MOST_S},
        "Tags": definition.tags(env),
    }


def _input(kind: str, uri: str) -> dict[str, Any]:
    place = {
        "S3Uri": uri,
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
        "LocalPath": f"{ROOT}/input/baseline/{kind}",
    }
    return {"InputName": kind, "S3Input": place}


def _stamp(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _moment(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
