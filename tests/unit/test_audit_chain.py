"""The chain through the audit log: whatever is done to it afterwards is found, at the right record."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from bot.settings import Settings
from state import audit, chain, database
from state.chain import Break, Link
from state.redaction import redact, redacted
from state.tables import audit as table

WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
MEANING = [column.name for column in table.c if column.name not in ("id", "hash")]
OTHER: dict[str, Any] = {
    "arguments": {"env": "another"},
    "requests": ["another"],
    "at": datetime(2020, 1, 1, tzinfo=UTC),
    "previous": "f" * 64,
}


def record(number: int, previous: str, words: str = "whoami") -> dict[str, Any]:
    values = {
        "id": number, "invocation": f"i{number // 2}", "type": "command", "phase": "opened", "surface": "command",
        "team": "T0GC", "user_id": "U0DS1", "role": None if number % 3 else "data-scientist", "command": words,
        "arguments": {"words": words}, "approval": None, "outcome": None, "detail": words, "session": None,
        "requests": [words], "at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=number),
        "previous": previous,
    }  # fmt: skip
    return values | {"hash": chain.digest(values)}


@st.composite
def logs(draw: st.DrawFn, least: int = 1) -> list[dict[str, Any]]:
    """A log as it was written."""
    found: list[dict[str, Any]] = []
    for number, words in enumerate(draw(st.lists(WORDS, min_size=least, max_size=8)), start=1):
        found.append(record(number, found[-1]["hash"] if found else chain.GENESIS, words))
    return found


@given(logs(least=0))
def test_what_was_written_is_unbroken(log: list[dict[str, Any]]) -> None:
    head = Link(len(log), log[-1]["hash"]) if log else None
    assert chain.walk(log) == chain.Walk(len(log), head)


@given(logs(), st.data())
def test_an_edited_column_is_found_at_its_record(log: list[dict[str, Any]], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(log) - 1))
    column = data.draw(st.sampled_from([*MEANING, "hash"]))
    was = log[place][column]
    log[place][column] = OTHER.get(column, f"{was or ''}another")
    walked = chain.walk(log)
    assert walked.broken == Break("edited", place + 1, place + 1)
    assert walked.records == place


@given(logs(least=2), st.data())
def test_an_edited_record_with_a_hash_made_to_fit_is_found(log: list[dict[str, Any]], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(log) - 2))
    log[place]["user_id"] = "U0ML1"
    log[place]["hash"] = chain.digest(log[place])
    assert chain.walk(log).broken == Break("replaced", place + 1, place + 1)


@given(logs(least=2), st.data())
def test_deleted_records_are_named(log: list[dict[str, Any]], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(log) - 2))
    last = data.draw(st.integers(first, len(log) - 2))
    del log[first : last + 1]
    walked = chain.walk(log)
    assert walked.broken == Break("deleted", first + 1, last + 1)
    assert walked.records == first


@given(logs(least=2), st.data())
def test_swapped_records_are_found_at_the_first(log: list[dict[str, Any]], data: st.DataObject) -> None:
    one, other = sorted(data.draw(st.sets(st.integers(0, len(log) - 1), min_size=2, max_size=2)))
    log[one]["id"], log[other]["id"] = log[other]["id"], log[one]["id"]
    log.sort(key=lambda each: int(each["id"]))
    assert chain.walk(log).broken == Break("edited", one + 1, one + 1)


@given(logs(least=2), st.data())
def test_a_truncated_log_is_unbroken_but_ends_elsewhere(log: list[dict[str, Any]], data: st.DataObject) -> None:
    """Only an anchor tells: `test_audit_proof` holds it against one."""
    kept = data.draw(st.integers(0, len(log) - 1))
    walked = chain.walk(log[:kept])
    assert walked.broken is None
    assert walked.head != Link(len(log), log[-1]["hash"])


def test_the_recipe_is_the_documented_one() -> None:
    made = record(1, chain.GENESIS, "Grüße")
    plain = {name: value for name, value in made.items() if value is not None and name != "hash"}
    plain["at"] = "2026-01-01T00:00:00.000001+00:00"
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    assert made["hash"] == hashlib.sha256(text.encode()).hexdigest()


def append(engine: Engine, invocation: str, **more: Any) -> int:
    with engine.begin() as connection:
        given: dict[str, Any] = {"surface": "command", "team": "T0GC", "user": "U0DS1", "command": "whoami", **more}
        return audit.append(connection, "opened", invocation=invocation, **given)


def walked(engine: Engine) -> chain.Walk:
    with engine.connect() as connection:
        return chain.walk(audit.every(connection))


def test_many_workers_write_one_chain_without_gaps(engine: Engine) -> None:
    def work(worker: int) -> list[int]:
        return [append(engine, f"{worker}-{number}", arguments={"n": number}) for number in range(12)]

    with ThreadPoolExecutor(8) as pool:
        numbers = [number for done in pool.map(work, range(8)) for number in done]
    assert sorted(numbers) == list(range(1, 97))
    found = walked(engine)
    assert (found.records, found.broken) == (96, None)
    with engine.connect() as connection:
        assert found.head == audit.head(connection)


def test_a_record_that_was_not_kept_leaves_no_gap(engine: Engine) -> None:
    append(engine, "one")
    with pytest.raises(RuntimeError, match="the transaction is given up"), engine.begin() as connection:
        audit.append(
            connection, "opened", invocation="two", surface="command", team="T", user="U", command="whoami"
        )  # fmt: skip
        raise RuntimeError("the transaction is given up")
    assert append(engine, "three") == 2
    assert walked(engine).broken is None


def test_a_row_edited_by_hand_is_named_and_good_again_when_restored(engine: Engine) -> None:
    for number in range(5):
        append(engine, f"i{number}", arguments={"epochs": 4, "reason": 'é "quoted" \\'}, requests=["r1", "r2"])
    with engine.begin() as connection:
        connection.execute(text("""UPDATE audit SET arguments = arguments || '{"epochs": "400"}' WHERE id = 3"""))
    assert walked(engine).broken == Break("edited", 3, 3)
    with engine.begin() as connection:
        connection.execute(text("""UPDATE audit SET arguments = arguments || '{"epochs": "4"}' WHERE id = 3"""))
    assert walked(engine).broken is None


def test_what_postgresql_cannot_hold_does_not_keep_a_record_from_being_written(engine: Engine) -> None:
    append(engine, "one", detail="a log line with \x00 and \ud800", arguments={"key": "\x00"})
    assert walked(engine).broken is None


@pytest.mark.parametrize(
    "secret",
    [
        "xoxb-12345-abcde",
        "AKIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "IQoJb3JpZ2luX2VjEJr" + "Aa1/+" * 20 + "==",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dBjftJeZ4CVP",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_secrets_in_arguments_are_not_kept(engine: Engine, secret: str) -> None:
    append(engine, "one", arguments={"reason": f"use {secret} please"}, command=f"x --reason '{secret}'", detail=secret)
    with engine.connect() as connection:
        (row,) = audit.of_invocation(connection, "one")
    assert row.arguments == {"reason": "use [removed] please"}
    assert row.command == "x --reason '[removed]'"
    assert row.detail == "[removed]"


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("postgresql://bot:hunter2@db/x", "postgresql://bot:[removed]@db/x"),
        ('password: "two words" and more', "password: [removed] and more"),
        ("AWS_SECRET_ACCESS_KEY=abc, then", "AWS_SECRET_ACCESS_KEY=[removed], then"),
        ("https://x/?X-Amz-Signature=0a1b&X-Amz-Date=1", "https://x/?X-Amz-Signature=[removed]&X-Amz-Date=1"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer [removed]"),
        ("whoami --password hunter2 --env dev", "whoami --password [removed] --env dev"),
        ('--db-password "two words" --env dev', "--db-password [removed] --env dev"),
        ("MY_API_TOKEN_2=abc", "MY_API_TOKEN_2=[removed]"),
        ("The security token included in the request is invalid", None),
        ("revision 42d1ea9a0f0b3c5d7e9f1a2b3c4d5e6f70819203", None),
        ("survey/images/DJI_0263_a4120933.jpg --env prod", None),
        ("arn:aws:iam::123456789012:role/groundcrew-ml-engineer", None),
    ],
)
def test_what_stands_beside_a_secret_is_kept(typed: str, kept: str | None) -> None:
    assert redact(typed) == (kept if kept is not None else typed)


@pytest.mark.parametrize(
    "unit", ["a", "A1a", "-", "--a", "token", "--token ", "eyJ-", "FwoG+", "://a:", 'secret="', "-----BEGIN ", "xox"]
)
def test_hostile_text_is_looked_through_in_a_time_that_grows_with_its_length(unit: str) -> None:
    """A person may type thousands of characters, and everybody's records wait meanwhile."""
    began = time.process_time()
    redact((unit * 20_000)[:20_000])
    assert time.process_time() - began < 1  # it took half a minute where it grew with the square


@pytest.fixture
def before_the_chain(database_url: str) -> Iterator[Engine]:
    """A database as the first version left it, with records in it and a gap in their numbers."""
    from alembic import command
    from alembic.config import Config

    admin = database.engine(database_url).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("CREATE DATABASE earlier"))
    made = database.engine(admin.url.set(database="earlier").render_as_string(hide_password=False))
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    with made.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    insert = text(
        "INSERT INTO audit (invocation, phase, surface, team, user_id, role, command, arguments, outcome) "
        """VALUES (:name, 'opened', 'command', 'T0GC', 'U0DS1', NULL, 'whoami', '{"b": "1", "a": "é"}', NULL)"""
    )
    with made.begin() as connection:
        connection.execute(insert, [{"name": f"i{number}"} for number in range(1203)])
        connection.execute(text("DELETE FROM audit WHERE id = 7"))
    yield made
    made.dispose()
    with admin.connect() as connection:
        connection.execute(text("DROP DATABASE earlier"))
    admin.dispose()


def test_what_was_recorded_before_there_was_a_chain_is_chained(before_the_chain: Engine) -> None:
    database.migrate(before_the_chain)
    assert append(before_the_chain, "after") == 1204
    found = walked(before_the_chain)
    assert (found.records, found.broken) == (1203, None)


def test_a_message_says_no_secrets_but_a_button_types_what_it_typed() -> None:
    said = {
        "text": "use xoxb-12345-abcde",
        "blocks": [
            {"elements": [{"text": {"text": "Again"}, "value": "x --token abc"}], "rows": [["password=abc", 1]]}
        ],
    }
    assert redacted(said) == {
        "text": "use [removed]",
        "blocks": [
            {"elements": [{"text": {"text": "Again"}, "value": "x --token abc"}], "rows": [["password=[removed]", 1]]}
        ],
    }


def test_a_log_says_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    record = logging.LogRecord("bot", logging.ERROR, "", 1, "refused %s", ("postgresql://bot:hunter2@db/x",), None)
    made: list[logging.Handler] = []
    monkeypatch.setattr(logging, "basicConfig", lambda handlers: made.extend(handlers))
    Settings().start_logging()
    assert "postgresql://bot:[removed]@db/x" in made[0].format(record)
