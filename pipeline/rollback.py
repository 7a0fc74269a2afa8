"""What a deployment served before: from the events of its stack, which CloudFormation keeps for 90 days."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline import registry
from pipeline.deployment import Stack
from pipeline.errors import NotFound
from pipeline.names import Environment, Names
from pipeline.registry import Package

LOOK_AT = 100
"""Versions of the registry in which an earlier model is looked for, the newest first."""

_STARTED = frozenset({"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"})
_WORKED = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_COMPLETE"})
_MADE = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE"})
_DIGEST = re.compile(r"-([0-9a-f]{8})\Z")


@dataclass(frozen=True)
class Served:
    """A model that a deployment brought into service: the first 8 characters of its digest, and since when."""

    digest: str
    since: datetime


def served(cloudformation: Any, stack_id: str) -> list[Served]:
    """What the stack has served, the first first. A change that was rolled back brought nothing into service."""
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack_id)
    events = [event for page in pages for event in page["StackEvents"]]
    return list(_served(reversed(events)))


def _served(events: Iterable[Mapping[str, Any]]) -> Iterable[Served]:
    """From a stack's events, the oldest first. A resource's name is known from when it is made."""
    made = last = ""
    for event in events:
        status = event["ResourceStatus"]
        if event["ResourceType"] == "AWS::SageMaker::Model" and status in _MADE:
            found = _DIGEST.search(event.get("PhysicalResourceId", ""))
            made = found[1] if found else ""
        elif event["ResourceType"] == "AWS::CloudFormation::Stack" and status in _STARTED:
            made = ""
        elif event["ResourceType"] == "AWS::CloudFormation::Stack" and status in _WORKED and made not in ("", last):
            last = made
            yield Served(made, event["Timestamp"])


def previous(
    cloudformation: Any, sagemaker: Any, names: Names, env: Environment, stack: Stack
) -> tuple[Package, datetime]:
    """The approved version that was deployed before the one that is, and since when it served.

    "Before" is before that one first served: rolling back twice goes two versions back, never forth again. Raises
    NotFound when the stack's events name none, or the registry has it no more.
    """
    history = served(cloudformation, stack.id)
    first = next((place for place, item in enumerate(history) if item.digest == stack.digest[:8]), len(history))
    versions = registry.versions(sagemaker, names, env, limit=LOOK_AT) if first else []
    for item in reversed(history[:first]):
        package = _usable(versions, item.digest, env)
        if package is not None and package.digest != stack.digest:
            return package, item.since
    raise NotFound(
        "earlier approved version deployed in",
        env,
        advice=f"The stack's events of the last 90 days name none. `registry list --env {env}` shows what there is, "
        f"`deployment create --env {env} --version …` deploys it.",
    )


def _usable(versions: Sequence[Package], digest: str, env: Environment) -> Package | None:
    """The newest version with that digest that may be deployed: approved; in dev, not rejected."""
    for package in versions:
        allowed = package.approval == "Approved" or (env == "dev" and package.approval != "Rejected")
        if package.digest.startswith(digest) and allowed:
            return package
    return None
