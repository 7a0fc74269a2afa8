"""How an alarm is looked at: CloudWatch's own tables of missing data, M of N, and what is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.aws.evaluation import Rule, Sample, State, assess

NOW = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
MISSING = ("missing", "ignore", "breaching", "notBreaching")


def rule(of: int = 3, most: int = 3, missing: str = "missing", statistic: str = "Maximum", period: int = 60) -> Rule:
    return Rule(statistic, period, most, of, 1.0, "GreaterThanThreshold", missing)


def row(text: str, period: int = 60) -> list[Sample]:
    """The periods of CloudWatch's tables, oldest first: 0 is within the threshold, X crosses it, - is missing."""
    back = len(text) - 1
    found = []
    for place, mark in enumerate(text):
        at = NOW - timedelta(seconds=period * (back - place))
        value = {"0": 0.5, "X": 2.0}.get(mark)
        if value is not None:
            found.append(Sample(at, 1.0, value, value, value))
    return found


def states(text: str, of: int, most: int = 3) -> list[State]:
    return [assess(rule(of, most, missing), row(text), NOW, "INSUFFICIENT_DATA").state for missing in MISSING]


KEPT = "INSUFFICIENT_DATA"
"""The state before, where the user guide says "Retain current state"."""


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0-X-X", ["OK", "OK", "OK", "OK"]),
        ("0----", ["OK", "OK", "OK", "OK"]),
        ("-----", ["INSUFFICIENT_DATA", KEPT, "ALARM", "OK"]),
        ("0XX-X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
        ("--X--", ["ALARM", KEPT, "ALARM", "OK"]),
    ],
)
def test_three_of_three(text: str, wanted: list[State]) -> None:
    """The first table of "Configuring how CloudWatch alarms treat missing data"."""
    assert states(text, of=3) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0-X-X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
        ("00X0X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
        ("0-X--", ["OK", "OK", "ALARM", "OK"]),
        ("----0", ["OK", "OK", "ALARM", "OK"]),
        ("---X-", ["ALARM", KEPT, "ALARM", "OK"]),
    ],
)
def test_two_of_three(text: str, wanted: list[State]) -> None:
    """The second table."""
    assert states(text, of=2) == wanted


def test_drift_needs_two_windows_in_a_row_and_a_silent_hour_changes_nothing() -> None:
    def look(text: str, before: State) -> State:
        return assess(rule(2, 2, "ignore", period=3600), row(text, 3600), NOW, before).state

    assert look("-----", "INSUFFICIENT_DATA") == "INSUFFICIENT_DATA"
    assert look("----0", "INSUFFICIENT_DATA") == "OK"
    assert look("---0X", "OK") == "OK"
    assert look("--0XX", "OK") == "ALARM"
    assert look("-XX--", "ALARM") == "ALARM"
    assert look("0XX-0", "ALARM") == "OK"


def test_the_reason_names_values_threshold_and_transition() -> None:
    found = assess(rule(2, 2), row("XX"), NOW, "OK")
    assert found.reason == (
        "Threshold Crossed: 2 out of the last 2 datapoints [2.0 (01/03/26 12:00:00), 2.0 (01/03/26 11:59:00)] were "
        "greater than the threshold (1.0) (minimum 2 datapoints for OK -> ALARM transition)."
    )
    assert assess(rule(1, 1), [], NOW, "OK").reason == "Insufficient Data: no datapoints were received for 1 period."


@pytest.mark.parametrize(
    ("statistic", "value"), [("Sum", 9.0), ("SampleCount", 3.0), ("Average", 3.0), ("Minimum", 1.0), ("Maximum", 6.0)]
)
def test_a_period_is_one_value(statistic: str, value: float) -> None:
    samples = [Sample(NOW, 1.0, 1.0, 1.0, 1.0), Sample(NOW, 2.0, 8.0, 2.0, 6.0)]
    found = assess(rule(1, 1, statistic=statistic), samples, NOW, "OK")
    assert [each for _, each in found.points] == [value]


marks = st.text("0X-", min_size=5, max_size=5)


@given(marks, st.integers(1, 3))
def test_one_more_crossing_never_makes_an_alarm_go_away(text: str, of: int) -> None:
    worse = [text[:place] + "X" + text[place + 1 :] for place in range(5) if text[place] == "0"]
    for missing in MISSING:
        before = assess(rule(of, 3, missing), row(text), NOW, "OK").state
        if before == "ALARM":
            assert {assess(rule(of, 3, missing), row(each), NOW, "OK").state for each in worse} <= {"ALARM"}


@given(st.text("0X", min_size=5, max_size=5), st.integers(1, 3))
def test_where_nothing_is_missing_its_treatment_says_nothing(text: str, of: int) -> None:
    found = {assess(rule(of, 3, missing), row(text), NOW, "OK").state for missing in MISSING}
    assert found == {"ALARM" if text[-3:].count("X") >= of else "OK"}
