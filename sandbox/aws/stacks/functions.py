"""CloudFormation's intrinsic functions and conditions, evaluated against parameters and the resources made so far."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from .errors import ValidationError

UNKNOWN = "{{changeSet:KNOWN_AFTER_APPLY}}"
"""What a preview shows for the id or attribute of a resource that does not exist yet (CloudFormation's own words)."""

FUNCTIONS = ("Base64", "Join", "Sub", "GetAtt", "If", "Equals", "And", "Or", "Not", "Select", "Split", "FindInMap")
PSEUDO = ("AccountId", "Region", "StackName", "StackId", "Partition", "URLSuffix", "NoValue", "NotificationARNs")
_PLACEHOLDER = re.compile(r"\$\{([^}!][^}]*)\}")
_LITERAL = re.compile(r"\$\{!([^}]*)\}")


class Made(Protocol):
    """A resource that exists: what Ref and GetAtt answer for it."""

    physical: str
    attributes: Mapping[str, str]


class _NoValue:
    """AWS::NoValue: the property is taken away."""


NO_VALUE = _NoValue()


def function(node: Any) -> tuple[str, Any] | None:
    """`(name, argument)` when the node is a call of an intrinsic function (`Ref` and `Condition` included)."""
    if isinstance(node, dict) and len(node) == 1:
        name, argument = next(iter(node.items()))
        if name in ("Ref", "Condition") or str(name).startswith("Fn::"):
            return str(name), argument
    return None


def branches(node: Any) -> tuple[Any, ...] | None:
    """The values a function call in the place of a property may give without evaluation; None when it is no call."""
    call = function(node)
    if call is None or (call[0] == "Condition" and not isinstance(call[1], str)):
        return None
    name, argument = call
    return tuple(argument[1:]) if name == "Fn::If" and isinstance(argument, list) else ()


def references(node: Any) -> Iterator[tuple[str, str]]:
    """Every `(logical id, attribute)` a piece of template refers to; the attribute is empty for Ref."""
    call = function(node)
    if call:
        name, argument = call
        if name == "Ref":
            yield str(argument), ""
            return
        if name == "Fn::GetAtt":
            yield attribute_of(argument)
            return
        if name == "Fn::Sub":
            text, local = (argument, {}) if isinstance(argument, str) else (argument[0], argument[1])
            for word in _PLACEHOLDER.findall(text):
                if word not in local:
                    logical, _, attribute = word.strip().partition(".")
                    yield logical, attribute
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from references(child)


def attribute_of(argument: Any) -> tuple[str, str]:
    """The two halves of a GetAtt in either spelling."""
    logical, _, attribute = argument.partition(".") if isinstance(argument, str) else (argument[0], "", argument[1])
    return str(logical), str(attribute)


@dataclass
class Scope:
    """Where a template is evaluated. With `preview`, what does not exist yet is UNKNOWN instead of an error."""

    parameters: Mapping[str, Any]
    pseudo: Mapping[str, Any]
    mappings: Mapping[str, Any]
    conditions: Mapping[str, Any]
    made: Mapping[str, Made] = field(default_factory=dict)
    preview: bool = False

    def holds(self, condition: str) -> bool:
        """Whether the named condition is true."""
        if condition not in self.conditions:
            raise ValidationError(f"Template format error: Unresolved condition dependency {condition}")
        return bool(self.value(self.conditions[condition]))

    def value(self, node: Any) -> Any:
        """The node with every function replaced by its result."""
        call = function(node)
        if call is not None and not (call[0] == "Condition" and not isinstance(call[1], str)):
            return self._call(*call)
        if isinstance(node, dict):
            return {key: item for key, raw in node.items() if (item := self.value(raw)) is not NO_VALUE}
        if isinstance(node, list):
            return [item for raw in node if (item := self.value(raw)) is not NO_VALUE]
        return node

    def _call(self, name: str, argument: Any) -> Any:
        if name == "Ref":
            return self._ref(str(argument))
        if name == "Condition":
            return self.holds(argument)
        if name == "Fn::If":
            chosen, yes, no = argument
            return self.value(yes if self.holds(chosen) else no)
        if name == "Fn::GetAtt":
            return self._attribute(*attribute_of(argument))
        if name == "Fn::Sub":
            return self._sub(argument)
        if name == "Fn::Base64":
            return base64.b64encode(_word(self.value(argument)).encode()).decode()
        plain: dict[str, Callable[..., Any]] = {
            "Fn::Join": lambda by, parts: by.join(_word(part) for part in parts),
            "Fn::Equals": lambda one, other: _word(one) == _word(other),
            "Fn::And": lambda *terms: all(terms),
            "Fn::Or": lambda *terms: any(terms),
            "Fn::Not": lambda term: not term,
            "Fn::Select": lambda at, items: items[int(at)],
            "Fn::Split": lambda by, text: _word(text).split(by),
            "Fn::FindInMap": self._find,
        }
        if name not in plain:
            raise ValidationError(f"Template format error: Unrecognized function {name}")
        try:
            return plain[name](*self.value(argument))
        except (TypeError, IndexError, ValueError) as fault:
            raise ValidationError(f"Template error: {name} cannot be resolved: {fault}") from None

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        for known in (self.pseudo, self.parameters):
            if name in known:
                return known[name]
        if name in self.made:
            return self.made[name].physical
        return self._unknown(name)

    def _attribute(self, logical: str, attribute: str) -> Any:
        if logical not in self.made:
            return self._unknown(logical)
        attributes = self.made[logical].attributes
        if attribute not in attributes:
            words = f"resource {logical} does not support attribute type {attribute} in Fn::GetAtt"
            raise ValidationError(f"Template error: {words}")
        return attributes[attribute]

    def _unknown(self, name: str) -> str:
        if self.preview:
            return UNKNOWN
        raise ValidationError(f"Template format error: Unresolved resource dependencies [{name}] in the template")

    def _sub(self, argument: Any) -> str:
        text, local = (argument, {}) if isinstance(argument, str) else argument
        local = self.value(local)

        def word(found: re.Match[str]) -> str:
            name = found.group(1).strip()
            if name in local:
                return _word(local[name])
            logical, _, attribute = name.partition(".")
            return _word(self._attribute(logical, attribute) if attribute else self._ref(logical))

        return _LITERAL.sub(r"${\1}", _PLACEHOLDER.sub(word, text))

    def _find(self, table: str, row: str, column: str) -> Any:
        try:
            return self.mappings[table][row][column]
        except KeyError:
            words = f"Unable to get mapping for {table}::{row}::{column}"
            raise ValidationError(f"Template error: {words}") from None


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
