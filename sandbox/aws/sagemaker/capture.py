"""Data capture: what went in and out of an endpoint, as JSON Lines in S3, written behind the answers."""

from __future__ import annotations

import base64
import json
import logging
import queue
import random
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from sandbox.aws.core import Cloud
from sandbox.aws.sagemaker.storage import parse_uri
from sandbox.aws.sts import RoleRefused

log = logging.getLogger(__name__)

SERVICE = "sagemaker.amazonaws.com"
GATHER_SECONDS = 2.0
"""How long records are gathered into one file. AWS takes minutes."""


@dataclass(frozen=True)
class Exchange:
    """One answered request. `request` and `response` are content type and bytes."""

    endpoint: str
    variant: str
    role: str
    moment: datetime
    request: tuple[str, bytes]
    response: tuple[str, bytes]
    custom_attributes: str | None = None
    inference_id: str | None = None


def record(config: Mapping[str, Any], exchange: Exchange) -> dict[str, Any]:
    """One line of a capture file for an endpoint's `DataCaptureConfig`."""
    modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
    listed = config.get("CaptureContentTypeHeader") or {}
    data: dict[str, Any] = {}
    if modes & {"Input", "InputAndOutput"}:
        data["endpointInput"] = _side("INPUT", *exchange.request, listed)
    if modes & {"Output", "InputAndOutput"}:
        data["endpointOutput"] = _side("OUTPUT", *exchange.response, listed)
    meta: dict[str, Any] = {"eventId": str(uuid.uuid4())}
    if exchange.custom_attributes:
        meta["customAttributes"] = [exchange.custom_attributes]
    if exchange.inference_id:
        meta["inferenceId"] = exchange.inference_id
    meta["inferenceTime"] = exchange.moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"captureData": data, "eventMetadata": meta, "eventVersion": "0"}


def _side(mode: str, content_type: str, body: bytes, listed: Mapping[str, Any]) -> dict[str, str]:
    kind = content_type.partition(";")[0].strip()
    encoding = "BASE64"
    if kind in listed.get("JsonContentTypes", ()):
        encoding = "JSON"
    elif kind in listed.get("CsvContentTypes", ()):
        encoding = "CSV"
    text = base64.b64encode(body).decode() if encoding == "BASE64" else body.decode(errors="replace")
    return {"observedContentType": content_type, "mode": mode, "data": text, "encoding": encoding}


def key(config: Mapping[str, Any], exchange: Exchange) -> tuple[str, str]:
    """Bucket and key of a new capture file for this exchange."""
    bucket, prefix = parse_uri(config["DestinationS3Uri"])
    hour = exchange.moment.strftime("%Y/%m/%d/%H")
    name = f"{exchange.moment.strftime('%M-%S-%f')[:-3]}-{uuid.uuid4()}.jsonl"
    parts = (prefix.rstrip("/"), exchange.endpoint, exchange.variant, hour, name)
    return bucket, "/".join(part for part in parts if part)


class Capture:
    """Gathers the records of all endpoints and writes them with the models' own roles."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._queue: queue.SimpleQueue[tuple[Mapping[str, Any], Exchange]] = queue.SimpleQueue()
        self._closed = threading.Event()
        threading.Thread(target=self._write_all, name="data-capture", daemon=True).start()
        cloud.on_stop(self._closed.set)

    def take(self, config: Mapping[str, Any], exchange: Exchange) -> None:
        """Capture one exchange if the endpoint configuration says so and the sampling picks it; returns at once."""
        capture = config.get("DataCaptureConfig") or {}
        picked = random.random() * 100 < capture.get("InitialSamplingPercentage", 0)  # noqa: S311 (sampling)
        if capture.get("EnableCapture") and picked:
            self._queue.put((capture, exchange))

    def _write_all(self) -> None:
        while not self._closed.wait(GATHER_SECONDS):
            files: dict[tuple[str, ...], list[tuple[Mapping[str, Any], Exchange]]] = {}
            while not self._queue.empty():
                config, exchange = self._queue.get()
                hour = exchange.moment.strftime("%Y/%m/%d/%H")
                where = (config["DestinationS3Uri"], exchange.endpoint, exchange.variant, hour, exchange.role)
                files.setdefault(where, []).append((config, exchange))
            for taken in files.values():
                self._write(taken)

    def _write(self, taken: list[tuple[Mapping[str, Any], Exchange]]) -> None:
        config, first = taken[0]
        lines = "".join(json.dumps(record(*each), separators=(",", ":")) + "\n" for each in taken)
        try:
            credentials = self._cloud.assume_service_role(first.role, SERVICE, "SageMaker")
            bucket, name = key(config, first)
            self._cloud.client("s3", credentials).put_object(Bucket=bucket, Key=name, Body=lines.encode())
        except (ClientError, BotoCoreError, RoleRefused) as error:
            log.warning("captured data of endpoint %s is lost: %s", first.endpoint, error)
