"""What a run can be told and what becomes of it: parameters, data taken again, spot, tuning. On one small survey."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import httpx
import pytest

from sandbox import evidence
from sandbox.environment import Environments, Ports
from sandbox.person import Person, buttons, rows
from tests.conftest import ROOT, Sandbox
from tests.scenario.test_runs import begin, end_of

DATA = "--max-images 60 --classes vehicle,building --seed 4"
SHORT = f"{DATA} --image-size 64 --map-threshold 1"
"""Nothing is registered or deployed: that is tried elsewhere."""


def operator(sandbox: Sandbox, module: str, *arguments: str) -> str:
    env = Environments(sandbox.state, Ports(**sandbox.record.read("ports.json"))).aws("ab")
    argv = [sys.executable, "-m", module, *arguments]
    return subprocess.run(argv, check=True, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True).stdout


def publish(sandbox: Sandbox, *arguments: str) -> str:
    mlflow = f"http://127.0.0.1:{sandbox.port('mlflow')}"
    return operator(sandbox, "pipeline.publish", "--env", "dev", "--profile", "ab", "--mlflow", mlflow, *arguments)


def tracked(sandbox: Sandbox, live: dict[str, Any]) -> evidence.TrackedRun:
    return evidence.mlflow_run(f"http://127.0.0.1:{sandbox.port('mlflow')}", stopped(live))


def stopped(live: dict[str, Any]) -> str:
    """The id of a run in one of its buttons."""
    return re.findall(r"(?:logs|stop|retry) ([0-9a-z]{12})", " ".join(buttons(live).values()))[0]


@pytest.fixture(scope="module")
def first(sandbox: Sandbox) -> dict[str, Any]:
    """A run with everything unlike the defaults, ended below an impossible threshold."""
    ds = sandbox.slack.person("U0DS1")
    line = f"{SHORT} --epochs 1 --batch 3 --lr 0.002 --optimizer SGD --patience 5 --augmentation none"
    return end_of(ds, begin(ds, f"{line} --instance-type ml.m5.xlarge"))


def test_what_a_run_is_told_reaches_its_training(sandbox: Sandbox, first: dict[str, Any]) -> None:
    assert "mAP50 too low" in first["words"], first["words"]
    params = tracked(sandbox, first).params
    told = {
        "optimizer": "SGD",
        "patience": "5",
        "batch": "3",
        "lr0": "0.002",
        "imgsz": "64",
        "epochs": "1",
        "seed": "4",
    }
    assert {name: params[name] for name in told} == told
    assert (params["fliplr"], params["mosaic"], params["model"]) == ("0", "0", "yolo11n.yaml")
    assert params["data/classes"] == "vehicle, building"
    asked = {"augmentation": "none", "instance_type": "ml.m5.xlarge", "model": "yolo11n"}
    assert {name: params[f"told/{name}"] for name in asked} == asked
    assert float(params["told/map_threshold"]) == 1
    assert sum(int(params[f"data/{part}_images"]) for part in ("train", "validation", "test")) == 60


def test_prepared_data_is_taken_again_after_publishing_the_same_code(
    sandbox: Sandbox, ds: Person, first: dict[str, Any]
) -> None:
    said = publish(sandbox)
    assert said.count("unchanged") == 4, said
    again = end_of(ds, begin(ds, f"{SHORT} --epochs 1 --augmentation survey"))
    assert re.search(rf"taken from run {stopped(first)[:4]}: same data, same code", again["words"]), again["words"]
    assert "mAP50 too low" in again["words"]
    assert tracked(sandbox, again).params["data/classes"] == "vehicle, building", "its own run knows its data"
    other = begin(ds, f"{SHORT.replace('--seed 4', '--seed 5')} --epochs 1")
    other = ds.sees("in dev: training", ts=other["ts"], seconds=300)
    assert "taken from" not in other["words"]
    ds.presses(other, "Stop")


def test_an_interrupted_spot_training_goes_on_and_publishing_meanwhile_does_not_touch_it(
    sandbox: Sandbox, ds: Person, first: dict[str, Any]
) -> None:
    live = begin(ds, f"{SHORT} --epochs 12 --spot")
    live = ds.sees("training, epoch", "of 12", ts=live["ts"], seconds=300)
    assert "spot" in live["words"]
    run = stopped(live)
    assert f"run {run} is under way and keeps the definition it began with" in publish(sandbox)
    url = f"http://127.0.0.1:{sandbox.port('aws')}/_sandbox/interruptions"
    body, headers = {"job": f"groundcrew-dev-train-{run}"}, {"X-Sandbox": "1"}
    assert httpx.post(url, json=body, headers=headers, trust_env=False, timeout=10).status_code == 200
    live = ds.sees("went on after epoch", ts=live["ts"], seconds=300)
    ended = end_of(ds, live)
    assert "mAP50 too low" in ended["words"], ended["words"]
    found = tracked(sandbox, ended)
    assert len(found.history["val/map50"]) == 12, "every epoch once"


def test_a_training_that_died_goes_on_from_its_checkpoints_when_retried(
    sandbox: Sandbox, ds: Person, first: dict[str, Any]
) -> None:
    live = begin(ds, f"{SHORT} --epochs 10")
    live = ds.sees("training, epoch", "of 10", ts=live["ts"], seconds=300)
    below = sandbox.process("aws").children(recursive=True)
    next(process for process in below if "pipeline.steps.train" in process.cmdline()).kill()
    failed = end_of(ds, live)
    assert "failed in Train" in failed["words"]
    going = ds.sees("Training run", "in dev", after=ds.presses(failed, "Retry"))
    ended = end_of(ds, going)
    assert "mAP50 too low" in ended["words"], ended["words"]


def test_an_instance_type_without_quota_ends_with_how_to_ask_for_it(ds: Person, first: dict[str, Any]) -> None:
    ended = end_of(ds, begin(ds, f"{SHORT} --epochs 1 --instance-type ml.g4dn.xlarge --yes"))
    assert "failed in Train" in ended["words"]
    assert "ml.g4dn.xlarge for training job usage" in ended["words"]
    assert "request-service-quota-increase" in ended["words"]


def test_a_dry_run_shows_what_publishing_would_change_and_starts_nothing(sandbox: Sandbox, ds: Person) -> None:
    before = ds.asks("pipeline list", "training run")["words"]
    told = ds.asks("pipeline run --dry-run --epochs 7", "not started")["words"]
    assert "publishing would change nothing" in told
    assert "7" in told
    assert ds.asks("pipeline list", "training run")["words"] == before
    assert "on-demand: unchanged" in publish(sandbox, "--dry-run")


def test_a_folder_without_photos_and_a_version_that_is_not_there_are_said(ds: Person, first: dict[str, Any]) -> None:
    ds.asks("pipeline run --prefix nothing/", "no folder 'nothing/'")
    ended = end_of(ds, begin(ds, f"{SHORT} --epochs 1 --data-version beef"))
    assert "failed in Preprocess" in ended["words"]
    assert "not beef" in ended["words"]


def test_trials_are_tried_and_the_best_is_one_press_from_a_run(sandbox: Sandbox, ds: Person, first: Any) -> None:
    line = f"pipeline tune --run {stopped(first)} --trials 2 --over lr --epochs 1 --image-size 64 --minutes 5"
    begun = ds.asks(line, "Tuning in dev: 2 trials", "Estimated cost")
    done = ds.sees("Tuning in dev: done, best mAP50", ts=begun["ts"], seconds=400)
    trials = rows(done)[1:]
    assert len(trials) == 2
    assert {row[2] for row in trials} == {"Completed"}
    best = buttons(done)["Train with the best"]
    assert best.startswith("pipeline run --env dev ")
    assert f"--lr {trials[0][1]}" in best or float(re.findall(r"--lr (\S+)", best)[0]) == pytest.approx(
        float(trials[0][1]), rel=0.01
    )
    url = f"http://127.0.0.1:{sandbox.port('mlflow')}/api/2.0/mlflow"
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as api:
        found = api.post("/experiments/search", json={"max_results": 100}).json()["experiments"]
        (experiment,) = [row["experiment_id"] for row in found if row["name"] == "groundcrew-dev-tuning"]
        runs = api.post("/runs/search", json={"experiment_ids": [experiment]}).json()["runs"]
    assert len(runs) == 2
    for run in runs:
        assert run["info"]["status"] == "FINISHED"
        assert {"lr0", "imgsz", "data/classes"} <= {row["key"] for row in run["data"]["params"]}
        assert "best/map50" in {row["key"] for row in run["data"]["metrics"]}


def test_who_may_not_tune_is_denied_by_aws(sandbox: Sandbox) -> None:
    sandbox.slack.person("U0STK").asks("pipeline tune --env dev", "AWS said no")
