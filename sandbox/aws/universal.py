"""Universal targets of EventBridge Scheduler: any action of AWS that writes, with its request as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from botocore import xform_name
from botocore.exceptions import BotoCoreError
from moto.core.utils import get_service_model

from sandbox.aws.errors import AwsError

PREFIX = "arn:aws:scheduler:::aws-sdk:"
_MEMBERS = frozenset({"Arn", "RoleArn", "Input", "RetryPolicy", "DeadLetterConfig"})
_READS = ("get", "describe", "list", "head")


def service(arn: str) -> tuple[str, str | None]:
    """Service and action (in camel case) of a universal target; no action where it is none."""
    name, _, action = arn.removeprefix(PREFIX).partition(":") if arn.startswith(PREFIX) else ("", "", "")
    try:
        names = {each.lower(): each for each in get_service_model(name).operation_names} if name else {}
    except BotoCoreError:
        names = {}
    return name, names.get(action.lower())


def check(target: Mapping[str, Any]) -> None:
    """Raises AwsError for a target that is not a universal one."""
    name, operation = service(target["Arn"])
    if operation is None:
        raise _invalid(f"{target['Arn']} is not a target here: only {PREFIX}<service>:<action>.")
    if other := sorted(set(target) - _MEMBERS):
        raise _invalid(f"Target members {', '.join(other)} do not exist here.")
    if operation.lower().startswith(_READS):
        raise _invalid(f"Universal targets do not read: {name}:{operation}.")


def call(client: Any, arn: str, request: Any) -> None:
    """Make the call. Raises ValueError for a request that is no object, and what the client raises."""
    operation = service(arn)[1]
    if not isinstance(request, dict) or operation is None:
        raise ValueError("the input of a universal target is an object")
    try:
        getattr(client, xform_name(operation))(**request)
    finally:
        client.close()


def filled(text: str, schedule: str, at: datetime, execution: str) -> str:
    """The input with Scheduler's context attributes in place of their names."""
    values = {
        "schedule-arn": schedule,
        "scheduled-time": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "execution-id": execution,
        "attempt-number": "1",
    }
    for name, value in values.items():
        text = text.replace(f"<aws.scheduler.{name}>", value)
    return text


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message)
