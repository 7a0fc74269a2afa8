"""The training as a process under the container contract: what it is told reaches YOLO, and an end is no loss."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from pipeline import dataset, parameters, source
from pipeline.definition import HYPERPARAMETERS
from pipeline.parameters import BY_NAME
from pipeline.steps.recipe import AUGMENTATIONS, arguments
from pipeline.steps.runlog import Facts, write_data
from pipeline.tuning import METRIC
from sandbox import imagery
from tests.conftest import ROOT

TOLD = {
    "model": "yolo11s",
    "epochs": "3",
    "image_size": "64",
    "batch": "6",
    "learning_rate": "0.002",
    "optimizer": "SGD",
    "patience": "7",
    "augmentation": "strong",
    "seed": "11",
    "weights": "",
}


@pytest.fixture(scope="module")
def channels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A container's root with its channels, nothing run in it yet."""
    folder = tmp_path_factory.mktemp("train")
    imagery.write(folder / "survey", 5, images=30, side=96, unlabelled=0)
    survey = dataset.read(folder / "survey")
    home = folder / "ml" / "input" / "data"
    for part, samples in dataset.split(survey).items():
        dataset.pack(samples[:8], home / part)
    for name in ("run", "report"):
        (home / name).mkdir()
    Facts("arn:x/y", "rev", "e").write(home / "run" / "run.json")
    write_data(home / "report" / "data.json", survey.version, {"train": 8}, survey.classes)
    for name in ("report.json", "manifest.json"):
        (home / "report" / name).write_text("{}")
    return folder / "ml"


def started(root: Path, told: Mapping[str, str]) -> subprocess.Popen[str]:
    config = root / "input" / "config"
    config.mkdir(parents=True, exist_ok=True)
    (config / "hyperparameters.json").write_text(json.dumps(told))
    environment = {"PATH": os.environ["PATH"], "HOME": str(root), "ML_ROOT": str(root)}
    command = [sys.executable, "-m", "pipeline.steps.train"]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_an_interrupted_training_goes_on_from_its_last_whole_epoch(channels: Path) -> None:
    """Killed as a machine is taken away, started again with what SageMaker keeps: the checkpoints, nothing else."""
    first = started(channels, TOLD)
    assert first.stdout is not None
    for line in first.stdout:
        if '"event": "checkpoint", "epoch": 2' in line:
            break
    first.kill()
    first.communicate()
    kept = channels / "checkpoints"
    assert {file.name for file in kept.iterdir()} >= {"last.pt", "best.pt", "results.csv"}
    elsewhere = channels.with_name("again")
    for name in ("input", "checkpoints"):
        (elsewhere / name).parent.mkdir(exist_ok=True)
        (channels / name).rename(elsewhere / name)
    second = started(elsewhere, TOLD)
    said, _ = second.communicate(timeout=120)
    assert second.returncode == 0, said[-2000:]
    events = [json.loads(line) for line in said.splitlines() if line.startswith('{"event"')]
    assert [event["epoch"] for event in events if event["event"] == "resumed"] == [2]
    assert [event["epoch"] for event in events if event["event"] == "epoch"] == [3]
    facts = json.loads((elsewhere / "model" / "training.json").read_text())
    assert (facts["epochs"], facts["resumed"], facts["network"]) == (3, True, "yolo11s")
    rows = (elsewhere / "model" / "results.csv").read_text().splitlines()
    assert [row.split(",")[0].strip() for row in rows] == ["epoch", "1", "2", "3"]
    assert (elsewhere / "model" / "best.pt").is_file()

    used = yaml.safe_load((elsewhere / "model" / "args.yaml").read_text())
    wanted = arguments(TOLD, "cpu")
    assert {name: used[name] for name in wanted} == wanted
    assert used["optimizer"] == "SGD"
    assert (used["lr0"], used["patience"], used["imgsz"], used["batch"], used["mosaic"]) == (0.002, 7, 64, 6, 0.5)
    assert facts["parameters"] > 9_000_000, "that is no YOLO11s"


def test_a_trial_of_a_tuning_job_trains_from_what_its_channels_hold(channels: Path, tmp_path: Path) -> None:
    """Started as the service starts it: by the image's own `train`, which runs the code of its channel."""
    home = channels if (channels / "input").exists() else channels.with_name("again")
    (tmp_path / "input" / "data").mkdir(parents=True)
    for name in ("train", "validation", "report"):
        (tmp_path / "input" / "data" / name).symlink_to(home / "input" / "data" / name)
    (tmp_path / "input" / "data" / "code").mkdir()
    (tmp_path / "input" / "data" / "code" / "source.tar.gz").write_bytes(source.code().data)
    tuned = {"tuning": "t", "experiment": "e", "artifacts": "s3://b/mlflow", "_tuning_objective_metric": METRIC}
    config = tmp_path / "input" / "config"
    config.mkdir()
    (config / "hyperparameters.json").write_text(json.dumps({**TOLD, **tuned, "model": "yolo11n", "epochs": "1"}))
    environment = {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
        "HOME": str(tmp_path),
        "ML_ROOT": str(tmp_path),
        "TRAINING_JOB_ARN": "a/b",
    }
    command = [sys.executable, "-m", "pipeline.serving", "train"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    told = re.findall(r'"map50": ([0-9.]+)', done.stdout)
    facts = json.loads((tmp_path / "model" / "training.json").read_text())
    assert float(told[-1]) == pytest.approx(facts["validation"]["map50"]), (
        "the last value is what the trial is judged by"
    )
    assert (tmp_path / "code" / "pipeline" / "steps" / "train.py").is_file()


def test_every_hyperparameter_of_the_pipeline_is_one_that_the_training_reads() -> None:
    assert set(HYPERPARAMETERS) == set(TOLD)
    assert set(HYPERPARAMETERS.values()) <= set(BY_NAME)


@pytest.mark.parametrize("preset", list(AUGMENTATIONS))
def test_an_augmentation_preset_sets_the_same_arguments_as_any_other(preset: str) -> None:
    given = arguments({**TOLD, "augmentation": preset}, "cpu")
    assert set(AUGMENTATIONS["none"]) <= set(given)
    assert set(given) == set(arguments(TOLD, "cpu"))


def test_presets_are_those_that_can_be_asked_for() -> None:
    assert tuple(AUGMENTATIONS) == parameters.BY_OPTION["augmentation"].choices
