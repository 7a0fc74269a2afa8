"""Anchors: when one is due, how it is written, and what holding the log against them finds."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from sqlalchemy import Engine, text

from bot import anchoring
from commands.proof import Anchors, Finding, prove
from pipeline.errors import Refused, Unavailable
from state import anchors, audit, chain
from state.anchors import Anchor
from state.chain import Link


class S3:
    """One bucket whose objects cannot be covered, as far as anchors use S3."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.refuse: Exception | None = None

    def put_object(self, *, Key: str, Body: bytes, IfNoneMatch: str, **_: Any) -> None:
        if self.refuse:
            raise self.refuse
        if Key in self.objects:
            raise ClientError({"Error": {"Code": "PreconditionFailed", "Message": "held"}}, "PutObject")
        self.objects[Key] = Body

    def get_paginator(self, operation: str) -> S3:
        assert operation == "list_object_versions"
        return self

    def paginate(self, *, Prefix: str, **_: Any) -> Sequence[Any]:
        if self.refuse:
            raise self.refuse
        now = datetime.now(UTC)
        keys = [{"Key": key, "LastModified": now} for key in sorted(self.objects) if key.startswith(Prefix)]
        return [{"Versions": keys[:2]}, {"Versions": keys[2:], "DeleteMarkers": keys[:1]}] if keys else [{}]


@pytest.fixture
def s3() -> S3:
    return S3()


def write(engine: Engine, records: int = 1) -> None:
    for _ in range(records):
        with engine.begin() as connection:
            audit.append(
                connection, "closed", invocation="i", surface="command", team="T0GC", user="U0DS1", command="whoami"
            )


def anchor(engine: Engine, s3: S3) -> bool:
    return anchoring.anchor(engine, lambda: (s3, "groundcrew-audit-1-r"))


def anchored_at(engine: Engine, s3: S3, *records: int) -> None:
    """A log of as many records as the last number says, anchored at each, the anchors an hour apart."""
    at = 0
    for number in records:
        write(engine, number - at)
        at = number
        change(engine, "UPDATE anchors SET at = at - interval '1 hour'")
        assert anchor(engine, s3)


def change(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


def finding(engine: Engine, s3: S3) -> Finding | None:
    return prove(engine, Anchors(s3, "groundcrew-audit-1-r")).finding


def rewrite(engine: Engine, first: int) -> None:
    """What somebody with all rights in the database can do: change a record and make every hash fit again."""
    change(engine, f"UPDATE audit SET user_id = 'U0ML1' WHERE id = {first}")
    with engine.begin() as connection:
        rows = list(audit.every(connection))
        previous = chain.GENESIS
        for row in rows:
            made = chain.digest(row | {"previous": previous})
            connection.execute(
                text("UPDATE audit SET previous = :previous, hash = :hash WHERE id = :id"),
                {"previous": previous, "hash": made, "id": row["id"]},
            )
            previous = made


def test_an_anchor_is_written_when_the_chain_has_moved_and_at_most_once_a_minute(engine: Engine, s3: S3) -> None:
    assert not anchor(engine, s3)
    write(engine, 3)
    assert anchor(engine, s3)
    write(engine)
    assert not anchor(engine, s3)
    change(engine, "UPDATE anchors SET at = at - interval '1 minute'")
    assert anchor(engine, s3)
    change(engine, "UPDATE anchors SET at = at - interval '1 minute'")
    assert not anchor(engine, s3)
    with engine.connect() as connection:
        last, head = anchors.newest(connection), audit.head(connection)
    assert last is not None
    assert Link(last.record, last.hash) == head
    assert [anchors.read(key, datetime.now(UTC)).record for key in sorted(s3.objects)] == [3, 4]


def test_an_anchor_s_key_says_all_of_it() -> None:
    at = datetime(2026, 3, 1, 0, 30, tzinfo=UTC)
    made = Anchor(7, "ab" * 32, at)
    assert made.key == f"anchors/000000000007-{'ab' * 32}.json"
    assert anchors.read(made.key, at) == made
    assert json.loads(made.document) == {"record": 7, "hash": "ab" * 32, "at": "2026-03-01T00:30:00+00:00"}


@pytest.mark.parametrize(
    "key", ["anchors/", "anchors/7.json", f"anchors/000000000007-{'AB' * 32}.json", "cloudtrail/x"]
)
def test_what_is_no_anchor_is_none(key: str) -> None:
    assert anchors.read(key, datetime.now(UTC)) is None


def test_a_bucket_that_does_not_answer_is_tried_again(
    engine: Engine, s3: S3, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anchoring, "RETRY_S", 0.01)
    write(engine)
    s3.refuse = EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
    stop = threading.Event()
    with caplog.at_level(logging.ERROR, "bot.anchoring"):
        duty = threading.Thread(target=anchoring.keep_anchored, args=(engine, lambda: (s3, "b"), stop))
        duty.start()
        until(lambda: len(caplog.records) >= 2)
        s3.refuse = None
        until(lambda: s3.objects)
    stop.set()
    duty.join()
    assert "cannot be anchored" in caplog.text
    assert finding(engine, s3) is None


def until(true: Any) -> None:
    waiting = threading.Event()
    for _ in range(1000):
        if true():
            return
        waiting.wait(0.01)
    raise AssertionError("it never came")


def test_an_anchor_that_stands_is_not_covered(engine: Engine, s3: S3) -> None:
    anchored_at(engine, s3, 2)
    stands = dict(s3.objects)
    change(engine, "DELETE FROM anchors")  # as a leader leaves it that dies between bucket and table
    assert anchor(engine, s3)
    assert s3.objects == stands
    assert finding(engine, s3) is None


@pytest.mark.parametrize("later", [0, 3])
def test_an_anchor_over_a_rewritten_log_hides_nothing(engine: Engine, s3: S3, later: int) -> None:
    """The bot goes on anchoring what it finds; what was anchored before still says otherwise."""
    anchored_at(engine, s3, 2, 4)
    told = sorted(s3.objects)
    rewrite(engine, 3)
    change(engine, "DELETE FROM anchors")
    write(engine, later)
    assert anchor(engine, s3)
    assert set(told) < set(s3.objects)
    assert finding(engine, s3) == Finding("rewritten", 3, 4, told[-1])


def test_a_log_that_has_become_shorter_is_not_anchored(engine: Engine, s3: S3) -> None:
    anchored_at(engine, s3, 3)
    change(engine, "DELETE FROM audit WHERE id = 3")
    change(engine, "UPDATE anchors SET at = at - interval '1 hour'")
    with pytest.raises(Refused, match="ends at record 2"):
        anchor(engine, s3)


def test_a_log_that_fits_its_anchors_is_proven(engine: Engine, s3: S3) -> None:
    anchored_at(engine, s3, 2, 4, 5, 7)
    write(engine, 2)
    proof = prove(engine, Anchors(s3, "b"))
    assert proof.finding is None
    assert (proof.walk.records, proof.anchors) == (9, 4)
    assert proof.anchored is not None
    assert proof.anchored.record == 7


def test_an_empty_log_is_good(engine: Engine, s3: S3) -> None:
    proof = prove(engine, Anchors(s3, "b"))
    assert (proof.walk.records, proof.anchored, proof.finding) == (0, None, None)


def test_a_truncated_log_is_found(engine: Engine, s3: S3) -> None:
    anchored_at(engine, s3, 2, 6)
    change(engine, "DELETE FROM audit WHERE id > 4")
    assert finding(engine, s3) == Finding("truncated", 5, 6, sorted(s3.objects)[-1])


def test_a_log_that_was_emptied_is_found(engine: Engine, s3: S3) -> None:
    anchored_at(engine, s3, 2)
    change(engine, "DELETE FROM audit")
    change(engine, "DELETE FROM anchors")
    assert finding(engine, s3) == Finding("truncated", 1, 2, *s3.objects)


def test_a_log_cut_off_and_written_on_is_found(engine: Engine, s3: S3) -> None:
    anchored_at(engine, s3, 2, 5)
    change(engine, "DELETE FROM audit WHERE id > 3")
    write(engine, 4)
    assert finding(engine, s3) == Finding("rewritten", 3, 5, sorted(s3.objects)[-1])


@pytest.mark.parametrize(
    ("changed", "first", "last"), [(1, 1, 2), (2, 1, 2), (3, 3, 4), (5, 5, 5), (6, 6, 9), (9, 6, 9)]
)
def test_a_rewritten_log_is_found_between_two_anchors(
    engine: Engine, s3: S3, changed: int, first: int, last: int
) -> None:
    anchored_at(engine, s3, 2, 4, 5, 9)
    rewrite(engine, changed)
    found = finding(engine, s3)
    assert found is not None
    assert (found.fault, found.first, found.last) == ("rewritten", first, last)


def test_an_anchor_that_is_gone_is_named(engine: Engine, s3: S3) -> None:
    anchored_at(engine, s3, 2, 4)
    first = sorted(s3.objects)[0]
    del s3.objects[first]
    assert finding(engine, s3) == Finding("anchor missing", 2, 2, first)


def test_records_and_anchors_written_while_it_is_verified_do_no_harm(engine: Engine, s3: S3) -> None:
    anchored_at(engine, s3, 3)

    class Meanwhile(Anchors):
        def anchors(self, first: str = anchors.PREFIX) -> Iterator[Anchor]:
            yield from list(super().anchors(first))
            write(engine, 2)
            change(engine, "UPDATE anchors SET at = at - interval '1 hour'")
            anchor(engine, s3)

    assert prove(engine, Meanwhile(s3, "b")).finding is None


def test_without_a_bucket_nothing_is_proven(engine: Engine, s3: S3) -> None:
    s3.refuse = ClientError({"Error": {"Code": "NoSuchBucket", "Message": "none"}}, "ListObjectVersions")
    with pytest.raises(Unavailable, match="There is no bucket"):
        prove(engine, Anchors(s3, "groundcrew-audit-1-r"))


def test_aws_s_refusal_to_read_the_anchors_is_not_swallowed(engine: Engine, s3: S3) -> None:
    s3.refuse = ClientError({"Error": {"Code": "AccessDenied", "Message": "not authorized"}}, "ListObjectVersions")
    with pytest.raises(ClientError, match="not authorized"):
        prove(engine, Anchors(s3, "b"))


def test_keys_sort_in_the_order_of_the_records() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    made = [Anchor(number, f"{-number % 2**64:064x}", at).key for number in range(1, 3000, 7)]
    assert made == sorted(made)
