"""Data sets from Slack: profiled on two machines, sampled, and named by the runs that used them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from sandbox.environment import Environments, Ports
from sandbox.person import Person, blocks, buttons, rows
from tests.conftest import ROOT, Sandbox, Training
from tests.unit.photos import encoded, scene, survey

SECONDS = 90


def done(person: Person, live: dict[str, Any], *words: str) -> dict[str, Any]:
    """The message of a profile once its job has ended."""
    return person.sees(*words, ts=live["ts"], seconds=SECONDS)


def alt_texts(message: dict[str, Any]) -> list[str]:
    return [block["alt_text"] for block in blocks(message) if block["type"] == "image"]


@pytest.fixture(scope="module")
def odd(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A data set of one flight with a broken photo and names that look like commands; its folder."""
    folder = survey(tmp_path_factory.mktemp("sets") / "odd", flights=1)
    whole = encoded(scene(1))
    (folder / "images" / "f0_0.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "images" / "<!channel> *bold* `code`_1.jpg").write_bytes(encoded(scene(3)))
    (folder / "labels" / "<!channel> *bold* `code`_1.txt").write_text("0 0.5 0.5 2 0.2\n")
    env = Environments(sandbox.state, Ports(**sandbox.record.read("ports.json"))).aws("ab")
    load = [sys.executable, "-m", "sandbox.survey", str(folder), "--prefix", "odd"]
    subprocess.run(load, cwd=ROOT, check=True, env=env)
    return "odd/"


def test_a_profile_on_two_machines_becomes_the_message_with_its_photos_below(ds: Person) -> None:
    before = ds.types("dataset profile --instances 2")
    live = ds.sees("Profiling survey/", after=before)
    told = done(ds, live, "Data set survey/", "objects of 4 classes")
    assert "Stop" not in buttons(told)
    assert any("Objects by class: vehicle" in text for text in alt_texts(told))
    assert {row[0] for row in rows(told)[1:]} == {"vehicle", "solar_panel", "pool", "building"}
    photos = ds.sees("with the boxes of their labels", thread_ts=live["ts"])
    assert any("photos with the boxes" in text for text in alt_texts(photos))

    again = ds.asks("dataset profile", "Data set survey/", "profiled before")
    assert "started by" not in again["words"]
    sample = ds.sees("labelled objects", "seed", after=ds.presses(again, "Sample of photos"))
    assert "9 of" in sample["words"]


def test_names_that_look_like_commands_are_shown_and_not_obeyed(ds: Person, odd: str) -> None:
    told = done(ds, ds.asks(f"dataset profile --prefix {odd}", "Profiling odd/"), "Data set odd/")
    assert "In the way of a training: The data set is too small" in told["words"]
    assert "1 photo cannot be decoded" in told["words"]
    assert "<!channel> *bold* `code`_1" in told["words"]
    assert not [block for block in blocks(told) if '"type": "broadcast"' in str(block)]


def test_a_folder_elsewhere_is_refused_with_what_to_type(ds: Person) -> None:
    ds.asks("dataset profile --prefix s3://somewhere/else", "is not in the data bucket", "such as survey/")
    ds.asks("dataset sample --prefix ../up", "is no folder of photos")
    ds.asks("dataset profile --prefix survay", "There is no folder", "survey/")


def test_a_run_names_its_version_and_the_version_its_runs(sandbox: Sandbox, ds: Person, training: Training) -> None:
    listed = ds.asks("dataset versions", "Runs in dev have used")
    mine = next(row for row in rows(listed)[1:] if training.id[:6] in row[5])
    assert f"data {mine[0]}" in training.message["words"]
    assert mine[1] == "survey/"
    one = ds.asks(f"dataset versions {mine[0][:8]}", f"Data version {mine[0]} in dev")
    assert training.id in [row[0] for row in rows(one)]
    stakeholder = sandbox.slack.person("U0STK")
    stakeholder.asks("dataset versions", "Runs in dev have used", mine[0])


def test_a_stakeholder_reads_but_starts_nothing(sandbox: Sandbox) -> None:
    sandbox.slack.person("U0STK").asks("dataset profile", "not authorized")
