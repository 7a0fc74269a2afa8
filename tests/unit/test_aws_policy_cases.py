"""Every case of the evaluator's table, and that the table is what it says: many, distinct, in both directions."""

from __future__ import annotations

from collections import Counter

import pytest

from sandbox.aws.conditions import known_operator
from tests.unit.policy_cases import ALLOW, Case, cases


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.rule)
def test_case(case: Case) -> None:
    assert case.outcome() == case.expected


def test_the_table_has_distinct_cases_of_both_outcomes() -> None:
    found = cases()
    assert len({repr(case) for case in found}) == len(found) >= 150
    outcomes = Counter(case.expected == ALLOW for case in found)
    assert min(outcomes.values()) >= 75


def test_every_operator_has_a_case_in_both_directions() -> None:
    families = {"String": ("Equals", "NotEquals", "EqualsIgnoreCase", "NotEqualsIgnoreCase", "Like", "NotLike")}
    ordered = ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
    families |= {"Numeric": ordered, "Date": ordered, "Arn": ("Equals", "Like", "NotEquals", "NotLike")}
    every = {f"{family}{name}" for family, names in families.items() for name in names}
    every |= {"Bool", "BinaryEquals", "IpAddress", "NotIpAddress", "Null"}
    assert all(known_operator(name) for name in every)
    tried: dict[str, set[bool]] = {}
    for case in cases():
        for statement in case.identity:
            for operator in statement.get("Condition", {}):
                tried.setdefault(operator, set()).add(case.expected == ALLOW)
    assert {name for name in every if tried.get(name) != {True, False}} == set()
