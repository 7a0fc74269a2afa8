"""Ask a deployed model about one picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from pipeline import deployment
from pipeline.errors import BadInput, NotFound, Unavailable
from pipeline.names import Environment, Names

LARGEST_PICTURE = 6_291_456
"""Bytes that InvokeEndpoint takes (service model of botocore)."""


@dataclass(frozen=True)
class Detection:
    """One object found: class, confidence (0..1), box as left, top, right, bottom in pixels of the sent picture."""

    label: str
    confidence: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Prediction:
    """An endpoint's answer. `milliseconds` is the time the model took."""

    detections: Sequence[Detection]
    digest: str
    milliseconds: float


def ready(sagemaker: Any, cloudformation: Any, names: Names, env: Environment) -> str:
    """Name of the environment's endpoint, when it can be asked.

    Raises NotFound when nothing is deployed and Unavailable while it is being created or has failed.
    """
    name = names.stack(env)
    found = deployment.endpoint_now(sagemaker, name)
    status, reason = (found.status, found.reason) if found else ("", "")
    if not status:
        stack = deployment.find(cloudformation, name)
        if stack is None or stack.status != "CREATE_IN_PROGRESS":
            raise NotFound("endpoint", name, advice=f"`deployment create --env {env}` makes it.")
        status = "Creating"
    if status in ("InService", "Updating", "SystemUpdating", "RollingBack"):
        return name
    if status == "Creating":
        raise Unavailable(
            f"{name} is still being created.",
            f"Try again in a minute; `deployment status --env {env}` shows its state.",
        )
    raise Unavailable(
        f"{name} cannot answer: {status}. {reason}".strip(), f"`deployment status --env {env}` tells more."
    )


def ask(runtime: Any, endpoint: str, picture: bytes, content_type: str) -> Prediction:
    """Send a picture to an endpoint. Raises BadInput for what the model cannot read, Unavailable when it fails."""
    try:
        response = runtime.invoke_endpoint(
            EndpointName=endpoint, ContentType=content_type, Accept="application/json", Body=picture
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ModelError":
            raise
        answer: Mapping[str, Any] = error.response
        status = int(answer.get("OriginalStatusCode", 500))
        words = _model_words(str(answer.get("OriginalMessage", ""))) or error.response["Error"]["Message"]
        if status in (400, 413, 415):
            raise BadInput(f"The model could not read the picture: {words}", "Send a JPEG or PNG.") from error
        raise Unavailable(f"The model failed on the picture ({status}): {words}", "Try again.") from error
    body = json.loads(response["Body"].read())
    return Prediction(
        detections=[
            Detection(
                row["class"], float(row["confidence"]), (row["box"][0], row["box"][1], row["box"][2], row["box"][3])
            )
            for row in body["detections"]
        ],
        digest=body["model"]["digest"].removeprefix("sha256:"),
        milliseconds=float(body["milliseconds"]),
    )


def _model_words(message: str) -> str:
    """The `error` member of the container's answer, which AWS passes on as text."""
    try:
        answer = json.loads(message)
    except ValueError:
        return message
    return str(answer.get("error", message)) if isinstance(answer, dict) else message
