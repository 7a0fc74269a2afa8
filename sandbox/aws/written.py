"""Policies when they are written: what AWS refuses then, so that nothing reaches evaluation that cannot be evaluated.

Messages are IAM's. S3, SQS and SNS refuse the same with codes of their own (`sandbox.aws.authorize`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from enum import Enum
from typing import Any

from sandbox.aws.conditions import known_operator
from sandbox.aws.statements import MalformedPolicy, Statement, parse

_DOCUMENT = frozenset({"Version", "Id", "Statement"})
_STATEMENT = frozenset(
    {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)
_SID = re.compile(r"[0-9A-Za-z]*")
_ACTION = re.compile(r"\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+")
_RESOURCE = re.compile(r"\*|arn:[^:]*:[^:]*:[^:]*:[^:]*:.+", re.DOTALL)
_PRINCIPAL = re.compile(r"\*|\d{12}|arn:aws[a-z-]*:(iam|sts)::\d{12}:[^*?]+")
_KINDS = frozenset({"AWS", "Service", "Federated", "CanonicalUser"})


class Kind(Enum):
    """Where a policy is written: on an identity (or as a session's), as a role's trust, on a bucket, queue or topic."""

    IDENTITY = "identity"
    TRUST = "trust"
    BUCKET = "bucket"
    QUEUE = "queue"
    TOPIC = "topic"


def check(document: str | Mapping[str, Any], kind: Kind, bucket: str = "") -> None:
    """Refuse what AWS refuses when a policy of this kind is written. Raises `MalformedPolicy`."""
    statements = parse(document)
    _check_form(json.loads(document) if isinstance(document, str) else document)
    names = Counter(statement.name for statement in statements)
    if not statements:
        raise MalformedPolicy("Syntax errors in policy.")
    if any(count > 1 for count in names.values()):
        raise MalformedPolicy("Statement IDs (SID) in a single policy must be unique.")
    for statement in statements:
        _check_everywhere(statement)
        (_check_identity if kind is Kind.IDENTITY else _check_resource_policy)(statement)
        if kind is Kind.TRUST:
            _check_trust(statement)
        if kind is Kind.BUCKET:
            _check_bucket(statement, bucket)


def size(document: str) -> int:
    """Characters of a policy as IAM counts them: white space does not count."""
    return sum(not char.isspace() for char in document)


def _check_form(document: Mapping[str, Any]) -> None:
    raw = document["Statement"]
    for statement in [raw] if isinstance(raw, Mapping) else raw:
        if unknown := set(statement) - _STATEMENT:
            raise MalformedPolicy(f"Syntax errors in policy: {', '.join(sorted(unknown))} is no element.")
    if unknown := set(document) - _DOCUMENT:
        raise MalformedPolicy(f"Syntax errors in policy: {', '.join(sorted(unknown))} is no element.")


def _check_everywhere(statement: Statement) -> None:
    for operator in statement.conditions:
        if not known_operator(operator):
            raise MalformedPolicy(f"Invalid Condition type : {operator}.")
    if not statement.actions or not all(_ACTION.fullmatch(action) for action in statement.actions):
        raise MalformedPolicy("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
    for resource in statement.resources or ():
        if not _RESOURCE.fullmatch(resource):
            raise MalformedPolicy(f'Resource {resource} must be in ARN format or "*".')


def _check_identity(statement: Statement) -> None:
    if statement.principals is not None:
        raise MalformedPolicy("Policy document should not specify a principal.")
    if not statement.resources:
        raise MalformedPolicy("Policy statement must contain resources.")
    if not statement.name.startswith("#") and not _SID.fullmatch(statement.name):
        raise MalformedPolicy("Statement IDs (SID) must be alpha-numeric.")


def _check_resource_policy(statement: Statement) -> None:
    if not statement.principals:
        raise MalformedPolicy("Missing required field Principal.")
    if statement.not_principals and statement.allows:
        raise MalformedPolicy("NotPrincipal may only be used with Deny.")
    for kind, name in statement.principals:
        if kind not in _KINDS or (kind == "AWS" and not _PRINCIPAL.fullmatch(name)):
            raise MalformedPolicy(f'Invalid principal in policy: "{kind}":"{name}"')


def _check_trust(statement: Statement) -> None:
    if statement.resources is not None:
        raise MalformedPolicy("Has prohibited field Resource.")
    if not all(action.lower().startswith("sts:") for action in statement.actions):
        raise MalformedPolicy("AssumeRole policy may only specify STS AssumeRole actions.")


def _check_bucket(statement: Statement, bucket: str) -> None:
    own = f"arn:aws:s3:::{bucket}"
    if not statement.resources or not all(r == own or r.startswith(f"{own}/") for r in statement.resources):
        raise MalformedPolicy("Policy has invalid resource.")
    if not all(action == "*" or action.lower().startswith("s3:") for action in statement.actions):
        raise MalformedPolicy("Policy has invalid action.")
