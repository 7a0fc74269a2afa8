"""A small client for the MLflow REST API: what the project logs and asks, without importing the `mlflow` package.

`pipeline.transport` says what a tracking URI may be, and carries the requests. Artifacts do not pass through the
server: they are written to the run's `s3://` artifact URI with the caller's own credentials.
Every method raises `Unavailable` when the server does not answer within a bounded time or refuses the request.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from pipeline.errors import BadInput, NotFound, Unavailable
from pipeline.transport import Endpoint, Transport

if TYPE_CHECKING:
    import boto3

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]

# Limits of one MLflow REST request (mlflow/utils/validation.py): items in a batch, characters in a value.
BATCH_PARAMS = 100
BATCH_TAGS = 100
BATCH_METRICS = 1000
VALUE_CHARACTERS = 6000
FILTER_ADVICE = "Write for example: metrics.`test/map50` > 0.8 and tags.data_version = '3322bb179fb8'"


@dataclass(frozen=True)
class Run:
    """One MLflow run. Times are UTC epoch seconds; `metrics` holds the last value of each."""

    id: str
    experiment_id: str
    name: str
    status: str
    artifact_uri: str
    started: float
    ended: float | None
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Point:
    """One value of a metric at a step (for us: an epoch); `at` is UTC epoch seconds."""

    step: int
    value: float
    at: float


class Tracking:
    """Client of one MLflow server. Safe to share between threads; connects on first use.

    `client_session` signs requests to a SageMaker ARN and writes artifacts; without it boto3's default session is used.
    """

    def __init__(self, uri: str, client_session: boto3.Session | None = None) -> None:
        self.uri = uri
        self._wire = Transport(uri, client_session)

    # Experiments and runs

    def experiment_name(self, id: str) -> str:
        """Name of the experiment with that id."""
        return str(self._call("GET", "experiments/get", {"experiment_id": id})["experiment"]["name"])

    def experiment(self, name: str, artifact_location: str = "") -> str:
        """Id of the experiment `name`, created with `artifact_location` (an `s3://` prefix) when it is missing."""
        existing = self._experiment_id(name)
        if existing is not None:
            return existing
        body = {"name": name} | ({"artifact_location": artifact_location} if artifact_location else {})
        status, answer = self._wire.send("POST", "experiments/create", body)
        if status == 200:
            return str(answer["experiment_id"])
        if answer.get("error_code") == "RESOURCE_ALREADY_EXISTS":
            # Somebody was faster, or it was deleted: an id exists only in the first case.
            existing = self._experiment_id(name)
            if existing is not None:
                return existing
        raise self._refusal("experiments/create", status, answer)

    def create_run(self, experiment_id: str, name: str, tags: Mapping[str, str] | None = None) -> Run:
        """Open a run (status RUNNING)."""
        body = {
            "experiment_id": experiment_id,
            "run_name": name,
            "start_time": _milliseconds(),
            "tags": [{"key": key, "value": value} for key, value in (tags or {}).items()],
        }
        return _run(self._call("POST", "runs/create", body)["run"])

    def get_run(self, run_id: str) -> Run:
        """The run with that id. Raises `NotFound`."""
        status, answer = self._wire.send("GET", "runs/get", {"run_id": run_id})
        if answer.get("error_code") in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise NotFound("MLflow run", run_id)
        if status != 200:
            raise self._refusal("runs/get", status, answer)
        return _run(answer["run"])

    def search_runs(
        self,
        experiments: Sequence[str],
        filter: str = "",
        *,
        order_by: Sequence[str] = ("attributes.start_time DESC",),
        limit: int = 100,
    ) -> list[Run]:
        """At most `limit` runs of the named experiments; `filter` in MLflow's language, e.g. `metrics.map50 > 0.8`.

        Raises `BadInput` for a filter or an order that MLflow cannot read.
        """
        ids = [found for name in experiments if (found := self._experiment_id(name)) is not None]
        if not ids:
            return []
        body = {"experiment_ids": ids, "filter": filter, "order_by": list(order_by), "max_results": limit}
        status, answer = self._wire.send("POST", "runs/search", body)
        if answer.get("error_code") == "INVALID_PARAMETER_VALUE":
            raise BadInput(f"MLflow cannot read that: {answer.get('message', '')[:300]}", FILTER_ADVICE)
        if status != 200:
            raise self._refusal("runs/search", status, answer)
        return [_run(run) for run in answer.get("runs", [])]

    def run_for_execution(self, arn: str) -> Run | None:
        """The newest run with tag `execution` = `arn`, or None. Its experiment is called like the pipeline."""
        if "'" in arn or "/execution/" not in arn:
            return None
        pipeline = arn.split("/execution/")[0].rpartition("/")[2]
        runs = self.search_runs([pipeline], f"tags.execution = '{arn}'", limit=1)
        return runs[0] if runs else None

    def metric_history(self, run_id: str, key: str) -> list[Point]:
        """All values of one metric, in the order of their steps; empty when there are none."""
        answer = self._call("GET", "metrics/get-history", {"run_id": run_id, "metric_key": key, "max_results": "10000"})
        points = [
            Point(int(row.get("step", 0)), float(row["value"]), int(row["timestamp"]) / 1000)
            for row in answer.get("metrics", [])
        ]
        return sorted(points, key=lambda point: (point.step, point.at))

    # Logging

    def log_params(self, run_id: str, params: Mapping[str, object]) -> None:
        """Record parameters as text, values cut at MLflow's 6,000 characters. A logged parameter can never change."""
        rows = [{"key": key, "value": str(value)[:VALUE_CHARACTERS]} for key, value in params.items()]
        for batch in _batches(rows, BATCH_PARAMS):
            self._call("POST", "runs/log-batch", {"run_id": run_id, "params": batch})

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
        """Record one value per metric at `step`. Names may hold letters, digits and `_ - . : /` and space."""
        now = _milliseconds()
        rows = [{"key": key, "value": value, "timestamp": now, "step": step} for key, value in metrics.items()]
        for batch in _batches(rows, BATCH_METRICS):
            self._call("POST", "runs/log-batch", {"run_id": run_id, "metrics": batch})

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set or replace tags."""
        rows = [{"key": key, "value": value[:VALUE_CHARACTERS]} for key, value in tags.items()]
        for batch in _batches(rows, BATCH_TAGS):
            self._call("POST", "runs/log-batch", {"run_id": run_id, "tags": batch})

    def finish(self, run_id: str, status: Status = "FINISHED") -> None:
        """Close a run; `status` RUNNING opens it again."""
        body: dict[str, object] = {"run_id": run_id, "status": status}
        if status != "RUNNING":
            body["end_time"] = _milliseconds()
        self._call("POST", "runs/update", body)

    def upload(self, artifact_uri: str, path: Path, folder: str = "") -> str:
        """Write a file below a run's `artifact_uri` and return its `s3://` address."""
        target = urlsplit(artifact_uri)
        if target.scheme != "s3":
            raise Unavailable(
                f"The run keeps its artifacts at {artifact_uri!r}, which is not in S3.",
                "Create the experiment with an s3:// artifact location.",
            )
        key = "/".join(part.strip("/") for part in (target.path, folder, path.name) if part.strip("/"))
        from boto3.exceptions import S3UploadFailedError
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._wire.session().client("s3").upload_file(str(path), target.netloc, key)
        except (BotoCoreError, ClientError, S3UploadFailedError) as error:
            raise Unavailable(
                f"The artifact {path.name} could not be stored: {error}", "Check the role's S3 rights."
            ) from error
        return f"s3://{target.netloc}/{key}"

    # The wire

    def wait(self, seconds: float) -> None:
        """Return when the server answers; raise `Unavailable` when it has not within `seconds`."""
        Endpoint.of(self.uri)  # a wrong address does not become right by waiting
        deadline = time.monotonic() + seconds
        while True:
            try:
                status, answer = self._wire.send("GET", "experiments/get", {"experiment_id": "0"})
                if status < 500:
                    return
                problem = self._refusal("experiments/get", status, answer)
            except Unavailable as error:
                problem = error
            if time.monotonic() >= deadline:
                raise problem
            time.sleep(0.5)

    def _experiment_id(self, name: str) -> str | None:
        status, answer = self._wire.send("GET", "experiments/get-by-name", {"experiment_name": name})
        if answer.get("error_code") == "RESOURCE_DOES_NOT_EXIST":
            return None
        if status != 200:
            raise self._refusal("experiments/get-by-name", status, answer)
        experiment = answer["experiment"]
        return str(experiment["experiment_id"]) if experiment.get("lifecycle_stage") != "deleted" else None

    def _call(self, method: str, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        status, answer = self._wire.send(method, path, body)
        if status != 200:
            raise self._refusal(path, status, answer)
        return answer

    def _refusal(self, path: str, status: int, answer: Mapping[str, Any]) -> Unavailable:
        words = str(answer.get("message") or answer.get("error_code") or "no reason given")[:400]
        advice = "Try again later." if status >= 500 else "Check the role's right to call MLflow and the values sent."
        return Unavailable(f"MLflow refused {path} with status {status}: {words}", advice)


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000


def _batches(rows: Sequence[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, size)):
        yield batch


def _run(answer: Mapping[str, Any]) -> Run:
    info, data = answer["info"], answer.get("data", {})
    ended = int(info.get("end_time") or 0)
    return Run(
        id=info["run_id"],
        experiment_id=str(info["experiment_id"]),
        name=info.get("run_name", ""),
        status=info.get("status", ""),
        artifact_uri=info.get("artifact_uri", ""),
        started=int(info.get("start_time") or 0) / 1000,
        ended=ended / 1000 if ended else None,
        params={row["key"]: row["value"] for row in data.get("params", [])},
        metrics={row["key"]: float(row["value"]) for row in data.get("metrics", [])},
        tags={row["key"]: row["value"] for row in data.get("tags", [])},
    )
