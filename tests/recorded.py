"""What the local AWS has recorded of every call, held against what AWS publishes: its service models, its actions.

The service models are botocore's. The actions are those of the service authorization reference as cfn-lint ships them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import cfnlint
from botocore.validate import ParamValidator

SOURCES = {"monitoring": "cloudwatch", "tagging": "resourcegroupstaggingapi"}
HIDDEN = ("***", "…")
"""What the record leaves out: secrets, and what lies deep inside."""
ACTIONS = Path(cfnlint.__file__).parent / "data" / "AdditionalSpecs" / "Policies.json"


@cache
def reference() -> Mapping[str, Mapping[str, Any]]:
    """Action (lower case) -> its resource types, by service prefix."""
    found: dict[str, Any] = json.loads(ACTIONS.read_text("utf-8"))
    return {prefix: service["Actions"] for prefix, service in found.items() if "Actions" in service}


def exists(action: str) -> bool:
    """Whether an action, or at least one that its pattern fits, is in the service authorization reference."""
    prefix, _, name = action.partition(":")
    return any(fnmatchcase(each, name.lower()) for each in reference().get(prefix, ()))


@cache
def _model(service: str) -> Any:
    return botocore.session.get_session().get_service_model(service)


def calls(trail: Path) -> Iterator[Mapping[str, Any]]:
    """Records of calls that were understood, one for each kind of request: same operation, same members, same role."""
    seen = set()
    for line in trail.read_text("utf-8").splitlines():
        record = json.loads(line)
        if record["requestParameters"] is None or record["eventName"] == "unknown":
            continue
        kind = (record["eventSource"], record["eventName"], _shape(record["requestParameters"]), role(record))
        if kind not in seen:
            seen.add(kind)
            yield record


def _shape(value: Any) -> str:
    """Which members a request has, all the way down."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_shape(item)}" for key, item in sorted(value.items())) + "}"
    return f"[{_shape(value[0])}]" if isinstance(value, list) and value else type(value).__name__


def service(record: Mapping[str, Any]) -> str:
    """The botocore service of a record."""
    name = str(record["eventSource"]).removesuffix(".amazonaws.com")
    if name == "sagemaker" and record["eventName"].startswith("Invoke"):
        return "sagemaker-runtime"
    return SOURCES.get(name, name)


def role(record: Mapping[str, Any]) -> str:
    """The short name of the project's role that made the call; empty for the operator and others."""
    issuer = record["userIdentity"].get("sessionContext", {}).get("sessionIssuer", {}).get("userName", "")
    return str(issuer).removeprefix("groundcrew-") if str(issuer).startswith("groundcrew-") else ""


def faults(record: Mapping[str, Any]) -> list[str]:
    """What botocore's validation says against a recorded request."""
    shape = _model(service(record)).operation_model(record["eventName"]).input_shape
    if shape is None:
        return []
    request = _restored(record["requestParameters"], shape)
    for name in shape.required_members:  # a body is not recorded, a token is botocore's own to add
        member = shape.members[name]
        if member.metadata.get("idempotencyToken") or name == shape.serialization.get("payload"):
            request.setdefault(name, "x" * 36 if member.type_name == "string" else b"")
    report: str = ParamValidator().validate(request, shape).generate_report()
    return report.splitlines()


def _restored(value: Any, shape: Any) -> Any:
    """A recorded value with something of the right type where the record has left it out."""
    if isinstance(value, str) and (value in HIDDEN or value.endswith("…")) and shape.type_name != "string":
        return _sample(shape)
    if shape.type_name == "structure" and isinstance(value, dict):
        known = {key: _restored(item, shape.members[key]) for key, item in value.items() if key in shape.members}
        return {**{key: item for key, item in value.items() if key not in shape.members}, **known}
    if shape.type_name == "list" and isinstance(value, list):
        return [_restored(item, shape.member) for item in value]
    if shape.type_name == "map" and isinstance(value, dict):
        return {key: _restored(item, shape.value) for key, item in value.items()}
    return b"" if shape.type_name == "blob" else value


def _sample(shape: Any) -> Any:
    if shape.type_name == "structure":
        return {name: _sample(shape.members[name]) for name in shape.required_members}
    samples: Mapping[str, Any] = {"list": [], "map": {}, "integer": 1, "long": 1, "boolean": True, "blob": b""}
    return samples.get(shape.type_name, "x")


def allowed(statements: Iterable[Mapping[str, Any]], action: str, resource: str) -> bool:
    """Whether an Allow statement names the action and the resource, whatever its conditions are."""
    return any(
        each["Effect"] == "Allow"
        and any(fnmatchcase(action.lower(), pattern.lower()) for pattern in _listed(each.get("Action")))
        and any(fnmatchcase(resource, pattern) for pattern in _listed(each.get("Resource")))
        for each in statements
    )


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())
