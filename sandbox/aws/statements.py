"""Policy documents: read, checked, and asked whether a statement applies to a request. Pure values, no moto."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.aws.conditions import Conditions, Context, Glob, hold, pattern

VERSIONS = ("2012-10-17", "2008-10-17")


class MalformedPolicy(ValueError):
    """A policy document that AWS would refuse when it is written."""


@dataclass(frozen=True)
class Who:
    """The caller as resource and trust policies see it. A session has `role_arn`, a service only `service`."""

    account: str
    arn: str
    role_arn: str | None = None
    service: str | None = None


@dataclass(frozen=True)
class Request:
    """One action on one resource, with its context keys (lower-case)."""

    action: str
    resource: str
    context: Context
    who: Who


@dataclass(frozen=True)
class Statement:
    """One statement, values normalised to tuples. `variables` is true for documents of version 2012-10-17."""

    name: str
    allows: bool
    actions: tuple[str, ...]
    action_pattern: re.Pattern[str]
    not_actions: bool
    resources: tuple[str, ...] | None
    not_resources: bool
    principals: tuple[tuple[str, str], ...] | None
    not_principals: bool
    conditions: Conditions
    variables: bool

    def applies(self, request: Request) -> bool:
        """Whether action, resource and conditions of this statement match (the principal is asked separately)."""
        return self.about(request.action) and self._resource_matches(request) and self._conditions_hold(request)

    def about(self, action: str) -> bool:
        """Whether the statement says anything about this action, on whatever resource."""
        return (self.action_pattern.fullmatch(action) is not None) != self.not_actions

    def _resource_matches(self, request: Request) -> bool:
        if self.resources is None:
            return True
        likes = [pattern(each, request.context, Glob.ARN, variables=self.variables) for each in self.resources]
        if self.not_resources and None in likes:
            # What a variable without a value leaves out is not known: nothing is granted, and no Deny lapses.
            return not self.allows
        return any(like is not None and like.fullmatch(request.resource) for like in likes) != self.not_resources

    def _conditions_hold(self, request: Request) -> bool:
        # What cannot be evaluated must neither grant anything nor let a Deny lapse.
        return hold(self.conditions, request.context, variables=self.variables, unknown=not self.allows)


def _any_of(wanted: tuple[str, ...]) -> re.Pattern[str]:
    """One pattern for all of a statement's actions, which know no case and no variables."""
    globs = (pattern(each, {}, Glob.TEXT, variables=False) for each in wanted)
    return re.compile("|".join(f"(?:{glob.pattern})" for glob in globs if glob is not None), re.IGNORECASE)


def parse(document: str | Mapping[str, Any]) -> tuple[Statement, ...]:
    """The statements of a policy document. Raises `MalformedPolicy` for anything but the grammar's shapes.

    Unknown condition operators are let through: `Statement` says what they do, `sandbox.aws.written` refuses them.
    """
    if isinstance(document, str):
        return _parse_text(document)
    return _parse(document)


@functools.lru_cache(maxsize=1024)
def _parse_text(text: str) -> tuple[Statement, ...]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise MalformedPolicy("Syntax errors in policy.") from error
    return _parse(document)


def _parse(document: Any) -> tuple[Statement, ...]:
    if not isinstance(document, Mapping) or "Statement" not in document:
        raise MalformedPolicy("Syntax errors in policy.")
    version = document.get("Version", "2008-10-17")
    if version not in VERSIONS:
        raise MalformedPolicy(f"The policy has an invalid version: {version!r}.")
    raw = document["Statement"]
    statements = [raw] if isinstance(raw, Mapping) else raw
    if not isinstance(statements, list):
        raise MalformedPolicy("Syntax errors in policy.")
    return tuple(_statement(item, f"#{place}", version == VERSIONS[0]) for place, item in enumerate(statements, 1))


def _statement(raw: Any, place: str, variables: bool) -> Statement:
    if not isinstance(raw, Mapping) or raw.get("Effect") not in ("Allow", "Deny"):
        raise MalformedPolicy("A statement needs an Effect of Allow or Deny.")
    if ("Action" in raw) == ("NotAction" in raw):
        raise MalformedPolicy("A statement needs exactly one of Action and NotAction.")
    if ("Resource" in raw and "NotResource" in raw) or ("Principal" in raw and "NotPrincipal" in raw):
        raise MalformedPolicy("A statement may hold an element or its Not form, not both.")
    resources = raw.get("Resource", raw.get("NotResource"))
    principals = raw.get("Principal", raw.get("NotPrincipal"))
    actions = _texts(raw.get("Action", raw.get("NotAction")))
    return Statement(
        name=raw.get("Sid") or place,
        allows=raw["Effect"] == "Allow",
        actions=actions,
        action_pattern=_any_of(actions),
        not_actions="NotAction" in raw,
        resources=None if resources is None else _texts(resources),
        not_resources="NotResource" in raw,
        principals=None if principals is None else _principals(principals),
        not_principals="NotPrincipal" in raw,
        conditions=_conditions(raw.get("Condition", {})),
        variables=variables,
    )


def _texts(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(item, str | int | float | bool) for item in values):
        raise MalformedPolicy("Syntax errors in policy.")
    return tuple(str(item).lower() if isinstance(item, bool) else str(item) for item in values)


def _principals(value: Any) -> tuple[tuple[str, str], ...]:
    if value == "*":
        return (("AWS", "*"),)
    if not isinstance(value, Mapping):
        raise MalformedPolicy("Invalid principal in policy.")
    return tuple((kind, name) for kind, names in value.items() for name in _texts(names))


def _conditions(value: Any) -> Conditions:
    if not isinstance(value, Mapping) or not all(isinstance(keys, Mapping) for keys in value.values()):
        raise MalformedPolicy("Syntax errors in policy.")
    return {operator: {key: _texts(wanted) for key, wanted in keys.items()} for operator, keys in value.items()}
