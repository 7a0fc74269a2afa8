"""What is being asked: the service, operation and parameters of an HTTP request, by AWS's own service models.

A request must say everything once. moto looks for the action and for parameters in several places; what this
module reads and what moto carries out could differ if a request used two of them, so such a request is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from moto.core.model import OperationModel
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.utils import get_service_model
from werkzeug.exceptions import NotFound

from sandbox.aws.errors import AwsError
from sandbox.aws.signature import Scope

# Signing name -> (service in botocore, prefix of IAM actions). Whatever is not here is not part of this account.
SERVICES: dict[str, tuple[str, str]] = {
    "application-autoscaling": ("application-autoscaling", "application-autoscaling"),
    "budgets": ("budgets", "budgets"),
    "ce": ("ce", "ce"),
    "cloudformation": ("cloudformation", "cloudformation"),
    "cloudtrail": ("cloudtrail", "cloudtrail"),
    "events": ("events", "events"),
    "iam": ("iam", "iam"),
    "logs": ("logs", "logs"),
    "monitoring": ("cloudwatch", "cloudwatch"),
    "pricing": ("pricing", "pricing"),
    "s3": ("s3", "s3"),
    "scheduler": ("scheduler", "scheduler"),
    "sagemaker": ("sagemaker", "sagemaker"),
    "sns": ("sns", "sns"),
    "sqs": ("sqs", "sqs"),
    "sts": ("sts", "sts"),
    "tagging": ("resourcegroupstaggingapi", "tag"),
}
_INVOCATION = re.compile(r"^/endpoints/[^/]+/(async-)?invocations$")
_IGNORED_QUERY = frozenset({"x-id"})


@dataclass(frozen=True)
class Call:
    """One API call. `params` is the request's input as its model shapes it, blobs and streams left out."""

    service: str
    prefix: str
    operation: str
    params: dict[str, Any] = field(default_factory=dict)


def service_of(signing_name: str, path: str) -> tuple[str, str]:
    """(botocore service, IAM prefix) of a signing name; the runtime shares SageMaker's. Raises AwsError."""
    if signing_name not in SERVICES:
        raise unknown(signing_name, "")
    service, prefix = SERVICES[signing_name]
    if service == "sagemaker" and path.startswith("/endpoints/"):
        if not _INVOCATION.match(path):
            raise unknown("sagemaker-runtime", path)
        return "sagemaker-runtime", prefix
    return service, prefix


def unknown(service: str, operation: str) -> AwsError:
    """What an operation that nobody implements answers: modelled and not retried by SDKs."""
    return AwsError("UnknownOperationException", f"The local AWS does not implement {service} {operation}".rstrip())


def read_call(request: Request, scope: Scope) -> Call:
    """The call a request makes. Raises AwsError for an unknown operation or an ambiguous request."""
    service, prefix = service_of(scope.service, request.path)
    if (request.content_type or "").startswith("application/cbor"):
        # moto does not speak it; botocore uses it for CloudWatch and the tagging API only.
        raise unknown(service, f"{request.path.rpartition('/')[2]} over CBOR")
    _refuse_ambiguity(request, service)
    try:
        operation, path_params = get_service_router(service).match(request)
    except (NotFound, NotImplementedError) as error:
        named = request.headers.get("X-Amz-Target", "") or request.values.get("Action", "") or request.path
        raise unknown(service, named) from error
    if service == "s3":
        _refuse_unmodelled_query(request, operation)
    return Call(service, prefix, operation.name, _parameters(request, service, operation, path_params))


def _refuse_ambiguity(request: Request, service: str) -> None:
    if service in ("s3", "sagemaker-runtime", "scheduler"):
        return
    form_encoded = (request.content_type or "").startswith("application/x-www-form-urlencoded")
    sources = ("X-Amz-Target" in request.headers) + ("Action" in request.args) + ("Action" in request.form)
    if sources != 1 or (request.args and (request.form or (not form_encoded and request.method != "GET"))):
        raise AwsError("InvalidRequest", "The action and its parameters must come from one place of the request.")


def _refuse_unmodelled_query(request: Request, operation: OperationModel) -> None:
    """Sub-resources decide what moto's S3 does; one that the operation's model does not know is not let through."""
    modelled = set(operation.http_trait.query_args)
    if operation.input_shape is not None:
        modelled |= {
            member.serialization.get("name", name)
            for name, member in operation.input_shape.members.items()
            if member.serialization.get("location") == "querystring"
        }
    for name in request.args:
        if name not in modelled and name not in _IGNORED_QUERY and not name.lower().startswith("x-amz-"):
            raise AwsError("InvalidArgument", f"The query parameter {name!r} is not known to {operation.name}.")


def _parameters(
    request: Request, service: str, operation: OperationModel, path_params: dict[str, Any]
) -> dict[str, Any]:
    protocol = determine_request_protocol(get_service_model(service), request.content_type)
    streamed = operation.has_streaming_input
    parsed = PROTOCOL_PARSERS[protocol](operation).parse(
        {
            "method": request.method,
            "values": request.values,
            "headers": request.headers,
            "body": b"" if streamed else request.get_data(),
            "url_path": request.path,
            "url_params": path_params,
        }
    )
    body = operation.input_shape.serialization.get("payload") if streamed and operation.input_shape else None
    return {name: value for name, value in parsed.items() if name != body}
