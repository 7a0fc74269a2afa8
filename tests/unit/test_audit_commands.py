"""What people are told of the audit log: filters, pages, proof, CloudTrail's side, and the file."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import Engine, text

from bot.deliver import deliver
from bot.slack.render import fallback, render
from commands import export
from commands.audit import export as send
from commands.audit import log, verify
from commands.command import Context, Person
from commands.parsing import parse
from commands.reply import Audience, Outcome, Reply
from pipeline.errors import BadInput, NotFound
from pipeline.names import Names
from pipeline.tracking import Tracking
from state import audit, invocations
from state.invocations import Arrival
from tests.unit.fake_aws import FakeClient, refusal
from tests.unit.test_audit_proof import S3, anchor


class World:
    """A log, a bucket, CloudTrail, and an auditor."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.s3 = engine, S3()
        self.cloudtrail = FakeClient(lookup_events={"Events": []})
        clients = {"s3": self.s3, "cloudtrail": self.cloudtrail}
        self.ctx = Context(
            person=Person("T0GC", "U0STK", "stakeholder", "stakeholder"),
            invocation="i",
            names=Names("123456789012", "us-east-1"),
            client=clients.__getitem__,
            tracking=Tracking(""),
            state=engine,
        )

    def did(self, invocation: str, command: str = "whoami", user: str = "U0DS1", **closed: Any) -> None:
        who: dict[str, Any] = {"surface": "command", "team": "T0GC", "user": user, "command": command}
        with self.engine.begin() as connection:
            audit.append(connection, "opened", invocation=invocation, **who)
            if closed:
                audit.append(connection, "closed", invocation=invocation, **who, **closed)

    def change(self, statement: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement))

    def anchored(self) -> None:
        assert anchor(self.engine, self.s3)


@pytest.fixture
def world(engine: Engine) -> World:
    return World(engine)


def shown(reply: Reply, column: str) -> list[str]:
    assert reply.table is not None
    return [row[reply.table.columns.index(column)] for row in reply.table.rows]


def test_the_log_says_what_was_done_newest_first_and_what_has_not_ended(world: World) -> None:
    world.did("a" * 32, "pipeline run", outcome="ok", role="data-scientist", approval="A4k7mq")
    world.did("b" * 32, "deployment create --env prod", "U0DS2")
    reply = log(world.ctx)
    assert shown(reply, "Command") == ["deployment create --env prod", "pipeline run"]
    assert shown(reply, "Outcome") == ["not ended", "ok (A4k7mq)"]
    assert shown(reply, "Record") == ["3", "2"]
    assert shown(reply, "Who") == ["U0DS2", "U0DS1"]
    assert shown(reply, "Invocation") == ["bbbbbbbb", "aaaaaaaa"]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"user": "U0DS2"}, ["3"]),
        ({"user": "<@u0ds2>"}, ["3"]),
        ({"command": "Pipeline"}, ["1"]),
        ({"command": "%"}, []),
        ({"outcome": "denied"}, ["3"]),
        ({"since": "1h"}, ["4", "3"]),
        ({"since": "2999-01-01"}, []),
        ({"user": "U0DS1", "outcome": "ok"}, ["4", "2", "1"]),
    ],
)
def test_filters(world: World, filters: Mapping[str, Any], found: list[str]) -> None:
    world.did("1" * 32, "pipeline run", outcome="ok")
    world.did("2" * 32, "registry list", outcome="ok")
    world.change("UPDATE audit SET at = at - interval '3 hours'")
    world.did("3" * 32, "deployment create", "U0DS2", outcome="denied")
    world.did("4" * 32, "whoami", outcome="ok")
    reply = log(world.ctx, **filters)
    assert ([each[0] for each in shown(reply, "Invocation")] if reply.table else []) == found


def test_pages_follow_each_other_by_button_and_keep_the_filters(world: World) -> None:
    for number in range(7):
        world.did(f"{number:032x}", f"pipeline show {number}", outcome="ok")
        world.did(f"{number + 100:032x}", "whoami", "U0DS2", outcome="ok")
    line = "audit log --command 'pipeline show' --user U0DS1 --limit 3"
    seen: list[str] = []
    for _ in range(3):
        command, arguments = parse(line)
        reply = command.handler(world.ctx, **arguments)
        seen += shown(reply, "Command")
        line = next((action.command for action in reply.actions if action.label == "Older"), "")
    assert seen == [f"pipeline show {number}" for number in range(6, -1, -1)]
    assert line == ""


@pytest.mark.parametrize("since", ["yesterday", "7", "d", "-3d", "2026-13-01"])
def test_a_time_that_is_none_is_answered_with_an_example(since: str) -> None:
    with pytest.raises(BadInput, match="such as 12h, 7d or 4w"):
        parse(f"audit log --since={shlex.quote(since)}")


@pytest.mark.parametrize("command", [log, verify, send])
def test_aws_decides_who_may_look(world: World, command: Any) -> None:
    world.did("a" * 32, outcome="ok")
    world.s3.refuse = refusal("AccessDenied", "User is not authorized to perform: s3:ListBucketVersions")
    with pytest.raises(ClientError, match="not authorized"):
        command(world.ctx)


def test_the_log_says_up_to_where_it_is_anchored(world: World) -> None:
    world.did("a" * 32, outcome="ok")
    assert "not anchored yet" in fallback(log(world.ctx))
    world.anchored()
    assert "anchored up to record 2 at" in fallback(log(world.ctx))
    world.s3.objects.clear()
    assert "the anchor of record 2 is gone" in fallback(log(world.ctx))


def test_a_good_log_is_proven_in_words(world: World) -> None:
    world.did("a" * 32, outcome="ok")
    world.anchored()
    world.did("b" * 32, outcome="ok")
    reply = verify(world.ctx)
    assert (reply.outcome, reply.title) == (Outcome.OK, "Audit log: 4 records, unbroken")
    assert "anchored up to record 2 at" in fallback(reply)
    assert not reply.text


def test_records_that_wait_too_long_for_an_anchor_are_mentioned(world: World) -> None:
    world.did("a" * 32, outcome="ok")
    assert verify(world.ctx).text == ""
    world.change("DELETE FROM audit")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("commands.audit.LATE", timedelta(seconds=-1))
        world.did("b" * 32, outcome="ok")
        reply = verify(world.ctx)
    assert str(reply.text).startswith("2 records since then wait for an anchor")


@pytest.mark.parametrize(
    ("statement", "title"),
    [
        ("UPDATE audit SET detail = 'nothing happened' WHERE id = 2", "Audit log: record 2 was edited"),
        ("DELETE FROM audit WHERE id BETWEEN 2 AND 3", "Audit log: records 2 to 3 deleted"),
        ("DELETE FROM audit WHERE id > 4", "Audit log: cut off, records 5 to 6 missing"),
    ],
)
def test_a_broken_log_is_named_with_its_first_broken_record(world: World, statement: str, title: str) -> None:
    for number in range(3):
        world.did(f"{number:032x}", outcome="ok")
    world.anchored()
    world.change(statement)
    reply = verify(world.ctx)
    assert (reply.title, reply.outcome) == (title, Outcome.ERROR)
    assert reply.text


def event(name: str, request: str, second: int, **told: str) -> dict[str, Any]:
    return {
        "EventName": name,
        "EventTime": datetime(2026, 1, 1, 12, 0, second, tzinfo=UTC),
        "Resources": [{"ResourceName": "arn:aws:sagemaker:us-east-1:1:pipeline/groundcrew-dev-detector"}],
        "CloudTrailEvent": json.dumps({"eventSource": "sagemaker.amazonaws.com", "requestID": request, **told}),
    }


def test_aws_s_side_of_an_invocation_is_joined_by_session_and_requests(world: World) -> None:
    world.did("abcdef01" * 4, "pipeline run", outcome="denied", session="U0DS1-abcdef01", requests=["r1", "r2", "r3"])
    world.cloudtrail.answers["lookup_events"] = {
        "Events": [
            event("StartPipelineExecution", "r2", 2, errorCode="AccessDenied"),
            event("ListPipelineExecutions", "r1", 1),
            event("DescribePipeline", "of another invocation in the same session", 3),
        ]
    }
    reply = log(world.ctx, aws="ABCDEF01")
    assert reply.title == "2 of 3 requests are in CloudTrail's event history"
    assert shown(reply, "Event") == ["sagemaker:ListPipelineExecutions", "sagemaker:StartPipelineExecution"]
    assert shown(reply, "Error") == ["none", "AccessDenied"]
    assert shown(reply, "Resource") == ["pipeline/groundcrew-dev-detector"] * 2
    assert "data events" in str(reply.text)
    (asked,) = world.cloudtrail.requests("lookup_events")
    assert asked["LookupAttributes"] == [{"AttributeKey": "Username", "AttributeValue": "U0DS1-abcdef01"}]
    assert asked["StartTime"] < asked["EndTime"]


def test_an_invocation_without_aws_or_without_an_end_says_so(world: World) -> None:
    world.did("aaaaaa00" * 4, "help", outcome="ok")
    world.did("bbbbbb00" * 4, "pipeline run")
    assert log(world.ctx, aws="aaaaaa").title == "It asked nothing of AWS"
    assert log(world.ctx, aws="bbbbbb").title == "It has not ended yet"
    assert not world.cloudtrail.calls


@pytest.mark.parametrize(("typed", "error"), [("xyz", BadInput), ("a%", BadInput), ("cccccc", NotFound)])
def test_an_invocation_that_does_not_exist_is_said_so(world: World, typed: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        log(world.ctx, aws=typed)


def test_a_beginning_that_several_invocations_share_is_not_guessed(world: World) -> None:
    world.did("abcdef01" * 4, outcome="ok")
    world.did("abcdef02" * 4, outcome="ok")
    with pytest.raises(BadInput, match="Several"):
        log(world.ctx, aws="abcdef")


def test_exported_lines_can_be_verified_without_groundcrew(world: World) -> None:
    world.did("a" * 32, 'registry reject 3 --reason "zu wenig Fotos: für prod"', outcome="ok", arguments={"to": "prod"})
    world.did("b" * 32, outcome="ok")
    document = send(world.ctx).document
    assert document is not None
    assert document.name.endswith(".jsonl")
    before = "0" * 64
    for line in document.text.splitlines():
        record = json.loads(line)
        told = record.pop("hash")
        assert record["previous"] == before
        made = json.dumps(record, sort_keys=True, separators=(",", ":"))
        before = hashlib.sha256(made.encode()).hexdigest()
        assert before == told


def test_csv_is_for_a_spreadsheet_and_runs_nothing_there(world: World) -> None:
    world.did("a" * 32, "=HYPERLINK(1)", outcome="ok")
    document = send(world.ctx, format="csv").document
    assert document is not None
    rows = list(csv.DictReader(io.StringIO(document.text)))
    assert [row["id"] for row in rows] == ["1", "2"]
    assert rows[0]["command"] == "'=HYPERLINK(1)"
    assert set(rows[0]) == {column.name for column in audit.audit.c}


def test_an_export_of_nothing_and_one_too_large_say_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert send(world.ctx).document is None
    world.did("a" * 32, outcome="ok")
    monkeypatch.setattr(export, "LARGEST", 100)
    with pytest.raises(BadInput, match="larger than"):
        send(world.ctx)


def test_an_export_goes_to_the_person_only(world: World) -> None:
    world.did("a" * 32, outcome="ok")
    reply = send(world.ctx)
    arrival = Arrival("command", "d1", "T0GC", "U0STK", "audit export", channel="C0DEV", response_url="https://x")
    with world.engine.begin() as connection:
        asked = invocations.begin(connection, arrival, "w")
        deliver(connection, asked, reply, Audience.PERSON)
        rows = connection.execute(text("SELECT kind, channel, picture_name, picture FROM outbox")).all()
    assert [(row.kind, row.channel) for row in rows] == [("message", "U0STK")]
    assert reply.document is not None
    assert (rows[0].picture_name, bytes(rows[0].picture).decode()) == (reply.document.name, reply.document.text)
    assert reply.document.text not in json.dumps(render(reply))
