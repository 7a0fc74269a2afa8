"""The audit log in the running sandbox: what was done is in it, it is proven, and a hand in the table is caught."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psycopg
import pytest

from sandbox.person import ANSWER_SECONDS, Person, buttons, rows
from tests.conftest import Sandbox

ANCHORED_SECONDS = 90


@pytest.fixture
def auditor(sandbox: Sandbox) -> Person:
    """A stakeholder."""
    return sandbox.slack.person("U0STK")


@pytest.fixture(scope="module")
def denied(sandbox: Sandbox) -> str:
    """Something that AWS refused; its invocation, as the log shows it."""
    auditor = sandbox.slack.person("U0STK")
    auditor.asks("pipeline run", "AWS said no")
    told = auditor.asks("audit log --user U0STK --outcome denied --limit 1", "Audit log")
    (entry,) = rows(told)[1:]
    assert entry[2:6] == ["U0STK", "stakeholder", "pipeline run", "denied"]
    return entry[6]


@contextmanager
def tampered(sandbox: Sandbox, record: int) -> Iterator[None]:
    """A record edited with all rights in the database, and as it was afterwards."""
    with psycopg.connect(sandbox.settings()["DATABASE_URL"], autocommit=True) as database:
        was = database.execute("SELECT user_id FROM audit WHERE id = %s", [record]).fetchone()
        database.execute("UPDATE audit SET user_id = 'U0ML1' WHERE id = %s", [record])
        try:
            yield
        finally:
            database.execute("UPDATE audit SET user_id = %s WHERE id = %s", [*(was or ()), record])


def conversation(sandbox: Sandbox, user: str) -> Person:
    """The person in their conversation with the bot, which the bot opens when it first has something for them."""
    person = sandbox.slack.person(user, f"D{user[1:]}")
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            person.reads()
            return person
        except httpx.HTTPStatusError:
            assert time.monotonic() < deadline, f"the bot opened no conversation with {user}"
            time.sleep(0.2)


def test_the_log_shows_who_did_what_and_pages_back(auditor: Person, denied: str) -> None:
    first = auditor.asks("audit log --limit 2", "Audit log: 2 entries")
    assert first["ephemeral"]
    shown = [int(row[0]) for row in rows(first)[1:]]
    older = auditor.sees("Audit log", after=auditor.presses(first, "Older"))
    assert max(int(row[0]) for row in rows(older)[1:]) < min(shown)


def test_cloudtrail_s_side_of_a_denial_is_joined_by_request_id(auditor: Person, denied: str) -> None:
    told = auditor.asks(f"audit log --aws {denied}", "in CloudTrail's event history")
    events = rows(told)[1:]
    assert [(event[1], event[3]) for event in events] == [("sagemaker:StartPipelineExecution", "AccessDeniedException")]
    assert "U0STK-" in told["words"]


def test_who_may_not_read_the_anchors_may_not_read_the_log(ds: Person) -> None:
    for line in ("audit log", "audit verify", "audit export"):
        told = ds.asks(line, "AWS said no")["words"]
        assert "assumed-role/groundcrew-data-scientist/U0DS1-" in told
        assert "s3:" in told


def test_the_log_is_unbroken_and_anchored(auditor: Person, denied: str) -> None:
    deadline = time.monotonic() + ANCHORED_SECONDS
    while "anchored up to record" not in (told := auditor.asks("audit verify", "records, unbroken")["words"]):
        assert time.monotonic() < deadline, f"no anchor after {ANCHORED_SECONDS} s: {told}"
        time.sleep(1)
    assert "in the locked bucket" in told


def test_a_row_edited_by_hand_is_named(sandbox: Sandbox, auditor: Person, denied: str) -> None:
    with tampered(sandbox, 2):
        broken = auditor.asks("audit verify", "record 2 was edited")
        assert "What is recorded there" in buttons(broken)
    auditor.asks("audit verify", "records, unbroken")


def test_the_record_comes_as_a_file_to_the_person_only(sandbox: Sandbox, auditor: Person, denied: str) -> None:
    after = auditor.types("audit export --since 1d")
    posted = conversation(sandbox, auditor.user).sees("audit records since", after=after, files=True)
    (file,) = posted["files"]
    lines = sandbox.slack.bytes_of(file).decode().splitlines()
    ids = [json.loads(line)["id"] for line in lines]
    assert ids == list(range(1, len(ids) + 1))
    assert not any("audit records since" in row["words"] for row in sandbox.slack.person("U0ML1").reads())
