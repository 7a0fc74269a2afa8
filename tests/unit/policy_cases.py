"""The evaluator's own table: cases written from AWS's documented rules, as data, and what decides one.

Sources are sections of the IAM user guide ("Policy evaluation logic", "IAM JSON policy elements", "Permissions
boundaries", "Policies and permissions": session policies) and of the STS reference. `benchmarks/evaluator.py` counts
the cases that come out right; `test_aws_policy_cases.py` runs each as a test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sandbox.aws.policy import Decision, decide, decide_trust
from sandbox.aws.statements import MalformedPolicy, Request, Who, parse
from sandbox.aws.written import Kind, check

ACCOUNT, OTHER = "123456789012", "210987654321"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s"
USER = f"arn:aws:iam::{ACCOUNT}:user/u"
OBJECT, TARGET = "arn:aws:s3:::b/k", f"arn:aws:iam::{ACCOUNT}:role/target"
QUEUE = f"arn:aws:sqs:us-east-1:{ACCOUNT}:q"
WHO = {
    "session": Who(ACCOUNT, SESSION, role_arn=ROLE),
    "user": Who(ACCOUNT, USER),
    "sagemaker": Who(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", service="sagemaker.amazonaws.com"),
}
ALLOW, DENY, REFUSED = "allow", "deny", "refused"
EXPLICIT = "explicit deny"

Statements = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Case:
    """A rule, the policies of each layer, a request, and how AWS decides it: `allow`, `deny: <layer>` and so on."""

    rule: str
    expected: str
    action: str = "s3:GetObject"
    resource: str = OBJECT
    context: Mapping[str, Any] = field(default_factory=dict)
    who: str = "session"
    version: str | None = "2012-10-17"
    identity: Statements = ()
    boundary: Statements | None = None
    session: Statements | None = None
    bucket: Statements = ()
    trust: Statements | None = None
    written: tuple[Any, Kind] | None = None

    def outcome(self) -> str:
        """What the evaluator makes of it, in the words of `expected`."""
        if self.written is not None:
            return _written(*self.written)
        values = {key: value if isinstance(value, tuple) else (value,) for key, value in self.context.items()}
        request = Request(
            self.action, self.resource, {key.lower(): value for key, value in values.items()}, WHO[self.who]
        )
        layers = {"identity": self._parsed(self.identity), "boundary": self._parsed(self.boundary)}
        layers["session"] = self._parsed(self.session)
        if self.trust is None:
            return _said(decide(request, resource=self._parsed(self.bucket) or (), **layers))  # type: ignore[arg-type]
        trust = parse({"Version": "2012-10-17", "Statement": list(self.trust)})
        return _said(decide_trust(request, trust=trust, **layers))  # type: ignore[arg-type]

    def _parsed(self, statements: Statements | None) -> Any:
        if statements is None:
            return None
        version = {} if self.version is None else {"Version": self.version}
        return (parse({**version, "Statement": list(statements)}),)


def _said(decision: Decision) -> str:
    if decision.allowed:
        return ALLOW
    return f"{EXPLICIT if decision.explicit else DENY}: {decision.layer.name.lower()}"


def _written(document: Any, kind: Kind) -> str:
    try:
        check(document, kind, "b")
    except MalformedPolicy:
        return REFUSED
    return ALLOW


def allow(action: Any = "*", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Any = "*", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return allow(action, resource, **more) | {"Effect": "Deny"}


def trusts(principal: Any, action: Any = "sts:AssumeRole", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": principal, "Action": action, **more}


def to(principal: Any, statement: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A statement of a resource policy."""
    return {**(statement or allow()), "Principal": principal}


def cases() -> list[Case]:
    """All of them."""
    groups = (_layers, _actions, _resources, _variables, _operators, _sets, _conditions, _principals, _trust, _writing)
    return [case for group in groups for case in group()]


# --- Policy evaluation logic -------------------------------------------------------------------------------------


def _layers() -> Iterator[Case]:
    every, nothing, odd = [allow()], [], [allow("sqs:*")]
    yield Case("default is deny", "deny: identity")
    yield Case("an allow allows", ALLOW, identity=every)
    yield Case("an explicit deny wins over an allow", "explicit deny: identity", identity=[allow(), deny()])
    yield Case("wherever it stands", "explicit deny: identity", identity=[deny("s3:*"), allow()])
    yield Case("a deny of something else does not", ALLOW, identity=[allow(), deny("sqs:*")])
    yield Case("a deny alone allows nothing else", "deny: identity", identity=[deny("sqs:*")])
    yield Case("no boundary, no limit", ALLOW, identity=every, boundary=None)
    yield Case("an empty boundary allows nothing", "deny: boundary", identity=every, boundary=nothing)
    yield Case("a boundary that does not mention it", "deny: boundary", identity=every, boundary=odd)
    yield Case("a boundary that allows it", ALLOW, identity=every, boundary=every)
    yield Case("a boundary grants nothing", "deny: identity", boundary=every)
    yield Case("a boundary's deny", "explicit deny: boundary", identity=every, boundary=[allow(), deny("s3:Get*")])
    yield Case("a session policy limits", "deny: session", identity=every, session=odd)
    yield Case("a session policy that allows it", ALLOW, identity=every, session=every)
    yield Case("a session policy grants nothing", "deny: identity", session=every)
    yield Case("a session policy's deny", "explicit deny: session", identity=every, session=[allow(), deny()])
    yield Case("identity, boundary and session agree", ALLOW, identity=every, boundary=every, session=every)
    yield Case("the boundary is asked before the session", "deny: boundary", identity=every, boundary=odd, session=odd)
    yield Case("all three must, the session does not", "deny: session", identity=every, boundary=every, session=odd)
    yield Case(
        "a deny in one beats allows in all", "explicit deny: boundary", identity=every, boundary=[deny()], session=every
    )
    yield Case("a deny beats a missing allow", "explicit deny: session", session=[deny()])
    # resource-based policies, same account
    yield Case("a bucket policy alone allows, naming the role", ALLOW, bucket=[to({"AWS": ROLE})])
    yield Case(
        "a role named is limited by its boundary", "deny: boundary", bucket=[to({"AWS": ROLE})], boundary=nothing
    )
    yield Case("a role named is limited by the session", "deny: session", bucket=[to({"AWS": ROLE})], session=nothing)
    yield Case("the session named is not limited by a boundary", ALLOW, bucket=[to({"AWS": SESSION})], boundary=nothing)
    yield Case(
        "the session named is not limited by session policies", ALLOW, bucket=[to({"AWS": SESSION})], session=odd
    )
    yield Case("a user named is not limited by a boundary", ALLOW, who="user", bucket=[to({"AWS": USER})], boundary=odd)
    deny_all = [deny()]
    yield Case("but by its deny", "explicit deny: boundary", bucket=[to({"AWS": SESSION})], boundary=deny_all)
    yield Case(
        "and by the identity's deny", "explicit deny: identity", bucket=[to({"AWS": SESSION})], identity=deny_all
    )
    yield Case(
        "a bucket's deny beats the identity", "explicit deny: resource", identity=every, bucket=[to("*", deny())]
    )
    yield Case("a bucket's deny for others does not", ALLOW, identity=every, bucket=[to({"AWS": USER}, deny())])
    yield Case("the account named leaves it to the identity", "deny: identity", bucket=[to({"AWS": ACCOUNT})])
    yield Case("and the identity allows", ALLOW, identity=every, bucket=[to({"AWS": ACCOUNT})])
    yield Case("everybody named is enough in the account", ALLOW, bucket=[to("*")])
    yield Case("everybody named is limited by a boundary", "deny: boundary", bucket=[to("*")], boundary=odd)
    yield Case("a policy for another role", "deny: identity", bucket=[to({"AWS": f"{ROLE}2"})])
    yield Case("a policy for another account", "deny: identity", bucket=[to({"AWS": OTHER})])


# --- Action, NotAction -------------------------------------------------------------------------------------------


def _actions() -> Iterator[Case]:
    rows: list[tuple[str, str, Any, str]] = [
        ("actions know no case", "Action", "S3:getobject", ALLOW),
        ("a question mark is one character", "Action", "s3:Get?bject", ALLOW),
        ("and not none", "Action", "s3:GetObject?", DENY),
        ("a dot is a dot", "Action", "s3:Get.bject", DENY),
        ("no prefix match without a wildcard", "Action", "s3:Get", DENY),
        ("a star in the middle", "Action", "s3:*Object", ALLOW),
        ("a star for nothing", "Action", "s3:GetObject*", ALLOW),
        ("a list is any of them", "Action", ["sqs:*", "s3:Get*"], ALLOW),
        ("another service", "Action", "sqs:*", DENY),
        ("NotAction is all others", "NotAction", "sqs:*", ALLOW),
        ("NotAction leaves out what it names", "NotAction", "s3:*", DENY),
        ("NotAction of a list leaves out each", "NotAction", ["sqs:*", "s3:GetObject"], DENY),
        ("NotAction knows no case", "NotAction", "S3:GETOBJECT", DENY),
    ]
    for rule, element, value, expected in rows:
        found = {"Effect": "Allow", element: value, "Resource": "*"}
        yield Case(rule, f"{DENY}: identity" if expected == DENY else ALLOW, identity=[found])
    denied = {"Effect": "Deny", "NotAction": "sqs:*", "Resource": "*"}
    yield Case("Deny with NotAction denies all others", "explicit deny: identity", identity=[allow(), denied])
    spared = {"Effect": "Deny", "NotAction": "s3:Get*", "Resource": "*"}
    yield Case("Deny with NotAction spares what it names", ALLOW, identity=[allow(), spared])
    alone = {"Effect": "Deny", "NotAction": "s3:Get*", "Resource": "*"}
    yield Case("which does not allow it", "deny: identity", identity=[alone])


# --- Resource, NotResource ---------------------------------------------------------------------------------------


def _resources() -> Iterator[Case]:
    sagemaker = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:"
    rows: list[tuple[str, str, Any, str, str]] = [
        ("an exact ARN", "Resource", OBJECT, OBJECT, ALLOW),
        ("ARNs know case", "Resource", "arn:aws:s3:::B/k", OBJECT, DENY),
        ("a star spans slashes", "Resource", "arn:aws:s3:::b/*", "arn:aws:s3:::b/x/y", ALLOW),
        ("a bucket is not its objects", "Resource", "arn:aws:s3:::b", OBJECT, DENY),
        ("objects are not their bucket", "Resource", "arn:aws:s3:::b/*", "arn:aws:s3:::b", DENY),
        ("plus is no operator", "Resource", "arn:aws:s3:::b+/k", "arn:aws:s3:::bb/k", DENY),
        ("a question mark is one character", "Resource", "arn:aws:s3:::?/k", OBJECT, ALLOW),
        ("a list is any of them", "Resource", ["arn:aws:s3:::c/*", OBJECT], OBJECT, ALLOW),
        ("an action without resources needs the star", "Resource", f"{sagemaker}*", "*", DENY),
        ("which is the star", "Resource", "*", "*", ALLOW),
        (
            "a wildcard in a middle segment",
            "Resource",
            f"arn:aws:sagemaker:*:{ACCOUNT}:pipeline/p",
            f"{sagemaker}pipeline/p",
            ALLOW,
        ),
        ("does not span segments", "Resource", "arn:aws:sagemaker:*:pipeline/p", f"{sagemaker}pipeline/p", DENY),
        ("nor the service's", "Resource", "arn:aws:*:p/p", "arn:aws:x:::p/p", DENY),
        (
            "the last segment may hold colons",
            "Resource",
            f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:*",
            f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:g:log-stream:s",
            ALLOW,
        ),
        ("NotResource is all others", "NotResource", "arn:aws:s3:::c/*", OBJECT, ALLOW),
        ("NotResource leaves out what it names", "NotResource", "arn:aws:s3:::b/*", OBJECT, DENY),
        (
            "NotResource of a list leaves out each",
            "NotResource",
            ["arn:aws:s3:::c/*", "arn:aws:s3:::b/*"],
            OBJECT,
            DENY,
        ),
    ]
    for rule, element, value, resource, expected in rows:
        found = {"Effect": "Allow", "Action": "*", element: value}
        wanted = f"{DENY}: identity" if expected == DENY else ALLOW
        yield Case(rule, wanted, action="x:Do", resource=resource, identity=[found])
    denied = {"Effect": "Deny", "Action": "*", "NotResource": "arn:aws:s3:::c/*"}
    yield Case("Deny with NotResource denies all others", "explicit deny: identity", identity=[allow(), denied])
    spared = {"Effect": "Deny", "Action": "*", "NotResource": "arn:aws:s3:::b/*"}
    yield Case("Deny with NotResource spares what it names", ALLOW, identity=[allow(), spared])


# --- Policy variables --------------------------------------------------------------------------------------------


def _variables() -> Iterator[Case]:
    team, plain, no = "${aws:PrincipalTag/team}", "2008-10-17", "deny: identity"
    one, star, two = (
        {"aws:PrincipalTag/team": "a"},
        {"aws:PrincipalTag/team": "*"},
        {"aws:PrincipalTag/team": ("a", "c")},
    )
    rows: list[tuple[str, str, str, dict[str, Any], str, str]] = [
        ("a variable is its value", f"b/{team}/*", "b/a/k", one, "2012-10-17", ALLOW),
        ("and no other", f"b/{team}/*", "b/c/k", one, "2012-10-17", no),
        ("a star in a value is a star", f"b/{team}/*", "b/c/k", star, "2012-10-17", no),
        ("a literal star matches it", f"b/{team}/*", "b/*/k", star, "2012-10-17", ALLOW),
        ("without a value nothing matches", f"b/{team}/*", "b//k", {}, "2012-10-17", no),
        ("a default stands in", "b/${aws:PrincipalTag/team, 'all'}/*", "b/all/k", {}, "2012-10-17", ALLOW),
        ("only then", "b/${aws:PrincipalTag/team, 'all'}/*", "b/all/k", one, "2012-10-17", no),
        ("a key with several values has none", f"b/{team}/*", "b/a/k", two, "2012-10-17", no),
        ("keys know no case", "b/${AWS:principaltag/TEAM}/*", "b/a/k", one, "2012-10-17", ALLOW),
        ("a star that is a star", "b/${*}", "b/*", {}, "2012-10-17", ALLOW),
        ("and no wildcard", "b/${*}", "b/k", {}, "2012-10-17", no),
        ("a question mark that is one", "b/${?}", "b/k", {}, "2012-10-17", no),
        ("a dollar that is one", "b/${$}", "b/$", {}, "2012-10-17", ALLOW),
        ("the old version has no variables", f"b/{team}", f"b/{team}", one, plain, ALLOW),
        ("where they are text", f"b/{team}", "b/a", one, plain, no),
    ]
    for rule, pattern, resource, context, version, expected in rows:
        found = [allow(resource=f"arn:aws:s3:::{pattern}")]
        at = f"arn:aws:s3:::{resource}"
        yield Case(rule, expected, resource=at, context=context, version=version, identity=found)
    found = [allow(resource=f"arn:aws:s3:::b/{team}")]
    yield Case(
        "no version means the old one", no, resource="arn:aws:s3:::b/a", context=one, version=None, identity=found
    )
    other = {"Effect": "Allow", "Action": "*", "NotResource": f"arn:aws:s3:::b/{team}"}
    yield Case("NotResource without the value grants nothing", no, identity=[other])
    lapsed = {"Effect": "Deny", "Action": "*", "NotResource": f"arn:aws:s3:::b/{team}"}
    yield Case("nor lets a deny lapse", "explicit deny: identity", identity=[allow(), lapsed])
    own = allow(Condition={"StringEquals": {"aws:ResourceTag/owner": "${aws:username}"}})
    both = {"aws:ResourceTag/owner": "me", "aws:username": "me"}
    yield Case("variables in conditions", ALLOW, context=both, identity=[own])
    yield Case("that differ", no, context=both | {"aws:username": "you"}, identity=[own])
    yield Case("that have no value", no, context={"aws:ResourceTag/owner": ""}, identity=[own])
    arns = allow(Condition={"ArnLike": {"aws:SourceArn": "${aws:PrincipalArn}"}})
    yield Case(
        "an ARN as a variable", ALLOW, context={"aws:SourceArn": ROLE, "aws:PrincipalArn": ROLE}, identity=[arns]
    )


# --- Condition operators -----------------------------------------------------------------------------------------

T, F = True, False
_OPERATORS: list[tuple[str, Any, Any, bool]] = [
    ("StringEquals", "a", "a", T),
    ("StringEquals", "a", "A", F),
    ("StringEquals", "a*", "ab", F),
    ("StringEquals", ["a", "b"], "b", T),
    ("StringEquals", ["a", "b"], "c", F),
    ("StringEquals", "a", None, F),
    ("StringNotEquals", "a", "b", T),
    ("StringNotEquals", "a", "a", F),
    ("StringNotEquals", ["a", "b"], "b", F),
    ("StringNotEquals", ["a", "b"], "c", T),
    ("StringNotEquals", "a", None, T),
    ("StringEqualsIgnoreCase", "a", "A", T),
    ("StringEqualsIgnoreCase", "a", "b", F),
    ("StringEqualsIgnoreCase", "a", None, F),
    ("StringNotEqualsIgnoreCase", "a", "A", F),
    ("StringNotEqualsIgnoreCase", "a", "b", T),
    ("StringNotEqualsIgnoreCase", "a", None, T),
    ("StringLike", "a?c*", "abcd", T),
    ("StringLike", "a?c", "abbc", F),
    ("StringLike", "a*", "Abc", F),
    ("StringLike", "*:x", "arn:y:x", T),
    ("StringLike", "a*", None, F),
    ("StringNotLike", "a*", "abc", F),
    ("StringNotLike", "a*", "bcd", T),
    ("StringNotLike", "a*", None, T),
    ("NumericEquals", "10", "10.0", T),
    ("NumericEquals", 10, "10", T),
    ("NumericEquals", "10", "11", F),
    ("NumericEquals", "10", None, F),
    ("NumericNotEquals", "10", "11", T),
    ("NumericNotEquals", "10", "10", F),
    ("NumericNotEquals", "10", None, T),
    ("NumericLessThan", "10", "9", T),
    ("NumericLessThan", "10", "10", F),
    ("NumericLessThan", "10", "many", F),
    ("NumericLessThanEquals", "10", "10", T),
    ("NumericLessThanEquals", "10", "10.5", F),
    ("NumericGreaterThan", "9", "10", T),
    ("NumericGreaterThan", "10", "10", F),
    ("NumericGreaterThanEquals", "10", "10", T),
    ("NumericGreaterThanEquals", "10", "9", F),
    ("DateEquals", "1767225600", "2026-01-01T00:00:00Z", T),
    ("DateEquals", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", F),
    ("DateNotEquals", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", F),
    ("DateNotEquals", "2026-01-01T00:00:00Z", None, T),
    ("DateLessThan", "2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z", T),
    ("DateLessThan", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", F),
    ("DateLessThan", "2026-01-01T00:00:00Z", None, F),
    ("DateLessThanEquals", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", T),
    ("DateGreaterThan", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", T),
    ("DateGreaterThan", "2026-01-01T00:00:00Z", "2025-12-31T23:59:59Z", F),
    ("DateLessThanEquals", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", F),
    ("DateGreaterThanEquals", "2026-01-01", "2026-01-01T00:00:00Z", T),
    ("DateGreaterThanEquals", "2026-01-01", "2025-12-31T23:59:59Z", F),
    ("Bool", "true", "true", T),
    ("Bool", True, "true", T),
    ("Bool", "true", "false", F),
    ("Bool", "false", "false", T),
    ("Bool", "true", None, F),
    ("BinaryEquals", "QmluYXJ5", "QmluYXJ5", T),
    ("BinaryEquals", "QmluYXJ5", "qmluyxj5", F),
    ("IpAddress", "10.0.0.0/8", "10.1.2.3", T),
    ("IpAddress", "10.0.0.0/8", "11.1.2.3", F),
    ("IpAddress", "10.1.2.3", "10.1.2.3", T),
    ("IpAddress", "2001:db8::/32", "2001:db8::1", T),
    ("IpAddress", "2001:db8::/32", "10.1.2.3", F),
    ("IpAddress", "10.0.0.0/8", None, F),
    ("NotIpAddress", "10.0.0.0/8", "11.1.2.3", T),
    ("NotIpAddress", "10.0.0.0/8", "10.1.2.3", F),
    ("NotIpAddress", "10.0.0.0/8", None, T),
    ("ArnEquals", "arn:aws:iam::1:role/a*", "arn:aws:iam::1:role/ab", T),
    ("ArnEquals", "arn:aws:iam::1:role/a", "arn:aws:iam::1:role/A", F),
    ("ArnEquals", "arn:aws:iam::1:role/a", None, F),
    ("ArnLike", "arn:aws:iam::*:role/a", "arn:aws:iam::1:role/a", T),
    ("ArnLike", "arn:aws:iam:*:role/a", "arn:aws:iam::1:role/a", F),
    ("ArnLike", "arn:aws:iam::1:role/*", "arn:aws:iam::1:role/p/a", T),
    ("ArnLike", "*", "arn:aws:iam::1:role/a", T),
    ("ArnLike", "arn:aws:iam::1:role/*", "role/a", F),
    ("ArnNotEquals", "arn:aws:iam::1:role/a", "arn:aws:iam::1:role/b", T),
    ("ArnNotEquals", "arn:aws:iam::1:role/a", "arn:aws:iam::1:role/a", F),
    ("ArnNotLike", "arn:aws:iam::1:role/*", "arn:aws:iam::1:role/b", F),
    ("ArnNotLike", "arn:aws:iam::1:role/*", "arn:aws:iam::2:role/b", T),
    ("ArnNotLike", "arn:aws:iam::1:role/*", None, T),
    ("Null", "true", None, T),
    ("Null", "true", "a", F),
    ("Null", "false", "a", T),
    ("Null", "false", None, F),
    ("StringEqualsIfExists", "a", None, T),
    ("StringEqualsIfExists", "a", "a", T),
    ("StringEqualsIfExists", "a", "b", F),
    ("StringNotEqualsIfExists", "a", None, T),
    ("StringNotEqualsIfExists", "a", "a", F),
    ("StringLikeIfExists", "a*", None, T),
    ("NumericLessThanIfExists", "10", "11", F),
    ("NumericLessThanIfExists", "10", None, T),
    ("DateLessThanIfExists", "2026-01-01", None, T),
    ("BoolIfExists", "true", None, T),
    ("BoolIfExists", "true", "false", F),
    ("IpAddressIfExists", "10.0.0.0/8", None, T),
    ("ArnLikeIfExists", "arn:aws:iam::1:role/*", None, T),
    ("ArnLikeIfExists", "arn:aws:iam::1:role/*", "arn:aws:iam::2:role/a", F),
]


def _operators() -> Iterator[Case]:
    """Each as the condition of an Allow, and what holds in the other direction as that of a Deny."""
    for operator, wanted, actual, holds in _OPERATORS:
        yield _condition(operator, wanted, actual, holds)


def _condition(operator: str, wanted: Any, actual: Any, holds: bool) -> Case:
    context = {} if actual is None else {"k": actual}
    rule = f"{operator} {wanted!r} of {'a missing key' if actual is None else repr(actual)}"
    found = allow(Condition={operator: {"k": wanted}})
    return Case(rule, ALLOW if holds else "deny: identity", context=context, identity=[found])


def _sets() -> Iterator[Case]:
    """Keys with several values: ForAllValues, ForAnyValue, and no qualifier."""
    rows: list[tuple[str, Any, Any, bool]] = [
        ("ForAllValues:StringEquals", ["a", "b"], ("a", "b"), T),
        ("ForAllValues:StringEquals", ["a", "b"], ("a",), T),
        ("ForAllValues:StringEquals", ["a", "b"], ("a", "c"), F),
        ("ForAllValues:StringEquals", ["a"], None, T),
        ("ForAllValues:StringLike", ["env-*"], ("env-1", "env-2"), T),
        ("ForAllValues:StringNotEquals", ["a"], ("b", "c"), T),
        ("ForAllValues:StringNotEquals", ["a"], ("a", "c"), F),
        ("ForAllValues:StringNotEquals", ["a"], None, T),
        ("ForAllValues:StringEqualsIgnoreCase", ["A"], ("a",), T),
        ("ForAnyValue:StringEquals", ["a"], ("b", "a"), T),
        ("ForAnyValue:StringEquals", ["a"], ("b", "c"), F),
        ("ForAnyValue:StringEquals", ["a"], None, F),
        ("ForAnyValue:StringLike", ["env-*"], ("x", "env-1"), T),
        ("ForAnyValue:StringNotEquals", ["a"], ("a", "b"), T),
        ("ForAnyValue:StringNotEquals", ["a"], ("a",), F),
        ("ForAnyValue:StringNotEquals", ["a"], None, F),
        ("ForAnyValue:NumericGreaterThan", ["10"], ("1", "11"), T),
        ("ForAllValues:ArnLike", ["arn:aws:iam::1:role/*"], ("arn:aws:iam::1:role/a", "arn:aws:iam::2:role/a"), F),
    ]
    for row in rows:
        yield _condition(*row)


def _conditions() -> Iterator[Case]:
    block = {"StringEquals": {"aws:A": "1", "aws:B": "2"}, "Null": {"aws:C": "true"}}
    no, both = "deny: identity", {"aws:a": "1", "aws:b": "2"}
    yield Case("all keys of a block hold", ALLOW, context=both, identity=[allow(Condition=block)])
    yield Case("one key that does not", no, context={"aws:a": "1"}, identity=[allow(Condition=block)])
    yield Case("one operator that does not", no, context=both | {"aws:c": "3"}, identity=[allow(Condition=block)])
    yield Case("no condition always holds", ALLOW, identity=[allow(Condition={})])
    missing = deny(Condition={"StringEquals": {"aws:PrincipalTag/team": "a"}})
    yield Case("a deny whose key is missing does not fire", ALLOW, identity=[allow(), missing])
    absent = deny(Condition={"StringNotEquals": {"aws:PrincipalTag/team": "a"}})
    yield Case("a negated one does", "explicit deny: identity", identity=[allow(), absent])
    tls = deny(Condition={"Bool": {"aws:SecureTransport": "false"}})
    plain = {"aws:SecureTransport": "false"}
    yield Case("a deny whose condition holds", "explicit deny: identity", context=plain, identity=[allow(), tls])
    mfa = deny(Condition={"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}})
    yield Case("a deny with IfExists fires without the key", "explicit deny: identity", identity=[allow(), mfa])
    approval = deny(Condition={"Null": {"aws:PrincipalTag/approval": "true"}})
    tagged = {"aws:PrincipalTag/approval": "A-1"}
    yield Case("what is denied without a tag", "explicit deny: identity", identity=[allow(), approval])
    yield Case("is not with it", ALLOW, context=tagged, identity=[allow(), approval])
    bounded = [allow(), approval]
    yield Case("in a boundary too", "explicit deny: boundary", identity=[allow()], boundary=bounded)
    yield Case("in a boundary, with it", ALLOW, context=tagged, identity=[allow()], boundary=bounded)
    revoked = deny(Condition={"DateLessThan": {"aws:TokenIssueTime": "2026-01-01T00:00:00Z"}})
    old, new = ({"aws:TokenIssueTime": f"{year}-06-01T00:00:00Z"} for year in (2025, 2026))
    yield Case(
        "a session older than its revocation", "explicit deny: identity", context=old, identity=[allow(), revoked]
    )
    yield Case("one that began after it", ALLOW, context=new, identity=[allow(), revoked])
    unknown = {"StringSortOf": {"aws:username": "x"}}
    yield Case("an unknown operator grants nothing", no, identity=[allow(Condition=unknown)])
    yield Case("and lets no deny lapse", "explicit deny: identity", identity=[allow(), deny(Condition=unknown)])
    more = unknown | {"StringEquals": {"aws:PrincipalTag/team": "a"}}
    yield Case("a deny's other conditions still count", ALLOW, identity=[allow(), deny(Condition=more)])
    passing = allow(
        "iam:PassRole", TARGET, Condition={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    )
    for service, expected in (("sagemaker", ALLOW), ("cloudformation", no)):
        context = {"iam:PassedToService": f"{service}.amazonaws.com"}
        rule = f"a role passed to {service}"
        yield Case(rule, expected, "iam:PassRole", TARGET, context, identity=[passing])


# --- Principal, NotPrincipal -------------------------------------------------------------------------------------


def _principals() -> Iterator[Case]:
    no = "deny: identity"
    root = f"arn:aws:iam::{ACCOUNT}:root"
    rows: list[tuple[str, Any, str, str]] = [
        ("the role's ARN names its sessions", {"AWS": ROLE}, "session", ALLOW),
        ("the session's ARN", {"AWS": SESSION}, "session", ALLOW),
        ("another session's ARN", {"AWS": f"{SESSION}2"}, "session", no),
        ("the user's ARN", {"AWS": USER}, "user", ALLOW),
        ("the user's ARN is not the role's", {"AWS": USER}, "session", no),
        ("a list is any of them", {"AWS": [USER, ROLE]}, "session", ALLOW),
        ("the account's root is the account", {"AWS": root}, "session", no),
        ("everybody, as an AWS principal", {"AWS": "*"}, "user", ALLOW),
        ("a service is not a caller", {"Service": "s3.amazonaws.com"}, "session", no),
        ("a federation is not a caller", {"Federated": "cognito-identity.amazonaws.com"}, "session", no),
        ("a service by its name", {"Service": "sagemaker.amazonaws.com"}, "sagemaker", ALLOW),
        ("another service", {"Service": "events.amazonaws.com"}, "sagemaker", no),
        ("everybody is no service", "*", "sagemaker", no),
        ("the account is no service", {"AWS": ACCOUNT}, "sagemaker", no),
    ]
    for rule, principal, who, expected in rows:
        yield Case(rule, expected, who=who, bucket=[to(principal)])
    for name, rule, expected in (
        (ROLE, "spares the one it names", ALLOW),
        (USER, "denies all others", "explicit deny: resource"),
    ):
        found = {"Effect": "Deny", "NotPrincipal": {"AWS": name}, "Action": "*", "Resource": "*"}
        yield Case(f"NotPrincipal {rule}", expected, identity=[allow()], bucket=[found])
    source = to({"Service": "sagemaker.amazonaws.com"}, allow("sqs:SendMessage", QUEUE))
    arn = "arn:aws:events:us-east-1:123456789012:rule/r"
    source |= {"Condition": {"ArnEquals": {"aws:SourceArn": arn}}}
    for given, expected in ((arn, ALLOW), (f"{arn}2", no)):
        context = {"aws:SourceArn": given}
        rule = f"a service acting for {given[-2:]}"
        yield Case(rule, expected, "sqs:SendMessage", QUEUE, context, "sagemaker", bucket=[source])


# --- Taking a role -----------------------------------------------------------------------------------------------


def _trust() -> Iterator[Case]:
    mine, anybody, account = trusts({"AWS": ROLE}), trusts("*"), trusts({"AWS": ACCOUNT})
    own, no = [allow("sts:*", TARGET)], "deny: resource"
    asks: dict[str, Any] = {"action": "sts:AssumeRole", "resource": TARGET}
    yield Case("trust that names the caller's role is enough", ALLOW, trust=[mine], **asks)
    yield Case("trust in the account needs the caller's own right", "deny: identity", trust=[account], **asks)
    yield Case("which suffices with it", ALLOW, trust=[account], identity=own, **asks)
    yield Case("trust in everybody needs it too", "deny: identity", trust=[anybody], **asks)
    yield Case("and suffices with it", ALLOW, trust=[anybody], identity=own, **asks)
    yield Case("no trust", no, identity=own, trust=[trusts({"AWS": USER})], **asks)
    yield Case("the caller's deny", "explicit deny: identity", trust=[mine], identity=[deny("sts:*")], **asks)
    yield Case(
        "the trust's deny",
        "explicit deny: resource",
        trust=[mine, trusts("*") | {"Effect": "Deny"}],
        identity=own,
        **asks,
    )
    yield Case(
        "the caller's boundary", "deny: boundary", trust=[account], identity=own, boundary=[allow("s3:*")], **asks
    )
    yield Case(
        "the caller's session policy", "deny: session", trust=[account], identity=own, session=[allow("s3:*")], **asks
    )
    yield Case(
        "trust in a service is not for callers",
        no,
        trust=[trusts({"Service": "sagemaker.amazonaws.com"})],
        identity=own,
        **asks,
    )
    service = {"who": "sagemaker", **asks}
    yield Case(
        "a service takes what names it", ALLOW, trust=[trusts({"Service": "sagemaker.amazonaws.com"})], **service
    )
    yield Case("a service takes nothing else", no, trust=[trusts({"AWS": "*"})], **service)
    external = trusts({"AWS": ROLE}, Condition={"StringEquals": {"sts:ExternalId": "x"}})
    yield Case("the external id", ALLOW, trust=[external], context={"sts:ExternalId": "x"}, **asks)
    yield Case("a wrong one", no, trust=[external], context={"sts:ExternalId": "y"}, **asks)
    yield Case("none", no, trust=[external], **asks)
    stamped = trusts({"AWS": ROLE}, Condition={"StringLike": {"sts:SourceIdentity": "*.*"}})
    yield Case("a source identity that fits", ALLOW, trust=[stamped], context={"sts:SourceIdentity": "T.U"}, **asks)
    yield Case("one that does not", no, trust=[stamped], context={"sts:SourceIdentity": "U"}, **asks)
    setting = {"action": "sts:SetSourceIdentity", "resource": TARGET}
    yield Case("setting one is an action of its own", no, trust=[mine], identity=own, **setting)
    yield Case("that the trust must allow", ALLOW, trust=[trusts({"AWS": ROLE}, "sts:SetSourceIdentity")], **setting)
    tagging = {"action": "sts:TagSession", "resource": TARGET}
    keys = {"ForAllValues:StringEquals": {"aws:TagKeys": ["approval", "requester"]}}
    tags = trusts({"AWS": ROLE}, "sts:TagSession", Condition=keys)
    yield Case("tagging is one too", no, trust=[mine], identity=own, **tagging)
    yield Case("with the tags allowed", ALLOW, trust=[tags], context={"aws:TagKeys": ("approval",)}, **tagging)
    yield Case("and no others", no, trust=[tags], context={"aws:TagKeys": ("approval", "admin")}, **tagging)
    named = trusts({"AWS": ACCOUNT}, Condition={"ArnEquals": {"aws:PrincipalArn": ROLE}})
    yield Case(
        "the account, narrowed to a role",
        ALLOW,
        trust=[named],
        identity=own,
        context={"aws:PrincipalArn": ROLE},
        **asks,
    )
    yield Case("which another is not", no, trust=[named], identity=own, context={"aws:PrincipalArn": USER}, **asks)
    both = trusts({"AWS": ROLE}, ["sts:AssumeRole", "sts:TagSession"])
    yield Case("every statement counts", ALLOW, trust=[trusts({"AWS": USER}), both], **tagging)


# --- Writing a policy --------------------------------------------------------------------------------------------


def _writing() -> Iterator[Case]:
    fine, named = {"Version": "2012-10-17", "Statement": [allow()]}, to("*", allow("s3:*", OBJECT))
    rows: list[tuple[str, Any, Kind, str]] = [
        ("a policy", fine, Kind.IDENTITY, ALLOW),
        ("a single statement needs no list", {"Statement": allow()}, Kind.IDENTITY, ALLOW),
        ("the old version", fine | {"Version": "2008-10-17"}, Kind.IDENTITY, ALLOW),
        ("no JSON", "{", Kind.IDENTITY, REFUSED),
        ("a list", "[]", Kind.IDENTITY, REFUSED),
        ("no statement element", {"Version": "2012-10-17"}, Kind.IDENTITY, REFUSED),
        ("no statements", {"Statement": []}, Kind.IDENTITY, REFUSED),
        ("another version", fine | {"Version": "2020-01-01"}, Kind.IDENTITY, REFUSED),
        ("an unknown element", fine | {"Statements": []}, Kind.IDENTITY, REFUSED),
        ("a principal in an identity policy", {"Statement": [to("*")]}, Kind.IDENTITY, REFUSED),
        ("two statements of one name", {"Statement": [allow(Sid="A"), deny(Sid="A")]}, Kind.IDENTITY, REFUSED),
        ("a name with a space", {"Statement": [allow(Sid="A b")]}, Kind.IDENTITY, REFUSED),
        ("a resource policy", {"Statement": [to("*", allow("sqs:*", QUEUE))]}, Kind.QUEUE, ALLOW),
        ("a resource policy without principal", fine, Kind.QUEUE, REFUSED),
        ("a principal that is no ARN", {"Statement": [to({"AWS": "somebody"})]}, Kind.QUEUE, REFUSED),
        ("a principal with a wildcard", {"Statement": [to({"AWS": f"{ROLE}*"})]}, Kind.QUEUE, REFUSED),
        ("a principal of an unknown kind", {"Statement": [to({"Person": ROLE})]}, Kind.QUEUE, REFUSED),
        ("an account as principal", {"Statement": [to({"AWS": [ACCOUNT, ROLE, SESSION]})]}, Kind.QUEUE, ALLOW),
        ("a bucket's policy", {"Statement": [named]}, Kind.BUCKET, ALLOW),
        (
            "a bucket's policy on another bucket",
            {"Statement": [to("*", allow("s3:*", "arn:aws:s3:::c/*"))]},
            Kind.BUCKET,
            REFUSED,
        ),
        ("a bucket's policy on everything", {"Statement": [to("*", allow("s3:*"))]}, Kind.BUCKET, REFUSED),
        ("a bucket's policy for queues", {"Statement": [to("*", allow("sqs:*", OBJECT))]}, Kind.BUCKET, REFUSED),
        ("trust", {"Statement": [trusts({"AWS": ROLE})]}, Kind.TRUST, ALLOW),
        ("trust with a resource", {"Statement": [to("*", allow("sts:AssumeRole"))]}, Kind.TRUST, REFUSED),
        ("trust in more than taking the role", {"Statement": [trusts("*", "s3:GetObject")]}, Kind.TRUST, REFUSED),
    ]
    statements: list[tuple[str, dict[str, Any], str]] = [
        ("an unknown effect", allow() | {"Effect": "Maybe"}, REFUSED),
        ("no effect", {"Action": "*", "Resource": "*"}, REFUSED),
        ("no action", {"Effect": "Allow", "Resource": "*"}, REFUSED),
        ("Action and NotAction", allow(NotAction="*"), REFUSED),
        ("no resource", {"Effect": "Allow", "Action": "*"}, REFUSED),
        ("Resource and NotResource", allow(NotResource="*"), REFUSED),
        ("an empty list of resources", allow(resource=[]), REFUSED),
        ("an action without a vendor", allow("GetObject"), REFUSED),
        ("an action that is an object", allow({"a": 1}), REFUSED),
        ("a resource that is no ARN", allow(resource="bucket/*"), REFUSED),
        ("a misspelt element", allow(Conditions={}), REFUSED),
        ("an unknown operator", allow(Condition={"StringSortOf": {"a": "b"}}), REFUSED),
        ("an unknown qualifier", allow(Condition={"ForSomeValues:StringEquals": {"a": "b"}}), REFUSED),
        ("Null with IfExists", allow(Condition={"NullIfExists": {"a": "true"}}), REFUSED),
        ("a condition that is a text", allow(Condition={"StringEquals": "x"}), REFUSED),
        ("a qualified operator", allow(Condition={"ForAnyValue:StringLikeIfExists": {"a": "b"}}), ALLOW),
    ]
    for rule, document, kind, expected in rows:
        yield Case(f"writing {rule}", expected, written=(document, kind))
    for rule, statement, expected in statements:
        yield Case(f"writing {rule}", expected, written=({"Statement": [statement]}, Kind.IDENTITY))
    not_all = {"Effect": "Allow", "NotPrincipal": {"AWS": ROLE}, "Action": "sqs:*", "Resource": QUEUE}
    yield Case("writing Allow with NotPrincipal", REFUSED, written=({"Statement": [not_all]}, Kind.QUEUE))
    yield Case(
        "writing Deny with NotPrincipal", ALLOW, written=({"Statement": [not_all | {"Effect": "Deny"}]}, Kind.QUEUE)
    )
