"""The check a pipeline definition passes before it is sent, so that a fault is found here and not by SageMaker.

Each step's arguments are validated against botocore's model of the API call that the step becomes, with pipeline
variables replaced by placeholders of the member's type. botocore checks presence, types and unknown members; what
it leaves out (enums, patterns, lengths) and the references between steps are checked here.
The published JSON schema of definitions is of no use: it rejects valid ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import botocore.session
from botocore.validate import ParamValidator

from pipeline.errors import BadInput

OPERATIONS = {
    "Processing": ("CreateProcessingJob", "ProcessingJobName"),
    "Training": ("CreateTrainingJob", "TrainingJobName"),
    "RegisterModel": ("CreateModelPackage", ""),
}
FUNCTIONS = {"Get", "Std:Join", "Std:JsonGet"}
PLACEHOLDERS: Mapping[str, object] = {
    "string": None,
    "integer": 1,
    "long": 1,
    "float": 1.0,
    "double": 1.0,
    "boolean": True,
}
STEP_NAME = re.compile(r"[A-Za-z0-9\-_]{1,64}")
EXECUTION_VALUES = {
    "StartDateTime",
    "CurrentDateTime",
    "PipelineName",
    "PipelineArn",
    "PipelineExecutionId",
    "PipelineExecutionArn",
    "TrainingJobName",
    "ProcessingJobName",
}


def check(text: str) -> None:
    """Raise `BadInput` that lists every fault of a definition."""
    body = json.loads(text)
    steps = list(_steps(body["Steps"]))
    faults = [*_names(steps), *_references(body, steps)]
    model = botocore.session.get_session().get_service_model("sagemaker")
    for step in steps:
        if step["Type"] in OPERATIONS:
            operation, name = OPERATIONS[step["Type"]]
            shape: Any = model.operation_model(operation).input_shape
            arguments = _filled(step["Arguments"], shape)
            if name:
                arguments.setdefault(name, "placeholder")
            result = ParamValidator().validate(arguments, shape)
            faults += [f"{step['Name']}: {line}" for line in result.generate_report().splitlines()]
            faults += [f"{step['Name']}: {line}" for line in _values(arguments, shape, operation)]
    if faults:
        raise BadInput("The pipeline definition is not valid: " + "; ".join(faults), "Correct pipeline/definition.py.")


def _steps(steps: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for step in steps:
        yield step
        if step["Type"] == "Condition":
            for branch in ("IfSteps", "ElseSteps"):
                yield from _steps(step["Arguments"][branch])


def _names(steps: list[dict[str, Any]]) -> Iterator[str]:
    seen = set()
    for step in steps:
        if not STEP_NAME.fullmatch(step["Name"]):
            yield f"{step['Name']!r} is not a step name"
        if step["Name"] in seen:
            yield f"two steps are called {step['Name']}"
        seen.add(step["Name"])


def _references(body: Mapping[str, Any], steps: list[dict[str, Any]]) -> Iterator[str]:
    """Every Get names a parameter, an execution value, or an output or property file of a step that came before."""
    parameters = {row["Name"] for row in body["Parameters"]}
    before: dict[str, dict[str, Any]] = {}
    for step in steps:
        own = {key: value for key, value in step["Arguments"].items() if key not in ("IfSteps", "ElseSteps")}
        for target in _gets(own):
            kind, _, rest = target.partition(".")
            known = {"Parameters": parameters, "Execution": EXECUTION_VALUES}.get(kind)
            if known is not None and rest not in known:
                yield f"{step['Name']}: {target} does not exist"
            if known is None and not _resolves(rest, before):
                yield f"{step['Name']}: {target} names no output of an earlier step"
        yield from (
            f"{step['Name']}: DependsOn {name} names no earlier step"
            for name in step.get("DependsOn", [])
            if name not in before
        )
        before[step["Name"]] = step


def _resolves(rest: str, before: Mapping[str, Mapping[str, Any]]) -> bool:
    name, _, path = rest.partition(".")
    step = before.get(name)
    if step is None:
        return False
    outputs = {row["OutputName"] for row in step["Arguments"].get("ProcessingOutputConfig", {}).get("Outputs", [])}
    if found := re.search(r"Outputs\['([^']+)'\]", path):
        return found[1] in outputs
    if path.startswith("PropertyFiles."):
        files = {row["PropertyFileName"]: row["OutputName"] for row in step.get("PropertyFiles", [])}
        return files.get(path.partition(".")[2]) in outputs
    return bool(path)


def _gets(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if set(value) == {"Get"}:
            yield value["Get"]
        else:
            for item in value.values():
                yield from _gets(item)
    elif isinstance(value, list):
        for item in value:
            yield from _gets(item)


def _filled(value: Any, shape: Any) -> Any:
    """The value with each pipeline variable replaced by something the member would accept."""
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in FUNCTIONS:
        return _placeholder(shape)
    if shape.type_name == "structure" and isinstance(value, dict):
        return {key: _filled(item, shape.members[key]) if key in shape.members else item for key, item in value.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [_filled(item, shape.member) for item in value]
    if shape.type_name == "map" and isinstance(value, dict):
        return {key: _filled(item, shape.value) for key, item in value.items()}
    return value


def _placeholder(shape: Any) -> object:
    if getattr(shape, "enum", None):
        return shape.enum[0]
    if shape.type_name == "string":
        pattern = shape.metadata.get("pattern", "")
        return "s3://placeholder/x" if pattern.startswith("(https|s3)") else "placeholder"
    return PLACEHOLDERS.get(shape.type_name, "placeholder")


def _values(value: Any, shape: Any, path: str) -> Iterator[str]:
    """Enum, pattern and length faults of the strings inside."""
    if shape.type_name == "structure" and isinstance(value, dict):
        for key, item in value.items():
            if key in shape.members:
                yield from _values(item, shape.members[key], f"{path}.{key}")
    elif shape.type_name == "list" and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _values(item, shape.member, f"{path}[{index}]")
    elif shape.type_name == "map" and isinstance(value, dict):
        for key, item in value.items():
            yield from _values(key, shape.key, f"{path} key")
            yield from _values(item, shape.value, f"{path}.{key}")
    elif shape.type_name == "string" and isinstance(value, str):
        if getattr(shape, "enum", None) and value not in shape.enum:
            yield f"{path} is {value!r}, not one of the allowed values"
        longest = shape.metadata.get("max")
        if longest is not None and len(value) > longest:
            yield f"{path} is longer than {longest} characters"
        pattern = shape.metadata.get("pattern")
        if pattern and "\\p{" not in pattern and not re.fullmatch(pattern, value):
            yield f"{path} does not match {pattern}"
