"""The form of a resource's properties: checked before anything starts, and given their types before a call is made.

A shape is `"text"`, `"whole"`, `"number"`, `"flag"`, `"json"` (any document), `[shape]` for a list, a dictionary of
named members, or `{"*": shape}` for a map with free keys.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import botocore.session
from botocore.model import ListShape, MapShape, StructureShape
from botocore.model import Shape as Modelled

from .errors import ValidationError
from .functions import UNKNOWN, branches

Shape = Any
"""One of the words above, a list with one shape, or a dictionary of shapes (the type is recursive)."""

_SCALARS = {"integer": "whole", "long": "whole", "float": "number", "double": "number", "boolean": "flag"}


@cache
def request(service: str, operation: str, *api_only: str) -> dict[str, Shape]:
    """The shape of an operation's input, for resources whose properties are the parameters of their Create call.

    `api_only` are the parameters that CloudFormation does not have.
    """
    model = botocore.session.get_session().get_service_model(service)
    members = _modelled(model.operation_model(operation).input_shape)
    return {name: shape for name, shape in members.items() if name not in api_only}


def _modelled(shape: Modelled | None) -> Shape:
    if isinstance(shape, StructureShape):
        return {name: _modelled(member) for name, member in shape.members.items()}
    if isinstance(shape, ListShape):
        return [_modelled(shape.member)]
    if isinstance(shape, MapShape):
        return {"*": _modelled(shape.value)}
    return _SCALARS.get(shape.type_name, "text") if shape else {}


def fit(shape: Shape, value: Any, logical: str, path: str = "#") -> Any:
    """The value in the shape's types. Functions not resolved yet are let through, both branches of an If checked.

    Raises ValidationError naming the first member that does not exist or has the wrong type.
    """
    inner = branches(value)
    if inner is not None:
        for branch in inner:
            fit(shape, branch, logical, path)
        return value
    if shape == "json":
        return value
    if isinstance(shape, dict):
        return _members(shape, _of(dict, value, logical, path), logical, path)
    if isinstance(shape, list):
        return [fit(shape[0], item, logical, f"{path}/{at}") for at, item in enumerate(_of(list, value, logical, path))]
    return _scalar(shape, value, logical, path)


def _members(shape: dict[str, Shape], value: dict[str, Any], logical: str, path: str) -> dict[str, Any]:
    if "*" in shape:
        return {key: fit(shape["*"], item, logical, f"{path}/{key}") for key, item in value.items()}
    if unknown := [key for key in value if key not in shape]:
        raise _refused(logical, path, f"extraneous key [{', '.join(unknown)}] is not permitted")
    return {key: fit(shape[key], item, logical, f"{path}/{key}") for key, item in value.items()}


def _of(kind: type, value: Any, logical: str, path: str) -> Any:
    if not isinstance(value, kind):
        word = "JSONObject" if kind is dict else "JSONArray"
        raise _refused(logical, path, f"expected type: {word}, found: {type(value).__name__}")
    return value


def _scalar(shape: str, value: Any, logical: str, path: str) -> Any:
    if isinstance(value, (dict, list)) or value is None:
        raise _refused(logical, path, f"expected type: {shape}, found: {type(value).__name__}")
    word = json.dumps(value) if isinstance(value, bool) else str(value)
    if UNKNOWN in word:
        return word
    try:
        if shape == "whole":
            return int(word)
        if shape == "number":
            return float(word)
    except ValueError:
        raise _refused(logical, path, f"expected type: {shape}, found: String ({word!r})") from None
    if shape == "flag":
        if word.lower() not in ("true", "false"):
            raise _refused(logical, path, f"expected type: Boolean, found: String ({word!r})")
        return word.lower() == "true"
    return word


def _refused(logical: str, path: str, what: str) -> ValidationError:
    return ValidationError(f"Properties validation failed for resource {logical} with message:\n{path}: {what}")
