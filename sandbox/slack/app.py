"""Puts the workspace together and gives every address to the part that answers it."""

from __future__ import annotations

import asyncio
import hmac
import secrets as random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute

from sandbox.slack.config import Config, Secrets
from sandbox.slack.control import Control, no_such_thing
from sandbox.slack.delivery import Delivery
from sandbox.slack.errors import NoSuchThing, SlackError
from sandbox.slack.events import Events
from sandbox.slack.faults import Faults
from sandbox.slack.feed import Feed
from sandbox.slack.files import Files
from sandbox.slack.hooks import Hooks
from sandbox.slack.inspector import Inspector
from sandbox.slack.journal import Journal
from sandbox.slack.page import COOKIE, Page, Suggestions
from sandbox.slack.people import People
from sandbox.slack.rates import Rates
from sandbox.slack.render import Pages
from sandbox.slack.sockets import Sockets
from sandbox.slack.triggers import Triggers
from sandbox.slack.views import Views
from sandbox.slack.webapi.call import World
from sandbox.slack.webapi.server import WebApi
from sandbox.slack.workspace import Workspace


@dataclass(frozen=True)
class Around:
    """Where the workspace stands: its own address and folder, the app's request URL, and what is behind the page."""

    base_url: str
    state: Path
    request_url: str
    aws_url: str | None = None
    mlflow_url: str | None = None
    commands: Path | None = None


class Doors:
    """The addresses outside Web API, control and page: response_urls, uploads, downloads, health."""

    def __init__(self, hooks: Hooks, files: Files, journal: Journal, secrets: Secrets, session: str) -> None:
        self._hooks = hooks
        self._files = files
        self._journal = journal
        self._secrets = secrets
        self._session = session

    def routes(self) -> list[Route]:
        """Their routes."""
        return [
            Route("/hooks/{id}", self.hook, methods=["POST"]),
            Route("/upload/{id}", self.upload, methods=["POST"]),
            Route("/files/{id}/{name}", self.download),
            Route("/_sandbox/health", self.health),
        ]

    async def hook(self, request: Request) -> Response:
        """A post of the app to a response_url."""
        started, error = time.perf_counter(), None
        try:
            body: Any = await request.json()
        except ValueError:
            body = None
        try:
            if not isinstance(body, dict):
                raise SlackError("invalid_payload")
            self._hooks.use(request.path_params["id"], body)
        except SlackError as refused:
            error = refused
        self._journal.record(
            "hook",
            method="response_url",
            arguments=body,
            ok=error is None,
            error=error.code if error else None,
            ms=round((time.perf_counter() - started) * 1000, 2),
        )
        if error is None:
            return PlainTextResponse("ok")
        return JSONResponse(error.body(), 404 if error.code in ("used_url", "expired_url") else 400)

    async def upload(self, request: Request) -> Response:
        """The bytes of an announced upload, as the whole body."""
        try:
            file = self._files.get(request.path_params["id"])
            if file.uploaded:
                raise SlackError("file_not_found")
            self._files.store(file, await request.body())
        except SlackError as refused:
            return PlainTextResponse(refused.code, 400)
        return PlainTextResponse(f"OK - {file.size}")

    async def download(self, request: Request) -> Response:
        """A file's bytes, for the app's token or for the page."""
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        by_token = hmac.compare_digest(bearer.encode(), self._secrets.bot_token.encode())
        by_page = hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), self._session.encode())
        if not (by_token or by_page):
            return PlainTextResponse("not authorised: send the bot token, or open the page first", 403)
        file = self._files.find(request.path_params["id"])
        if file is None or not file.complete:
            return PlainTextResponse("no such file", 404)
        inline = file.is_image and "download" not in request.query_params
        return FileResponse(
            file.path,
            media_type=file.mimetype,
            filename=file.name,
            content_disposition_type="inline" if inline else "attachment",
            headers={
                "X-Content-Type-Options": "nosniff",
                "Content-Security-Policy": "sandbox",
                "Cache-Control": "private, max-age=3600",
            },
        )

    async def health(self, request: Request) -> Response:
        """200 as soon as the workspace answers."""
        return JSONResponse({"ok": True})


def build(config: Config, secrets: Secrets, around: Around) -> Starlette:
    """The application; `app.state.feed` ends its open streams when closed."""
    around.state.mkdir(parents=True, exist_ok=True)
    feed, faults, session = Feed(), Faults(), random.token_urlsafe(24)
    workspace = Workspace(config, feed)
    journal = Journal(around.state / "journal.jsonl", feed)
    files = Files(around.state / "files", around.base_url)
    triggers, hooks = Triggers(config.rules), Hooks(workspace, around.base_url)
    views = Views(workspace, triggers)
    sockets = Sockets(around.base_url, config.app.id, config.rules) if secrets.app_token else None
    delivery = Delivery(around.request_url, secrets, config.rules, faults, journal, sockets)
    events = Events(workspace, delivery)
    people = People(workspace, delivery, hooks, triggers, views, files)
    inspector = Inspector(journal, config.team["id"], around.aws_url)
    world = World(workspace, files, views, Rates(config.rules), around.base_url, sockets)
    web_api = WebApi(world, secrets, faults, journal)
    control = Control(workspace, people, views, events, faults, journal, sockets)
    page = Page(
        workspace,
        Pages(workspace, files),
        views,
        inspector,
        Suggestions(around.commands),
        session=session,
        mlflow_url=around.mlflow_url,
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        delivering = asyncio.create_task(events.run())
        yield
        feed.close()
        await delivering
        await events.stop()
        await delivery.aclose()
        await inspector.aclose()
        journal.close()

    app = Starlette(
        routes=[
            Route("/api/{method}", web_api.endpoint, methods=["GET", "POST"]),
            *([WebSocketRoute("/link/", sockets.link)] if sockets else []),
            *Doors(hooks, files, journal, secrets, session).routes(),
            *control.routes(),
            *page.routes(),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])],
        exception_handlers={NoSuchThing: no_such_thing},
        lifespan=lifespan,
    )
    app.state.feed = feed
    return app
