"""The limits that AWS's own service model states for a request: patterns, lengths, ranges and enumerations.

botocore checks presence and types on the client; the service checks these, and so do we.
"""

from __future__ import annotations

import re
from typing import Any

from sandbox.aws.sagemaker.errors import ValidationException

VARIABLES = frozenset({"Get", "Std:Join", "Std:JsonGet"})


def is_variable(value: Any) -> bool:
    """Whether a piece of a pipeline definition is computed when it runs, e.g. `{"Get": "Parameters.Epochs"}`."""
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)) in VARIABLES


def check(request: Any, shape: Any) -> None:
    """Refuse a request as AWS does. Values that a pipeline computes later are passed over.

    Raises `ValidationException` naming every offending member.
    """
    problems = list(_problems(request, shape, ""))
    if problems:
        plural = "s" if len(problems) > 1 else ""
        text = "; ".join(problems[:5])
        raise ValidationException(f"{len(problems)} validation error{plural} detected: {text}")


def _problems(value: Any, shape: Any, path: str) -> Any:
    if value is None or is_variable(value):
        return
    if shape.type_name == "structure" and isinstance(value, dict):
        for name, member in value.items():
            if name in shape.members:
                yield from _problems(member, shape.members[name], f"{path}.{_camel(name)}" if path else _camel(name))
    elif shape.type_name == "map" and isinstance(value, dict):
        yield from _size(value, len(value), shape, path, "length")
        for key, member in value.items():
            yield from _problems(key, shape.key, path)
            yield from _problems(member, shape.value, f"{path}.{key}")
    elif shape.type_name == "list" and isinstance(value, list):
        yield from _size(value, len(value), shape, path, "length")
        for index, member in enumerate(value, 1):
            yield from _problems(member, shape.member, f"{path}.{index}.member")
    elif shape.type_name == "string" and isinstance(value, str):
        yield from _text(value, shape, path)
    elif shape.type_name in {"integer", "long", "float", "double"} and isinstance(value, int | float):
        yield from _size(value, value, shape, path, "value")


def _text(value: str, shape: Any, path: str) -> Any:
    yield from _size(value, len(value), shape, path, "length")
    if shape.enum and value not in shape.enum:
        yield _failed(value, path, f"Member must satisfy enum value set: [{', '.join(shape.enum[:20])}]")
    pattern = shape.metadata.get("pattern")
    if pattern and not _matches(pattern, value):
        yield _failed(value, path, f"Member must satisfy regular expression pattern: {pattern}")


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.fullmatch(pattern, value, re.DOTALL) is not None
    except re.error:
        # A few patterns use Java's character classes (\p{L}), which `re` does not know; none restricts a name.
        return True


def _size(value: Any, size: float, shape: Any, path: str, what: str) -> Any:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    words = "value" if what == "value" else "length"
    if low is not None and size < low:
        yield _failed(value, path, f"Member must have {words} greater than or equal to {low}")
    if high is not None and size > high:
        yield _failed(value, path, f"Member must have {words} less than or equal to {high}")


def _failed(value: Any, path: str, rule: str) -> str:
    return f"Value '{str(value)[:200]}' at '{path}' failed to satisfy constraint: {rule}"


def _camel(name: str) -> str:
    return name[:1].lower() + name[1:]
