"""Policy documents: read, checked, and asked whether a statement applies to a request. Pure values, no moto."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.aws.conditions import Conditions, Context, hold, known_operator, pattern

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
    not_actions: bool
    resources: tuple[str, ...] | None
    not_resources: bool
    principals: tuple[tuple[str, str], ...] | None
    not_principals: bool
    conditions: Conditions
    variables: bool

    def applies(self, request: Request) -> bool:
        """Whether action, resource and conditions of this statement match (the principal is asked separately)."""
        return (
            self._action_matches(request.action) and self._resource_matches(request) and self._conditions_hold(request)
        )

    def _action_matches(self, action: str) -> bool:
        hit = any(_glob(wanted.lower()).fullmatch(action.lower()) for wanted in self.actions)
        return hit != self.not_actions

    def _resource_matches(self, request: Request) -> bool:
        if self.resources is None:
            return True
        hit = any(
            (like := pattern(wanted, request.context, wild=True, variables=self.variables)) is not None
            and like.fullmatch(request.resource)
            for wanted in self.resources
        )
        return hit != self.not_resources

    def _conditions_hold(self, request: Request) -> bool:
        # What cannot be evaluated must neither grant anything nor let a Deny lapse.
        return hold(self.conditions, request.context, variables=self.variables, unknown=not self.allows)


@functools.lru_cache(maxsize=4096)
def _glob(wanted: str) -> re.Pattern[str]:
    like = pattern(wanted, {}, wild=True, variables=False)
    assert like is not None, "a pattern without variables always compiles"  # noqa: S101
    return like


def parse(document: str | Mapping[str, Any]) -> tuple[Statement, ...]:
    """The statements of a policy document. Raises `MalformedPolicy` for anything but the grammar's shapes.

    Unknown condition operators are let through here: see `Statement` for what they do, `check` for the refusal.
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
    return Statement(
        name=raw.get("Sid") or place,
        allows=raw["Effect"] == "Allow",
        actions=_texts(raw.get("Action", raw.get("NotAction"))),
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


def check(document: str | Mapping[str, Any], *, of_resource: bool) -> None:
    """Refuse, as AWS does when a policy is written, what could not be evaluated. Raises `MalformedPolicy`.

    Policies of a resource (a bucket, a queue, a role's trust) name principals, all others must not.
    """
    for statement in parse(document):
        for operator in statement.conditions:
            if not known_operator(operator):
                raise MalformedPolicy(f"Invalid Condition type : {operator}.")
        if of_resource and statement.principals is None:
            raise MalformedPolicy("Missing required field Principal.")
        if not of_resource and statement.principals is not None:
            raise MalformedPolicy("Policy document should not specify a principal.")
        if not of_resource and statement.resources is None:
            raise MalformedPolicy("Policy statement must contain resources.")
