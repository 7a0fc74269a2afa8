"""Why AWS lets a role do something, or does not: IAM's own simulator asked, and the statement that decides named.

`simulate` is IAM's decision (identity policies and permissions boundary; what a request carries is given as context).
It names policies, not statements: `Rules` reads the role's policies and finds the statement that speaks of a call and
whose conditions hold for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from pipeline.names import Names

APPROVAL = ("aws:PrincipalTag/approval", "any")
"""The session tag that only an approval brings."""


@dataclass(frozen=True)
class Call:
    """One action on one resource, and what the request says besides: pairs of context key and value."""

    action: str
    resource: str
    context: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Verdict:
    """IAM's decision on a call. `boundary` is False when the permissions boundary alone would not allow it."""

    call: Call
    allowed: bool
    explicit: bool
    boundary: bool


@dataclass(frozen=True)
class Statement:
    """One statement of a policy of a role."""

    policy: str
    sid: str
    allows: bool
    actions: Sequence[str]
    resources: Sequence[str]
    conditions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def approval(self) -> str:
        """`present` or `absent`: what it asks of the `approval` tag; empty when it does not mention it."""
        asked = {key.lower(): str(value).lower() for key, value in self.conditions.get("Null", {}).items()}
        return {"false": "present", "true": "absent"}.get(asked.get(APPROVAL[0].lower(), ""), "")

    def speaks_of(self, call: Call) -> bool:
        """Whether action and resource are its business, conditions aside."""
        action = any(fnmatchcase(call.action.lower(), pattern.lower()) for pattern in self.actions)
        return action and any(fnmatchcase(call.resource, pattern) for pattern in self.resources)

    def holds(self, call: Call) -> bool:
        """Whether its conditions hold for what the request says; one that only AWS can weigh counts as held."""
        said = {key.lower(): value for key, value in call.context}
        return all(
            _holds(operator, key.lower(), [str(each) for each in _list(wanted)], said)
            for operator, tests in self.conditions.items()
            for key, wanted in tests.items()
        )


def _holds(operator: str, key: str, wanted: Sequence[str], said: Mapping[str, str]) -> bool:
    """One test of a condition, for the operators that Groundcrew's own roles use."""
    if operator == "Null":
        return any((each.lower() == "true") == (key not in said) for each in wanted)
    if operator not in ("StringEquals", "StringLike") or any("${" in each for each in wanted):
        return True
    like = fnmatchcase if operator == "StringLike" else str.__eq__
    return key in said and any(like(said[key], each) for each in wanted)


def simulate(iam: Any, names: Names, role: str, calls: Iterable[Call], *, approved: bool) -> list[Verdict]:
    """IAM's decision on each call, as role `groundcrew-<role>`, with or without the `approval` session tag.

    One request for each resource and context. Raises botocore's ClientError when the caller may not ask.
    """
    together: dict[tuple[str, tuple[tuple[str, str], ...]], list[Call]] = {}
    for call in calls:
        together.setdefault((call.resource, call.context), []).append(call)
    ask = iam.get_paginator("simulate_principal_policy").paginate
    found: dict[Call, Verdict] = {}
    for (resource, context), group in together.items():
        said = [*context, APPROVAL] if approved else context
        pages = ask(
            PolicySourceArn=names.role(role),
            ActionNames=[call.action for call in group],
            ResourceArns=[resource],
            ContextEntries=[
                {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"} for key, value in said
            ],
        )
        results = {row["EvalActionName"].lower(): row for page in pages for row in page["EvaluationResults"]}
        for call in group:
            found[call] = _verdict(call, results[call.action.lower()])
    return list(found.values())


def _verdict(call: Call, row: Mapping[str, Any]) -> Verdict:
    edge = row.get("PermissionsBoundaryDecisionDetail", {}).get("AllowedByPermissionsBoundary", True)
    return Verdict(call, row["EvalDecision"] == "allowed", row["EvalDecision"] == "explicitDeny", bool(edge))


class Rules:
    """The statements of a role's policies and of its boundary, as they are in the account now."""

    def __init__(self, iam: Any, names: Names, role: str) -> None:
        self._iam = iam
        name = names.role(role).rsplit("/", 1)[-1]
        self.identity = [each for policy, document in self._of_role(name) for each in _statements(policy, document)]
        edge = iam.get_role(RoleName=name)["Role"].get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
        self.boundary = [] if edge is None else _statements(edge.rsplit("/", 1)[-1], self._managed(edge))

    def allowing(self, call: Call) -> list[Statement]:
        """Statements of the role's own policies that allow the call, conditions aside."""
        return [each for each in self.identity if each.allows and each.speaks_of(call)]

    def denying(self, call: Call) -> list[Statement]:
        """Statements that deny the call, conditions aside."""
        return [each for each in (*self.boundary, *self.identity) if not each.allows and each.speaks_of(call)]

    def _of_role(self, name: str) -> list[tuple[str, Mapping[str, Any]]]:
        inline = self._iam.list_role_policies(RoleName=name)["PolicyNames"]
        attached = self._iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        return [
            *((each, self._iam.get_role_policy(RoleName=name, PolicyName=each)["PolicyDocument"]) for each in inline),
            *((each["PolicyName"], self._managed(each["PolicyArn"])) for each in attached),
        ]

    def _managed(self, arn: str) -> Mapping[str, Any]:
        version = self._iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        found = self._iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        return dict(found)


def why(verdict: Verdict, rules: Rules) -> str:
    """A verdict in words, with the statement behind it."""
    allowing = rules.allowing(verdict.call)
    if verdict.allowed:
        return f"allowed by {_named([each for each in allowing if each.holds(verdict.call)])}"
    if verdict.explicit:
        denying = [each for each in rules.denying(verdict.call) if each.holds(verdict.call)]
        return f"denied by {_named(denying)}{_unless(denying) if allowing else ', and no statement allows it'}"
    if not verdict.boundary:
        return "outside the permissions boundary"
    if allowing:
        return f"{_named(allowing)} allows it, {_if(allowing)}"
    return "no statement allows it"


def _named(statements: Sequence[Statement]) -> str:
    """The first is enough: all of them say the same."""
    return f"{statements[0].sid} of {statements[0].policy}" if statements else "a policy outside the role"


def _unless(statements: Sequence[Statement]) -> str:
    return " unless a second person has approved" if all(each.approval == "absent" for each in statements) else ""


def _if(statements: Sequence[Statement]) -> str:
    if any(each.approval == "present" for each in statements):
        return "once a second person has approved"
    keys = sorted({key for each in statements for tests in each.conditions.values() for key in tests})
    return f"if {', '.join(keys)} fits" if keys else "and something else does not"


def _statements(policy: str, document: Mapping[str, Any]) -> list[Statement]:
    rows = document["Statement"]
    return [
        Statement(
            policy,
            row.get("Sid", f"statement {number}"),
            row["Effect"] == "Allow",
            _list(row.get("Action", ())),
            _list(row.get("Resource", ())),
            row.get("Condition", {}),
        )
        for number, row in enumerate([rows] if isinstance(rows, Mapping) else rows, 1)
    ]


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
