"""Watching a model, as people see it: hours of real traffic through a real endpoint, looked at by the real monitor.

The account's clock is set back and moved (`sandbox.hours`); nothing waits for an hour. Where each line of "bad input"
is tested that is not here: tests/unit/test_steps_monitor.py, test_monitoring_files.py, test_commands_drift.py.
"""

from __future__ import annotations

import base64
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from unittest.mock import patch

import boto3
import httpx
import pytest

from sandbox import evidence
from sandbox.environment import BUCKET
from sandbox.hours import HOUR, Hours, stamp
from sandbox.person import Json, Person, buttons, moment
from tests.conftest import SEED, Sandbox, Training

pytestmark = pytest.mark.usefixtures("training")

ENDPOINT = "groundcrew-dev-detector"
BROKEN = [
    b'{"captureData": {"endpointOutput": {"data": "{',
    "{\"captureData\": \"Gr\u00fc\u00dfe\"}".encode("latin-1"),
    b'{"captureData": {"endpointInput": {"data": "1,2,3", "encoding": "CSV", "mode": "INPUT", '
    b'"observedContentType": "text/csv"}}, "eventMetadata": {"eventId": "x", "inferenceTime": "2026-01-01T00:00:00Z"}}',
    b"not a record at all",
]  # fmt: skip
"""Cut short, another encoding, another model's, none."""


class Account:
    """AWS as the operator of this sandbox has it."""

    def __init__(self, sandbox: Sandbox) -> None:
        with patch.dict(os.environ, {k: v for k, v in sandbox.settings().items() if k.startswith("AWS_")}):
            session = boto3.Session()
            self.s3, self.cloudformation = session.client("s3"), session.client("cloudformation")

    def keys(self, prefix: str) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def read(self, key: str) -> bytes:
        body: bytes = self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return body

    def write(self, key: str, body: bytes) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)

    def parameter(self, name: str) -> str:
        found = self.stack()["Parameters"]
        return str(next(each["ParameterValue"] for each in found if each["ParameterKey"] == name))

    def stack(self) -> dict[str, Any]:
        found: dict[str, Any] = self.cloudformation.describe_stacks(StackName=ENDPOINT)["Stacks"][0]
        return found


@pytest.fixture(scope="module")
def account(sandbox: Sandbox) -> Account:
    return Account(sandbox)


@pytest.fixture(scope="module")
def somebody(sandbox: Sandbox) -> Person:
    return sandbox.slack.person("U0DS1")


@pytest.fixture(scope="module")
def reader(sandbox: Sandbox) -> Person:
    return sandbox.slack.person("U0DS1", "C0ALERTS")


@pytest.fixture(scope="module")
def hours(sandbox: Sandbox, training: Training) -> Iterator[Hours]:
    """Six hours that may pass; at the end the clock is right again."""
    found = Hours(sandbox.state, SEED)
    found.begin(6)
    yield found
    found.present()


def report(person: Person, end: datetime, *words: str) -> Json:
    """The report about the hour that ended then, once there is one."""
    line, deadline = f"drift report --at {stamp(end)} --window 1h", time.monotonic() + 60
    while "There is no report" in (told := person.asks(line))["words"]:
        assert time.monotonic() < deadline, told["words"]
        time.sleep(0.3)
    for part in words:
        assert part in told["words"], told["words"]
    return told


@pytest.fixture(scope="module")
def quiet(hours: Hours, somebody: Person) -> Json:
    """The report about an hour of ordinary photos, of which it is known what they show."""
    hours.send("usual", 200, "--truth", "may")
    return report(somebody, hours.pass_hour())


@dataclass(frozen=True)
class Fog:
    """The reports about two hours, and what the channel of alerts said after the first."""

    first: Json
    said: list[Json]
    second: Json
    began: str


@pytest.fixture(scope="module")
def fog(hours: Hours, quiet: Json, somebody: Person, reader: Person) -> Fog:
    """Two hours of it."""
    before = moment()
    hours.send("fog")
    first = report(somebody, hours.pass_hour())
    said = reader.reads(before)
    hours.send("fog")
    return Fog(first, said, report(somebody, hours.pass_hour()), before)


def test_a_deployment_brings_its_monitor(somebody: Person, training: Training) -> None:
    told = somebody.asks("deployment status", f"{ENDPOINT}: in service")["words"]
    assert {"MonitorSchedule", "DriftAlarm", "MonitorAlarm", "ErrorsAlarm"} <= set(told.split())
    somebody.asks("drift schedule show", "looked at every 1 h", "Processing job", button="Pause…")
    somebody.asks("drift baseline show", "The baseline of", "810 images", training.id, "drawn by flight")


def test_requests_are_captured_as_sagemaker_writes_them(account: Account, hours: Hours, quiet: Json) -> None:
    hour = hours.ends[0] - HOUR
    found = account.keys(f"dev/capture/{ENDPOINT}/main/{hour:%Y/%m/%d/%H}/")
    lines = [json.loads(line) for key in found for line in account.read(key).splitlines()]
    assert len(lines) == 200
    line = lines[0]
    assert line.keys() == {"captureData", "eventMetadata", "eventVersion"}
    assert line["eventMetadata"].keys() == {"eventId", "inferenceId", "inferenceTime"}
    asked, answered = line["captureData"]["endpointInput"], line["captureData"]["endpointOutput"]
    assert (asked["observedContentType"], asked["mode"], asked["encoding"]) == ("image/jpeg", "INPUT", "BASE64")
    assert base64.b64decode(asked["data"]).startswith(b"\xff\xd8")
    assert (answered["observedContentType"], answered["encoding"]) == ("application/json", "JSON")
    said = json.loads(answered["data"])
    assert {"brightness", "sharpness", "clipped_low", "entropy", "edge_density"} <= said["features"].keys()
    assert {"objects", "class_vehicle", "class_pool"} <= said["prediction"].keys()


def test_ordinary_photos_are_no_drift(quiet: Json, somebody: Person) -> None:
    assert quiet["words"].startswith("No drift in 200 images"), quiet["words"]
    assert "Retrain in dev" not in buttons(quiet)


def test_one_window_of_drift_is_a_note_and_calls_nobody(fog: Fog) -> None:
    assert fog.first["words"].startswith("Drift: "), fog.first["words"]
    assert "times its limit" in fog.first["words"]
    assert not [row for row in fog.said if "detector" in row["words"]]


def test_two_windows_in_a_row_are_one_alert(fog: Fog, reader: Person) -> None:
    alert = reader.sees("Warning:", f"{ENDPOINT}-drift", "two windows in a row", button="Drift report", after=fog.began)
    said = [row for row in reader.reads(fog.began) if row.get("thread_ts", row["ts"]) == row["ts"]]
    assert [row["ts"] for row in said if ENDPOINT in row["words"]] == [alert["ts"]]
    assert {"Acknowledge", "for 1 hour"} <= buttons(alert).keys()
    told = reader.sees("Drift in 2 of", after=reader.presses(alert, "Drift report"))
    assert {"Retrain in dev", "Roll back…", "the season has changed", "for 1 day"} <= buttons(told).keys()


def test_a_report_lies_in_the_bucket_with_model_monitors_files(account: Account, hours: Hours, fog: object) -> None:
    folder = f"dev/monitoring/{ENDPOINT}/{stamp(hours.ends[1])}/"
    names = {key.removeprefix(folder) for key in account.keys(folder)}
    files = {"statistics.json", "constraint_violations.json", "verdict.json", "report.html", "chart.png"}
    assert files | {"examples.jpg"} <= names
    found = json.loads(account.read(f"{folder}constraint_violations.json"))["violations"]
    assert "baseline_drift_check" in {each["constraint_check_type"] for each in found}
    reviewed = [key for key in account.keys(f"dev/review/{ENDPOINT}/") if key.endswith(".jpg")]
    assert 20 <= len(reviewed) <= 120


def test_drift_is_shown_in_pictures_and_as_a_page_for_one(
    sandbox: Sandbox, hours: Hours, fog: Fog, somebody: Person
) -> None:
    assert sandbox.slack.bytes_of(evidence.picture(fog.second)).startswith(b"\x89PNG")
    photos = somebody.sees("What it sees", after=fog.second["ts"])
    assert sandbox.slack.bytes_of(evidence.picture(photos)).startswith(b"\xff\xd8\xff")
    before = somebody.presses(fog.second, "Whole report")
    link = somebody.sees("Open the whole report", after=before)["words"]
    url = link.partition("<")[2].partition("|")[0].replace("&amp;", "&")
    page = httpx.get(url, trust_env=False)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "Drift in 200 images" in page.text
    assert httpx.get(url.partition("?")[0], trust_env=False).status_code == 403


def test_the_trend_is_a_picture_and_keeps_every_hour(sandbox: Sandbox, fog: Fog, somebody: Person) -> None:
    told = somebody.asks("drift history --days 2", "drift in 2 of", "windows of the last 2 days")
    assert sandbox.slack.bytes_of(evidence.picture(told)).startswith(b"\x89PNG")


def test_a_window_without_a_request_is_no_traffic(fog: object, somebody: Person) -> None:
    live = somebody.asks("drift report --now --window 1m", "Looking at 1 min")
    told = somebody.sees("No traffic", ts=live["ts"], seconds=60)
    assert "No drift" not in told["words"]


@pytest.fixture(scope="module")
def judged(fog: object, somebody: Person) -> Json:
    """All hours as one window, with what the photos of the first really show."""
    before = somebody.types("drift ground-truth may --window 12h")
    return somebody.sees("Against ground truth", "200 photos", after=before, seconds=60)


def test_ground_truth_says_how_good_the_model_is_in_service(judged: Json) -> None:
    assert "200 photos: precision 0." in judged["words"], judged["words"]
    assert judged["words"].startswith("Drift: ")


def test_a_window_is_accepted_as_the_new_normal(account: Account, judged: Json, somebody: Person) -> None:
    question = somebody.asks(
        'drift baseline accept --window 13h --reason "the fog stays"',
        "images seen lately the new normal of dev?", "Normal from now on", button="Yes, do it",
    )  # fmt: skip
    before = somebody.presses(question, "Yes, do it")
    somebody.sees(f"{ENDPOINT}: in service", after=before, seconds=60)
    somebody.asks("drift baseline show", "Accepted by", "the fog stays", "none needed in dev")
    assert "/baselines/" in account.parameter("BaselineStatistics")


def test_every_registered_model_comes_explained(sandbox: Sandbox, account: Account, somebody: Person) -> None:
    told = somebody.asks("drift explain --version 1", "what carried", "explained when it was registered")
    assert sandbox.slack.bytes_of(evidence.picture(told)).startswith(b"\xff\xd8\xff")
    found = re.search(rf"s3://{BUCKET}/(\S+/analysis_result)", told["words"])
    assert found, told["words"]
    folder = found[1]
    names = {key.removeprefix(f"{folder}/") for key in account.keys(f"{folder}/")}
    assert {"analysis.json", "report.html", "explanations_shap/heat_maps.jpg"} <= names


def test_what_carried_a_detection_is_shown_as_heat_maps(sandbox: Sandbox, account: Account, somebody: Person) -> None:
    live = somebody.asks("drift explain --photos 1", "Explaining detector v")
    told = somebody.sees("what carried", "Clarify's files", ts=live["ts"], seconds=90)
    assert sandbox.slack.bytes_of(evidence.picture(told)).startswith(b"\xff\xd8\xff")
    names = {key.rpartition("/")[2] for key in account.keys("dev/explain/")}
    assert {"analysis.json", "report.html", "analysis_config.json"} <= names


def test_model_monitors_own_schedule_does_the_same(
    sandbox: Sandbox, account: Account, hours: Hours, judged: Json, somebody: Person
) -> None:
    """With MONITOR=native; and lines that are no records are counted, and said."""

    def deploy(kind: str) -> None:
        done = sandbox.bot("run", "--as", "U0DS1", "deployment create --env dev --version 1", MONITOR=kind)
        assert done.returncode == 0, done.stdout + done.stderr
        deadline = time.monotonic() + 60
        while account.stack()["StackStatus"].endswith("_IN_PROGRESS"):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert account.parameter("Monitor") == kind

    deploy("native")
    somebody.asks("drift schedule show", "looked at every 1 h", "Model Monitor")
    hours.send("usual", 60)
    hour = f"dev/capture/{ENDPOINT}/main/{hours.ends[-1]:%Y/%m/%d/%H}"
    assert len(account.keys(f"{hour}/")) > 0
    account.write(f"{hour}/59-59-000-broken.jsonl", b"\n".join(BROKEN))
    end = hours.pass_hour()
    told = report(somebody, end, "60 images, 4 more records could not be read")
    assert "unusable values" in told["words"]
    folder = f"dev/monitoring/{ENDPOINT}/{ENDPOINT}-monitor/{end:%Y/%m/%d/%H}/"
    assert f"{folder}constraint_violations.json" in account.keys(folder)
    deploy("processing")


def test_a_monitor_that_fails_is_an_alert_and_no_silence(
    account: Account, hours: Hours, judged: Json, somebody: Person, reader: Person
) -> None:
    bucket, _, key = account.parameter("BaselineStatistics").removeprefix("s3://").partition("/")
    assert bucket == BUCKET
    whole, before = account.read(key), moment()
    account.write(key, b"{")
    try:
        hours.pass_hour()
        reader.sees("Warning:", f"{ENDPOINT}-monitor-", "failed", after=before, seconds=60)
    finally:
        account.write(key, whole)
    somebody.asks("drift schedule show", "failed")


def test_paused_nobody_looks(account: Account, hours: Hours, judged: Json, somebody: Person) -> None:
    question = somebody.asks("drift schedule pause", "nobody hears of drift", button="Yes, do it")
    somebody.sees(f"{ENDPOINT}: in service", after=somebody.presses(question, "Yes, do it"), seconds=60)
    end = hours.pass_hour()
    somebody.asks("drift schedule show", "the monitor is paused", button="Resume")
    before = somebody.types("drift schedule resume")
    somebody.sees(f"{ENDPOINT}: in service", after=before, seconds=60)
    assert not account.keys(f"dev/monitoring/{ENDPOINT}/{stamp(end)}/")


def test_what_cannot_be_done_is_said_with_what_can(somebody: Person, sandbox: Sandbox) -> None:
    for line, words in (
        ("drift schedule set --every 5h", "Choose 1h, 6h or 24h"),
        ("drift report --window 45d", "A window lasts from a minute to 31 days"),
        ("drift report --at yesterday", "is no moment"),
        ("drift report --env staging no-such", "There is no endpoint in staging"),
        ("drift ground-truth june", "0 usable records in 0 files"),
        ("drift baseline accept --window 1h", "Say why this is normal now"),
    ):
        assert words in somebody.asks(line)["words"], line
    told = sandbox.slack.person("U0STK").asks("drift schedule pause --yes", "AWS said no")["words"]
    assert "not authorized to perform" in told
