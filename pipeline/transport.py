"""How requests reach an MLflow server, signed where it is SageMaker's.

A tracking URI is one of

- `http(s)://host[:port]`: any MLflow server; requests are not signed.
- `arn:…:mlflow-app/app-XXXX`: SageMaker's serverless MLflow app; SigV4 as `sagemaker`.
- `arn:…:mlflow-tracking-server/<name>`: SageMaker's tracking server; SigV4 as `sagemaker-mlflow`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import urllib3

from pipeline.errors import Unavailable

if TYPE_CHECKING:
    import boto3

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
    respect_retry_after_header=False,
)


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


def sign_in(sagemaker: Any, uri: str, *, opens_for_s: int, lasts_s: int) -> str:
    """An address that opens SageMaker's MLflow in a browser, signed in as whoever asks. It is a key: 5 to 300 seconds.

    Raises `Unavailable` when MLflow is not SageMaker's, and botocore's ClientError when AWS does not give one.
    """
    times = {"ExpiresInSeconds": opens_for_s, "SessionExpirationDurationInSeconds": lasts_s}
    if not Endpoint.of(uri).service:
        raise Unavailable("This MLflow is opened without AWS.", "Open its address in a browser.")
    if ":mlflow-app/" in uri:
        return str(sagemaker.create_presigned_mlflow_app_url(Arn=uri, **times)["AuthorizedUrl"])
    name = uri.rpartition("/")[2]
    answer = sagemaker.create_presigned_mlflow_tracking_server_url(TrackingServerName=name, **times)
    return str(answer["AuthorizedUrl"])


class Transport:
    """Sends requests to one server, signed with the session's credentials where the server is SageMaker's."""

    def __init__(self, uri: str, session: boto3.Session | None = None) -> None:
        self._uri = uri
        self._session = session
        self._http = urllib3.PoolManager(maxsize=4, timeout=TIMEOUT, retries=RETRIES)

    def send(self, method: str, path: str, body: Mapping[str, object]) -> tuple[int, dict[str, Any]]:
        """Status and answer of a call; `body` is the query of a GET. Raises `Unavailable` when nobody answers."""
        endpoint = Endpoint.of(self._uri)
        url = f"{endpoint.url}/api/2.0/mlflow/{path}"
        data = b""
        if method == "GET":
            url += "?" + urlencode({key: str(value) for key, value in body.items()})
        else:
            data = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **endpoint.headers}
        if endpoint.service:
            headers = self.signed(endpoint, method, url, data, headers)
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

    def session(self) -> boto3.Session:
        """The caller's session, or boto3's default one."""
        # boto3 costs a quarter of a second, which a training process that uploads nothing need not pay.
        import boto3

        if self._session is None:
            self._session = boto3.Session()
        return self._session

    def signed(
        self, endpoint: Endpoint, method: str, url: str, data: bytes, headers: Mapping[str, str]
    ) -> dict[str, str]:
        """The headers with a signature (SigV4) added."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        credentials = self.session().get_credentials()
        if credentials is None:
            raise Unavailable(
                "There are no AWS credentials to sign a request to MLflow with.", "Configure a profile or a role."
            )
        request = AWSRequest(method=method, url=url, data=data, headers=dict(headers))
        request.headers["X-Amz-Content-SHA256"] = hashlib.sha256(data).hexdigest()
        SigV4Auth(credentials.get_frozen_credentials(), endpoint.service, endpoint.region).add_auth(request)
        return dict(request.headers.items())
