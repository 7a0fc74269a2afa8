"""SimulatePrincipalPolicy and SimulateCustomPolicy: the evaluator that enforces, asked without a request.

As on AWS, only the context keys that are given exist: the simulator does not know the caller's tags, and a role's
sessions have no session policy here. `MissingContextValues` names what the policies ask for and was not given.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from moto.iam.models import Role, User

from sandbox.aws.conditions import VARIABLE
from sandbox.aws.errors import AwsError
from sandbox.aws.identity import version_in_force
from sandbox.aws.policy import Decision, Layer, decide
from sandbox.aws.statements import MalformedPolicy, Request, Statement, Who, parse
from sandbox.aws.written import Kind, check

if TYPE_CHECKING:
    from sandbox.aws.core import Cloud

PAGE = 100
_REFUSED = ("ResourceHandlingOption",)


@dataclass(frozen=True)
class Source:
    """One policy that takes part: IAM's identifier and kind of it, and its text."""

    id: str
    kind: str
    text: str

    @property
    def statements(self) -> tuple[Statement, ...]:
        """The policy, parsed."""
        return parse(self.text)


@dataclass(frozen=True)
class Layers:
    """The policies of one simulation; `boundary` is None without a permissions boundary."""

    identity: tuple[Source, ...]
    boundary: tuple[Source, ...] | None
    resource: tuple[Source, ...] = ()

    def decide(self, request: Request) -> Decision:
        """What enforcement would decide."""
        boundary = None if self.boundary is None else tuple(source.statements for source in self.boundary)
        identity, resource = (tuple(source.statements for source in each) for each in (self.identity, self.resource))
        return decide(request, identity=identity, boundary=boundary, resource=resource)

    def all(self) -> tuple[Source, ...]:
        """Every policy, whatever it limits."""
        return (*self.identity, *(self.boundary or ()), *self.resource)


def simulate_principal(cloud: Cloud, params: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of SimulatePrincipalPolicy. Raises AwsError with IAM's codes."""
    arn = params["PolicySourceArn"]
    owner = _owner(cloud, arn)
    identity = (*_attached(cloud, owner), *_inputs(params, "PolicyInputList"))
    boundary = _boundary_inputs(params)
    if boundary is None and isinstance(owner, Role) and owner.permissions_boundary_arn:
        policy = cloud.directory.iam.managed_policies.get(owner.permissions_boundary_arn)
        boundary = (Source(policy.name, "user-managed", version_in_force(policy)),) if policy else ()
    resource = _resource_policy(params)
    caller = params.get("CallerArn") or arn
    if resource and ":role/" in caller:
        raise AwsError("InvalidInput", "A resource-based policy is simulated for users only, not for roles.")
    role_arn = arn if isinstance(owner, Role) else None
    return _answer(Layers(identity, boundary, resource), Who(cloud.account, caller, role_arn=role_arn), params)


def simulate_custom(cloud: Cloud, params: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of SimulateCustomPolicy: only the policies given. Raises AwsError."""
    caller = params.get("CallerArn") or f"arn:aws:iam::{cloud.account}:user/simulated"
    layers = Layers(_inputs(params, "PolicyInputList"), _boundary_inputs(params), _resource_policy(params))
    return _answer(layers, Who(cloud.account, caller), params)


def _owner(cloud: Cloud, arn: str) -> Role | User:
    iam = cloud.directory.iam
    found = cloud.directory.role(arn) or next((user for user in list(iam.users.values()) if user.arn == arn), None)
    if found is not None:
        return found
    if not arn.startswith(f"arn:aws:iam::{cloud.account}:"):
        raise AwsError("InvalidInput", f"Invalid Entity Arn: {arn} is not a user or role of this account.")
    raise AwsError("NoSuchEntity", f"The entity with ARN {arn} cannot be found.", 404)


def _attached(cloud: Cloud, owner: Role | User) -> Iterator[Source]:
    groups = cloud.directory.iam.get_groups_for_user(owner.name) if isinstance(owner, User) else []
    for each in (owner, *groups):
        kind = type(each).__name__.lower()
        for name, text in each.policies.items():
            yield Source(f"{kind}_{each.name}_{name}", kind, text)
        for policy in each.managed_policies.values():
            yield Source(policy.name, "user-managed", version_in_force(policy))


def _inputs(params: Mapping[str, Any], name: str, written: Kind = Kind.IDENTITY) -> tuple[Source, ...]:
    given = params.get(name) or []
    texts = [given] if isinstance(given, str) else list(given)
    kind = "none" if written is Kind.IDENTITY else "resource"
    sources = tuple(Source(f"{name}.{place}", kind, text) for place, text in enumerate(texts, 1))
    for source in sources:
        try:
            check(source.text, written)
        except MalformedPolicy as error:
            raise AwsError("InvalidInput", f"{source.id}: {error}") from error
    return sources


def _boundary_inputs(params: Mapping[str, Any]) -> tuple[Source, ...] | None:
    return _inputs(params, "PermissionsBoundaryPolicyInputList") or None


def _resource_policy(params: Mapping[str, Any]) -> tuple[Source, ...]:
    found = _inputs(
        params, "ResourcePolicy", Kind.QUEUE
    )  # a queue's policy is the kind that says nothing of where it lies
    if found and not params.get("CallerArn"):
        raise AwsError("InvalidInput", "CallerArn is required with a ResourcePolicy.")
    return found


def _answer(layers: Layers, who: Who, params: Mapping[str, Any]) -> dict[str, Any]:
    if refused := [name for name in _REFUSED if params.get(name)]:
        raise AwsError("InvalidInput", f"The local AWS does not simulate {', '.join(refused)}.")
    context = {
        entry["ContextKeyName"].lower(): tuple(entry["ContextKeyValues"])
        for entry in params.get("ContextEntries") or []
    }
    asked = [
        Request(action, resource, context, who)
        for action in params["ActionNames"]
        for resource in params.get("ResourceArns") or ["*"]
    ]
    marker, size = str(params.get("Marker") or "0"), int(params.get("MaxItems") or PAGE)
    if not marker.isdigit():
        raise AwsError("InvalidInput", "The Marker is not one of this account's.")
    end = int(marker) + size
    results = [_result(layers, request) for request in asked[int(marker) : end]]
    more = end < len(asked)
    return {"EvaluationResults": results, "IsTruncated": more} | ({"Marker": str(end)} if more else {})


def _result(layers: Layers, request: Request) -> dict[str, Any]:
    decision = layers.decide(request)
    word = "allowed" if decision.allowed else "explicitDeny" if decision.explicit else "implicitDeny"
    result = {
        "EvalActionName": request.action,
        "EvalResourceName": request.resource,
        "EvalDecision": word,
        "MatchedStatements": list(_matched(layers, request, decision)),
        "MissingContextValues": _missing(layers.all(), request),
    }
    if layers.boundary is not None:
        within = any(s.allows and s.applies(request) for source in layers.boundary for s in source.statements)
        refused = not decision.allowed and decision.layer is Layer.BOUNDARY
        result["PermissionsBoundaryDecisionDetail"] = {"AllowedByPermissionsBoundary": within and not refused}
    return result


def _matched(layers: Layers, request: Request, decision: Decision) -> Iterator[dict[str, Any]]:
    """The Denies that apply, or else the Allows of the policies that grant (a boundary's grant nothing)."""
    denied = decision.explicit and not decision.allowed
    for source in layers.all() if denied else (*layers.identity, *layers.resource):
        for place, statement in enumerate(source.statements):
            if statement.allows != denied and statement.applies(request):
                start, end = spans(source.text)[place]
                yield {
                    "SourcePolicyId": source.id,
                    "SourcePolicyType": source.kind,
                    "StartPosition": _position(source.text, start),
                    "EndPosition": _position(source.text, end),
                }


def _missing(sources: Sequence[Source], request: Request) -> list[str]:
    """Keys that statements about this action ask for and the simulation was not given."""
    wanted: dict[str, str] = {}
    for statement in (s for source in sources for s in source.statements if s.about(request.action)):
        texts = [*(statement.resources or ())]
        for keys in statement.conditions.values():
            wanted |= {key.lower(): key for key in keys}
            texts += [value for values in keys.values() for value in values]
        names = (found.split(",")[0].strip() for text in texts for found in VARIABLE.findall(text))
        wanted |= {name.lower(): name for name in names if name not in ("*", "?", "$")}
    return sorted(name for key, name in wanted.items() if key not in request.context)


def _position(text: str, offset: int) -> dict[str, int]:
    """Line and column, counted from 1."""
    before = text[:offset]
    return {"Line": before.count("\n") + 1, "Column": offset - (before.rfind("\n") + 1) + 1}


def spans(text: str) -> list[tuple[int, int]]:
    """Where each statement of a policy document begins and ends in its text."""
    decoder = json.JSONDecoder()
    place = _skip(text, 0, "{")
    while True:
        key, place = decoder.raw_decode(text, place)
        place = _skip(text, place, ":")
        if key == "Statement":
            break
        place = _skip(text, decoder.raw_decode(text, place)[1], ",")
    if text[place] == "{":
        return [(place, decoder.raw_decode(text, place)[1])]
    found, place = [], _skip(text, place, "[")
    while text[place] != "]":
        end = decoder.raw_decode(text, place)[1]
        found.append((place, end))
        place = _skip(text, end, ",")
    return found


def _skip(text: str, place: int, mark: str) -> int:
    """The place after white space, the mark (if it is there) and white space."""
    while text[place].isspace():
        place += 1
    if text[place] == mark:
        place += 1
    while text[place].isspace():
        place += 1
    return place
