"""The page people sit at, and the fragments and the event stream that keep it live.

What people do on it goes through the control API; this module only shows.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from sandbox.slack.config import User
from sandbox.slack.errors import NoSuchThing
from sandbox.slack.feed import Change
from sandbox.slack.inspector import Inspector
from sandbox.slack.messages import Json
from sandbox.slack.render import Pages
from sandbox.slack.views import Views
from sandbox.slack.workspace import Channel, Workspace

COOKIE = "sandbox_session"
BEAT_SECONDS = 15
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; img-src 'self' https: http://127.0.0.1:* http://localhost:*"
)


class Suggestions:
    """The commands the page suggests, from a JSON file that is read again whenever it changes."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._read_at = -1.0
        self._known: Json = {"commands": [], "problem": None}

    def current(self) -> Json:
        """`{"commands": [...], "problem": why there are none or None}`."""
        if self._path is None or not self._path.exists():
            return {"commands": [], "problem": None}
        changed = self._path.stat().st_mtime
        if changed != self._read_at:
            try:
                self._known = {"commands": json.loads(self._path.read_text(encoding="utf-8")), "problem": None}
            except ValueError as broken:
                return {"commands": [], "problem": f"{self._path.name}: {broken}"}
            self._read_at = changed
        return self._known


class Page:
    """The page's routes."""

    def __init__(
        self,
        workspace: Workspace,
        pages: Pages,
        views: Views,
        inspector: Inspector,
        suggestions: Suggestions,
        *,
        session: str,
        mlflow_url: str | None,
    ) -> None:
        self._workspace = workspace
        self._pages = pages
        self._views = views
        self._inspector = inspector
        self._suggestions = suggestions
        self._session = session
        self._mlflow_url = mlflow_url

    def routes(self) -> list[BaseRoute]:
        """What to mount at the root."""
        return [
            Route("/", self.shell),
            Route("/archives/{channel}/{mark}", self.permalink),
            Route("/page/nav", self.nav),
            Route("/page/history", self.history),
            Route("/page/inspector", self.inspector),
            Route("/page/form", self.form),
            Route("/page/home", self.home),
            Route("/page/commands", self.commands),
            Route("/page/stream", self.stream),
            Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
        ]

    async def shell(self, request: Request) -> Response:
        """The whole page, for the person and channel in the address."""
        user, channel = self._who_and_where(request)
        html = self._pages.page(
            "page.html",
            user=user,
            channel=channel,
            since=self._workspace.new_ts(),
            nav=self._nav(user, channel),
            suggestions=self._workspace.config.suggestions,
        )
        answer = HTMLResponse(html, headers={"Content-Security-Policy": POLICY, "Cache-Control": "no-store"})
        answer.set_cookie(COOKIE, self._session, httponly=True, samesite="strict")
        return answer

    async def permalink(self, request: Request) -> Response:
        """Open the page at a message."""
        mark = request.path_params["mark"].removeprefix("p")
        return RedirectResponse(f"/?channel={request.path_params['channel']}#m-{mark[:-6]}.{mark[-6:]}")

    async def nav(self, request: Request) -> Response:
        """The left bar."""
        return HTMLResponse(self._nav(*self._who_and_where(request)))

    async def history(self, request: Request) -> Response:
        """The messages of a channel; having them on the screen is having read them."""
        user, channel = self._who_and_where(request)
        html = self._pages.history(user.id, channel.id, request.query_params.get("since", ""))
        self._workspace.read(user.id, channel.id)
        return HTMLResponse(html)

    async def inspector(self, request: Request) -> Response:
        """The last thing the person did on the wire, and a selected message's JSON."""
        user, channel = self._who_and_where(request)
        wanted = request.query_params.get("message", "")
        selected = next((m for m in self._workspace.seen_by(user.id, channel.id) if m.ts == wanted), None)
        facts = await self._inspector.of(user.id)
        return HTMLResponse(self._pages.page("inspector.html", user=user, selected=selected, **facts))

    async def form(self, request: Request) -> Response:
        """The modal the person has open, or nothing."""
        user, _ = self._who_and_where(request)
        view = self._views.of(user.id)
        return HTMLResponse(self._pages.page("form.html", view=view) if view else "")

    async def home(self, request: Request) -> Response:
        """The app's Home of the person."""
        user, _ = self._who_and_where(request)
        return HTMLResponse(self._pages.page("home.html", view=self._views.home(user.id)))

    async def commands(self, request: Request) -> Response:
        """What the command box suggests to the person: the commands that name their role."""
        user, _ = self._who_and_where(request)
        known = self._suggestions.current()
        return JSONResponse(known | {"commands": [each for each in known["commands"] if self._offered(each, user)]})

    def _offered(self, command: Json, user: User) -> bool:
        if not user.role:
            return command["name"] in self._workspace.config.app.anybody
        return user.role in command.get("roles", [user.role])

    async def stream(self, request: Request) -> Response:
        """Server-sent events for one person looking at one channel."""
        user, channel = self._who_and_where(request)
        return StreamingResponse(
            self._events(user.id, channel.id, request.query_params.get("since", "")),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store"},
        )

    async def _events(self, user: str, channel: str, since: str) -> AsyncIterator[str]:
        with self._workspace.feed.follow() as changes:
            yield _event({"kind": "hello"})
            while True:
                try:
                    async with asyncio.timeout(BEAT_SECONDS):
                        change = await changes.get()
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                if change is None:
                    return
                for event in self._tell(change, user, channel, since):
                    yield _event(event)

    def _tell(self, change: Change, user: str, channel: str, since: str) -> list[Json]:
        if change.only_for not in (None, user):
            return []
        if change.kind == "view":
            return [{"kind": "form"}]
        if change.kind == "home":
            return [{"kind": "home"}]
        if change.kind == "journal":
            return [{"kind": "inspector"}]
        if change.kind == "read" or change.channel != channel:
            return [{"kind": "nav"}]
        messages = self._workspace.channels[channel].messages
        told = messages.get(change.ts)
        if told is None:
            return [{"kind": "deleted", "ts": change.ts}]
        root = messages.get(told.root, told)
        self._workspace.read(user, channel)
        return [{"kind": "message", "ts": root.ts, "of": change.kind, "html": self._pages.message(root, user, since)}]

    def _nav(self, user: User, channel: Channel) -> str:
        rows = [
            {"id": place.id, "name": place.name, "purpose": place.purpose}
            | {"direct": place.with_user is not None, "private": place.is_private}
            | {"unread": 0 if place is channel else self._workspace.unread(user.id, place.id)}
            for place in self._workspace.channels_of(user.id)
        ]
        return self._pages.page(
            "nav.html",
            user=user,
            channel=channel,
            channels=[row for row in rows if not row["direct"]],
            directs=[row for row in rows if row["direct"]],
            people=self._workspace.config.people,
            mlflow_url=self._mlflow_url,
        )

    def _who_and_where(self, request: Request) -> tuple[User, Channel]:
        wanted = request.query_params
        people = self._workspace.config.people
        user = self._workspace.user(wanted["user"]) if "user" in wanted else people[0]
        theirs = self._workspace.channels_of(user.id)
        if "channel" not in wanted:
            return user, theirs[0]
        channel = self._workspace.channel(wanted["channel"])
        if channel not in theirs:
            raise NoSuchThing(f"{user.display} is not in {channel.name}")
        return user, channel


def _event(body: Json) -> str:
    return f"data: {json.dumps(body)}\n\n"
