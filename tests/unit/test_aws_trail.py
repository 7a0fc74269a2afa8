"""The stand-in's record of calls: what it forgets first."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from sandbox.aws.identity import Principal, Session
from sandbox.aws.statements import Who
from sandbox.aws.trail import KEPT, Trail

NOW = datetime(2026, 5, 4, tzinfo=UTC)


def stamped(source_identity: str) -> Principal:
    """A session with that stamp."""
    arn = "arn:aws:sts::123456789012:assumed-role/r/s"
    session = Session("A", "s", "t", arn, "r", "I", "s", NOW, NOW, source_identity=source_identity)
    return Principal("role-session", Who("123456789012", arn), "I:s", None, "A", "s", session)


def test_who_polls_every_second_pushes_out_nothing_that_a_person_did(tmp_path: Path) -> None:
    trail = Trail(tmp_path / "calls", "123456789012", "eu-central-1")

    def call(who: str, operation: str) -> None:
        trail.add(None, stamped(who), request_id="1", user_agent="x", claimed=("sagemaker", operation))

    call("T0GC.U0DS1", "StartPipelineExecution")
    for _ in range(KEPT + 1):
        call("system.watcher", "DescribePipelineExecution")
    call("T0GC.U0DS1", "StopPipelineExecution")
    found = trail.find(source_identity="T0GC.U0DS1")
    assert [record["eventName"] for record in found] == ["StartPipelineExecution", "StopPipelineExecution"]
    everybody = trail.find(limit=2 * KEPT)
    assert len(everybody) == KEPT + 2
    assert (everybody[0], everybody[-1]) == (found[0], found[-1])
    trail.close()
