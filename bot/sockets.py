"""The Socket Mode process: the same listeners as `web`, for teams without an address that Slack can reach.

Slack refreshes a connection from time to time: it says so, and goes on sending over it for some seconds. slack_sdk's
client (3.47) then reads nothing for up to three seconds, because it waits for its old connection to fall silent. So a
connection here never renews itself. Another one is opened beside it, and the old one is read until it ends.
"""

from __future__ import annotations

import http.client
import logging
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from slack_bolt import App
from slack_bolt.adapter.socket_mode.internals import run_bolt_app, send_response
from slack_sdk import WebClient
from slack_sdk.errors import SlackClientError
from slack_sdk.socket_mode import SocketModeClient
from slack_sdk.socket_mode.client import BaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest

from bot.settings import Settings
from bot.web import slack_app
from state import database

log = logging.getLogger(__name__)

CONNECTIONS = 2
"""One may break without a word; then the other takes everything. Slack allows ten an app."""
THREADS = 16
"""Deliveries acknowledged at once on one connection."""
OVERLAP_S = 10.0
"""So long a connection that Slack has told to go is still read."""
LOOK_AGAIN_S = 1.0
LONGEST_PAUSE_S = 60.0


class Line(SocketModeClient):
    """One connection to Slack. It tells `lost` when it wants to be replaced, and replaces nothing by itself."""

    def __init__(self, app: App, settings: Settings, lost: threading.Event) -> None:
        quiet = logging.getLogger(f"{__name__}.client")
        quiet.setLevel(logging.CRITICAL)
        super().__init__(
            app_token=settings.slack_app_token.get_secret_value(),
            web_client=WebClient(base_url=settings.slack_api_url, timeout=15),
            logger=quiet,
            concurrency=THREADS,
        )
        self.socket_mode_request_listeners.append(partial(_answer, app))
        self.leaving_since: float | None = None
        self._lost = lost

    def connect_to_new_endpoint(self, force: bool = False) -> None:
        """What slack_sdk calls when Slack says `disconnect`, and when the connection is found closed."""
        if self.leaving_since is None:
            self.leaving_since = time.monotonic()
        self._lost.set()


def _answer(app: App, client: BaseSocketModeClient, request: SocketModeRequest) -> None:
    """Acknowledge one envelope, on the connection it came by. What is not acknowledged Slack brings again."""
    began = time.time()
    send_response(client, request, run_bolt_app(app, request), began)


def serve(settings: Settings) -> None:
    """Take deliveries until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    engine = database.engine(settings.database, pool=8, statement_timeout_ms=2000, connect_timeout_s=2)
    ready = partial(log.info, "%s connections to Slack are ready", CONNECTIONS)
    keep(slack_app(settings, engine), settings, stop, ready)
    engine.dispose()


def keep(app: App, settings: Settings, stop: threading.Event, ready: Callable[[], Any]) -> None:
    """Keep `CONNECTIONS` open until `stop`; `ready` is called once when they are."""
    lost = threading.Event()
    lines: list[Line] = []
    retired: list[Line] = []
    failures, told = 0, False
    while not stop.is_set():
        leaving = [line for line in lines if line.leaving_since is not None]
        lines = [line for line in lines if line not in leaving]
        retired += leaving
        while len(lines) < CONNECTIONS and not stop.is_set():
            line = _opened(app, settings, lost)
            failures = 0 if line else failures + 1
            if line is None:
                stop.wait(min(LONGEST_PAUSE_S, 2.0**failures / 2))
            else:
                lines.append(line)
        if not told:
            ready()
            told = True
        retired = _ended(retired)
        lost.wait(LOOK_AGAIN_S)
        lost.clear()
    for line in [*lines, *retired]:
        line.close()


def _opened(app: App, settings: Settings, lost: threading.Event) -> Line | None:
    """A new connection, None when Slack does not give one now."""
    line = Line(app, settings, lost)
    try:
        line.connect()
    except (SlackClientError, OSError, http.client.HTTPException) as error:
        log.error("no connection to Slack, trying again later and later: %s", error)
    if line.is_connected():
        return line
    line.close()
    return None


def _ended(retired: list[Line]) -> list[Line]:
    """The retired connections that are still to be read; the others are closed."""
    over = [
        line
        for line in retired
        if not line.is_connected() or time.monotonic() - (line.leaving_since or 0.0) > OVERLAP_S
    ]
    for line in over:
        line.close()
    return [line for line in retired if line not in over]
