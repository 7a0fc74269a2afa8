"""`/_control/*`: people as an API, for the page, tests, tour and benchmarks. Needs the header `X-Sandbox: 1`.

A web page of another origin cannot send that header without asking first, and is never allowed to.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable
from dataclasses import asdict, fields
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.slack.config import Rules
from sandbox.slack.errors import NoSuchThing
from sandbox.slack.events import Events
from sandbox.slack.faults import Faults
from sandbox.slack.journal import Journal
from sandbox.slack.messages import Json, Message, labels_of
from sandbox.slack.people import People
from sandbox.slack.sockets import Sockets
from sandbox.slack.views import Views
from sandbox.slack.workspace import Workspace

HEADER = "X-Sandbox"
LONGEST_WAIT = 600.0
"""Seconds one `wait` may last."""


class Control:
    """The control routes."""

    def __init__(
        self,
        workspace: Workspace,
        people: People,
        views: Views,
        events: Events,
        faults: Faults,
        journal: Journal,
        sockets: Sockets | None,
    ) -> None:
        self._sockets = sockets
        self._workspace = workspace
        self._people = people
        self._views = views
        self._events = events
        self._faults = faults
        self._journal = journal

    def routes(self) -> list[Route]:
        """One POST route an act, GET routes for what can be read."""
        acts: dict[str, Callable[[Json], Awaitable[Any]]] = {
            "command": self._command,
            "press": self._press,
            "shortcut": self._shortcut,
            "say": self._say,
            "edit": self._edit,
            "home": self._home,
            "upload": self._upload,
            "submit": self._submit,
            "close": self._close,
            "read": self._read,
            "member": self._member,
            "channel": self._channel,
            "fault": self._fault,
            "rules": self._rules,
            "verify": self._verify,
            "refresh": self._refresh,
            "wait": self._wait,
        }
        posts = [Route(f"/_control/{name}", self._endpoint(act), methods=["POST"]) for name, act in acts.items()]
        return [
            *posts,
            Route("/_control/messages", self._messages),
            Route("/_control/view", self._view),
            Route("/_control/journal", self._journal_entries),
        ]

    def _endpoint(self, act: Callable[[Json], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            if request.headers.get(HEADER) != "1":
                return _refused("header", 403)
            try:
                body = await request.json()
                return JSONResponse(await act(body))
            except KeyError as missing:
                return _refused(f"missing field {missing}", 400)
            except (ValueError, TypeError) as wrong:
                return _refused(str(wrong), 400)

        return endpoint

    async def _command(self, body: Json) -> Json:
        line = body["text"]
        return (await self._people.command(body["user"], body["channel"], line, body.get("thread_ts"))).json()

    async def _press(self, body: Json) -> Json:
        wanted = {name: body.get(name) for name in ("action_id", "block_id", "label")}
        if not body.get("ts"):
            return (await self._people.press_home(body["user"], value=body.get("value"), **wanted)).json()
        delivered = await self._people.press(
            body["user"], body["channel"], body["ts"], value=body.get("value"), **wanted
        )
        return delivered.json()

    async def _shortcut(self, body: Json) -> Json:
        if not body.get("ts"):
            return (await self._people.global_shortcut(body["user"], body["callback_id"])).json()
        return (await self._people.shortcut(body["user"], body["channel"], body["ts"], body["callback_id"])).json()

    async def _say(self, body: Json) -> Json:
        return self._people.say(body["user"], body["channel"], body["text"], body.get("thread_ts")).seen()

    async def _edit(self, body: Json) -> Json:
        return self._people.edit(body["user"], body["channel"], body["ts"], body["text"]).seen()

    async def _home(self, body: Json) -> Json:
        """Open the app's Home."""
        self._workspace.user(body["user"])
        self._events.home_opened(body["user"], self._views.home(body["user"]))
        return {}

    async def _upload(self, body: Json) -> Json:
        try:
            data = base64.b64decode(body["data"], validate=True)
        except binascii.Error as wrong:
            raise ValueError(f"data is not base64: {wrong}") from wrong
        title, text = body.get("title", ""), body.get("text", "")
        return self._people.upload(body["user"], body["channel"], body["filename"], data, title, text).seen()

    async def _submit(self, body: Json) -> Json:
        return await self._people.submit(body["user"], body.get("values", {}))

    async def _close(self, body: Json) -> Json:
        await self._people.close_view(body["user"])
        return {}

    async def _read(self, body: Json) -> Json:
        self._workspace.read(body["user"], self._workspace.channel(body["channel"]).id)
        return {}

    async def _member(self, body: Json) -> Json:
        return asdict(self._workspace.member(body.pop("user"), **body))

    async def _channel(self, body: Json) -> Json:
        """Archive a channel, take it out again, or let the app in or out of it (`member`)."""
        channel = self._workspace.channel(body["channel"])
        channel.is_archived = bool(body.get("is_archived", channel.is_archived))
        if "member" in body:
            change = channel.members.add if body["member"] else channel.members.discard
            change(self._workspace.bot)
        return channel.json(self._workspace.bot)

    async def _fault(self, body: Json) -> Json:
        if body.get("kind") == "clear":
            self._faults.clear()
            return {}
        return asdict(self._faults.order(body))

    async def _rules(self, body: Json) -> Json:
        rules = self._workspace.config.rules
        unknown = body.keys() - {field.name for field in fields(Rules)}
        if unknown:
            raise ValueError(f"unknown rules: {', '.join(sorted(unknown))}")
        for name, value in body.items():
            setattr(rules, name, value)
        return asdict(rules)

    async def _verify(self, body: Json) -> Json:
        return await self._events.verify()

    async def _refresh(self, body: Json) -> Json:
        """Socket Mode: tell the oldest connection to go, if there is a `reason`; how many connections are left."""
        if self._sockets is None:
            raise ValueError("the app is not in Socket Mode")
        if "reason" in body:
            await self._sockets.refresh(body["reason"], at_once=bool(body.get("at_once")))
        return {"connections": self._sockets.count}

    async def _wait(self, body: Json) -> Json:
        """Wait until the person sees a message that matches; `{"message": null}` when the time is over."""
        user, channel = body["user"], self._workspace.channel(body["channel"]).id
        timeout = min(float(body.get("timeout", 10)), LONGEST_WAIT)
        with self._workspace.feed.follow() as changes:
            try:
                async with asyncio.timeout(timeout):
                    while True:
                        for message in self._seen(user, channel, str(body.get("after_ts", ""))):
                            if matches(message, body):
                                return {"message": message.seen()}
                        if await changes.get() is None:
                            return {"message": None}
            except TimeoutError:
                return {"message": None}

    def _seen(self, user: str, channel: str, after: str) -> list[Message]:
        self._workspace.user(user)
        return [m for m in self._workspace.seen_by(user, channel) if m.kind != "echo" and m.ts > after]

    async def _messages(self, request: Request) -> Response:
        if request.headers.get(HEADER) != "1":
            return _refused("header", 403)
        wanted = request.query_params
        if "user" not in wanted or "channel" not in wanted:
            return _refused("user and channel are needed", 400)
        channel = self._workspace.channel(wanted["channel"]).id
        return JSONResponse([m.seen() for m in self._seen(wanted["user"], channel, wanted.get("since", ""))])

    async def _view(self, request: Request) -> Response:
        if request.headers.get(HEADER) != "1":
            return _refused("header", 403)
        user = request.query_params.get("user", "")
        return JSONResponse({"modal": self._views.of(user), "home": self._views.home(user)})

    async def _journal_entries(self, request: Request) -> Response:
        if request.headers.get(HEADER) != "1":
            return _refused("header", 403)
        since, kind = float(request.query_params.get("since", 0)), request.query_params.get("kind")
        rows = [entry for entry in self._journal.entries if entry["at"] > since and kind in (None, entry["kind"])]
        return JSONResponse(rows)


def matches(message: Message, wanted: Json) -> bool:
    """Whether a message is what a test waits for.

    `contains` and `absent`: a text or a list of texts, looked for in all its words. `button`: a label, or an option of
    a menu. `files`: with or without. `ts`, `thread_ts`, `author`, `min_changes`: as they say.
    """
    words = message.words()
    labels = {label for _, element, _ in message.elements() for label in labels_of(element)}
    return (
        all(part in words for part in _texts(wanted.get("contains")))
        and not any(part in words for part in _texts(wanted.get("absent")))
        and all(label in labels for label in _texts(wanted.get("button")))
        and ("files" not in wanted or bool(message.files) == wanted["files"])
        and ("ts" not in wanted or message.ts == wanted["ts"])
        and ("thread_ts" not in wanted or message.thread_ts == wanted["thread_ts"])
        and ("author" not in wanted or message.user == wanted["author"])
        and message.changes >= wanted.get("min_changes", 0)
    )


def _texts(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else list(value or [])


def _refused(why: str, status: int) -> JSONResponse:
    words = f"the control API needs the header {HEADER}: 1" if why == "header" else why
    return JSONResponse({"ok": False, "error": words}, status)


async def no_such_thing(request: Request, problem: Exception) -> Response:
    """The answer to `NoSuchThing`, wherever it was raised."""
    if not isinstance(problem, NoSuchThing):
        raise problem
    return _refused(str(problem), 404)
