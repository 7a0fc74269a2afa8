"""Texts and times of events: one tolerant reader for each, whatever spelling or trick arrives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.texts import clean, moment, words

MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
AFTERNOON = datetime(2021, 3, 15, 16, 10, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    ("spelt", "meant"),
    [
        ("2021-03-15T16:10:11Z", AFTERNOON),
        ("2021-03-15T16:10:11", AFTERNOON),
        ("2021-03-15T16:10:11.000+0000", AFTERNOON),
        ("2021-03-15T18:10:11+02:00", AFTERNOON),
        (" 2021-03-15T16:10:11Z ", AFTERNOON),
        ("Mon, 15 Mar 2021 16:10:11 GMT", AFTERNOON),
        (1615824611000, AFTERNOON),
        (1615824611000.0, AFTERNOON),
        ("1615824611000", AFTERNOON),
        ("1615824611000.0", AFTERNOON),
        (1615824611250.5, AFTERNOON + timedelta(milliseconds=250.5)),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_every_documented_form_of_a_time_is_read(spelt: object, meant: datetime) -> None:
    assert moment(spelt) == meant


@pytest.mark.parametrize(
    "spelt",
    [
        *(
            "",
            "soon",
            "9" * 17,
            "9" * 40,
            "1e5",
            "x" * 99,
            "2021-13-40",
            "Mon, 99 Foo 2021",
            "0001-01-01T00:00:00+14:00",
        ),
        *(10**30, 1e300, float("nan"), float("inf"), None, True, [], {}),
    ],
)
def test_what_is_no_time_is_none(spelt: object) -> None:
    assert moment(spelt) is None


@given(MOMENTS)
def test_a_time_survives_each_form(at: datetime) -> None:
    milliseconds = round(at.timestamp() * 1000)
    exact = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    for form in (milliseconds, float(milliseconds), str(milliseconds), f"{milliseconds}.0"):
        assert moment(form) == exact
    assert moment(at.isoformat()) == moment(at.strftime("%Y-%m-%dT%H:%M:%S.%f+0000")) == at
    assert moment(at.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat()) == at
    whole = at.replace(microsecond=0)
    assert moment(format_datetime(whole, usegmt=True)) == moment(whole.strftime("%Y-%m-%dT%H:%M:%SZ")) == whole


@given(st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.lists(st.text())))
def test_no_value_breaks_the_reader_of_times(value: object) -> None:
    found = moment(value)
    assert found is None or found.tzinfo is UTC


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("InService", "in service"),
        ("IN_SERVICE", "in service"),
        ("CompletedWithFailures", "completed with failures"),
        ("PendingManualApproval", "pending manual approval"),
        ("UPDATE_ROLLBACK_FAILED", "update rollback failed"),
        ("INSUFFICIENT_DATA", "insufficient data"),
        ("OK", "ok"),
        ("ALARM", "alarm"),
        ("", ""),
    ],
)
def test_a_status_is_the_same_words_however_it_is_spelt(status: str, said: str) -> None:
    assert words(status) == said


def test_a_text_loses_what_cannot_be_stored_or_misleads_and_keeps_the_rest() -> None:
    assert clean("a\x00b\x1b[31mc\u202ed\ud800e\nf") == "a b [31mc d e\nf"
    assert clean("<!channel> *bold* <https://x|y>") == "<!channel> *bold* <https://x|y>"
    assert clean("x" * 300) == "x" * 199 + "…"
    assert [clean(value) for value in (2, 0.5, True, None, [], {})] == ["2", "0.5", "", "", "", ""]


@given(st.text(st.characters()), st.integers(1, 50))
def test_any_text_becomes_one_that_a_database_takes(text: str, limit: int) -> None:
    cleaned = clean(text, limit)
    cleaned.encode()
    assert "\x00" not in cleaned
    assert len(cleaned) <= limit
    assert clean(cleaned, limit) == cleaned
