"""Delivery to the app (signed HTTP, or envelopes in Socket Mode), the three seconds it has, and what came back."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

import httpx

from sandbox.slack.config import Rules, Secrets
from sandbox.slack.faults import Fault, Faults
from sandbox.slack.journal import Journal
from sandbox.slack.messages import Json
from sandbox.slack.sockets import Sockets

Kind = Literal["command", "interactive", "event"]
_TYPES = {"command": "application/x-www-form-urlencoded", "interactive": "application/x-www-form-urlencoded"}


@dataclass(frozen=True)
class Delivered:
    """One delivery: `error` is Slack's word for a failure, `status` the app's HTTP answer, times in milliseconds."""

    id: str
    ack_ms: float
    status: int | None
    body: Json
    error: str | None = None
    no_retry: bool = False

    def json(self) -> Json:
        """For the control API."""
        return {
            "ok": self.error is None,
            "id": self.id,
            "ack_ms": self.ack_ms,
            "status": self.status,
            "ack_body": self.body,
            "error": self.error,
        }


class Delivery:
    """Sends to one request URL. `aclose` when done."""

    def __init__(
        self,
        url: str,
        secrets: Secrets,
        rules: Rules,
        faults: Faults,
        journal: Journal,
        sockets: Sockets | None = None,
    ) -> None:
        self.url = url
        self._sockets = sockets
        self._secrets = secrets
        self._rules = rules
        self._faults = faults
        self._journal = journal
        self._client = httpx.AsyncClient(trust_env=False, timeout=None)  # noqa: S113  the clock is in _post

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def send(
        self, kind: Kind, payload: Json, user: str | None, headers: Mapping[str, str] | None = None
    ) -> Delivered:
        """Deliver a payload on behalf of `user` and wait for the acknowledgement; what the app does never raises."""
        fault = self._faults.take("delivery")
        if fault and fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
        raw = encode(kind, payload)
        signed = self._sign(raw, fault) | {"Content-Type": _TYPES.get(kind, "application/json")} | dict(headers or {})
        delivery, started = uuid.uuid4().hex, time.time()
        delivered = await self._once(delivery, kind, payload, raw, signed)
        if fault and fault.kind == "duplicate":
            await self._once(delivery, kind, payload, raw, signed)
        if fault and fault.kind == "drop":
            delivered = Delivered(delivery, delivered.ack_ms, None, {}, "operation_timeout")
        self._journal.record(
            "delivery",
            id=delivery,
            user=user,
            what=kind,
            started=started,
            url=self.url,
            payload=payload,
            raw=raw.decode(),
            ack_ms=delivered.ack_ms,
            status=delivered.status,
            ack_body=delivered.body,
            error=delivered.error,
            fault=fault.kind if fault else None,
            retry=(headers or {}).get("X-Slack-Retry-Num"),
        )
        return delivered

    def _sign(self, raw: bytes, fault: Fault | None) -> dict[str, str]:
        kind = fault.kind if fault else None
        stamp = str(int(time.time()) - (3600 if kind == "old_timestamp" else 0))
        if kind == "bad_timestamp":
            stamp = "soon"
        secret = self._secrets.signing_secret + ("?" if kind == "bad_signature" else "")
        return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": signature(secret, stamp, raw)}

    async def _once(
        self, delivery: str, kind: Kind, payload: Json, raw: bytes, headers: Mapping[str, str]
    ) -> Delivered:
        """By the app's own connections where it is in Socket Mode, else to its request URL."""
        if self._sockets is None:
            return await self._post(delivery, raw, headers)
        started = time.perf_counter()
        answer = await self._sockets.send(kind, payload, headers)
        took = round((time.perf_counter() - started) * 1000, 2)
        if answer is None:
            return Delivered(delivery, took, None, {}, "operation_timeout")
        return Delivered(delivery, took, 200, answer)

    async def _post(self, delivery: str, raw: bytes, headers: Mapping[str, str]) -> Delivered:
        started = time.perf_counter()

        def took() -> float:
            return round((time.perf_counter() - started) * 1000, 2)

        try:
            async with asyncio.timeout(self._rules.ack_seconds):
                answer = await self._client.post(self.url, content=raw, headers=dict(headers))
        except TimeoutError:
            return Delivered(delivery, took(), None, {}, "operation_timeout")
        except httpx.HTTPError:
            return Delivered(delivery, took(), None, {}, "dispatch_failed")
        no_retry = answer.headers.get("X-Slack-No-Retry") == "1"
        error = None if answer.status_code == 200 else "dispatch_failed"
        return Delivered(delivery, took(), answer.status_code, read_ack(answer), error, no_retry)


def encode(kind: Kind, payload: Json) -> bytes:
    """The body of a delivery: form fields for a command, one field `payload` for interactivity, JSON for an event."""
    if kind == "event":
        return json.dumps(payload).encode()
    return urlencode(payload if kind == "command" else {"payload": json.dumps(payload)}).encode()


def signature(secret: str, stamp: str, raw: bytes) -> str:
    """Slack's `v0=` signature of a request body."""
    return "v0=" + hmac.new(secret.encode(), f"v0:{stamp}:".encode() + raw, hashlib.sha256).hexdigest()


def read_ack(answer: httpx.Response) -> Json:
    """The acknowledgement's content: its JSON object, or its text as `{"text": ...}`, or nothing."""
    if not answer.content.strip():
        return {}
    if "json" in answer.headers.get("content-type", ""):
        try:
            body: Any = answer.json()
        except ValueError:
            return {"text": answer.text}
        return body if isinstance(body, dict) else {}
    return {"text": answer.text}
