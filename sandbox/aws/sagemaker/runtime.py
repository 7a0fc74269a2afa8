"""InvokeEndpoint: the caller's bytes to the model server of a variant, and its answer back, unchanged."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import urllib3
from moto.core.exceptions import ServiceException

from sandbox.aws.core import Cloud
from sandbox.aws.sagemaker.capture import Capture, Exchange
from sandbox.aws.sagemaker.endpoints import Endpoints
from sandbox.aws.sagemaker.fleet import Fleet, Server
from sandbox.aws.sagemaker.resources import Resources

LIMIT_BYTES = 6_291_456
TIMEOUT_SECONDS = 60.0
NAMESPACE = "AWS/SageMaker"
CUSTOM = "X-Amzn-SageMaker-Custom-Attributes"
INFERENCE = "X-Amzn-SageMaker-Inference-Id"
PASSED = ("Content-Type", "Accept", CUSTOM, INFERENCE)
VARIANT = "x-Amzn-Invoked-Production-Variant"


class ValidationError(ServiceException):
    """The runtime's spelling of a refused request."""

    code = "ValidationError"


class ModelError(ServiceException):
    """The model's container answered with an error, or not at all."""

    code = "ModelError"

    def __init__(self, message: str, status: int, original: str, stream: str) -> None:
        super().__init__(message)
        self.OriginalStatusCode = status
        self.OriginalMessage = original
        self.LogStreamArn = stream


@dataclass(frozen=True)
class Answer:
    """What the caller gets back."""

    headers: dict[str, str]
    body: bytes


class Runtime:
    """The data plane of all endpoints."""

    def __init__(self, cloud: Cloud, resources: Resources, endpoints: Endpoints, capture: Capture) -> None:
        self._cloud = cloud
        self._resources = resources
        self._endpoints = endpoints
        self._capture = capture
        self._http = urllib3.PoolManager(retries=False)

    def invoke(self, name: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Forward one request.

        Raises `ValidationError` for an endpoint that does not serve, an unknown variant or too large a body, and
        `ModelError` for whatever the model's server does not answer with 200 within a minute.
        """
        fleet = self._endpoints.serving(name)
        if fleet is None:
            raise ValidationError(f"Endpoint {name} of account {self._resources.account} not found.")
        if len(body) > LIMIT_BYTES:
            raise ValidationError(
                "1 validation error detected: Value at 'body' failed to satisfy constraint: "
                f"Member must have length less than or equal to {LIMIT_BYTES}"
            )
        given = {key.lower(): value for key, value in headers.items()}
        wanted = given.get("x-amzn-sagemaker-target-variant")
        server = fleet.pick(wanted)
        if server is None:
            raise ValidationError(f"Variant {wanted} was not found for endpoint {name}.")
        moment, began = self._cloud.clock.now(), time.monotonic()
        passed = {key: given[key.lower()] for key in PASSED if given.get(key.lower())}
        with server.answering() as busy:
            self._arrived(name, server.variant.name, busy)
            try:
                response = self._forward(name, server.port, body, passed)
            except ModelError:
                self._count(name, fleet, server, 500, began)
                raise
        self._count(name, fleet, server, response.status, began)
        if response.status != 200:
            raise self._model_error(name, response.status, response.data.decode(errors="replace"))
        answer = {"Content-Type": response.headers.get("Content-Type", ""), VARIANT: server.variant.name}
        if CUSTOM in response.headers:
            answer[CUSTOM] = response.headers[CUSTOM]
        self._capture.take(
            fleet.config,
            Exchange(
                endpoint=name,
                variant=server.variant.name,
                role=server.variant.role,
                moment=moment,
                request=(passed.get("Content-Type", ""), body),
                response=(answer["Content-Type"], response.data),
                custom_attributes=passed.get(CUSTOM),
                inference_id=passed.get(INFERENCE),
            ),
        )
        return Answer(answer, response.data)

    def _arrived(self, endpoint: str, variant: str, busy: int) -> None:
        """What scaling looks at: the load of one instance. One process stands here for all instances of a variant."""
        count, dimensions = self._endpoints.count(endpoint, variant), {"EndpointName": endpoint, "VariantName": variant}
        for name, value in (("ConcurrentRequestsPerModel", busy), ("InvocationsPerInstance", 1)):
            self._cloud.metrics.count(NAMESPACE, name, dimensions, value / count)

    def _count(self, endpoint: str, fleet: Fleet, server: Server, status: int, began: float) -> None:
        """The endpoint's own metrics in CloudWatch, once more by configuration; latency in microseconds."""
        whole = {"EndpointName": endpoint, "VariantName": server.variant.name}
        each = {**whole, "EndpointConfigName": fleet.config["EndpointConfigName"]}
        values = {
            "Invocations": 1.0,
            "Invocation4XXErrors": float(400 <= status < 500),
            "Invocation5XXErrors": float(status >= 500),
            "ModelLatency": (time.monotonic() - began) * 1e6,
        }
        for name, value in values.items():
            for dimensions in (whole, each):
                self._cloud.metrics.count(NAMESPACE, name, dimensions, value)

    def _forward(self, name: str, port: int, body: bytes, headers: Mapping[str, str]) -> Any:
        try:
            return self._http.request(
                "POST",
                f"http://127.0.0.1:{port}/invocations",
                body=body,
                headers=dict(headers),
                timeout=urllib3.Timeout(connect=1.0, read=TIMEOUT_SECONDS),
            )
        except urllib3.exceptions.ReadTimeoutError:
            reason = "Your model container timed out"
            raise self._model_error(name, 0, f"{reason} after {TIMEOUT_SECONDS:.0f} seconds.") from None
        except urllib3.exceptions.HTTPError:
            raise self._model_error(name, 0, "The model container does not answer.") from None

    def _model_error(self, name: str, status: int, original: str) -> ModelError:
        side = "client" if 400 <= status < 500 else "server"
        group, region = f"/aws/sagemaker/Endpoints/{name}", self._resources.region
        page = f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#logEventViewer:group={group}"
        return ModelError(
            f'Received {side} error ({status}) from primary with message "{original}". '
            f"See {page} in account {self._resources.account} for more information.",
            status,
            original,
            f"arn:aws:logs:{region}:{self._resources.account}:log-group:{group}",
        )
