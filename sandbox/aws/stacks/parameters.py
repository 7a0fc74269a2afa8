"""A template's parameters: what was given, defaults, earlier values, and their constraints."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import ValidationError

TYPES = ("String", "Number", "CommaDelimitedList", "List<Number>")
_KNOWN = frozenset(
    [
        "Type",
        "Default",
        "Description",
        "AllowedValues",
        "AllowedPattern",
        "ConstraintDescription",
        "MinLength",
        "MaxLength",
        "MinValue",
        "MaxValue",
        "NoEcho",
    ]
)


def chosen(
    declared: Mapping[str, Mapping[str, Any]],
    given: Sequence[Mapping[str, Any]],
    previous: Mapping[str, str],
) -> dict[str, str]:
    """Each parameter's text: given, kept from `previous` when asked to, else its default.

    Raises ValidationError for names the template lacks, values that are missing, and values a constraint refuses.
    """
    values: dict[str, str] = {}
    for item in given:
        key = item["ParameterKey"]
        if item.get("UsePreviousValue"):
            if key not in previous:
                raise ValidationError(
                    f"Invalid input for parameter key {key}. Cannot use its previous value: it has none"
                )
            values[key] = previous[key]
        else:
            values[key] = item.get("ParameterValue", "")
    if unknown := sorted(set(values) - set(declared)):
        raise ValidationError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    defaults = {key: _text(spec["Default"]) for key, spec in declared.items() if "Default" in spec}
    values = {**defaults, **values}
    if missing := sorted(set(declared) - set(values)):
        raise ValidationError(f"Parameters: [{', '.join(missing)}] must have values")
    for key, spec in declared.items():
        _check(key, values[key], spec)
    return values


def typed(declared: Mapping[str, Mapping[str, Any]], values: Mapping[str, str]) -> dict[str, Any]:
    """What Ref answers: lists for the list types, the text for all others."""
    return {key: _items(text) if "List" in declared[key]["Type"] else text for key, text in values.items()}


def shown(declared: Mapping[str, Mapping[str, Any]], values: Mapping[str, str]) -> list[dict[str, str]]:
    """The parameters as Describe calls list them, NoEcho masked."""
    return [
        {"ParameterKey": key, "ParameterValue": "****" if _flag(declared[key].get("NoEcho")) else text}
        for key, text in values.items()
    ]


def summary(declared: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The parameters as ValidateTemplate lists them."""
    return [
        {
            "ParameterKey": key,
            "DefaultValue": _text(spec["Default"]) if "Default" in spec else None,
            "NoEcho": _flag(spec.get("NoEcho")),
            "Description": spec.get("Description"),
        }
        for key, spec in declared.items()
    ]


def check_declarations(declared: Mapping[str, Any]) -> None:
    """Raises ValidationError when a declaration itself is not one we know."""
    for key, spec in declared.items():
        if not isinstance(spec, dict) or spec.get("Type") not in TYPES:
            raise ValidationError(f"Template format error: Unrecognized parameter type of parameter {key}")
        if unknown := sorted(set(spec) - _KNOWN):
            raise ValidationError(f"Invalid template parameter property [{', '.join(unknown)}] of parameter {key}")


def _check(key: str, text: str, spec: Mapping[str, Any]) -> None:
    for item in _items(text) if "List" in spec["Type"] else [text]:
        if "Number" in spec["Type"] and not re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", item):
            raise ValidationError(f"Parameter '{key}' must be a number.")
        if problem := _violated(item, spec):
            hint = spec.get("ConstraintDescription", problem)
            raise ValidationError(f"Parameter '{key}' failed to satisfy constraint: {hint}")


def _violated(item: str, spec: Mapping[str, Any]) -> str | None:
    if "AllowedValues" in spec and item not in (allowed := [_text(value) for value in spec["AllowedValues"]]):
        return f"Parameter must be one of AllowedValues: [{', '.join(allowed)}]"
    if "AllowedPattern" in spec and not re.fullmatch(spec["AllowedPattern"], item):
        return f"Parameter must match pattern {spec['AllowedPattern']}"
    bounds = [
        ("MinLength", lambda limit: len(item) < limit), ("MaxLength", lambda limit: len(item) > limit),
        ("MinValue", lambda limit: float(item) < limit), ("MaxValue", lambda limit: float(item) > limit),
    ]  # fmt: skip
    broken = [name for name, outside in bounds if name in spec and outside(float(spec[name]))]
    return f"Parameter violates {broken[0]} {spec[broken[0]]}" if broken else None


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",")] if text else []


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _flag(value: Any) -> bool:
    return _text(value or "false").lower() == "true"
