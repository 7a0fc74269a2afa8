"""A pipeline definition as data: parameters, and steps wherever they stand. `gate.py` says whether it could run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sandbox.aws.sagemaker import values
from sandbox.aws.sagemaker.errors import ValidationException

VERSION = "2020-12-01"
TYPES: Mapping[str, type] = {"String": str, "Integer": int, "Float": float, "Boolean": bool}
BOOLEANS: Mapping[str, bool] = {"true": True, "false": False}
_DURATION = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
BRANCHES = ("IfSteps", "ElseSteps")
MEMBERS = frozenset(
    {
        "Name",
        "Type",
        "Arguments",
        "DependsOn",
        "DisplayName",
        "Description",
        "PropertyFiles",
        "CacheConfig",
        "RetryPolicies",
    }
)


@dataclass(frozen=True)
class Api:
    """The call behind a step type: the operation that starts it, the name we add, and the Describe it is read by."""

    create: str
    describe: str
    name: str = ""


APIS: Mapping[str, Api] = {
    "Processing": Api("CreateProcessingJob", "DescribeProcessingJob", "ProcessingJobName"),
    "Training": Api("CreateTrainingJob", "DescribeTrainingJob", "TrainingJobName"),
    "RegisterModel": Api("CreateModelPackage", "DescribeModelPackage"),
}


@dataclass(frozen=True)
class Parameter:
    """A declared parameter; `default` is None when the starter must give it."""

    name: str
    type: str
    default: Any
    allowed: tuple[Any, ...]

    def parse(self, given: str) -> Any:
        """The value that a starter's text stands for.

        Raises `ValidationException` when it is not of the type or not allowed.
        """
        try:
            value = BOOLEANS[given.lower()] if self.type == "Boolean" else TYPES[self.type](given)
        except (ValueError, KeyError):
            raise ValidationException(
                f"Pipeline parameter value '{given}' of parameter '{self.name}' is not a valid {self.type}."
            ) from None
        if self.allowed and value not in self.allowed:
            choices = ", ".join(map(str, self.allowed))
            raise ValidationException(
                f"Parameter '{self.name}' must be one of the enum values [{choices}]; got '{given}'."
            )
        return value


@dataclass(frozen=True)
class Step:
    """One step. `parent` is the Condition step around it and which of its branches, if it stands in one."""

    name: str
    type: str
    arguments: Mapping[str, Any]
    raw: Mapping[str, Any]
    after: tuple[tuple[str, str], ...]
    """Explicit dependencies: step name, trigger."""
    files: Mapping[str, tuple[str, str]]
    """Property files: name -> (output name, path below that output)."""
    parent: tuple[str, str] | None


@dataclass(frozen=True)
class Definition:
    """Parameters and steps by name, steps in the order they are written."""

    parameters: Mapping[str, Parameter]
    steps: Mapping[str, Step]


def read(text: str) -> Definition:
    """Read a definition's structure.

    Raises `ValidationException` when it is none; `KeyError`, `TypeError` or `AttributeError` when a member is missing
    or of the wrong type.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise refused(f"It is not JSON: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("Steps"), list) or not document["Steps"]:
        raise refused("It must be an object with a list of 'Steps'.")
    if document.get("Version") != VERSION:
        raise refused(f"'Version' must be '{VERSION}'.")
    parameters = {item["Name"]: _parameter(item) for item in document.get("Parameters") or ()}
    steps = list(_steps(document["Steps"], None))
    names = [step.name for step in steps]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise refused(f"Step names must be unique: {', '.join(sorted(repeated))}.")
    return Definition(parameters, {step.name: step for step in steps})


def refused(reason: str) -> ValidationException:
    """The refusal of a definition."""
    return ValidationException(f"Unable to parse pipeline definition. {reason}")


def needs(step: Step) -> set[str]:
    """Names of the steps that must be over before this one starts, however it says so."""
    targets = [values.split(target) for target in values.references(step.arguments)]
    named = {str(parts[1]) for parts in targets if parts[0] == "Steps"}
    return named | {name for name, _ in step.after} | ({step.parent[0]} if step.parent else set())


def duration(text: str) -> timedelta:
    """An ISO 8601 duration such as `P30D` or `PT1H` (a month counts as 30 days, a year as 365).

    Raises `ValidationException` for other text.
    """
    match = _DURATION.fullmatch(text)
    if match is None or text.endswith(("P", "T")):
        raise refused(f"'{text}' is not an ISO 8601 duration.")
    years, months, weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    whole = years * 365 + months * 30 + weeks * 7 + days
    return timedelta(days=whole, hours=hours, minutes=minutes, seconds=seconds)


def _parameter(item: Mapping[str, Any]) -> Parameter:
    name, kind = item["Name"], item["Type"]
    if kind not in TYPES:
        raise refused(f"Parameter '{name}' has unknown type '{kind}'.")
    allowed, default = tuple(item.get("EnumValues") or ()), item.get("DefaultValue")
    if default is not None and (not _is_of(default, kind) or (allowed and default not in allowed)):
        raise refused(f"Default of parameter '{name}' is not a {kind} that it allows.")
    return Parameter(name, kind, default, allowed)


def _is_of(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "Boolean"
    return isinstance(value, (int, float) if kind == "Float" else TYPES[kind])


def _steps(items: list[Any], parent: tuple[str, str] | None) -> Iterator[Step]:
    for item in items:
        name, arguments = item["Name"], item.get("Arguments") or {}
        if unknown := set(item) - MEMBERS:
            raise refused(f"Step '{name}' has unknown members: {', '.join(sorted(unknown))}.")
        after = tuple(
            (entry, "Succeeded") if isinstance(entry, str) else (entry["Step"], entry["Trigger"])
            for entry in item.get("DependsOn") or ()
        )
        files = {
            entry["PropertyFileName"]: (entry["OutputName"], entry["FilePath"])
            for entry in item.get("PropertyFiles") or ()
        }
        own = {key: value for key, value in arguments.items() if key not in BRANCHES}
        yield Step(name, item["Type"], own, item, after, files, parent)
        for branch in BRANCHES:
            yield from _steps(arguments.get(branch) or [], (name, branch))
