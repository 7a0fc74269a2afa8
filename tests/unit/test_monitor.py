"""What the bot asks about a deployment's monitor, and how a window's files come to the monitor's job."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import monitor
from pipeline.deployment import Stack
from pipeline.monitoring import fetch
from tests.unit.fake_aws import FakeClient, refusal

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAME = "groundcrew-dev-detector"


def stack(**parameters: str) -> Stack:
    return Stack(NAME, "id", "CREATE_COMPLETE", "", {"MonitorTimes": "cron(0 * ? * * *)", **parameters}, NOON)


def native(status: str) -> dict[str, Any]:
    config = {"ScheduleConfig": {"ScheduleExpression": "cron(0 8 ? * * *)"}}
    return {"MonitoringScheduleStatus": status, "MonitoringScheduleConfig": config}


GONE = refusal("ResourceNotFoundException", "gone")


@pytest.mark.parametrize(
    ("parameters", "scheduler", "sagemaker", "wanted"),
    [
        ({}, {"State": "ENABLED", "ScheduleExpression": "rate(6 hours)"}, {}, ("processing", "on", "rate(6 hours)")),
        (
            {},
            {"State": "DISABLED", "ScheduleExpression": "rate(6 hours)"},
            {},
            ("processing", "paused", "rate(6 hours)"),
        ),
        ({}, GONE, {}, ("processing", "none", "cron(0 * ? * * *)")),
        ({"Monitor": "native"}, GONE, native("Scheduled"), ("native", "on", "cron(0 8 ? * * *)")),
        ({"Monitor": "native"}, GONE, native("Stopped"), ("native", "paused", "cron(0 8 ? * * *)")),
        (
            {"Monitor": "native", "MonitorState": "DISABLED"},
            GONE,
            refusal("ResourceNotFound", "gone"),
            ("native", "paused", "cron(0 * ? * * *)"),
        ),
    ],
)
def test_the_state_of_a_schedule(parameters: dict[str, str], scheduler: Any, sagemaker: Any, wanted: Any) -> None:
    asked = FakeClient(get_schedule=scheduler), FakeClient(describe_monitoring_schedule=sagemaker)
    found = monitor.watch(*asked, stack(**parameters, MonitorHours="6"))
    assert (found.kind, found.state, found.times) == wanted
    assert (found.name, found.hours) == (f"{NAME}-monitor", 6)


def test_another_refusal_is_not_taken_for_absence() -> None:
    denied = refusal("AccessDeniedException", "no")
    with pytest.raises(type(denied)):
        monitor.watch(FakeClient(get_schedule=denied), FakeClient(), stack())
    with pytest.raises(type(denied)):
        monitor.watch(FakeClient(), FakeClient(describe_monitoring_schedule=denied), stack(Monitor="native"))


def test_both_kinds_of_executions_speak_alike() -> None:
    job = {"ProcessingJobArn": "arn:job", "CreationTime": NOON, "ProcessingJobStatus": "Completed"}
    moved = {**job, "ExitMessage": "CompletedWithViolations: Drift. 1 violation."}
    jobs = FakeClient(list_processing_jobs={"ProcessingJobSummaries": [moved, job]})
    found = monitor.executions(jobs, stack())
    assert [each.status for each in found] == ["CompletedWithViolations", "Completed"]
    assert jobs.requests("list_processing_jobs")[0]["NameContains"] == f"{NAME}-monitor-"
    summary = {"ScheduledTime": NOON, "MonitoringExecutionStatus": "Failed", "FailureReason": "Job inputs had no data"}
    theirs = FakeClient(list_monitoring_executions={"MonitoringExecutionSummaries": [summary]})
    (silent,) = monitor.executions(theirs, stack(Monitor="native"))
    assert (silent.status, silent.job, silent.reason) == ("Failed", "", "Job inputs had no data")


# The window's files


class Bucket:
    """S3 as the fetching needs it: a listing in pages, and downloads."""

    def __init__(self, *keys: str) -> None:
        self.keys, self.listed = sorted(keys), list[str]()

    def get_paginator(self, name: str) -> Bucket:
        return self

    def paginate(self, Bucket: str, Prefix: str, Delimiter: str = "") -> Iterator[dict[str, Any]]:
        self.listed.append(Prefix)
        found = [key for key in self.keys if key.startswith(Prefix)]
        if Delimiter:
            below = {key.removeprefix(Prefix).partition("/")[0] for key in found if "/" in key.removeprefix(Prefix)}
            yield {"CommonPrefixes": [{"Prefix": f"{Prefix}{each}/"} for each in sorted(below)]}
        for key in found if not Delimiter else ():
            yield {"Contents": [{"Key": key}]}

    def download_file(self, bucket: str, key: str, target: str) -> None:
        Path(target).write_text(key)


def brought(bucket: Bucket, folder: Path, uri: str = "s3://b/dev/capture/e") -> list[str]:
    count = fetch.download(bucket, uri, NOON - timedelta(hours=1), NOON, folder)
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert count == len(found)
    return found


def test_only_the_window_s_hours_are_brought(tmp_path: Path) -> None:
    hours = ("2026/03/01/09", "2026/03/01/10", "2026/03/01/11", "2026/03/01/12", "2025/03/01/11")
    bucket = Bucket(*(f"dev/capture/e/{variant}/{hour}/a.jsonl" for variant in ("main", "canary") for hour in hours))
    wanted = [f"{variant}/2026/03/01/{hour}/a.jsonl" for variant in ("canary", "main") for hour in (10, 11)]
    assert brought(bucket, tmp_path) == wanted
    assert "dev/capture/e/main/" not in bucket.listed, "the prefix grows without end: it must not be listed whole"


def test_ground_truth_has_no_variants_and_nothing_is_no_error(tmp_path: Path) -> None:
    truth = Bucket("dev/truth/e/2026/03/01/11/t.jsonl", "dev/truth/e/2026/03/01/13/t.jsonl")
    assert brought(truth, tmp_path, "s3://b/dev/truth/e/") == ["2026/03/01/11/t.jsonl"]
    assert brought(Bucket(), tmp_path / "none") == []


moments = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


@given(moments, st.timedeltas(timedelta(minutes=1), timedelta(days=2)), st.floats(0, 1, exclude_max=True))
def test_every_moment_of_a_window_lies_in_one_of_its_hours(start: datetime, length: timedelta, share: float) -> None:
    found = list(fetch.hours(start, start + length))
    assert f"{start + length * share:%Y/%m/%d/%H}" in found
    assert len(found) <= length / timedelta(hours=1) + 3
