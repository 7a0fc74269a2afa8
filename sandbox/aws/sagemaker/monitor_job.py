"""What Model Monitor makes of a schedule at its time: the window, and the processing job that looks at it. Pure."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sandbox.aws.expressions import After
from sandbox.aws.sagemaker.errors import ValidationException
from sandbox.aws.sagemaker.resources import Body

BASELINE = "/opt/ml/processing/baseline"
FORMAT = {"sagemakerCaptureJson": {"captureIndexNames": ["endpointInput", "endpointOutput"]}}
_APPLICATION = ("ImageUri", "ContainerEntrypoint", "ContainerArguments")
_DURATION = re.compile(r"-?P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?)?")


def window(config: Mapping[str, Any], after: After, at: datetime) -> tuple[datetime, datetime]:
    """The time an execution looks at: as its schedule says, else from one firing to the next."""
    start, end = config.get("DataAnalysisStartTime"), config.get("DataAnalysisEndTime")
    step = (after(at) or at + timedelta(hours=1)) - at
    return at - (ago(start) if start else step), at - (ago(end) if end else timedelta())


def ago(text: str) -> timedelta:
    """A time before the execution such as `-PT1H`. Raises `ValidationException`."""
    found = _DURATION.fullmatch(text)
    if found is None or not any(found.groups()):
        raise ValidationException(f"{text} is not a duration like -PT1H.")
    days, hours, minutes = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes)


def request(
    schedule: str, definition: Mapping[str, Any], capture: str, hours: Sequence[str], start: datetime, end: datetime
) -> Body:
    """CreateProcessingJob for one execution of a MonitoringJobDefinition on an endpoint.

    `capture` is the endpoint's capture address, `hours` the folders (`<variant>/yyyy/mm/dd/hh`) with files in them.
    """
    source = definition["MonitoringInputs"][0]["EndpointInput"]
    outputs = definition["MonitoringOutputConfig"]["MonitoringOutputs"]
    endpoint, root = source["EndpointName"], source["LocalPath"].rstrip("/")
    below = f"{endpoint}/{schedule}/{end:%Y/%m/%d/%H}"
    baseline = _baseline(definition)
    inputs = [
        *(
            _input(f"input_{number}", f"{capture}/{endpoint}/{each}", f"{root}/{endpoint}/{each}")
            for number, each in enumerate(hours, 1)
        ),
        *(_input(f"baseline_{word}", uri, f"{BASELINE}/{word}") for word, uri in baseline.items()),
    ]
    environment = {
        "publish_cloudwatch_metrics": "Enabled",
        **(definition.get("Environment") or {}),
        "dataset_format": json.dumps(FORMAT),
        "dataset_source": root,
        "start_time": f"{start:%Y-%m-%dT%H:%M:%SZ}",
        "end_time": f"{end:%Y-%m-%dT%H:%M:%SZ}",
        "output_path": outputs[0]["S3Output"]["LocalPath"],
        "sagemaker_endpoint_name": endpoint,
        "sagemaker_monitoring_schedule_name": schedule,
        "sagemaker_endpoint_datacapture_prefix": capture,
        **{f"baseline_{word}": f"{BASELINE}/{word}/{uri.rpartition('/')[2]}" for word, uri in baseline.items()},
    }
    application = definition["MonitoringAppSpecification"]
    limit = definition.get("StoppingCondition")
    return {
        "ProcessingJobName": f"model-monitoring-{end:%Y%m%d%H%M}-{secrets.token_hex(12)}",
        "ProcessingResources": definition["MonitoringResources"],
        "AppSpecification": {name: application[name] for name in _APPLICATION if name in application},
        "Environment": environment,
        "ProcessingInputs": inputs,
        "ProcessingOutputConfig": {
            "Outputs": [
                {"OutputName": f"output_{number}", "S3Output": each["S3Output"] | {"S3Uri": _below(each, below)}}
                for number, each in enumerate(outputs, 1)
            ]
        },
        "RoleArn": definition["RoleArn"],
        **({"StoppingCondition": limit} if limit else {}),
    }


def _baseline(definition: Mapping[str, Any]) -> dict[str, str]:
    given = definition.get("BaselineConfig") or {}
    found = {
        word: (given.get(f"{word.capitalize()}Resource") or {}).get("S3Uri") for word in ("constraints", "statistics")
    }
    return {word: uri for word, uri in found.items() if uri}


def _input(name: str, uri: str, folder: str) -> Body:
    place = {"S3Uri": uri, "LocalPath": folder, "S3DataType": "S3Prefix", "S3InputMode": "File"}
    return {"InputName": name, "S3Input": place}


def _below(output: Mapping[str, Any], prefix: str) -> str:
    return f"{output['S3Output']['S3Uri'].rstrip('/')}/{prefix}"
