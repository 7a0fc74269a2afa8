"""Computing the values of a pipeline definition: `Get`, `Std:Join`, `Std:JsonGet`, and conditions.

Pure: everything a value may depend on is in a `Scope`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sandbox.aws.sagemaker.constraints import is_variable

COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "Equals": lambda left, right: left == right,
    "GreaterThan": lambda left, right: left > right,
    "GreaterThanOrEqualTo": lambda left, right: left >= right,
    "LessThan": lambda left, right: left < right,
    "LessThanOrEqualTo": lambda left, right: left <= right,
}
CONDITIONS = frozenset({*COMPARISONS, "In", "Not", "Or"})
_PART = re.compile(r"""\.?([^.\[\]'"]+)|\[(\d+)\]|\['([^']*)'\]|\["([^"]*)"\]""")

Path = tuple[str | int, ...]


class Unresolved(ValueError):
    """A value cannot be computed; the text says which reference and why."""


@dataclass(frozen=True)
class Scope:
    """What a running execution knows.

    `steps` holds the Describe answer of every finished job or package by step name, `files(step, name)` reads a
    property file as parsed JSON.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    execution: Mapping[str, Any] = field(default_factory=dict)
    steps: Mapping[str, Any] = field(default_factory=dict)
    files: Callable[[str, str], Any] = lambda step, name: None


def split(path: str) -> Path:
    """The parts of `a.b[0]['c d']`: member names, and whole numbers for list positions.

    Raises `Unresolved` for a path that does not parse.
    """
    parts: list[str | int] = []
    position = 0
    while position < len(path):
        match = _PART.match(path, position)
        if match is None:
            raise Unresolved(f"'{path}' is not a valid path")
        name, number, single, double = match.groups()
        words = (word for word in (name, single, double) if word is not None)
        parts.append(int(number) if number is not None else next(words))
        position = match.end()
    if not parts:
        raise Unresolved("an empty path")
    return tuple(parts)


def follow(document: Any, parts: Sequence[str | int], path: str) -> Any:
    """The value at a path. In a list of objects a name picks the one that carries it in a `...Name` member.

    Raises `Unresolved` when there is nothing at that path.
    """
    value = document
    for part in parts:
        if _holds(value, part):
            value = value[part]
        elif isinstance(value, list) and (named := _named(value, part)) is not None:
            value = named
        else:
            raise Unresolved(f"there is no '{part}' at '{path}'")
    return value


def _holds(value: Any, part: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(part, int) and part < len(value)
    return isinstance(value, Mapping) and part in value


def _named(items: list[Any], name: str | int) -> Any:
    return next(
        (
            item
            for item in items
            if isinstance(item, Mapping) and any(key.endswith("Name") and item[key] == name for key in item)
        ),
        None,
    )


def references(value: Any) -> Iterator[str]:
    """Every `Get` target inside a piece of definition, e.g. `Parameters.Epochs`, `Steps.Train.ModelArtifacts...`.

    Raises `Unresolved` for a `Std:JsonGet` that does not read a property file.
    """
    if is_variable(value) and "Std:JsonGet" in value:
        property_file(value["Std:JsonGet"])
    if is_variable(value) and "Get" in value:
        yield str(value["Get"])
    elif isinstance(value, Mapping):
        for member in value.values():
            yield from references(member)
    elif isinstance(value, list):
        for member in value:
            yield from references(member)


def resolve(value: Any, scope: Scope) -> Any:
    """The value with everything in it computed.

    Raises `Unresolved` when a reference leads nowhere.
    """
    if is_variable(value):
        ((function, argument),) = value.items()
        functions: Mapping[str, Callable[[Any, Scope], Any]] = {
            "Get": _get,
            "Std:Join": _join,
            "Std:JsonGet": _json_get,
        }
        return functions[function](argument, scope)
    if isinstance(value, Mapping):
        return {key: resolve(member, scope) for key, member in value.items()}
    if isinstance(value, list):
        return [resolve(member, scope) for member in value]
    return value


def _get(target: str, scope: Scope) -> Any:
    root, *parts = split(target)
    sources: Mapping[str | int, Any] = {
        "Parameters": scope.parameters,
        "Execution": scope.execution,
        "Steps": scope.steps,
    }
    if root not in sources:
        raise Unresolved(f"'{target}' does not start with Parameters, Execution or Steps")
    return follow(sources[root], parts, target)


def _join(argument: Mapping[str, Any], scope: Scope) -> str:
    return str(argument.get("On", "")).join(text(resolve(value, scope)) for value in argument["Values"])


def text(value: Any) -> str:
    """A scalar as SageMaker writes it into a string: `true`, `0.003`, `4`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def property_file(argument: Mapping[str, Any]) -> tuple[str, str]:
    """Step and file name that a `Std:JsonGet` reads.

    Raises `Unresolved` when it does not point at a property file.
    """
    target = argument.get("PropertyFile")
    parts = split(str(target.get("Get", ""))) if isinstance(target, Mapping) else ()
    if len(parts) != 4 or parts[0] != "Steps" or parts[2] != "PropertyFiles":
        raise Unresolved('Std:JsonGet needs "PropertyFile": {"Get": "Steps.<step>.PropertyFiles.<name>"}')
    return str(parts[1]), str(parts[3])


def _json_get(argument: Mapping[str, Any], scope: Scope) -> Any:
    step, name = property_file(argument)
    path = str(resolve(argument["Path"], scope))
    return follow(scope.files(step, name), split(path), f"{name}: {path}")


def holds(condition: Mapping[str, Any], scope: Scope) -> bool:
    """Whether one condition of a Condition step is true.

    Raises `Unresolved` when a side leads nowhere or the two cannot be compared.
    """
    kind = condition["Type"]
    if kind == "Not":
        return not holds(condition["Condition"], scope)
    if kind == "Or":
        return any(holds(member, scope) for member in condition["Conditions"])
    if kind == "In":
        return resolve(condition["QueryValue"], scope) in resolve(condition["Values"], scope)
    left, right = (resolve(condition[side], scope) for side in ("LeftValue", "RightValue"))
    try:
        return COMPARISONS[kind](left, right)
    except TypeError as error:
        raise Unresolved(f"{kind} cannot compare {left!r} with {right!r}") from error
