"""A run that fails on a broken photo: its log, the photo put right, the run continued to its model; and who may not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox import evidence
from sandbox.environment import Environments, Ports
from sandbox.person import Person, buttons
from tests.conftest import ROOT, Sandbox
from tests.scenario.test_runs import begin, end_of

PREFIX = "mended"
SMALL = "--image-size 64 --epochs 1 --map-threshold 0"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set in which one photo is cut short."""
    folder = tmp_path_factory.mktemp("photos") / PREFIX
    draw = ["sandbox.imagery", "--out", str(folder), "--seed", "11", "--images", "32", "--unlabelled", "0"]
    subprocess.run([sys.executable, "-m", *draw], cwd=ROOT, check=True)
    return folder


@pytest.fixture(scope="module")
def load(sandbox: Sandbox, photos: Path) -> Callable[[], None]:
    """Bring the data bucket up to date with the folder, as the loader."""

    def bring() -> None:
        env = Environments(sandbox.state, Ports(**sandbox.record.read("ports.json"))).aws("ab")
        argv = [sys.executable, "-m", "sandbox.survey", str(photos), "--prefix", PREFIX]
        subprocess.run(argv, cwd=ROOT, check=True, env=env)

    return bring


def test_a_failed_run_shows_its_log_and_goes_on_when_the_photo_is_put_right(
    sandbox: Sandbox, ds: Person, photos: Path, load: Callable[[], None]
) -> None:
    photo = sorted((photos / "images").iterdir())[0]
    whole = photo.read_bytes()
    photo.write_bytes(whole[: len(whole) // 3])
    load()
    failed = end_of(ds, begin(ds, f"--prefix {PREFIX} --on-bad-data fail {SMALL}"))
    assert "failed in Preprocess" in failed["words"]
    offered = buttons(failed)
    assert offered["Retry"].startswith("pipeline retry ")
    run = offered["Retry"].split()[2]

    logged = ds.sees("Preprocess of run", "the last", after=ds.presses(failed, "Logs"))
    assert photo.name in logged["words"], logged["words"]
    assert '"event": "failed"' in logged["words"]

    photo.write_bytes(whole)
    load()
    going = ds.sees("Training run", "in dev", after=ds.presses(failed, "Retry"))
    done = end_of(ds, going)
    assert "in dev: done" in done["words"], done["words"]
    assert run[:4] in done["words"]
    assert "Retry" not in buttons(done)
    assert evidence.mlflow_run(f"http://127.0.0.1:{sandbox.port('mlflow')}", run).status == "FINISHED"

    refused = ds.asks(f"pipeline retry {run}", "cannot be retried")
    assert "it is Succeeded" in refused["words"]


def test_a_data_scientist_does_not_retry_in_staging(ds: Person) -> None:
    told = ds.asks("pipeline retry abc --env staging", "not authorized")
    assert "groundcrew-staging-detector" in told["words"]
