"""What is left of it all: the audit records, and a forged one that is found."""

from __future__ import annotations

from sandbox import evidence
from sandbox.tour.story import Step, Tour, holds


def recorded(tour: Tour) -> None:
    """The audit table has opened and closed every invocation; AWS knows the person behind the run."""
    opened, closed = evidence.audit(tour.state)
    holds(opened > 0 and opened == closed, f"{opened} records opened, {closed} closed")
    names = [call["eventName"] for call in evidence.calls(tour.aws, "T0GC.U0DS1")]
    holds(names.count("StartPipelineExecution") == tour.runs, f"AWS has this person's calls as {names}")


def verified(tour: Tour) -> None:
    """A stakeholder has the audit log verified: unbroken; a record edited by hand is named."""
    auditor = tour.slack.person("U0STK")
    auditor.asks("audit verify", "records, unbroken", seconds=60)
    with evidence.edited_record(tour.state, 3):
        auditor.asks("audit verify", "record 3 was edited", seconds=60)
    auditor.asks("audit verify", "records, unbroken", seconds=60)


STEPS: tuple[Step, ...] = (
    recorded,
    verified,
)
