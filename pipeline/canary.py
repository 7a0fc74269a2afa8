"""A canary: a new model gets a part of the traffic first, and is taken back by itself when an alarm fires meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pipeline.deployment import Stack
from pipeline.errors import Refused
from pipeline.names import Environment
from pipeline.scaling import Bounds

SHARE: Mapping[Environment, int] = MappingProxyType({"dev": 0, "staging": 0, "prod": 50})
"""Percent of the new instances that get traffic first, when nobody says otherwise: in production one of two."""
LARGEST = 50
"""Percent; SageMaker's limit."""
ALARMS = ("5xx", "latency")
"""What takes a canary back, as the stack's alarms are called after the endpoint (`deployment.yaml`)."""


def chosen(env: Environment, bounds: Bounds, asked: int | None) -> int:
    """The canary's share. Raises Refused for one that is asked for where there is only one instance to share."""
    if bounds.least >= 2:
        return SHARE[env] if asked is None else asked
    if asked:
        raise Refused(
            "A canary is a part of several instances, and this endpoint has one.",
            f"`deployment scale --env {env} --min 2` gives it another; `--canary 0` moves all traffic at once.",
        )
    return 0


def ready(cloudwatch: Any, stack: Stack, made: set[str]) -> None:
    """Raise Refused when the alarms that should take a canary back would not, or would at once.

    `made` are the names of the resources that the stack says it has: an alarm that is not among them comes with this
    very change, before the endpoint's.
    """
    names = [f"{stack.name}-{each}" for each in ALARMS]
    found = cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]
    states = {each["AlarmName"]: each["StateValue"] for each in found}
    off = [each["AlarmName"] for each in found if not each.get("ActionsEnabled", True)]
    gone = [name for name in names if name in made and name not in states]
    instead = "`--canary 0` moves all traffic at once, with no way back by itself."
    if gone or off:
        raise Refused(
            f"A canary without alarms takes nothing back: {', '.join([*gone, *off])} "
            f"{'is not there' if gone else 'is switched off'}.",
            f"Somebody changed it past the stack; put it back, or delete the deployment and make it anew. {instead}",
        )
    firing = [name for name, state in states.items() if state == "ALARM"]
    if firing:
        raise Refused(
            f"{', '.join(firing)} is in alarm now: a canary would be taken back at once.",
            f"Wait until it is well. {instead}",
        )
