"""The laws of the policy evaluator: what Hypothesis cannot break, and a table of every condition operator."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.aws.conditions import known_operator
from sandbox.aws.policy import Decision, Layer, decide, decide_trust
from sandbox.aws.statements import MalformedPolicy, Request, Who, check, parse

ME = Who("123456789012", "arn:aws:sts::123456789012:assumed-role/r/s", role_arn="arn:aws:iam::123456789012:role/r")
ACTIONS = ["s3:GetObject", "s3:PutObject", "sqs:SendMessage"]
RESOURCES = ["arn:aws:s3:::b/dev/k", "arn:aws:s3:::b/prod/k", "arn:aws:sqs:us-east-1:123456789012:q"]
CONDITIONS: list[dict[str, Any]] = [
    {},
    {"StringEquals": {"aws:PrincipalTag/team": "a"}},
    {"StringNotEquals": {"aws:PrincipalTag/team": "a"}},
    {"StringLikeIfExists": {"aws:RequestTag/Environment": "d*"}},
    {"ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}},
    {"Null": {"aws:RequestTag/Environment": "true"}},
    {"NumericLessThan": {"s3:max-keys": "10"}},
]
CONTEXTS: list[dict[str, tuple[str, ...]]] = [
    {},
    {"aws:principaltag/team": ("a",)},
    {"aws:principaltag/team": ("b",), "aws:requesttag/environment": ("dev",), "aws:tagkeys": ("team",)},
    {"s3:max-keys": ("5",), "aws:tagkeys": ("team", "other")},
]

statements = st.fixed_dictionaries(
    {
        "Effect": st.sampled_from(["Allow", "Deny"]),
        "Action": st.sampled_from([*ACTIONS, "s3:*", "*", "S3:get*", "sqs:?endMessage"]),
        "Resource": st.sampled_from([*RESOURCES, "*", "arn:aws:s3:::b/*", "arn:aws:s3:::b/${aws:PrincipalTag/team}/*"]),
        "Condition": st.sampled_from(CONDITIONS),
    }
)
allows = statements.map(lambda statement: statement | {"Effect": "Allow"})
denies = statements.map(lambda statement: statement | {"Effect": "Deny"})
lists = st.lists(statements, max_size=4)
requests = st.builds(
    Request, st.sampled_from(ACTIONS), st.sampled_from(RESOURCES), st.sampled_from(CONTEXTS), st.just(ME)
)


def policies(found: list[dict[str, Any]]) -> Any:
    return (parse({"Version": "2012-10-17", "Statement": found}),)


def grants(found: list[dict[str, Any]], principal: Any = "*") -> Any:
    return policies([statement | {"Principal": principal} for statement in found])


def everything(effect: str = "Allow") -> list[dict[str, Any]]:
    return [{"Effect": effect, "Action": "*", "Resource": "*"}]


# --- laws --------------------------------------------------------------------------------------------------------


@given(lists, lists, requests)
def test_nothing_is_allowed_by_default(boundary: list[Any], session: list[Any], request: Request) -> None:
    decision = decide(request, boundary=policies(boundary), session=policies(session))
    assert not decision.allowed


@given(lists, denies, requests, st.sampled_from(["identity", "boundary", "session", "resource"]))
def test_a_deny_that_applies_wins_wherever_it_stands(
    found: list[Any], deny: dict[str, Any], request: Request, layer: str
) -> None:
    layers = {name: policies(everything()) for name in ("identity", "boundary", "session")}
    layers["resource"] = grants(found)
    wanted = grants([deny]) if layer == "resource" else policies([deny])
    layers[layer] = (*layers[layer], *wanted)
    if wanted[0][0].applies(request):
        decision = decide(request, **layers)
        assert (decision.allowed, decision.explicit) == (False, True)


@given(lists, lists, requests)
def test_boundary_and_session_policies_never_add(found: list[Any], more: list[Any], request: Request) -> None:
    plain = decide(request, identity=policies(found))
    for layer in ("boundary", "session"):
        limited = decide(request, identity=policies(found), **{layer: policies(more)})
        assert plain.allowed or not limited.allowed


@given(lists, requests)
def test_a_boundary_that_allows_everything_changes_nothing(found: list[Any], request: Request) -> None:
    wide = policies(everything())
    assert decide(request, identity=policies(found)).allowed == (
        decide(request, identity=policies(found), boundary=wide, session=wide).allowed
    )


@given(lists, lists, requests, st.randoms())
def test_order_does_not_matter(found: list[Any], granted: list[Any], request: Request, random: Any) -> None:
    first = decide(request, identity=policies(found), resource=grants(granted))
    random.shuffle(found)
    random.shuffle(granted)
    one_each = tuple(parse({"Version": "2012-10-17", "Statement": statement}) for statement in found)
    second = decide(request, identity=one_each, resource=grants(granted))
    assert (first.allowed, first.explicit) == (second.allowed, second.explicit)


@given(lists, statements, requests)
def test_an_unknown_operator_grants_nothing_and_lets_no_deny_lapse(
    found: list[Any], statement: dict[str, Any], request: Request
) -> None:
    odd = statement | {"Condition": {**statement["Condition"], "StringSortOf": {"aws:username": "x"}}}
    with_odd = decide(request, identity=policies([*found, odd]))
    if statement["Effect"] == "Allow":
        assert with_odd.allowed == decide(request, identity=policies(found)).allowed
    else:
        assert with_odd.allowed == decide(request, identity=policies([*found, statement])).allowed


@given(lists, requests)
def test_one_more_allow_never_takes_away(found: list[Any], request: Request) -> None:
    if decide(request, identity=policies(found)).allowed:
        assert decide(request, identity=policies(found + everything())).allowed


@given(lists, allows, requests)
def test_one_more_deny_never_adds(found: list[Any], statement: dict[str, Any], request: Request) -> None:
    deny = statement | {"Effect": "Deny"}
    if not decide(request, identity=policies(found)).allowed:
        assert not decide(request, identity=policies([*found, deny])).allowed


# --- matching ----------------------------------------------------------------------------------------------------


def allowed(statement: dict[str, Any], action: str, resource: str, version: str = "2012-10-17", **context: Any) -> bool:
    values = {key: value if isinstance(value, tuple) else (value,) for key, value in context.items()}
    document = {"Version": version, "Statement": {"Effect": "Allow", **statement}}
    return decide(Request(action, resource, values, ME), identity=(parse(document),)).allowed


@pytest.mark.parametrize(
    ("element", "pattern", "value", "matches"),
    [
        ("Action", "S3:getobject", "s3:GetObject", True),
        ("Action", "s3:Get?bject", "s3:GetObject", True),
        ("Action", "s3:Get.bject", "s3:GetObject", False),
        ("Action", "s3:Get", "s3:GetObject", False),
        ("Action", ["sqs:*", "s3:Get*"], "s3:GetObject", True),
        ("NotAction", "s3:*", "s3:GetObject", False),
        ("NotAction", "sqs:*", "s3:GetObject", True),
    ],
)
def test_actions(element: str, pattern: Any, value: str, matches: bool) -> None:
    assert allowed({element: pattern, "Resource": "*"}, value, "arn:aws:s3:::b/k") is matches


@pytest.mark.parametrize(
    ("element", "pattern", "value", "matches"),
    [
        ("Resource", "arn:aws:s3:::b/*", "arn:aws:s3:::b/a/b", True),
        ("Resource", "arn:aws:s3:::B/*", "arn:aws:s3:::b/a", False),
        ("Resource", "arn:aws:s3:::b", "arn:aws:s3:::b/a", False),
        ("Resource", "arn:aws:s3:::b+c/*", "arn:aws:s3:::bbc/a", False),
        ("Resource", "arn:aws:s3:::b/*", "*", False),
        ("Resource", "*", "*", True),
        ("NotResource", "arn:aws:s3:::b/*", "arn:aws:s3:::b/a", False),
        ("NotResource", "arn:aws:s3:::b/*", "arn:aws:s3:::c/a", True),
    ],
)
def test_resources(element: str, pattern: Any, value: str, matches: bool) -> None:
    assert allowed({"Action": "*", element: pattern}, "s3:GetObject", value) is matches


@pytest.mark.parametrize(
    ("pattern", "resource", "tags", "version", "matches"),
    [
        ("b/${aws:PrincipalTag/team}/*", "b/a/k", {"aws:principaltag/team": "a"}, "2012-10-17", True),
        ("b/${aws:PrincipalTag/team}/*", "b/x/k", {"aws:principaltag/team": "a"}, "2012-10-17", False),
        ("b/${aws:PrincipalTag/team}/*", "b/x/k", {"aws:principaltag/team": "*"}, "2012-10-17", False),
        ("b/${aws:PrincipalTag/team}/*", "b//k", {}, "2012-10-17", False),
        ("b/${aws:PrincipalTag/team, 'all'}/*", "b/all/k", {}, "2012-10-17", True),
        ("b/${aws:PrincipalTag/team}/*", "b/a/k", {"aws:principaltag/team": ("a", "b")}, "2012-10-17", False),
        ("b/${*}", "b/*", {}, "2012-10-17", True),
        ("b/${*}", "b/k", {}, "2012-10-17", False),
        ("b/${aws:PrincipalTag/team}", "b/${aws:PrincipalTag/team}", {}, "2008-10-17", True),
    ],
)
def test_policy_variables(pattern: str, resource: str, tags: dict[str, Any], version: str, matches: bool) -> None:
    arn = "arn:aws:s3:::"
    assert (
        allowed({"Action": "*", "Resource": arn + pattern}, "s3:GetObject", arn + resource, version, **tags) is matches
    )


T, F = True, False


@pytest.mark.parametrize(
    ("operator", "wanted", "actual", "holds"),
    [
        ("StringEquals", "a", "a", T),
        ("StringEquals", "a", "A", F),
        ("StringEquals", "a*", "ab", F),
        ("StringEquals", ["a", "b"], "b", T),
        ("StringEquals", "a", None, F),
        ("StringNotEquals", "a", "b", T),
        ("StringNotEquals", ["a", "b"], "b", F),
        ("StringNotEquals", "a", None, T),
        ("StringEqualsIgnoreCase", "a", "A", T),
        ("StringEqualsIgnoreCase", "a", "b", F),
        ("StringNotEqualsIgnoreCase", "a", "A", F),
        ("StringNotEqualsIgnoreCase", "a", None, T),
        ("StringLike", "a?c*", "abcd", T),
        ("StringLike", "a?c", "abbc", F),
        ("StringNotLike", "a*", "abc", F),
        ("StringNotLike", "a*", "bcd", T),
        ("NumericEquals", "10", "10.0", T),
        ("NumericNotEquals", "10", "11", T),
        ("NumericLessThan", "10", "9", T),
        ("NumericLessThan", "10", "10", F),
        ("NumericLessThanEquals", "10", "10", T),
        ("NumericGreaterThan", "9", "10", T),
        ("NumericGreaterThan", "10", "10", F),
        ("NumericGreaterThanEquals", "10", "10", T),
        ("NumericLessThan", "10", "many", F),
        ("DateLessThan", "2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z", T),
        ("DateLessThan", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", F),
        ("DateLessThanEquals", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", T),
        ("DateGreaterThan", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", T),
        ("DateGreaterThanEquals", "2026-01-01", "2026-01-01T00:00:00Z", T),
        ("DateEquals", "1767225600", "2026-01-01T00:00:00Z", T),
        ("DateNotEquals", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", F),
        ("Bool", "true", "true", T),
        ("Bool", True, "true", T),
        ("Bool", "true", "false", F),
        ("Bool", "true", None, F),
        ("BinaryEquals", "QmluYXJ5", "QmluYXJ5", T),
        ("BinaryEquals", "QmluYXJ5", "qmluyxj5", F),
        ("IpAddress", "10.0.0.0/8", "10.1.2.3", T),
        ("IpAddress", "10.0.0.0/8", "11.1.2.3", F),
        ("NotIpAddress", "10.0.0.0/8", "11.1.2.3", T),
        ("NotIpAddress", "10.0.0.0/8", None, T),
        ("ArnEquals", "arn:aws:iam::1:role/a*", "arn:aws:iam::1:role/ab", T),
        ("ArnLike", "arn:aws:iam::*:role/a", "arn:aws:iam::1:role/a", T),
        ("ArnLike", "arn:aws:iam:*:role/a", "arn:aws:iam::1:role/a", F),
        ("ArnNotEquals", "arn:aws:iam::1:role/a", "arn:aws:iam::1:role/b", T),
        ("ArnNotLike", "arn:aws:iam::1:role/*", "arn:aws:iam::1:role/b", F),
        ("ArnNotLike", "arn:aws:iam::1:role/*", None, T),
        ("Null", "true", None, T),
        ("Null", "true", "a", F),
        ("Null", "false", "a", T),
        ("Null", "false", None, F),
        ("StringEqualsIfExists", "a", None, T),
        ("StringEqualsIfExists", "a", "b", F),
        ("BoolIfExists", "true", None, T),
        ("ForAllValues:StringEquals", ["a", "b"], ("a", "b"), T),
        ("ForAllValues:StringEquals", ["a", "b"], ("a", "c"), F),
        ("ForAllValues:StringEquals", ["a"], None, T),
        ("ForAllValues:StringNotEquals", ["a"], ("b", "c"), T),
        ("ForAllValues:StringNotEquals", ["a"], ("a", "c"), F),
        ("ForAnyValue:StringEquals", ["a"], ("b", "a"), T),
        ("ForAnyValue:StringEquals", ["a"], ("b", "c"), F),
        ("ForAnyValue:StringEquals", ["a"], None, F),
        ("ForAnyValue:StringNotEquals", ["a"], ("a", "b"), T),
        ("ForAnyValue:StringNotEquals", ["a"], None, F),
        ("StringEquals", "a", ("b", "a"), T),
        ("StringNotEquals", "a", ("b", "a"), F),
        ("ForAnyValue:StringLike", ["env-*"], ("x", "env-1"), T),
    ],
)
def test_condition_operators(operator: str, wanted: Any, actual: Any, holds: bool) -> None:
    assert known_operator(operator)
    context = {} if actual is None else {"k": actual}
    statement = {"Action": "*", "Resource": "*", "Condition": {operator: {"k": wanted}}}
    assert allowed(statement, "s3:GetObject", "*", **context) is holds


def test_conditions_and_together_and_their_keys_ignore_case() -> None:
    block = {"StringEquals": {"aws:A": "1", "aws:B": "2"}, "Null": {"aws:C": "true"}}
    statement = {"Action": "*", "Resource": "*", "Condition": block}
    assert allowed(statement, "s3:GetObject", "*", **{"aws:a": "1", "aws:b": "2"})
    assert not allowed(statement, "s3:GetObject", "*", **{"aws:a": "1"})
    assert not allowed(statement, "s3:GetObject", "*", **{"aws:a": "1", "aws:b": "2", "aws:c": "3"})


def test_variables_in_conditions() -> None:
    block = {"StringEquals": {"aws:ResourceTag/owner": "${aws:username}"}}
    statement = {"Action": "*", "Resource": "*", "Condition": block}
    assert allowed(statement, "s3:GetObject", "*", **{"aws:resourcetag/owner": "me", "aws:username": "me"})
    assert not allowed(statement, "s3:GetObject", "*", **{"aws:resourcetag/owner": "me"})


# --- resource policies and trust ---------------------------------------------------------------------------------

READ = Request("s3:GetObject", RESOURCES[0], {}, ME)


@pytest.mark.parametrize(
    ("principal", "alone", "within_boundary"),
    [
        ({"AWS": ME.arn}, True, True),
        ({"AWS": ME.role_arn}, True, False),
        ("*", True, False),
        ({"AWS": "*"}, True, False),
        ({"AWS": "123456789012"}, False, False),
        ({"AWS": "arn:aws:iam::123456789012:root"}, False, False),
        ({"AWS": "arn:aws:iam::123456789012:role/other"}, False, False),
        ({"Service": "s3.amazonaws.com"}, False, False),
    ],
)
def test_how_a_resource_policy_names_the_caller(principal: Any, alone: bool, within_boundary: bool) -> None:
    granted = grants(everything(), principal)
    assert decide(READ, resource=granted).allowed is alone
    nothing = policies([])
    assert decide(READ, resource=granted, boundary=nothing).allowed is within_boundary
    assert decide(READ, resource=granted, session=nothing).allowed is within_boundary


def test_not_principal_denies_all_others() -> None:
    def decision(name: str) -> Decision:
        document = {"Statement": {"Effect": "Deny", "NotPrincipal": {"AWS": name}, "Action": "*", "Resource": "*"}}
        return decide(READ, identity=policies(everything()), resource=(parse(document),))

    assert decision(ME.role_arn or "").allowed
    assert decision("arn:aws:iam::123456789012:role/other").layer is Layer.RESOURCE


def trust(*found: dict[str, Any]) -> Any:
    return parse({"Version": "2012-10-17", "Statement": list(found)})


def one(principal: Any, effect: str = "Allow") -> dict[str, Any]:
    return {"Effect": effect, "Principal": principal, "Action": "sts:AssumeRole"}


ASSUME = Request("sts:AssumeRole", "arn:aws:iam::123456789012:role/target", {}, ME)


@pytest.mark.parametrize(
    ("found", "identity", "expected"),
    [
        ([one({"AWS": ME.role_arn})], [], True),
        ([one({"AWS": "123456789012"})], [], False),
        ([one({"AWS": "123456789012"})], everything(), True),
        ([one("*")], [], False),
        ([one("*")], everything(), True),
        ([], everything(), False),
        ([one({"AWS": ME.role_arn})], everything("Deny"), False),
        ([one("*"), one({"AWS": ME.arn}, "Deny")], everything(), False),
        ([one({"Service": "sagemaker.amazonaws.com"})], everything(), False),
    ],
)
def test_trust_and_identity_decide_together(found: list[Any], identity: list[Any], expected: bool) -> None:
    assert decide_trust(ASSUME, trust=trust(*found), identity=policies(identity)).allowed is expected


def test_a_service_is_named_by_name_only() -> None:
    service = Who("123456789012", "arn:aws:iam::123456789012:root", service="sagemaker.amazonaws.com")
    request = Request("sts:AssumeRole", ASSUME.resource, {}, service)
    assert decide_trust(request, trust=trust(one({"Service": "sagemaker.amazonaws.com"}))).allowed
    for principal in ({"Service": "events.amazonaws.com"}, {"AWS": "*"}, "*", {"AWS": "123456789012"}):
        assert not decide_trust(request, trust=trust(one(principal))).allowed


def test_a_denial_says_why() -> None:
    quiet = decide(READ)
    assert quiet.why_denied("s3:GetObject") == "because no identity-based policy allows the s3:GetObject action"
    named = {"Sid": "NoWay", "Effect": "Deny", "Action": "*", "Resource": "*"}
    loud = decide(READ, identity=policies(everything()), boundary=policies([named]))
    assert (loud.statement, loud.layer) == ("NoWay", Layer.BOUNDARY)
    assert loud.why_denied("s3:GetObject") == "with an explicit deny in a permissions boundary"


# --- documents ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        "{",
        "[]",
        {},
        {"Version": "2020-01-01", "Statement": []},
        {"Statement": "x"},
        {"Statement": [{"Effect": "Maybe", "Action": "*", "Resource": "*"}]},
        {"Statement": [{"Effect": "Allow", "Resource": "*"}]},
        {"Statement": [{"Effect": "Allow", "Action": "*", "NotAction": "*", "Resource": "*"}]},
        {"Statement": [{"Effect": "Allow", "Action": {"a": 1}, "Resource": "*"}]},
        {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "NotResource": "*"}]},
        {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"StringEquals": "x"}}]},
    ],
)
def test_malformed_documents(document: Any) -> None:
    with pytest.raises(MalformedPolicy):
        parse(document)


def test_what_is_refused_when_a_policy_is_written() -> None:
    fine = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    named = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Principal": "*"}]}
    odd = {"Statement": [fine["Statement"][0] | {"Condition": {"NullIfExists": {"a": "true"}}}]}
    check(fine, of_resource=False)
    check(named, of_resource=True)
    for document, of_resource in ((fine, True), (named, False), (odd, False)):
        with pytest.raises(MalformedPolicy):
            check(document, of_resource=of_resource)
