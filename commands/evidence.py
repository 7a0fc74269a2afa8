"""What can be found out about a failed execution with the bot's own read-only eyes: step, reason, last log lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from commands.progress import event
from pipeline import executions
from pipeline.executions import Execution, StepRun

LINES = 8
LOOKED_AT = 100
_LONGEST_LINE = 300


def of_execution(client: Callable[[str], Any], arn: str) -> dict[str, Any]:
    """`step`, `reason` and `lines` of a failed execution; empty where there is nothing. Raises what AWS raises.

    Lines that a step writes for machines are left out where there are others: the reason says what they say.
    """
    run = executions.load(client("sagemaker"), arn)
    failed = next((step for step in run.steps if step.status == "Failed"), None)
    lines = executions.last_lines(client("logs"), failed.job, LOOKED_AT) if failed and failed.job else []
    told = [line for line in lines if line and not event(line)] or lines
    return {
        "step": failed.name if failed else "",
        "reason": _storable(_reason(run, failed)),
        "lines": [_storable(line)[:_LONGEST_LINE] for line in told[-LINES:]],
    }


def _reason(run: Execution, failed: StepRun | None) -> str:
    return (failed.message or failed.reason if failed else "") or run.reason


def _storable(text: str) -> str:
    """Without what JSON in PostgreSQL cannot hold."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()
