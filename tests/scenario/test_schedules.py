"""Schedules as people meet them: set in a channel, posted there when due, listed, and taken away again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sandbox.person import Person, buttons
from state.database import CHANNEL_SCHEDULES
from tests.conftest import Sandbox
from tests.scenario.test_governance import sql


def test_a_schedule_is_set_posts_its_report_once_is_listed_and_removed(
    sandbox: Sandbox, ml: Person, ds: Person
) -> None:
    due = datetime.now(UTC) - timedelta(minutes=1)
    line = f"schedule set summary --at {due:%H:%M} --zone UTC --name scenario"
    ds.asks(line, "Schedules are set by somebody with the role ml-engineer")
    ml.asks(line, "Schedule scenario: summary, daily at", "Next")
    # Time passes by editing rows: it was set yesterday, so today's report is due.
    before = ml.types("schedule list")
    sql(sandbox, "UPDATE schedules SET created_at = now() - interval '1 day' WHERE name = 'scenario'")
    sql(sandbox, f"NOTIFY {CHANNEL_SCHEDULES}")
    report = ds.sees("Summary:", "schedule `scenario`", after=before)
    assert "Runs in dev" in report["words"]
    listed = ds.asks("schedule list", "scenario", f"daily at {due:%H:%M}, UTC", "last ")
    assert "Remove scenario" not in buttons(listed)
    mine = ml.asks("schedule list", "Remove scenario", button="Remove scenario")
    ml.sees("Schedule scenario is removed", after=ml.presses(mine, "Remove scenario"))
    posted = [row for row in ml.reads(before) if "schedule `scenario`" in row["words"]]
    assert len(posted) == 1
    ml.asks("schedule remove scenario", "no schedule")


def test_a_mistyped_schedule_is_answered_with_the_fix(ml: Person) -> None:
    ml.asks("schedule set summary --at 25:00", "no time of the day")
    ml.asks("schedule set summary --at 08:00 --zone Europe/Zurch", "Europe/Zurich")
