"""The laws of the policy evaluator: what Hypothesis cannot break. The table of cases is policy_cases.py."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sandbox.aws.policy import Layer, decide
from sandbox.aws.statements import Request, Who, parse

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


@given(lists, lists, lists, requests, st.sampled_from(["*", {"AWS": ME.arn}, {"AWS": ME.role_arn}]))
def test_boundary_and_session_policies_never_add(
    found: list[Any], granted: list[Any], more: list[Any], request: Request, principal: Any
) -> None:
    layers = {"identity": policies(found), "resource": grants(granted, principal)}
    plain = decide(request, **layers)
    for limit in ({"boundary": policies(more)}, {"session": policies(more)}):
        assert plain.allowed or not decide(request, **layers, **limit).allowed


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


@given(denies, requests, st.sampled_from(["boundary", "session", "resource"]))
def test_an_unknown_operator_lets_no_deny_lapse_in_any_layer(
    deny: dict[str, Any], request: Request, layer: str
) -> None:
    odd = deny | {"Condition": {**deny["Condition"], "StringSortOf": {"aws:username": "x"}}}
    make = grants if layer == "resource" else policies
    layers = {name: policies(everything()) for name in ("identity", "boundary", "session")}
    outcomes = []
    for statement in (deny, odd):
        outcomes.append(decide(request, **{**layers, layer: make([*everything(), statement])}).allowed)
    assert outcomes[0] == outcomes[1]


@given(lists, requests)
def test_one_more_allow_never_takes_away(found: list[Any], request: Request) -> None:
    if decide(request, identity=policies(found)).allowed:
        assert decide(request, identity=policies(found + everything())).allowed


@given(lists, allows, requests)
def test_one_more_deny_never_adds(found: list[Any], statement: dict[str, Any], request: Request) -> None:
    deny = statement | {"Effect": "Deny"}
    if not decide(request, identity=policies(found)).allowed:
        assert not decide(request, identity=policies([*found, deny])).allowed


# --- the words of a denial ---------------------------------------------------------------------------------------

READ = Request("s3:GetObject", RESOURCES[0], {}, ME)


def test_a_denial_says_why() -> None:
    quiet = decide(READ)
    assert quiet.why_denied("s3:GetObject") == "because no identity-based policy allows the s3:GetObject action"
    named = {"Sid": "NoWay", "Effect": "Deny", "Action": "*", "Resource": "*"}
    loud = decide(READ, identity=policies(everything()), boundary=policies([named]))
    assert (loud.statement, loud.layer) == ("NoWay", Layer.BOUNDARY)
    assert loud.why_denied("s3:GetObject") == "with an explicit deny in a permissions boundary"
