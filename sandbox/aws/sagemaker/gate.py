"""The gate of CreatePipeline and UpdatePipeline: a definition that could not run is refused before it is kept.

Names, references, cycles, property files, and every step's arguments against the service model of the call behind it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from botocore.validate import ParamValidator
from moto.core.utils import get_service_model

from sandbox.aws.sagemaker import constraints, values
from sandbox.aws.sagemaker.definition import APIS, Definition, Step, duration, needs, read, refused
from sandbox.aws.sagemaker.errors import ValidationException

STEP_TYPES = frozenset({*APIS, "Condition", "Fail"})
TRIGGERS = frozenset({"Succeeded", "Completed", "Failed", "Stopped", "Any"})
EXECUTION_VALUES = frozenset(
    {
        "StartDateTime",
        "CurrentDateTime",
        "PipelineName",
        "PipelineArn",
        "PipelineExecutionId",
        "PipelineExecutionArn",
        "TrainingJobName",
        "ProcessingJobName",
    }
)


def parse(text: str) -> Definition:
    """Read and check a definition.

    Raises `ValidationException` with the first thing that is wrong.
    """
    try:
        definition = read(text)
        _Gate(definition).check()
    except (KeyError, TypeError, AttributeError) as error:
        raise refused(f"A member is missing or of the wrong type: {error}") from None
    except values.Unresolved as error:
        raise refused(f"{error}.") from None
    return definition


class _Gate:
    """The checks over one parsed definition."""

    def __init__(self, definition: Definition) -> None:
        self.parameters = definition.parameters
        self.steps = definition.steps
        self.listed = list(definition.steps.values())

    def check(self) -> None:
        for step in self.listed:
            if not re.fullmatch(r"[A-Za-z0-9\-_]{1,64}", step.name):
                raise refused(f"'{step.name}' is not a step name.")
            if step.type not in STEP_TYPES:
                raise refused(f"Step '{step.name}' has type '{step.type}', which is not one of {sorted(STEP_TYPES)}.")
            self._check_references(step)
        self._check_cycles()
        for step in self.listed:
            self._check_arguments(step)

    def _check_references(self, step: Step) -> None:
        for name, trigger in step.after:
            if name not in self.steps or trigger not in TRIGGERS:
                raise refused(f"Step '{step.name}' depends on '{name}' ({trigger}), which there is not.")
        known = {"Parameters": self.parameters, "Execution": EXECUTION_VALUES, "Steps": self.steps}
        for target in values.references(step.arguments):
            root, *parts = values.split(target)
            if not parts or parts[0] not in known.get(str(root), ()):
                raise refused(f"Step '{step.name}' refers to '{target}', which there is not.")
            if root == "Steps":
                self._leaf(target)
        written = (step.arguments.get("ProcessingOutputConfig") or {}).get("Outputs", ())
        outputs = {output["OutputName"] for output in written}
        for name, (output, _) in step.files.items():
            if output not in outputs:
                raise refused(f"Property file '{name}' of step '{step.name}' names unknown output '{output}'.")

    def _leaf(self, target: str) -> Any:
        """The shape at the end of a step property; None for a property file."""
        _, name, *parts = values.split(target)
        step = self.steps[str(name)]
        if parts[:1] == ["PropertyFiles"]:
            if len(parts) != 2 or parts[1] not in step.files:
                raise refused(f"'{target}' is not a property file of step '{name}'.")
            return None
        api = APIS.get(step.type)
        shape = get_service_model("sagemaker").operation_model(api.describe).output_shape if api else None
        for part in parts:
            if shape is not None and shape.type_name == "structure" and part in shape.members:
                shape = shape.members[part]
            elif shape is not None and shape.type_name == "list":
                shape = shape.member
            elif shape is not None and shape.type_name == "map":
                shape = shape.value
            else:
                raise refused(f"'{target}' is not a property of a {step.type} step.")
        return shape

    def _check_cycles(self) -> None:
        waiting = {step.name: needs(step) for step in self.listed}
        while free := [name for name, names in waiting.items() if not names & waiting.keys()]:
            for name in free:
                del waiting[name]
        if waiting:
            raise refused(f"These steps wait for each other: {', '.join(sorted(waiting))}.")

    def _check_arguments(self, step: Step) -> None:
        if step.type == "Condition":
            for condition in step.arguments["Conditions"]:
                _check_condition(step, condition)
        elif step.type == "Fail":
            if "ErrorMessage" not in step.arguments:
                raise refused(f"Step '{step.name}' lacks 'ErrorMessage'.")
        else:
            _check_options(step)
            api = APIS[step.type]
            shape = get_service_model("sagemaker").operation_model(api.create).input_shape
            request = dict(step.arguments)
            if api.name:
                request.setdefault(api.name, "placeholder")
            report = ParamValidator().validate(self._filled(request, shape), shape)
            if report.has_errors():
                raise refused(f"Step '{step.name}': {report.generate_report()}")
            try:
                constraints.check(request, shape)
            except ValidationException as error:
                raise refused(f"Step '{step.name}': {error.message}") from None

    def _filled(self, value: Any, shape: Any) -> Any:
        """The value with a placeholder of the right type for each variable, so that botocore can judge it."""
        if constraints.is_variable(value):
            return self._placeholder(value, shape)
        if shape.type_name == "structure" and isinstance(value, dict):
            return {
                key: self._filled(member, shape.members[key]) if key in shape.members else member
                for key, member in value.items()
            }
        if shape.type_name == "list" and isinstance(value, list):
            return [self._filled(member, shape.member) for member in value]
        if shape.type_name == "map" and isinstance(value, dict):
            return {key: self._filled(member, shape.value) for key, member in value.items()}
        return value

    def _placeholder(self, value: Mapping[str, Any], shape: Any) -> Any:
        kind = shape.type_name
        if "Std:Join" in value:
            kind = "string"
        elif "Get" in value:
            root, *parts = values.split(value["Get"])
            if root == "Parameters":
                kind = self.parameters[str(parts[0])].type.lower()
            elif root == "Execution":
                kind = "string"
            elif (leaf := self._leaf(value["Get"])) is not None:
                kind = leaf.type_name
        sample: Mapping[str, Any] = {"integer": 1, "long": 1, "float": 1.0, "double": 1.0, "boolean": True}
        return sample.get(kind, "s3://placeholder/placeholder")


def _check_options(step: Step) -> None:
    cache = step.raw.get("CacheConfig") or {}
    if cache and step.type == "RegisterModel":
        raise refused(f"Step '{step.name}': a RegisterModel step is not cached.")
    if cache.get("ExpireAfter"):
        duration(cache["ExpireAfter"])
    for policy in step.raw.get("RetryPolicies") or ():
        if not isinstance(policy.get("ExceptionType"), list) or not isinstance(policy.get("MaxAttempts"), int):
            raise refused(
                f"Step '{step.name}': a retry policy needs a list 'ExceptionType' and a number 'MaxAttempts'."
            )


def _check_condition(step: Step, condition: Mapping[str, Any]) -> None:
    kind = condition["Type"]
    if kind not in values.CONDITIONS:
        raise refused(f"Step '{step.name}' has a condition of unknown type '{kind}'.")
    members = {"Not": ("Condition",), "Or": ("Conditions",), "In": ("QueryValue", "Values")}
    for member in members.get(kind, ("LeftValue", "RightValue")):
        if member not in condition:
            raise refused(f"Condition '{kind}' of step '{step.name}' lacks '{member}'.")
    inner = [condition["Condition"]] if kind == "Not" else condition["Conditions"] if kind == "Or" else []
    for member in inner:
        _check_condition(step, member)
