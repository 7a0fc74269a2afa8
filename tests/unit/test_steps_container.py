"""The container contract and the run log, seen from outside: processes, files, signals."""

import json
import os
import signal
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from pipeline import source
from pipeline.errors import BadInput, Unavailable
from pipeline.steps.container import MESSAGE_BYTES, Container, Stopped
from pipeline.steps.runlog import Facts, RunLog, write_data
from pipeline.tracking import Run, Tracking

ARN = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/groundcrew-dev-detector/execution/abc"
PROGRAM = """
import time
from pipeline.errors import BadInput
from pipeline.steps.container import run, say

def step(container):
    kind = container.setting("KIND")
    if kind == "bad":
        raise BadInput("The data is wrong: " + "ä" * 2000, "Mend it.")
    if kind == "crash":
        return 1 / 0
    if kind == "wait":
        say("waiting")
        time.sleep(60)
    return "All is well."

run(step)
"""


def start(root: Path, kind: str) -> subprocess.Popen[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(source.PACKAGE.parent), "ML_ROOT": str(root)}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env={**environment, "KIND": kind}, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def lines(process: subprocess.Popen[str]) -> list[dict[str, object]]:
    out, _ = process.communicate(timeout=30)
    return [json.loads(line) for line in out.splitlines()]


def test_success_leaves_a_message_and_no_failure(tmp_path: Path) -> None:
    process = start(tmp_path, "well")
    assert lines(process)[-1]["message"] == "All is well."
    assert process.returncode == 0
    assert (tmp_path / "output" / "message").read_text() == "All is well."
    assert not (tmp_path / "output" / "failure").exists()


def test_expected_error_leaves_words_that_fit(tmp_path: Path) -> None:
    process = start(tmp_path, "bad")
    assert lines(process)[-1]["event"] == "failed"
    assert process.returncode == 1
    for name in ("message", "failure"):
        data = (tmp_path / "output" / name).read_bytes()
        assert len(data) <= MESSAGE_BYTES
        assert data.decode().startswith("The data is wrong: ä")


def test_unexpected_error_names_itself(tmp_path: Path) -> None:
    process = start(tmp_path, "crash")
    lines(process)
    assert process.returncode == 1
    assert (tmp_path / "output" / "failure").read_text().startswith("ZeroDivisionError: division by zero")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_request_ends_the_step(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path, "wait")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["event"] == "waiting"
    process.send_signal(number)
    assert lines(process)[-1]["event"] == "stopped"
    assert process.returncode == 143
    assert (tmp_path / "output" / "message").read_text() == "Stopped on request."


def test_machines_of_one_job_agree_on_their_order(tmp_path: Path) -> None:
    container = Container(tmp_path, {})
    assert container.hosts() == ("algo-1", ["algo-1"])
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "resourceconfig.json").write_text(
        json.dumps({"current_host": "algo-2", "hosts": ["algo-2", "algo-1"]})
    )
    assert container.hosts() == ("algo-2", ["algo-1", "algo-2"])


def test_a_missing_setting_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="SEED"):
        Container(tmp_path, {}).setting("SEED")


def test_every_step_imports_from_the_packed_code_alone(tmp_path: Path) -> None:
    code = source.code()
    with tarfile.open(fileobj=BytesIO(code.data)) as tar:
        tar.extractall(tmp_path, filter="data")
    names = ("preprocess", "train", "evaluate", "baseline", "deploy", "monitor")
    modules = ", ".join(f"pipeline.steps.{name}" for name in names)
    heavy = "{'torch', 'ultralytics', 'mlflow', 'sagemaker'}"
    check = f"import sys, {modules}; sys.exit(str({heavy} & set(sys.modules) or '') or 0)"
    done = subprocess.run([sys.executable, "-c", check], cwd=tmp_path, env={}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert source.code().digest == code.digest


class Recorder(Tracking):
    """Keeps what it is told; fails when asked to."""

    def __init__(self, *, broken: bool = False, existing: Run | None = None) -> None:
        super().__init__("http://127.0.0.1:9")
        self.broken, self.existing = broken, existing
        self.told: list[tuple[object, ...]] = []

    def tell(self, *what: object) -> None:
        self.told.append(what)
        if self.broken:
            raise Unavailable("MLflow does not answer.")

    def wait(self, seconds: float) -> None:
        self.tell("wait")

    def run_for_execution(self, arn: str) -> Run | None:
        return self.existing

    def get_run(self, run_id: str) -> Run:
        self.tell("get", run_id)
        assert self.existing is not None
        return self.existing

    def experiment(self, name: str, artifact_location: str = "") -> str:
        return "7"

    def create_run(self, experiment_id: str, name: str, tags: object = None) -> Run:
        self.tell("create", name, tags)
        return Run("r1", experiment_id, name, "RUNNING", "s3://b/7/r1", 0.0, None)

    def log_metrics(self, run_id: str, metrics: object, step: int = 0) -> None:
        self.tell("metrics", metrics, step)

    def set_tags(self, run_id: str, tags: object) -> None:
        self.tell("tags", tags)

    def finish(self, run_id: str, status: object = "FINISHED") -> None:
        self.tell("finish", status)


FACTS = Facts(ARN, "rev", "groundcrew-dev-detector")


def test_open_creates_the_run_once_per_execution() -> None:
    fresh = Recorder()
    log = RunLog.open(FACTS, fresh, "s3://b", {"execution": ARN})
    assert log.facts.mlflow == {"run_id": "r1", "artifact_uri": "s3://b/7/r1"}
    assert ("create", "abc", {"execution": ARN}) in fresh.told
    again = Recorder(existing=Run("r0", "7", "abc", "FAILED", "s3://b/7/r0", 0.0, 1.0))
    assert RunLog.open(FACTS, again, "s3://b", {}).facts.mlflow == {"run_id": "r0", "artifact_uri": "s3://b/7/r0"}
    assert again.told[-1] == ("finish", "RUNNING")


def test_without_mlflow_the_step_goes_on_and_says_so(tmp_path: Path) -> None:
    log = RunLog.open(FACTS, Recorder(broken=True), "s3://b", {})
    log.metrics({"a": 1})
    log.facts.write(tmp_path / "run.json")
    assert json.loads((tmp_path / "run.json").read_text())["mlflow"] is None
    write_data(tmp_path / "data.json", "v1", {"train": 2}, ["boat"])
    joined = RunLog.join(tmp_path, tmp_path, Recorder())
    assert (joined.facts.data_version, joined.facts.images, joined.facts.classes) == ("v1", {"train": 2}, ["boat"])
    assert joined.remark() == " Not tracked in MLflow: MLflow does not answer."
    assert (joined.facts.mlflow, joined.facts.reason) == (None, log.facts.reason)


@pytest.mark.parametrize(
    ("status", "told"), [("FAILED", [("get", "r1"), ("finish", "RUNNING")]), ("RUNNING", [("get", "r1")])]
)
def test_a_step_that_is_retried_opens_the_run_that_its_failure_has_closed(
    tmp_path: Path, status: str, told: list[tuple[str, ...]]
) -> None:
    opened(Recorder()).facts.write(tmp_path / "run.json")
    tracking = Recorder(existing=Run("r1", "7", "abc", status, "s3://b", 0.0, 1.0))
    write_data(tmp_path / "data.json", "v1", {}, [])
    assert RunLog.join(tmp_path, tmp_path, tracking).remark() == ""
    assert tracking.told == told


def opened(tracking: Recorder) -> RunLog:
    return RunLog(Facts(ARN, "rev", "e", {"run_id": "r1", "artifact_uri": "s3://b"}), tracking)


def test_a_server_that_dies_is_left_alone_but_told_the_end() -> None:
    tracking = Recorder(broken=True)
    log = opened(tracking)
    for step in range(10):
        log.metrics({"a": 1}, step)
    assert len(tracking.told) == 3
    log.close("FINISHED")
    assert tracking.told[-1] == ("finish", "FINISHED")
    assert log.remark() == " MLflow tracking is incomplete: MLflow does not answer."


@pytest.mark.parametrize(
    ("error", "status"), [(BadInput("no"), "FAILED"), (KeyError("x"), "FAILED"), (Stopped(), "KILLED")]
)
def test_a_step_that_fails_closes_the_run(error: BaseException, status: str) -> None:
    tracking = Recorder()
    with pytest.raises(type(error)), opened(tracking).failing():
        raise error
    assert tracking.told[-1] == ("finish", status)
