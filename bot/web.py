"""The web process: verify, store, acknowledge. It needs nothing of AWS and answers in milliseconds."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from slack_bolt import Ack, App, BoltResponse
from slack_bolt.adapter.wsgi import SlackRequestHandler
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.webhook import WebhookClient
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from bot.settings import WEB_THREADS, Settings, load
from bot.slack import filled
from bot.surfaces import (
    ACTION_PREFIX,
    GLOBAL_SHORTCUTS,
    SHORTCUTS,
    SLASH_COMMAND,
    from_action,
    from_command,
    from_event,
    from_form,
    from_global_shortcut,
    from_shortcut,
)
from state import database, homes
from state.invocations import Arrival, accept

log = logging.getLogger(__name__)

StartResponse = Callable[..., Any]
NOT_STORED = (
    "Groundcrew cannot reach its database, so nothing was started and nothing was lost. "
    "Try again in a minute; if it stays like this, tell whoever runs Groundcrew."
)


class NotStored(Exception):
    """An event that could not be stored: answered with 500, so that Slack brings it again."""


def create() -> Gate:
    """What gunicorn serves: settings from the environment, wired. Connects to nothing yet."""
    settings = load("web")
    settings.start_logging()
    engine = database.engine(settings.database, pool=WEB_THREADS, statement_timeout_ms=2000, connect_timeout_s=2)
    return Gate(slack_app(settings, engine), engine)


def slack_app(settings: Settings, engine: Engine) -> App:
    """The Bolt app. Listeners run before the answer is sent, so each only stores and acknowledges."""
    token = settings.slack_bot_token.get_secret_value()

    # Bolt would warn that it leaves SLACK_BOT_TOKEN alone.
    bolt_log = logging.getLogger(f"{__name__}.bolt")
    bolt_log.setLevel(logging.ERROR)

    def authorize(enterprise_id: str | None, team_id: str | None) -> AuthorizeResult:
        # Acknowledging needs no token, so Slack need not be asked whose token it is.
        return AuthorizeResult(enterprise_id=enterprise_id, team_id=team_id, bot_token=token)

    app = App(
        signing_secret=settings.slack_signing_secret.get_secret_value(),
        authorize=authorize,
        process_before_response=True,
        token_verification_enabled=False,
        logger=bolt_log,
    )

    @app.command(SLASH_COMMAND)
    def on_command(ack: Ack, body: dict[str, Any]) -> None:
        ack(NOT_STORED) if not _stored(engine, from_command(body)) else ack()

    @app.action(re.compile(f"^{ACTION_PREFIX}"))
    def on_button(ack: Ack, body: dict[str, Any]) -> None:
        _store_or_say(engine, from_action(body))
        ack()

    for callback_id in SHORTCUTS:

        @app.shortcut(callback_id)
        def on_shortcut(ack: Ack, body: dict[str, Any]) -> None:
            _store_or_say(engine, from_shortcut(body))
            ack()

    for callback_id in GLOBAL_SHORTCUTS:

        @app.shortcut(callback_id)
        def on_global_shortcut(ack: Ack, body: dict[str, Any]) -> None:
            _stored(engine, from_global_shortcut(body))
            ack()

    @app.view(filled.CALLBACK)
    def on_form(ack: Ack, body: dict[str, Any]) -> None:
        sent = filled.read(body["view"])
        errors = dict(sent.errors)
        if not errors and not _stored(engine, from_form(body, sent)):
            errors = {_first_field(body["view"]): NOT_STORED}
        ack(response_action="errors", errors=errors) if errors else ack()

    @app.event("app_mention")
    @app.event("message")
    def on_words(ack: Ack, body: dict[str, Any]) -> None:
        arrival = from_event(body)
        if arrival is not None and not _stored(engine, arrival):
            raise NotStored  # Slack brings an event again that was not taken
        ack()

    @app.event("app_home_opened")
    def on_home(ack: Ack, body: dict[str, Any]) -> None:
        if body["event"].get("tab") == "home" and not _opened(engine, body):
            raise NotStored
        ack()

    @app.error
    def on_error(error: Exception, body: dict[str, Any]) -> BoltResponse:
        log.error("a delivery of type %s could not be handled", body.get("type", "command"), exc_info=error)
        return BoltResponse(status=500, body="")

    _acknowledge_the_rest(app)
    return app


def _acknowledge_the_rest(app: App) -> None:
    """What nobody listens to: a link button only opens a page, an unwanted event must not count as failed."""
    anything = re.compile("")

    def quiet(ack: Ack, body: dict[str, Any]) -> None:
        log.debug("acknowledged without work: %s", body.get("type"))
        ack()

    app.action(anything)(quiet)
    app.shortcut(anything)(quiet)
    app.command(anything)(quiet)
    app.options(anything)(quiet)
    app.view(anything)(quiet)
    app.view_closed(anything)(quiet)
    app.event(anything)(quiet)


def _stored(engine: Engine, arrival: Arrival) -> bool:
    """Store before acknowledging."""
    return _written(engine, lambda connection: accept(connection, arrival))


def _written(engine: Engine, write: Callable[[Connection], object]) -> bool:
    """Whether it could be written. A connection that died while idle is worth one second try."""
    for attempt in (1, 2):
        try:
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                write(connection)
            return True
        except SQLAlchemyError as error:
            if attempt == 1 and isinstance(error, DBAPIError) and error.connection_invalidated:
                continue
            log.error("could not store a delivery: %s", type(error).__name__)
            return False
    return False


def _store_or_say(engine: Engine, arrival: Arrival) -> None:
    """For surfaces whose acknowledgement cannot carry words: the person is told by the response_url."""
    if not _stored(engine, arrival) and arrival.response_url:
        WebhookClient(arrival.response_url, timeout=2).send(text=NOT_STORED, replace_original=False)


def _first_field(view: Mapping[str, Any]) -> str:
    """Where words stand that are about no single field."""
    return str(next(block["block_id"] for block in view["blocks"] if block["type"] == "input"))


def _opened(engine: Engine, body: Mapping[str, Any]) -> bool:
    """Note that somebody looks at their Home, so that it is drawn."""
    return _written(engine, lambda connection: homes.opened(connection, body["team_id"], body["event"]["user"]))


class Gate:
    """The WSGI application: a health answer, a look at the headers Bolt trusts too much, then Bolt."""

    def __init__(self, app: App, engine: Engine) -> None:
        self._bolt = SlackRequestHandler(app)
        self._engine = engine

    def __call__(self, environ: Mapping[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """One request (WSGI)."""
        if environ["PATH_INFO"] == "/health":
            return self._health(start_response)
        if not _plausible(environ):
            return _answer(start_response, "401 Unauthorized", "the request is not signed by Slack")
        try:
            return self._bolt(dict(environ), start_response)
        except UnicodeDecodeError:
            return _answer(start_response, "401 Unauthorized", "the request is not signed by Slack")

    def _health(self, start_response: StartResponse) -> Iterable[bytes]:
        try:
            with self._engine.connect() as connection:
                connection.execute(text("SELECT id FROM invocations LIMIT 1"))
        except SQLAlchemyError:
            return _answer(start_response, "503 Service Unavailable", "database not ready")
        return _answer(start_response, "200 OK", "ok")


def _plausible(environ: Mapping[str, Any]) -> bool:
    """Bolt raises on a timestamp that is no number and a signature that is not ASCII; both are just unsigned."""
    timestamp = environ.get("HTTP_X_SLACK_REQUEST_TIMESTAMP", "")
    signature = environ.get("HTTP_X_SLACK_SIGNATURE", "")
    return bool(re.fullmatch(r"[0-9]{1,12}", timestamp)) and signature.isascii()


def _answer(start_response: StartResponse, status: str, words: str) -> Iterable[bytes]:
    body = words.encode()
    start_response(status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]
