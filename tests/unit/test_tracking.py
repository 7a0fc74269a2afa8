"""The MLflow client against a small server that answers what it is told to."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest

from pipeline.errors import BadInput, NotFound, Unavailable
from pipeline.tracking import Tracking
from pipeline.transport import Endpoint, Transport

APP = "arn:aws:sagemaker:us-east-1:123456789012:mlflow-app/app-ABCDEF"
SERVER = "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-tracking-server/ts1"
EXECUTION = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/groundcrew-dev-detector/execution/abc123"
RUN = {
    "info": {
        "run_id": "r1",
        "experiment_id": "7",
        "run_name": "abc123",
        "status": "RUNNING",
        "artifact_uri": "s3://bucket/dev/mlflow/7/r1/artifacts",
        "start_time": 1000,
    },
    "data": {"metrics": [{"key": "val/map50", "value": 0.5}], "params": [{"key": "epochs", "value": "4"}]},
}


class Mlflow(ThreadingHTTPServer):
    """Answers per path: (status, body); every request is kept as (path, content)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, list[tuple[int, Any]]] = {}
        self.requests: list[tuple[str, dict[str, Any]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def sent(self, path: str) -> list[dict[str, Any]]:
        return [content for asked, content in self.requests if asked == path]


class Handler(BaseHTTPRequestHandler):
    """Looks the answer up."""

    server: Mlflow

    def answer(self) -> None:
        split = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        content = json.loads(body) if body else {key: value[0] for key, value in parse_qs(split.query).items()}
        path = split.path.removeprefix("/api/2.0/mlflow/")
        self.server.requests.append((path, content))
        queue = self.server.answers.get(path, [(200, {})])
        status, answer = queue.pop(0) if len(queue) > 1 else queue[0]
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = answer

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def mlflow() -> Iterator[Mlflow]:
    with Mlflow() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


MISSING = (404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"})


def test_experiment_is_found_or_created(mlflow: Mlflow) -> None:
    tracking = Tracking(mlflow.url)
    mlflow.answers["experiments/get-by-name"] = [MISSING, (200, {"experiment": {"experiment_id": "7"}})]
    mlflow.answers["experiments/create"] = [(200, {"experiment_id": "7"})]
    assert tracking.experiment("groundcrew-dev-detector", "s3://b/dev/mlflow") == "7"
    assert tracking.experiment("groundcrew-dev-detector", "s3://b/dev/mlflow") == "7"
    assert mlflow.sent("experiments/create") == [
        {"name": "groundcrew-dev-detector", "artifact_location": "s3://b/dev/mlflow"}
    ]


def test_experiment_created_by_somebody_faster_is_used(mlflow: Mlflow) -> None:
    mlflow.answers["experiments/get-by-name"] = [MISSING, (200, {"experiment": {"experiment_id": "9"}})]
    mlflow.answers["experiments/create"] = [(400, {"error_code": "RESOURCE_ALREADY_EXISTS"})]
    assert Tracking(mlflow.url).experiment("e") == "9"


def test_run_for_execution_asks_the_pipelines_experiment(mlflow: Mlflow) -> None:
    mlflow.answers["experiments/get-by-name"] = [(200, {"experiment": {"experiment_id": "7"}})]
    mlflow.answers["runs/search"] = [(200, {"runs": [RUN]}), (200, {})]
    run = Tracking(mlflow.url).run_for_execution(EXECUTION)
    assert run is not None
    assert (run.id, run.started, run.ended, run.metrics) == ("r1", 1.0, None, {"val/map50": 0.5})
    assert mlflow.sent("experiments/get-by-name") == [{"experiment_name": "groundcrew-dev-detector"}]
    assert mlflow.sent("runs/search")[0]["filter"] == f"tags.execution = '{EXECUTION}'"
    assert Tracking(mlflow.url).run_for_execution(EXECUTION) is None


@pytest.mark.parametrize("arn", ["", "x", "a' or ''='/execution/'"])
def test_run_for_what_is_no_execution_asks_nobody(mlflow: Mlflow, arn: str) -> None:
    assert Tracking(mlflow.url).run_for_execution(arn) is None
    assert not mlflow.requests


def test_batches_respect_the_limits_of_one_request(mlflow: Mlflow) -> None:
    tracking = Tracking(mlflow.url)
    tracking.log_params("r1", {f"p{index}": "x" * 7000 for index in range(230)})
    tracking.log_metrics("r1", {f"m{index}": index for index in range(1500)}, step=3)
    tracking.set_tags("r1", {"a": "b"})
    sent = mlflow.sent("runs/log-batch")
    assert [len(batch.get("params", [])) for batch in sent[:3]] == [100, 100, 30]
    assert max(len(row["value"]) for row in sent[0]["params"]) == 6000
    assert [len(batch.get("metrics", [])) for batch in sent[3:5]] == [1000, 500]
    assert {row["step"] for row in sent[3]["metrics"]} == {3}
    assert sent[5] == {"run_id": "r1", "tags": [{"key": "a", "value": "b"}]}


def test_metric_history_is_in_the_order_of_steps(mlflow: Mlflow) -> None:
    rows = [{"step": step, "value": step / 10, "timestamp": 5000} for step in (2, 1, 3)]
    mlflow.answers["metrics/get-history"] = [(200, {"metrics": rows})]
    points = Tracking(mlflow.url).metric_history("r1", "val/map50")
    assert [(point.step, point.value, point.at) for point in points] == [(1, 0.1, 5.0), (2, 0.2, 5.0), (3, 0.3, 5.0)]


def test_finish_closes_and_reopens(mlflow: Mlflow) -> None:
    tracking = Tracking(mlflow.url)
    tracking.finish("r1", "FAILED")
    tracking.finish("r1", "RUNNING")
    closed, opened = mlflow.sent("runs/update")
    assert (closed["status"], "end_time" in closed) == ("FAILED", True)
    assert (opened["status"], "end_time" in opened) == ("RUNNING", False)


def test_a_missing_run_is_not_found(mlflow: Mlflow) -> None:
    mlflow.answers["runs/get"] = [MISSING]
    with pytest.raises(NotFound, match="r9"):
        Tracking(mlflow.url).get_run("r9")


def test_a_busy_server_is_asked_again_and_a_refusal_is_said(mlflow: Mlflow) -> None:
    mlflow.answers["runs/update"] = [(503, {}), (429, {}), (200, {})]
    Tracking(mlflow.url).finish("r1")
    assert len(mlflow.sent("runs/update")) == 3
    mlflow.answers["runs/update"] = [(400, {"error_code": "X", "message": "Param value changed"})]
    with pytest.raises(Unavailable, match="status 400: Param value changed"):
        Tracking(mlflow.url).finish("r1")
    mlflow.answers["runs/update"] = [(500, b"<html>")]
    with pytest.raises(Unavailable, match="<html>"):
        Tracking(mlflow.url).finish("r1")


def test_a_filter_that_mlflow_cannot_read_is_the_persons_mistake(mlflow: Mlflow) -> None:
    mlflow.answers["experiments/get-by-name"] = [(200, {"experiment": {"experiment_id": "7"}})]
    mlflow.answers["runs/search"] = [(400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "Invalid clause"})]
    with pytest.raises(BadInput, match="Invalid clause"):
        Tracking(mlflow.url).search_runs(["e"], "what")


def test_nobody_there_is_unavailable_with_advice() -> None:
    with pytest.raises(Unavailable, match="does not answer") as caught:
        Tracking("http://127.0.0.1:9").finish("r1")
    assert "MLFLOW_TRACKING_URI" in caught.value.advice


@pytest.mark.parametrize(("uri", "words"), [("", "No MLflow server"), ("sqlite:///x", "cannot be used")])
def test_an_address_that_cannot_work_is_said_at_once(uri: str, words: str) -> None:
    with pytest.raises(Unavailable, match=words):
        Tracking(uri).wait(60)


def test_wait_returns_when_a_starting_server_answers(mlflow: Mlflow) -> None:
    mlflow.answers["experiments/get"] = [(500, {}), (200, {})]
    Tracking(mlflow.url).wait(5)
    mlflow.answers["experiments/get"] = [(500, {})]
    with pytest.raises(Unavailable):
        Tracking(mlflow.url).wait(0)


@pytest.mark.parametrize(
    ("arn", "url", "service", "header"),
    [
        (APP, "https://mlflow.sagemaker.us-east-1.app.aws", "sagemaker", "x-sm-mlflow-app-arn"),
        (SERVER, "https://eu-west-1.experiments.sagemaker.aws", "sagemaker-mlflow", "x-mlflow-sm-tracking-server-arn"),
    ],
)
def test_sagemaker_arns_are_resolved_and_signed(arn: str, url: str, service: str, header: str) -> None:
    endpoint = Endpoint.of(arn)
    assert (endpoint.url, endpoint.service) == (url, service)
    session = boto3.Session("AKIDEXAMPLE", "secret", "token", region_name="us-east-1")
    signed = Transport(arn, session).signed(endpoint, "POST", f"{url}/api", b"{}", endpoint.headers)
    assert signed[header] == arn
    assert f"/{endpoint.region}/{service}/aws4_request" in signed["Authorization"]
    assert header in signed["Authorization"]
    assert signed["X-Amz-Security-Token"] == "token"
    assert len(signed["X-Amz-Content-SHA256"]) == 64


def test_artifacts_outside_s3_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="not in S3"):
        Tracking("http://127.0.0.1:9").upload("mlflow-artifacts:/7/r1", tmp_path)
