"""Walks a pipeline execution: starts the steps whose turn it is, waits for them, and says how it all ended.

What a step creates (jobs, model packages) is created over the wire with the pipeline role's credentials, so IAM
decides; whether a job is over is read inside the process, for which AWS too asks nobody's permission.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Mapping
from typing import Any

from sandbox.aws.core import Cloud
from sandbox.aws.sagemaker import values
from sandbox.aws.sagemaker.definition import Step
from sandbox.aws.sagemaker.events import Events
from sandbox.aws.sagemaker.execution import FAILED, Execution, StepRun
from sandbox.aws.sagemaker.resources import now
from sandbox.aws.sagemaker.steps import StepFailed, Steps
from sandbox.aws.sagemaker.values import Scope, Unresolved

log = logging.getLogger(__name__)

REASON_CHARACTERS = 1024
MANY = 200


class Executor:
    """Runs executions, each in a thread of its own."""

    def __init__(self, cloud: Cloud, steps: Steps, events: Events) -> None:
        self._steps = steps
        self._events = events
        self._lock = threading.Lock()
        self._executions: list[Execution] = []
        cloud.on_stop(self.shut_down)

    def start(self, execution: Execution, previous: str | None = None) -> None:
        """Begin to run an execution, or go on after it was `previous`; returns at once."""
        with self._lock:
            self._executions = [each for each in self._executions if not each.ended] + [execution]
        with execution.lock:
            self._events.execution(execution.described(), previous)
        threading.Thread(target=self._walk, args=(execution,), name=f"execution-{execution.id}", daemon=True).start()

    def stop(self, execution: Execution) -> bool:
        """Ask an execution to stop: no step starts, running jobs get their signal. False when it is not executing."""
        with execution.lock:
            if execution.status != "Executing":
                return False
            self._change(execution, "Stopping")
            execution.stopping.set()
            return True

    def shut_down(self) -> None:
        """No execution starts another step: the server is stopping."""
        with self._lock:
            for execution in self._executions:
                execution.stopping.set()

    def _walk(self, execution: Execution) -> None:
        limit = (execution.body.get("ParallelismConfiguration") or {}).get("MaxParallelExecutionSteps", MANY)
        finished: queue.SimpleQueue[str] = queue.SimpleQueue()
        running: set[str] = set()
        while True:
            if not execution.stopping.is_set():
                for step in execution.startable()[: limit - len(running)]:
                    running.add(step.name)
                    self._launch(execution, step, finished)
            if not running:
                break
            running.discard(finished.get())
        self._end(execution, execution.final_status())

    def _launch(self, execution: Execution, step: Step, finished: queue.SimpleQueue[str]) -> None:
        body = {"StepName": step.name, "StepStatus": "Starting", "StartTime": now(), "AttemptCount": 1}
        for member, name in (("DisplayName", "StepDisplayName"), ("Description", "StepDescription")):
            if step.raw.get(member):
                body[name] = step.raw[member]
        run = StepRun(step, body)
        with execution.lock:
            execution.runs[step.name] = run
            self._events.step(execution.body, run.body, step.type, None)

        def work() -> None:
            try:
                self._run(execution, run)
            except (StepFailed, Unresolved) as error:
                reason = str(error) if isinstance(error, StepFailed) else f"ClientError: {error}"
                self._set(execution, run, "Failed", {"EndTime": now(), "FailureReason": reason[:REASON_CHARACTERS]})
            except Exception as error:
                # A step must end in a terminal state whatever happens; the server's log has the rest.
                log.exception("step %s could not be run", step.name)
                reason = f"InternalServerError: {error!r}"[:REASON_CHARACTERS]
                self._set(execution, run, "Failed", {"EndTime": now(), "FailureReason": reason})
            finally:
                finished.put(step.name)

        threading.Thread(target=work, name=f"step-{step.name}", daemon=True).start()

    def _run(self, execution: Execution, run: StepRun) -> None:
        scope = _scope(execution)
        if run.step.type == "Condition":
            outcome = all(values.holds(condition, scope) for condition in run.step.arguments["Conditions"])
            run.body["Metadata"] = {"Condition": {"Outcome": str(outcome)}}
        elif run.step.type == "Fail":
            message = values.text(values.resolve(run.step.arguments["ErrorMessage"], scope))
            run.body["Metadata"] = {"Fail": {"ErrorMessage": message}}
            self._set(execution, run, "Executing", {})
            raise StepFailed(message)
        else:
            state = self._steps.run(execution, run, scope, lambda status: self._set(execution, run, status, {}))
            if state == "Stopped":
                self._set(execution, run, "Stopped", {"EndTime": now()})
                return
        self._set(execution, run, "Succeeded", {"EndTime": now()})

    def _set(self, execution: Execution, run: StepRun, status: str, more: Mapping[str, Any]) -> None:
        with execution.lock:
            previous = run.status
            run.body |= {**more, "StepStatus": status}
            execution.body["LastModifiedTime"] = now()
            self._events.step(execution.body, run.body, run.step.type, previous)

    def _change(self, execution: Execution, status: str) -> None:
        previous = execution.status
        execution.body |= {"PipelineExecutionStatus": status, "LastModifiedTime": now()}
        self._events.execution(execution.body, previous)

    def _end(self, execution: Execution, status: str) -> None:
        with execution.lock:
            if status in ("Failed", "CompletedWithFailures"):
                execution.body["FailureReason"] = FAILED
            self._change(execution, status)


def _scope(execution: Execution) -> Scope:
    with execution.lock:
        done = {name: run.properties for name, run in execution.runs.items() if run.status == "Succeeded"}
        files = {name: run.files for name, run in execution.runs.items() if run.status == "Succeeded"}
    started: Any = execution.body["CreationTime"]
    known = {
        "StartDateTime": started.isoformat(),
        "CurrentDateTime": now().isoformat(),
        "PipelineName": execution.pipeline,
        "PipelineArn": execution.body["PipelineArn"],
        "PipelineExecutionId": execution.id,
        "PipelineExecutionArn": execution.arn,
    }
    return Scope(execution.parameters, known, done, lambda step, name: files[step][name])
