"""What people can type: one noun a module, one typed function a command, each answering a `Reply`.

Here lives what a command does and says. How a person's words become arguments is `commands.parsing`; what AWS and the
database do is in `pipeline` and `state`. Nothing here knows Slack.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from commands.command import Command

MODULES = (
    "home",
    "identity",
    "form",
    "training",
    "pipeline",
    "tuning",
    "dataset",
    "registry",
    "model_compare",
    "lineage",
    "model_card",
    "approvals",
    "deployment",
    "scaling",
    "recover",
    "rollback",
    "predict",
    "batch",
    "access",
    "elevation",
    "audit",
    "studio",
    "alerts",
    "rehearsal",
    "summary",
    "schedule",
    "explain",
    "drift",
    "drift_baseline",
    "drift_schedule",
    "experiments",
    "cost",
    "cost_forecast",
    "budget",
    "anomalies",
    "digest",
    "estimate",
    "idle",
    "cleanup",
    "leftovers",
    "doctor",
)


@cache
def all_commands() -> Mapping[str, Command]:
    """Every declared command by its name, in the order help shows them."""
    found: dict[str, Command] = {}
    for module in MODULES:
        for member in vars(importlib.import_module(f"commands.{module}")).values():
            declared: Command | None = getattr(member, "__command__", None)
            if declared is None or declared.handler.__module__ != f"commands.{module}":
                continue
            if declared.name in found:
                raise TypeError(f"{declared.name} is declared twice")
            found[declared.name] = declared
    return MappingProxyType(found)
