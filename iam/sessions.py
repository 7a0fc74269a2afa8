"""AWS sessions: the process's own credentials → groundcrew-bot → one person's role, for one invocation.

Each session is stamped with SourceIdentity (`<team>.<user>`, or `system.<job>` for the bot's own reading), narrowed by
a session policy, and never falls back to another role: what STS refuses is Denied, in STS's words.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ProfileNotFound

from iam.policy import text
from pipeline.errors import Denied, Unavailable
from pipeline.names import PRICING_REGION, Names

LASTS = 3600
"""Seconds a session lives: the most AWS allows for a role taken from another role."""
MARGIN = 300
"""Seconds before its end at which a kept session is taken anew."""
KEPT = 256
"""Read-only sessions kept at most; their keys are small."""
WARM = 12
"""Kept sessions that also keep their clients, half a megabyte each; the others make them again in some milliseconds."""

_CONFIG = Config(retries={"mode": "standard", "max_attempts": 4}, connect_timeout=5, read_timeout=65)
_S3 = _CONFIG.merge(Config(signature_version="s3v4"))
"""For S3: boto3 would presign links by version 2 in some regions, which others and encrypted objects refuse."""
_QUICK = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=3)
"""For prices: they are asked for while somebody waits, and a command can go on without."""


@dataclass(frozen=True)
class Identity:
    """Who AWS says a session is."""

    account: str
    arn: str


@dataclass(frozen=True)
class Keys:
    """Temporary credentials, in the names boto3 takes them by. `until` is epoch seconds."""

    aws_access_key_id: str
    aws_secret_access_key: str = field(repr=False)
    aws_session_token: str = field(repr=False)
    until: float

    @property
    def fresh(self) -> bool:
        """Whether they last long enough to begin something with them."""
        return time.time() < self.until - MARGIN

    def explicit(self) -> dict[str, str]:
        """As arguments of `Session.client`."""
        return {
            "aws_access_key_id": self.aws_access_key_id,
            "aws_secret_access_key": self.aws_secret_access_key,
            "aws_session_token": self.aws_session_token,
        }


@dataclass
class Calls:
    """What was asked of AWS as a person: the session's name, and the request ids AWS gave, in order."""

    session: str | None = None
    requests: list[str] = field(default_factory=list)


_CALLS: ContextVar[Calls | None] = ContextVar("calls", default=None)


@contextmanager
def noting() -> Iterator[Calls]:
    """Note the calls that people's sessions make from here on, in this thread: kept sessions serve several at once."""
    calls = Calls()
    token = _CALLS.set(calls)
    try:
        yield calls
    finally:
        _CALLS.reset(token)


class Session:
    """One role taken for one purpose. Threads may share it. `name`: of a person's session, whose calls are noted."""

    def __init__(self, make: Callable[[str, Keys], Any], keys: Keys, name: str | None = None) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}
        self.keys = keys
        self.name = name

    def client(self, service: str) -> Any:
        """A boto3 client of a service, signing as this role."""
        with self._lock:
            if service not in self._clients:
                made = self._make(service, self.keys)
                if self.name is not None:
                    made.meta.events.register("after-call", self._note)
                self._clients[service] = made
            return self._clients[service]

    def rest(self) -> None:
        """Let go of the clients; the next call makes them again."""
        with self._lock:
            self._clients = {}

    def identity(self) -> Identity:
        """Who this is, according to STS."""
        found = self.client("sts").get_caller_identity()
        return Identity(found["Account"], found["Arn"])

    def _note(self, parsed: Mapping[str, Any], **_: Any) -> None:
        """Called by botocore after every answer, an error's too."""
        calls = _CALLS.get()
        if calls is not None:
            calls.session = self.name
            if id := parsed.get("ResponseMetadata", {}).get("RequestId"):
                calls.requests.append(str(id))


class Sessions:
    """All sessions of a process, made from one base session (with `profile`, whose endpoints they keep).

    `pricing_region`: where the AWS Price List is asked.
    """

    def __init__(self, profile: str | None, region: str, pricing_region: str = PRICING_REGION) -> None:
        self._profile, self._region = profile, region
        self._regions = {"pricing": pricing_region}
        try:
            self._base: Any = boto3.Session(profile_name=profile, region_name=region)
        except ProfileNotFound as fault:
            raise Unavailable(f"{fault}.", "AWS_PROFILE must name a profile of your AWS configuration.") from fault
        self._making = threading.Lock()
        self._taking = threading.Lock()
        self._bot: Session | None = None
        self._kept: dict[tuple[str, ...], Session] = {}

    @cached_property
    def account(self) -> str:
        """The AWS account of the base credentials."""
        return str(self._asking(lambda: self._client("sts").get_caller_identity()["Account"]))

    def names(self, data_bucket: str) -> Names:
        """The project's names in this account and region."""
        return Names(self.account, self._region, data_bucket)

    def person(
        self,
        team: str,
        user: str,
        role: str,
        *,
        invocation: str,
        policy: Mapping[str, Any],
        changing: bool,
        tags: Mapping[str, str] | None = None,
    ) -> Session:
        """A person's role (`data-scientist`, …) for one invocation. Only read-only sessions without tags are kept.

        Raises Denied with STS's words when the role cannot be taken, Unavailable when STS cannot be asked.
        """
        document = text(policy)
        name = f"{user}-{invocation[:8]}"
        taken: dict[str, Any] = {
            "RoleSessionName": name,
            "SourceIdentity": f"{team}.{user}",
            "Policy": document,
        }
        if tags:
            taken["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
        if changing or tags:
            return self._take(role, taken, name)
        return self._keep((role, team, user, document), lambda: self._take(role, taken, name))

    def observer(self, job: str) -> Session:
        """The bot's own read-only eyes, stamped `system.<job>`."""
        stamp = {"RoleSessionName": f"observer-{job}", "SourceIdentity": f"system.{job}"}
        return self._keep(("observer", job), lambda: self._take("observer", stamp))

    def bot(self) -> Session:
        """The bot's own role, which may take the others and read the event queue."""
        with self._taking:
            if self._bot is None or not self._bot.keys.fresh:
                self._bot = self._assume(self._client("sts"), "bot", {"RoleSessionName": "groundcrew"})
            return self._bot

    def _keep(self, key: tuple[str, ...], take: Callable[[], Session]) -> Session:
        found = self._kept.get(key)
        session = found if found is not None and found.keys.fresh else take()
        with self._taking:
            self._kept.pop(key, None)
            self._kept[key] = session
            order = list(self._kept)
            for old in order[:-KEPT]:
                del self._kept[old]
            for old in order[-KEPT:-WARM]:
                self._kept[old].rest()
        return session

    def _take(self, role: str, request: Mapping[str, Any], name: str | None = None) -> Session:
        return self._assume(self.bot().client("sts"), role, request, name)

    def _assume(self, sts: Any, role: str, request: Mapping[str, Any], name: str | None = None) -> Session:
        arn = Names(self.account, self._region).role(role)
        answer = self._asking(lambda: sts.assume_role(RoleArn=arn, DurationSeconds=LASTS, **request), role)
        given = answer["Credentials"]
        keys = Keys(
            given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], given["Expiration"].timestamp()
        )
        return Session(self._client, keys, name)

    def _asking(self, call: Callable[[], Any], role: str = "") -> Any:
        try:
            return call()
        except ClientError as refusal:
            raise _denied(refusal, role) from refusal
        except NoCredentialsError as fault:
            raise Unavailable(
                "There are no AWS credentials to begin with.", "Set AWS_PROFILE, or give the process an IAM role."
            ) from fault
        except BotoCoreError as fault:
            raise Unavailable(f"STS cannot be asked: {fault}", "Try again in a minute.") from fault

    def signer(self, session: Session) -> boto3.Session:
        """What signs as this role for a service that boto3 has no client for, such as MLflow."""
        keys = (session.keys.aws_access_key_id, session.keys.aws_secret_access_key, session.keys.aws_session_token)
        return boto3.Session(*keys, self._region, profile_name=self._profile)

    def _client(self, service: str, keys: Keys | None = None) -> Any:
        """Explicit keys on the base session, whose profile brings region and endpoint; creation is not thread safe."""
        with self._making:
            region = self._regions.get(service, self._region)
            config = {"pricing": _QUICK, "s3": _S3}.get(service, _CONFIG)
            return self._base.client(service, region, config=config, **(keys.explicit() if keys else {}))


def _denied(refusal: ClientError, role: str) -> Denied:
    advice = {
        "": "Check the credentials of the process.",
        "bot": "`python -m infra up` creates groundcrew-bot and lets the operator take it.",
    }.get(role, "Which roles the bot may take, and for whom, is written in iam/roles.yaml.")
    return Denied(str(refusal.response["Error"].get("Message", refusal)), advice)
