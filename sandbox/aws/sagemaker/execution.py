"""One execution of a pipeline: what it was started with, how far each step is, and which step may start next."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.aws.sagemaker.definition import Definition, Step, needs
from sandbox.aws.sagemaker.events import ENDED
from sandbox.aws.sagemaker.resources import Body, now

OVER = frozenset({"Succeeded", "Failed", "Stopped"})
SATISFIED: Mapping[str, frozenset[str]] = {
    "Succeeded": frozenset({"Succeeded"}),
    "Completed": frozenset({"Succeeded", "Failed"}),
    "Failed": frozenset({"Failed"}),
    "Stopped": frozenset({"Stopped"}),
    "Any": OVER,
}
"""Trigger of a dependency -> the states that fulfil it."""
FAILED = "Step failure: One or multiple steps failed."


@dataclass
class StepRun:
    """A step that has started. `body` is its entry in ListPipelineExecutionSteps."""

    step: Step
    body: Body
    properties: Body = field(default_factory=dict)
    files: dict[str, Any] = field(default_factory=dict)
    cache_key: str = ""

    @property
    def status(self) -> str:
        """`Starting`, `Executing`, `Stopping`, `Stopped`, `Failed` or `Succeeded`."""
        return str(self.body["StepStatus"])


@dataclass
class Execution:
    """A started pipeline. `body` is the answer of its Describe call; whoever reads or changes it holds `lock`."""

    id: str
    pipeline: str
    definition: Definition
    source: str
    parameters: Mapping[str, Any]
    body: Body
    earlier: tuple[Execution, ...] = ()
    """Executions of the same pipeline before this one, oldest first: where step caching looks."""
    runs: dict[str, StepRun] = field(default_factory=dict)
    retries: set[str] = field(default_factory=set)
    """Client request tokens of retries."""
    stopping: threading.Event = field(default_factory=threading.Event)
    lock: Any = field(default_factory=threading.RLock)

    @property
    def arn(self) -> str:
        """The execution's ARN."""
        return str(self.body["PipelineExecutionArn"])

    @property
    def status(self) -> str:
        """The execution's status as AWS spells it."""
        return str(self.body["PipelineExecutionStatus"])

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen (except after a retry)."""
        return self.status in ENDED

    def described(self) -> Body:
        """A copy of the Describe answer."""
        with self.lock:
            return dict(self.body)

    def listed_steps(self) -> list[Body]:
        """Copies of the started steps' entries, in the order of their start."""
        with self.lock:
            return [dict(run.body) for run in self.runs.values()]

    def reset(self) -> str | None:
        """Make a failed or stopped execution ready to go on from the steps that did not succeed.

        Returns the status it had; None, and nothing is changed, when it is neither.
        """
        with self.lock:
            previous = self.status
            if previous not in ("Failed", "Stopped"):
                return None
            self.runs = {name: run for name, run in self.runs.items() if run.status == "Succeeded"}
            self.stopping.clear()
            self.body.pop("FailureReason", None)
            self.body |= {"PipelineExecutionStatus": "Executing", "LastModifiedTime": now()}
            return previous

    def startable(self) -> list[Step]:
        """Steps that have not started and whose dependencies are fulfilled.

        Once a step has failed, only steps that wait for that failure start.
        """
        with self.lock:
            failed = {name for name, run in self.runs.items() if run.status == "Failed"}
            return [
                step
                for step in self.definition.steps.values()
                if step.name not in self.runs and self._may_start(step) and (not failed or _handles(step, failed))
            ]

    def _may_start(self, step: Step) -> bool:
        if step.parent:
            condition, branch = step.parent
            taken = self.runs.get(condition)
            outcome = (taken.body.get("Metadata") or {}).get("Condition", {}).get("Outcome") if taken else None
            if outcome != ("True" if branch == "IfSteps" else "False"):
                return False
        triggers = dict(step.after)
        return all(
            name in self.runs and self.runs[name].status in SATISFIED[triggers.get(name, "Succeeded")]
            for name in needs(step)
        )

    def final_status(self) -> str:
        """How an execution with nothing running and nothing startable has ended."""
        with self.lock:
            if self.stopping.is_set():
                return "Stopped"
            failed = {name for name, run in self.runs.items() if run.status == "Failed"}
            handled = {
                name
                for run in self.runs.values()
                if run.status == "Succeeded"
                for name, trigger in run.step.after
                if trigger != "Succeeded"
            }
            if not failed:
                return "Succeeded"
            return "CompletedWithFailures" if failed <= handled else "Failed"


def _handles(step: Step, failed: set[str]) -> bool:
    return any(name in failed and "Failed" in SATISFIED[trigger] for name, trigger in step.after)
