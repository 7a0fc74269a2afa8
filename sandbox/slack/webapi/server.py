"""`/api/{method}` over HTTP: arguments, token, scope, budget, faults, journal."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from sandbox.slack.config import Secrets
from sandbox.slack.errors import SlackError
from sandbox.slack.faults import Fault, Faults
from sandbox.slack.journal import Journal
from sandbox.slack.messages import Json
from sandbox.slack.webapi import chat, conversations, uploads, views
from sandbox.slack.webapi.call import Call, Method, World

METHODS: dict[str, Method] = {**chat.METHODS, **conversations.METHODS, **uploads.METHODS, **views.METHODS}
_JSON_FIELDS = ("blocks", "view", "files", "attachments", "metadata")


class Broken(Response):
    """An answer that breaks off: the client sees its connection close in the middle."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Promise ten bytes and send none."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
        await send({"type": "http.response.body", "body": b"", "more_body": True})


class WebApi:
    """Answers every Web API call."""

    def __init__(self, world: World, secrets: Secrets, faults: Faults, journal: Journal) -> None:
        self._world = world
        self._secrets = secrets
        self._faults = faults
        self._journal = journal

    async def endpoint(self, request: Request) -> Response:
        """The route handler."""
        name, started = request.path_params["method"], time.perf_counter()
        arguments, token = await read_arguments(request)
        fault = self._faults.take(name)
        answer, status, headers = await self._answer(name, arguments, token, fault)
        self._journal.record(
            "api",
            method=name,
            token=(token or "")[:5],
            arguments=arguments,
            ok=answer.get("ok", False),
            error=answer.get("error"),
            status=status,
            ms=round((time.perf_counter() - started) * 1000, 2),
            answer=answer,
            fault=fault.kind if fault else None,
        )
        if fault and fault.kind == "drop":
            return Broken()
        return JSONResponse(answer, status, headers)

    async def _answer(
        self, name: str, arguments: Json, token: str | None, fault: Fault | None
    ) -> tuple[Json, int, dict[str, str]]:
        if fault and fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
        if fault and fault.kind == "http_500":
            return {"ok": False, "error": "internal_error"}, 500, {}
        if fault and fault.kind == "ratelimited":
            return _limited(int(fault.seconds))
        if fault and fault.kind == "drop" and fault.when == "before":
            return {"ok": False, "error": "connection_dropped"}, 0, {}
        try:
            if fault and fault.kind == "error":
                raise SlackError(fault.error)
            method = self._allowed(name, token)
            call = Call(self._world, arguments)
            wait = self._wait(name, method, call)
            if wait:
                return _limited(wait)
            scopes = {"X-OAuth-Scopes": ",".join(self._world.workspace.config.app.scopes)} if token else {}
            return {"ok": True, **method.run(call)}, 200, scopes
        except SlackError as refused:
            return refused.body(), 200, {}

    def _allowed(self, name: str, token: str | None) -> Method:
        if name not in METHODS:
            raise SlackError("unknown_method", req_method=name)
        method = METHODS[name]
        if name == "api.test":
            return method
        if not token:
            raise SlackError("not_authed")
        for_apps = bool(self._secrets.app_token) and hmac.compare_digest(token, self._secrets.app_token)
        if for_apps != (name == "apps.connections.open"):
            raise SlackError("not_allowed_token_type")
        if not for_apps and not hmac.compare_digest(token.encode(), self._secrets.bot_token.encode()):
            raise SlackError("invalid_auth")
        granted = self._world.workspace.config.app.scopes
        if method.scope and method.scope not in granted:
            raise SlackError("missing_scope", needed=method.scope, provided=",".join(granted))
        return method

    def _wait(self, name: str, method: Method, call: Call) -> int:
        if method.posts:
            return self._world.rates.channel(call.channel().id)
        return self._world.rates.method(name, method.per_minute) if method.per_minute else 0


def _limited(seconds: int) -> tuple[Json, int, dict[str, str]]:
    return {"ok": False, "error": "ratelimited"}, 429, {"Retry-After": str(max(1, seconds))}


async def read_arguments(request: Request) -> tuple[Json, str | None]:
    """Arguments merged from query, form and JSON, and the token from header or field."""
    arguments: dict[str, Any] = dict(request.query_params)
    raw = await request.body()
    if "json" in request.headers.get("content-type", ""):
        try:
            body = json.loads(raw or b"{}")
        except ValueError:
            body = {}
        arguments |= body if isinstance(body, dict) else {}
    elif raw:
        arguments |= dict(parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True))
    for name in _JSON_FIELDS:
        value = arguments.get(name)
        if isinstance(value, str) and value[:1] in ("[", "{"):
            try:
                arguments[name] = json.loads(value)
            except ValueError:
                continue
    field = arguments.pop("token", None)
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    return arguments, bearer.strip() if scheme.lower() == "bearer" else field
