"""Training runs: the one that succeeds (`training`, started on the page), and the ways in which others end."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from typing import Any

import psutil
import pytest

from sandbox import evidence
from sandbox.environment import Environments, Ports
from sandbox.person import Person, blocks, buttons
from tests.conftest import ROOT, Sandbox, Training

SMALL = "--max-images 60 --image-size 64 --epochs"
ENDED = re.compile(r"in dev: (done|stopped|failed in [\w ]+|mAP50 too low)")


def begin(person: Person, line: str) -> dict[str, Any]:
    """Type a run and return the message that will follow it."""
    return person.asks(f"pipeline run {line}", "Training run", "in dev")


def end_of(person: Person, live: dict[str, Any], seconds: float = 400) -> dict[str, Any]:
    """The same message once its run has ended."""
    deadline = time.monotonic() + seconds
    while not ENDED.search(live["words"]):
        left = max(1.0, deadline - time.monotonic())
        live = person.sees(ts=live["ts"], min_changes=live["changes"] + 1, seconds=left)
    return live


@pytest.fixture(scope="module")
def broken_photos(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A data set with six unusable files, in the bucket below `broken/`."""
    folder = tmp_path_factory.mktemp("photos") / "broken"
    draw = ["sandbox.imagery", "--out", str(folder), "--seed", "5", "--images", "96", "--broken", "--unlabelled", "0"]
    subprocess.run([sys.executable, "-m", *draw], cwd=ROOT, check=True)
    env = Environments(sandbox.state, Ports(**sandbox.record.read("ports.json"))).aws("ab")
    load = [sys.executable, "-m", "sandbox.survey", str(folder), "--prefix", "broken"]
    subprocess.run(load, cwd=ROOT, check=True, env=env)


def test_a_run_is_watched_through_its_states_to_a_registered_model(training: Training) -> None:
    assert "in dev: done" in training.states[-1], training.states[-1]
    assert len(training.states) >= 5
    assert any("epoch 2 of 4" in state for state in training.states)
    assert float(re.findall(r"done, mAP50 (0\.\d+)", training.states[-1])[0]) >= 0.8
    assert {"Request promotion to staging", "Show the model"} <= buttons(training.message).keys()
    assert "Stop" not in buttons(training.message)


def test_mlflow_holds_every_parameter_and_metrics_per_epoch(sandbox: Sandbox, training: Training) -> None:
    run = evidence.mlflow_run(f"http://127.0.0.1:{sandbox.port('mlflow')}", training.id)
    assert run.status == "FINISHED"
    assert run.params["optimizer"] == "AdamW"
    assert run.params["imgsz"] == "128"
    assert len(run.params) > 90
    assert len(run.history["val/map50"]) == 4
    assert 0.8 <= run.metrics["test/map50"] <= 1


def test_the_registered_model_says_where_it_comes_from(ds: Person, training: Training) -> None:
    told = ds.asks("registry show 1", "Detector v1 in dev", seconds=60)["words"]
    assert training.id in told
    for label in ("mAP50-95", "Digest", "Data", "Revision", "MLflow run", "vehicle"):
        assert label in told


def test_bad_data_ends_the_run_with_the_files_when_asked_to(broken_photos: None, ds: Person) -> None:
    ended = end_of(ds, begin(ds, f"--prefix broken --on-bad-data fail {SMALL} 1"))
    assert "failed in Preprocess" in ended["words"]
    for name in ("flight00_0000.jpg", "flight02_0000"):  # the first is cut short, the third's label is out of range
        assert name in ended["words"] or "6 " in ended["words"], ended["words"]


def test_bad_data_is_left_out_and_a_model_below_the_threshold_is_not_registered(
    broken_photos: None, ds: Person
) -> None:
    before = ds.asks("registry list", "v1")["words"].count("\nv")
    ended = end_of(ds, begin(ds, f"--prefix broken {SMALL} 1 --map-threshold 0.99"))
    assert "mAP50 too low" in ended["words"]
    assert re.search(r"mAP50 0\.\d+ is 0\.\d+ below 0\.99", ended["words"]), ended["words"]
    assert re.search(r"[Ll]eft out", ended["words"]), ended["words"]
    assert ds.asks("registry list", "v1")["words"].count("\nv") == before


def test_a_training_that_dies_is_reported_with_step_reason_and_last_lines(sandbox: Sandbox, ds: Person) -> None:
    live = begin(ds, f"{SMALL} 200")
    live = ds.sees("training, epoch", "of 200", ts=live["ts"], seconds=120)  # which one it shows is luck
    training_process(sandbox).kill()
    ended = end_of(ds, live)
    assert "failed in Train" in ended["words"]
    assert re.search(r"Train failed: .*(137|SIGKILL|killed)", ended["words"]), ended["words"]
    quoted = [block for block in blocks(ended) if "rich_text_preformatted" in str(block)]
    assert quoted, "its last lines are not shown"
    assert "\x1b" not in str(quoted), "terminal colours are shown as noise"
    assert "Run again" in buttons(ended)


def test_weights_that_do_not_exist_end_the_run_with_the_reason(ds: Person) -> None:
    ended = end_of(ds, begin(ds, f"{SMALL} 1 --weights s3://lucaskle-ab3-project-pv/none.pt"))
    assert "failed in Train" in ended["words"]
    assert "none.pt cannot be read" in ended["words"]


def test_mlflow_does_not_answer_and_the_run_goes_on_and_says_so(sandbox: Sandbox, ds: Person) -> None:
    mlflow = sandbox.process("mlflow")
    live = begin(ds, f"{SMALL} 8 --map-threshold 0")
    live = ds.sees("training", ts=live["ts"], seconds=120)
    mlflow.send_signal(signal.SIGSTOP)
    try:
        live = ds.sees("MLflow does not answer", ts=live["ts"], seconds=120)
        assert "in dev: training" in live["words"]
    finally:
        mlflow.send_signal(signal.SIGCONT)
    ended = end_of(ds, live)
    assert "in dev: done" in ended["words"], ended["words"]


def training_process(sandbox: Sandbox) -> psutil.Process:
    """The running Train job's own process."""
    below = sandbox.process("aws").children(recursive=True)
    return next(process for process in below if "pipeline.steps.train" in process.cmdline())


def test_no_job_leaves_a_process_behind(sandbox: Sandbox, ds: Person) -> None:
    live = begin(ds, f"{SMALL} 200")
    ds.sees("training, epoch", ts=live["ts"], seconds=120)
    trainer = training_process(sandbox)
    ds.presses(live, "Stop")
    assert "in dev: stopped" in end_of(ds, live)["words"]
    trainer.wait(timeout=10)
    jobs = [" ".join(process.cmdline()) for process in sandbox.process("aws").children(recursive=True)]
    assert not [job for job in jobs if "pipeline.steps" in job]
