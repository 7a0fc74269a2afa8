"""What the parts of the local AWS share: one account in one region, and the services' own powers inside it.

`server.py` makes one `Cloud` and hands it to `sandbox.aws.sagemaker.install(cloud)`,
`sandbox.aws.stacks.install(cloud)` and others before it serves. Inside, they may use

    cloud.account, cloud.region, cloud.state, cloud.endpoint_url
    cloud.lock                                              one re-entrant lock for multi-step changes
    cloud.on_stop(hook)                                     called once at shutdown, last registered first
    cloud.emit(source, detail_type, resources, detail)      an event of a service, to EventBridge
    cloud.events                                            the default bus itself
    cloud.clock, cloud.metrics                              the account's time; what CloudWatch knows, to add to it
    cloud.faults                                            what is to go wrong with the next calls
    cloud.log_lines(group, stream, lines)                   lines into CloudWatch Logs
    cloud.assume_service_role(arn, service, session, source_identity)   credentials of a role, as the service
    cloud.client("s3", credentials)                         a boto3 client against this very server
    cloud.caller(), cloud.call()                            who makes the current API call (in a request thread)
    cloud.responses["cloudformation"] = Ours                a moto BaseResponse class that answers a service itself
    cloud.controls["clock"] = handler                       POST /_sandbox/clock, from this machine only
    cloud.tag_readers["sagemaker"] = reader                 how policies learn a resource's tags: ARN -> {key: value}
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from sandbox.aws.clock import Clock
from sandbox.aws.faults import Faults

if TYPE_CHECKING:
    from moto.core.responses import BaseResponse

    from sandbox.aws.calls import Call
    from sandbox.aws.eventbridge import Delivery
    from sandbox.aws.identity import Directory, Principal
    from sandbox.aws.metrics import Metrics

log = logging.getLogger(__name__)

TagReader = Callable[[str], Mapping[str, str]]
Control = Callable[[Any], Any]
"""Lets something happen that AWS would not do on request; takes and answers JSON, raises ValueError."""
_current: ContextVar[tuple[Principal, Call] | None] = ContextVar("current", default=None)


@contextmanager
def answering(principal: Principal, call: Call) -> Iterator[None]:
    """For the door: while a call is carried out, this thread knows who makes it."""
    token = _current.set((principal, call))
    try:
        yield
    finally:
        _current.reset(token)


class Credentials(TypedDict):
    """Temporary credentials in the shape of AssumeRole's answer."""

    AccessKeyId: str
    SecretAccessKey: str
    SessionToken: str
    Expiration: str


@dataclass
class Cloud:
    """One AWS account in one region, living as long as the process."""

    account: str
    region: str
    state: Path
    port: int
    lock: threading.RLock = field(default_factory=threading.RLock)
    clock: Clock = field(default_factory=Clock)
    faults: Faults = field(default_factory=Faults)
    responses: dict[str, type[BaseResponse]] = field(default_factory=dict)
    tag_readers: dict[str, TagReader] = field(default_factory=dict)
    controls: dict[str, Control] = field(default_factory=dict)
    _stop_hooks: list[Callable[[], None]] = field(default_factory=list)
    _session: Any = None

    @property
    def endpoint_url(self) -> str:
        """Where every service of this account answers."""
        return f"http://127.0.0.1:{self.port}"

    def on_stop(self, hook: Callable[[], None]) -> None:
        """Call `hook` when the server stops: kill child processes, end threads. It must not take more than seconds."""
        with self.lock:
            self._stop_hooks.append(hook)

    def stop(self) -> None:
        """Run the stop hooks, last registered first; one that fails does not keep the others from running."""
        while self._stop_hooks:
            hook = self._stop_hooks.pop()
            try:
                hook()
            except Exception:
                log.exception("stop hook failed")

    def emit(self, source: str, detail_type: str, resources: Iterable[str], detail: Mapping[str, Any]) -> None:
        """Publish a service's event (`source` such as `aws.sagemaker`) on the default bus; returns before delivery."""
        from sandbox.aws.eventbridge import emit

        emit(self, source, detail_type, list(resources), dict(detail))

    def log_lines(self, group: str, stream: str, lines: Iterable[str]) -> None:
        """Append lines to a log stream; group and stream are made when missing."""
        from sandbox.aws.logs import append

        append(self, group, stream, lines)

    def assume_service_role(
        self, role_arn: str, service: str, session_name: str, source_identity: str | None = None
    ) -> Credentials:
        """Credentials (1 h) of a role, taken by a service principal such as `sagemaker.amazonaws.com`.

        Raises `sandbox.aws.sts.RoleRefused` when the role does not exist or its trust policy does not name the service.
        """
        from sandbox.aws.sts import assume_as_service

        return assume_as_service(self, role_arn, service, session_name, source_identity)

    def client(self, service: str, credentials: Mapping[str, str]) -> Any:
        """A boto3 client of `service` against this server, signing with `credentials` (AssumeRole's key names)."""
        import boto3
        from botocore.config import Config

        with self.lock:
            if self._session is None:
                # The keys given below are the only ones: the environment's and the profile files' are not looked at.
                self._session = boto3.Session(aws_access_key_id="-", aws_secret_access_key="-")  # noqa: S106
            return self._session.client(
                service,
                region_name=self.region,
                endpoint_url=self.endpoint_url,
                aws_access_key_id=credentials["AccessKeyId"],
                aws_secret_access_key=credentials["SecretAccessKey"],
                aws_session_token=credentials.get("SessionToken") or None,
                config=Config(retries={"max_attempts": 1}, proxies={}),
            )

    @cached_property
    def events(self) -> Delivery:
        """EventBridge's default bus with its deliveries."""
        from sandbox.aws.eventbridge import Delivery

        return Delivery(self)

    @cached_property
    def metrics(self) -> Metrics:
        """What was published to CloudWatch, and the services' own counts."""
        from sandbox.aws.metrics import Metrics

        return Metrics(self)

    @cached_property
    def directory(self) -> Directory:
        """Users, roles, sessions and their policies."""
        from sandbox.aws.identity import Directory

        return Directory(self.account)

    def caller(self) -> Principal:
        """Who signed the API call being answered on this thread; `.credentials()` lets a service act as the caller.

        Raises `LookupError` outside a request.
        """
        return self._answering()[0]

    def call(self) -> Call:
        """The API call being answered on this thread: service, operation, parameters. Raises `LookupError`."""
        return self._answering()[1]

    @staticmethod
    def _answering() -> tuple[Principal, Call]:
        current = _current.get()
        if current is None:
            raise LookupError("no API call is being answered on this thread")
        return current
