"""Socket Mode: the app's own connections, envelopes over them, and their refreshes (contract: section 2.8)."""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.websockets import WebSocket, WebSocketDisconnect

from sandbox.slack.config import Rules
from sandbox.slack.messages import Json

MOST = 10
"""Connections an app may hold."""
OVERLAP_SECONDS = 5.0
"""So long an old connection stays open after it was told to go."""
TYPES = {"command": "slash_commands", "interactive": "interactive", "event": "events_api"}


@dataclass
class Line:
    """One connection. `retiring`: it was told to go, and gets nothing new."""

    socket: WebSocket
    retiring: bool = False


class Sockets:
    """All connections of the app. Envelopes are spread over them, so no client may count on one."""

    def __init__(self, base_url: str, app_id: str, rules: Rules) -> None:
        self._base_url = base_url
        self._app_id = app_id
        self._rules = rules
        self._tickets: set[str] = set()
        self._lines: list[Line] = []
        self._turn = itertools.count()
        self._waiting: dict[str, asyncio.Future[Json]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._joined = asyncio.Event()

    def open(self) -> str:
        """The address of a new connection; it is good for one."""
        ticket = uuid.uuid4().hex
        self._tickets.add(ticket)
        return f"{self._base_url.replace('http', 'ws', 1)}/link/?ticket={ticket}"

    async def link(self, socket: WebSocket) -> None:
        """Serve one connection until it ends."""
        ticket = socket.query_params.get("ticket", "")
        if ticket not in self._tickets:
            await socket.close()
            return
        self._tickets.discard(ticket)
        await socket.accept()
        if len(self._lines) >= MOST:
            await socket.send_json({"type": "disconnect", "reason": "too_many_websockets", "debug_info": {}})
            await socket.close()
            return
        line = Line(socket)
        self._lines.append(line)
        about = {"host": "sandbox", "approximate_connection_time": 3600}
        info = {"app_id": self._app_id}
        await socket.send_json(
            {"type": "hello", "num_connections": len(self._lines), "connection_info": info, "debug_info": about}
        )
        self._joined.set()
        try:
            while True:
                self._acknowledged(json.loads(await socket.receive_text()))
        except (WebSocketDisconnect, ValueError):
            pass
        finally:
            self._lines.remove(line)

    async def send(self, kind: str, payload: Json, headers: Mapping[str, str]) -> Json | None:
        """Deliver one envelope; the payload of its acknowledgement, None when none came in time."""
        envelope = uuid.uuid4().hex
        body: Json = {"envelope_id": envelope, "type": TYPES[kind], "payload": payload}
        body["accepts_response_payload"] = kind != "event"
        if kind == "event":
            body["retry_attempt"] = int(headers.get("X-Slack-Retry-Num", 0))
            body["retry_reason"] = headers.get("X-Slack-Retry-Reason", "")
        answer = self._waiting[envelope] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._rules.ack_seconds):
                await (await self._line()).socket.send_json(body)
                return await answer
        except (TimeoutError, RuntimeError, WebSocketDisconnect):
            return None
        finally:
            del self._waiting[envelope]

    async def refresh(self, reason: str, *, at_once: bool = False) -> None:
        """Tell the oldest connection to go; it stays open a little longer. `at_once`: it breaks without a word."""
        line = next((each for each in self._lines if not each.retiring), None)
        if line is None:
            return
        line.retiring = True
        if at_once:
            await line.socket.close()
            return
        await line.socket.send_json({"type": "disconnect", "reason": reason, "debug_info": {"host": "sandbox"}})
        closing = asyncio.create_task(self._end(line))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    @property
    def count(self) -> int:
        """How many connections get something new."""
        return sum(not line.retiring for line in self._lines)

    async def _end(self, line: Line) -> None:
        await asyncio.sleep(OVERLAP_SECONDS)
        if line in self._lines:
            await line.socket.close()

    async def _line(self) -> Line:
        """The next connection in turn; waits for one when there is none."""
        while True:
            able = [line for line in self._lines if not line.retiring]
            if able:
                return able[next(self._turn) % len(able)]
            self._joined.clear()
            await self._joined.wait()

    def _acknowledged(self, body: Json) -> None:
        waiting = self._waiting.get(str(body.get("envelope_id")))
        if waiting is not None and not waiting.done():
            payload = body.get("payload")
            waiting.set_result(payload if isinstance(payload, dict) else {})
