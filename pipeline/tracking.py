"""A small client for the MLflow REST API: what the project logs and asks, without importing the `mlflow` package.

The tracking URI is one of

- `http(s)://host[:port]`: any MLflow server; requests are not signed.
- `arn:…:mlflow-app/app-XXXX`: SageMaker's serverless MLflow app; SigV4 as `sagemaker`.
- `arn:…:mlflow-tracking-server/<name>`: SageMaker's tracking server; SigV4 as `sagemaker-mlflow`.

Artifacts do not pass through the server: they are written to the run's `s3://` artifact URI with the caller's
own credentials.
Every method raises `Unavailable` when the server does not answer within a bounded time or refuses the request.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode, urlsplit

import urllib3

from pipeline.errors import NotFound, Unavailable

if TYPE_CHECKING:
    import boto3

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]

# Limits of one MLflow REST request (mlflow/utils/validation.py): items in a batch, characters in a value.
BATCH_PARAMS = 100
BATCH_TAGS = 100
BATCH_METRICS = 1000
VALUE_CHARACTERS = 6000

TIMEOUT = urllib3.Timeout(connect=2.0, read=10.0)
# A refused connection, 429 and 503 did nothing on the server, so even a create may be sent again. A broken read may
# have done something and is not repeated.
RETRIES = urllib3.Retry(
    connect=2,
    read=0,
    status=2,
    status_forcelist=(429, 503),
    allowed_methods=None,
    backoff_factor=0.3,
    raise_on_status=False,
)


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


@dataclass(frozen=True)
class Endpoint:
    """Where requests go, and how they are signed when the server is SageMaker's (`service` is the SigV4 name)."""

    url: str
    service: str = ""
    region: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, uri: str) -> Endpoint:
        """Resolve a tracking URI. Raises `Unavailable` for one that is neither http(s) nor a SageMaker MLflow ARN."""
        if uri.startswith(("http://", "https://")):
            return cls(uri.rstrip("/"))
        parts = uri.split(":", 5)
        if len(parts) == 6 and parts[0] == "arn":
            region, resource = parts[3], parts[5]
            if resource.startswith("mlflow-app/"):
                url = f"https://mlflow.sagemaker.{region}.app.aws"
                return cls(url, "sagemaker", region, {"x-sm-mlflow-app-arn": uri})
            if resource.startswith("mlflow-tracking-server/"):
                url = f"https://{region}.experiments.sagemaker.aws"
                return cls(url, "sagemaker-mlflow", region, {"x-mlflow-sm-tracking-server-arn": uri})
        raise Unavailable(
            f"The MLflow tracking URI {uri!r} cannot be used." if uri else "No MLflow server is configured.",
            "Set MLFLOW_TRACKING_URI to an http(s) address or to the ARN of a SageMaker MLflow app or tracking server.",
        )


class Tracking:
    """Client of one MLflow server. Safe to share between threads; connects on first use.

    `client_session` signs requests to a SageMaker ARN and writes artifacts; without it boto3's default session is used.
    """

    def __init__(self, uri: str, client_session: boto3.Session | None = None) -> None:
        self.uri = uri
        self._session = client_session
        self._http = urllib3.PoolManager(maxsize=4, timeout=TIMEOUT, retries=RETRIES)

    # Experiments and runs

    def experiment(self, name: str, artifact_location: str = "") -> str:
        """Id of the experiment `name`, created with `artifact_location` (an `s3://` prefix) when it is missing."""
        existing = self._experiment_id(name)
        if existing is not None:
            return existing
        body = {"name": name} | ({"artifact_location": artifact_location} if artifact_location else {})
        status, answer = self._send("POST", "experiments/create", body)
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
        status, answer = self._send("GET", "runs/get", {"run_id": run_id})
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
        """At most `limit` runs of the named experiments; `filter` in MLflow's language, e.g. `metrics.map50 > 0.8`."""
        ids = [found for name in experiments if (found := self._experiment_id(name)) is not None]
        if not ids:
            return []
        body = {"experiment_ids": ids, "filter": filter, "order_by": list(order_by), "max_results": limit}
        return [_run(run) for run in self._call("POST", "runs/search", body).get("runs", [])]

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
            self._boto().client("s3").upload_file(str(path), target.netloc, key)
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
                status, answer = self._send("GET", "experiments/get", {"experiment_id": "0"})
                if status < 500:
                    return
                problem = self._refusal("experiments/get", status, answer)
            except Unavailable as error:
                problem = error
            if time.monotonic() >= deadline:
                raise problem
            time.sleep(0.5)

    def _experiment_id(self, name: str) -> str | None:
        status, answer = self._send("GET", "experiments/get-by-name", {"experiment_name": name})
        if answer.get("error_code") == "RESOURCE_DOES_NOT_EXIST":
            return None
        if status != 200:
            raise self._refusal("experiments/get-by-name", status, answer)
        experiment = answer["experiment"]
        return str(experiment["experiment_id"]) if experiment.get("lifecycle_stage") != "deleted" else None

    def _call(self, method: str, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        status, answer = self._send(method, path, body)
        if status != 200:
            raise self._refusal(path, status, answer)
        return answer

    def _send(self, method: str, path: str, body: Mapping[str, object]) -> tuple[int, dict[str, Any]]:
        endpoint = Endpoint.of(self.uri)
        url = f"{endpoint.url}/api/2.0/mlflow/{path}"
        data = b""
        if method == "GET":
            url += "?" + urlencode({key: str(value) for key, value in body.items()})
        else:
            data = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **endpoint.headers}
        if endpoint.service:
            headers = self._signed(endpoint, method, url, data, headers)
        try:
            response = self._http.request(method, url, body=data or None, headers=headers, redirect=False)
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(
                f"MLflow does not answer at {endpoint.url} ({type(error).__name__}).",
                "Check that the MLflow server runs and that MLFLOW_TRACKING_URI points at it.",
            ) from error
        try:
            answer = json.loads(response.data) if response.data else {}
        except ValueError:
            answer = {"message": response.data[:200].decode("utf-8", "replace")}
        return response.status, answer if isinstance(answer, dict) else {}

    def _refusal(self, path: str, status: int, answer: Mapping[str, Any]) -> Unavailable:
        words = str(answer.get("message") or answer.get("error_code") or "no reason given")[:400]
        advice = "Try again later." if status >= 500 else "Check the role's right to call MLflow and the values sent."
        return Unavailable(f"MLflow refused {path} with status {status}: {words}", advice)

    def _boto(self) -> boto3.Session:
        # boto3 costs a quarter of a second, which a training process that uploads nothing need not pay.
        import boto3

        if self._session is None:
            self._session = boto3.Session()
        return self._session

    def _signed(
        self, endpoint: Endpoint, method: str, url: str, data: bytes, headers: Mapping[str, str]
    ) -> dict[str, str]:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        credentials = self._boto().get_credentials()
        if credentials is None:
            raise Unavailable(
                "There are no AWS credentials to sign a request to MLflow with.", "Configure a profile or a role."
            )
        request = AWSRequest(method=method, url=url, data=data, headers=dict(headers))
        request.headers["X-Amz-Content-SHA256"] = hashlib.sha256(data).hexdigest()
        SigV4Auth(credentials.get_frozen_credentials(), endpoint.service, endpoint.region).add_auth(request)
        return dict(request.headers.items())


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
