"""AssumeRole as AWS decides it, and the services' own way to take a role.

The caller's policies and the role's trust policy decide together. Session tags need `sts:TagSession`, a source
identity needs `sts:SetSourceIdentity`, on both sides; both travel along a chain of roles (tags if transitive).
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sandbox.aws import context
from sandbox.aws.errors import AwsError
from sandbox.aws.identity import Directory, Principal, Session, version_in_force
from sandbox.aws.policy import decide_trust
from sandbox.aws.statements import MalformedPolicy, Request, Statement, Who, parse
from sandbox.aws.written import Kind, check

if TYPE_CHECKING:
    from moto.iam.models import Role

    from sandbox.aws.core import Cloud, Credentials

LONGEST_SESSION_POLICY = 2048
CHAINED = 3600
SHORTEST = 900
_NAME = re.compile(r"[\w+=,.@-]{2,64}")
_ALPHABET = string.ascii_uppercase + string.digits


class RoleRefused(Exception):
    """A service may not take this role: it does not exist, or its trust policy does not name the service."""


def assume_role(cloud: Cloud, caller: Principal, params: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The answer of AssumeRole for this caller. Raises AwsError with STS's codes."""
    directory = cloud.directory
    _check_shape(params)
    role = directory.role(params["RoleArn"])
    tags, transitive = _session_tags(caller, params)
    source_identity = _source_identity(caller, params)
    if role is None:
        raise _denied(caller, "sts:AssumeRole", params["RoleArn"])
    for action in _actions(tags, source_identity):
        _decide(directory, caller, role, action, cloud.region, params, source_identity, now)
    session = replace(
        _new_session(role, params["RoleSessionName"], now, _duration(caller, role, params)),
        policies=_session_policies(directory, params),
        tags=tags,
        transitive=transitive,
        source_identity=source_identity,
    )
    directory.add(session)
    arn = f"arn:aws:sts::{cloud.account}:assumed-role/{role.name}/{session.name}"
    answer: dict[str, Any] = {
        "Credentials": _credentials(session) | {"Expiration": session.expires.replace(tzinfo=None)},
        "AssumedRoleUser": {"AssumedRoleId": f"{role.id}:{session.name}", "Arn": arn},
        "PackedPolicySize": 6,
    }
    return answer | ({"SourceIdentity": source_identity} if source_identity else {})


def assume_as_service(
    cloud: Cloud, role_arn: str, service: str, session_name: str, source_identity: str | None
) -> Credentials:
    """Credentials for an hour of a role whose trust policy names the service. Raises `RoleRefused`."""
    now = datetime.now(UTC)
    role = cloud.directory.role(role_arn)
    keys = context.of_assume_role({"RoleSessionName": session_name}, source_identity)
    who = Who(cloud.account, f"arn:aws:iam::{cloud.account}:root", service=service)
    actions = ["sts:AssumeRole"] + (["sts:SetSourceIdentity"] if source_identity else [])
    for action in actions:
        request = Request(action, role_arn, {**keys, "aws:sourceaccount": (cloud.account,)}, who)
        if role is None or not decide_trust(request, trust=_trust(role)).allowed:
            raise RoleRefused(f"{service} cannot assume {role_arn}: check that the role exists and its trust policy")
    if role is None:
        raise RoleRefused(f"{role_arn} does not exist")
    name = re.sub(r"[^\w+=,.@-]", "-", session_name)[:64]
    session = replace(_new_session(role, name, now, CHAINED), source_identity=source_identity)
    cloud.directory.add(session)
    return _credentials(session)


def caller_identity(caller: Principal) -> dict[str, str]:
    """The answer of GetCallerIdentity."""
    return {"UserId": caller.user_id, "Account": caller.who.account, "Arn": caller.arn}


def _check_shape(params: Mapping[str, Any]) -> None:
    for name in ("RoleArn", "RoleSessionName"):
        if not params.get(name):
            raise _invalid(f"Value at '{name}' failed to satisfy constraint: Member must not be null")
    for name in ("RoleSessionName", "SourceIdentity"):
        if params.get(name) and not _NAME.fullmatch(params[name]):
            raise _invalid(f"Value '{params[name]}' at '{name}' must satisfy regular expression pattern: [\\w+=,.@-]*")
    if len(params.get("Policy") or "") > LONGEST_SESSION_POLICY:
        raise _invalid("Value at 'policy' failed to satisfy constraint: Member must have length less than 2048")


def _invalid(text: str) -> AwsError:
    return AwsError("ValidationError", f"1 validation error detected: {text}")


def _session_tags(caller: Principal, params: Mapping[str, Any]) -> tuple[dict[str, str], frozenset[str]]:
    """The session's tags with those inherited from the chain, and which of them travel on. Raises AwsError."""
    given = {tag["Key"]: tag["Value"] for tag in params.get("Tags") or []}
    session = caller.session
    inherited = {key: session.tags[key] for key in session.transitive} if session else {}
    if clash := {key.lower() for key in given} & {key.lower() for key in inherited}:
        raise _invalid_parameter(f"One of the specified transitive tag keys can't be set: {', '.join(sorted(clash))}")
    transitive = frozenset(params.get("TransitiveTagKeys") or [])
    if missing := transitive - set(given):
        raise _invalid_parameter(f"Transitive tag keys must be present in the tags: {', '.join(sorted(missing))}")
    return {**inherited, **given}, transitive | frozenset(inherited)


def _invalid_parameter(text: str) -> AwsError:
    return AwsError("InvalidParameterValue", text)


def _source_identity(caller: Principal, params: Mapping[str, Any]) -> str | None:
    given: str | None = params.get("SourceIdentity")
    if caller.source_identity is not None and given not in (None, caller.source_identity):
        raise _denied(caller, "sts:SetSourceIdentity", params["RoleArn"])
    return caller.source_identity or given


def _actions(tags: Mapping[str, str], source_identity: str | None) -> list[str]:
    return [
        "sts:AssumeRole",
        *(["sts:TagSession"] if tags else []),
        *(["sts:SetSourceIdentity"] if source_identity else []),
    ]


def _decide(
    directory: Directory,
    caller: Principal,
    role: Role,
    action: str,
    region: str,
    params: Mapping[str, Any],
    source_identity: str | None,
    now: datetime,
) -> None:
    keys = context.of_caller(caller, region, now) | context.of_assume_role(params, source_identity)
    tags = {f"aws:resourcetag/{key}".lower(): (value,) for key, value in directory.role_tags(role).items()}
    decision = decide_trust(
        Request(action, role.arn, {**keys, **tags}, caller.who),
        trust=_trust(role),
        identity=directory.identity_policies(caller),
        boundary=directory.boundary(caller),
        session=directory.session_policies(caller),
    )
    if not decision.allowed:
        raise _denied(caller, action, role.arn, decision.why_denied(action))


def _denied(caller: Principal, action: str, role_arn: str, why: str | None = None) -> AwsError:
    # A role that does not exist answers like one whose trust policy does not name the caller.
    reason = why or f"because no resource-based policy allows the {action} action"
    text = f"User: {caller.arn} is not authorized to perform: {action} on resource: {role_arn} {reason}"
    return AwsError("AccessDenied", text, 403)


def _trust(role: Role) -> tuple[Statement, ...]:
    return parse(role.assume_role_policy_document)


def _duration(caller: Principal, role: Role, params: Mapping[str, Any]) -> int:
    longest = int(role.max_session_duration or 3600)
    if caller.session is not None:
        longest = CHAINED
    seconds = int(params.get("DurationSeconds") or min(3600, longest))
    if seconds < SHORTEST:
        raise _invalid(f"Value '{seconds}' at 'durationSeconds' must have value greater than or equal to {SHORTEST}")
    if seconds > longest:
        limit = "1 hour session limit for roles assumed by role chaining" if caller.session else "MaxSessionDuration"
        raise AwsError("ValidationError", f"The requested DurationSeconds exceeds the {limit} set for this role.")
    return seconds


def _session_policies(directory: Directory, params: Mapping[str, Any]) -> tuple[str, ...]:
    documents = [params["Policy"]] if params.get("Policy") else []
    for item in params.get("PolicyArns") or []:
        policy = directory.iam.managed_policies.get(item["arn"])
        if policy is None:
            raise AwsError("MalformedPolicyDocument", f"Policy {item['arn']} does not exist.")
        documents.append(version_in_force(policy))
    for document in documents:
        try:
            check(document, Kind.IDENTITY)
        except MalformedPolicy as error:
            raise AwsError("MalformedPolicyDocument", str(error)) from error
    return tuple(documents)


def _new_session(role: Role, name: str, issued: datetime, seconds: int) -> Session:
    return Session(
        access_key_id="ASIA" + "".join(secrets.choice(_ALPHABET) for _ in range(16)),
        secret=secrets.token_urlsafe(30),
        token="FwoG" + secrets.token_urlsafe(120),
        role_arn=role.arn,
        role_name=role.name,
        role_id=role.id,
        name=name,
        issued=issued,
        expires=issued + timedelta(seconds=seconds),
    )


def _credentials(session: Session) -> Credentials:
    return {
        "AccessKeyId": session.access_key_id,
        "SecretAccessKey": session.secret,
        "SessionToken": session.token,
        "Expiration": session.expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
