"""The same surfaces by signed HTTP and by Socket Mode: what people do in Slack is stored the same way in both."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text

from bot.settings import Settings
from bot.slack.forms import modal
from bot.sockets import CONNECTIONS, keep
from bot.web import Gate, slack_app
from commands.reply import Field, Form
from state import homes
from tests.sandbox.slack_running import SECRET, TOKEN, Slack, running

APP_TOKEN = "xapp-of-the-test"
EVENTS = ("app_mention", "message.im", "app_home_opened")
FORM = Form("thing", "pipeline show", [Field("execution", "Run", required=True), Field("lines", "Lines", "--lines")])


class Quiet(WSGIRequestHandler):
    """Says nothing."""

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing."""


class Server(ThreadingMixIn, WSGIServer):
    """One thread a request."""

    daemon_threads = True


@pytest.fixture(params=["http", "socket"])
def slack(request: pytest.FixtureRequest, engine: Engine, tmp_path: Path) -> Iterator[Slack]:
    """A workspace with the product's own listeners behind it."""
    rules = {"ack_seconds": 3.0, "rates": False}
    if request.param == "http":
        app = slack_app(Settings(slack_signing_secret=SecretStr(SECRET)), engine)
        server = make_server("127.0.0.1", 0, Gate(app, engine), Server, Quiet)  # type: ignore[arg-type]
        serving = threading.Thread(target=server.serve_forever, args=(0.02,))
        serving.start()
        url = f"http://127.0.0.1:{server.server_port}/slack/events"
        with running(tmp_path, events=EVENTS, request_url=url, **rules) as workspace:
            yield workspace
        server.shutdown()
        serving.join()
        server.server_close()
        return
    with running(tmp_path, events=EVENTS, app_token=APP_TOKEN, **rules) as workspace, connected(workspace, engine):
        yield workspace


@contextmanager
def connected(workspace: Slack, engine: Engine) -> Iterator[None]:
    """The Socket Mode process, as long as it is needed."""
    settings = Settings(slack_app_token=SecretStr(APP_TOKEN), slack_api_url=f"{workspace.url}/api/")
    stop, ready = threading.Event(), threading.Event()
    keeping = threading.Thread(target=keep, args=(slack_app(settings, engine), settings, stop, ready.set))
    keeping.start()
    assert ready.wait(10)
    yield
    stop.set()
    keeping.join()


def stored(engine: Engine, count: int = 1) -> list[Any]:
    """The invocations, as soon as there are so many."""
    deadline = time.monotonic() + 10
    while True:
        with engine.begin() as connection:
            found = list(connection.execute(text("SELECT * FROM invocations ORDER BY created_at")))
        if len(found) >= count or time.monotonic() > deadline:
            assert len(found) == count
            return found
        time.sleep(0.01)


def test_a_command_and_its_repeated_delivery(slack: Slack, engine: Engine) -> None:
    slack.control("fault", target="delivery", kind="duplicate")
    assert slack.control("command", user="U0DS1", channel="C0DEV", text="/mlops pipeline list")["ok"]
    (row,) = stored(engine)
    assert (row.surface, row.text, row.user_id, row.channel) == ("command", "pipeline list", "U0DS1", "C0DEV")


def test_a_button(slack: Slack, engine: Engine) -> None:
    press = {"type": "button", "action_id": "command:0", "value": "registry list", "text": plain("Go")}
    posted = slack.api("chat.postMessage", channel="C0DEV", text="x", blocks=[{"type": "actions", "elements": [press]}])
    assert slack.control("press", user="U0ML1", channel="C0DEV", ts=posted["ts"], label="Go")["ok"]
    assert [(row.surface, row.text) for row in stored(engine)] == [("action", "registry list")]


def plain(words: str) -> dict[str, str]:
    return {"type": "plain_text", "text": words}


def test_a_form_with_an_error_and_its_correction(slack: Slack, engine: Engine) -> None:
    slack.control("command", user="U0DS1", channel="C0DEV", text="/mlops form")
    (asked,) = stored(engine)
    assert slack.api("views.open", trigger_id=asked.trigger_id, view=modal(FORM, "C0DEV"))["ok"]
    wrong = slack.control("submit", user="U0DS1", values={"execution": {"value": "-x"}})
    assert wrong["errors"] == {"execution": "This must not begin with a dash."}
    sent = {"execution": {"value": "ab c"}, "lines": {"--lines": "3"}}
    assert slack.control("submit", user="U0DS1", values=sent)["errors"] == {}
    assert stored(engine, 2)[1].text == "pipeline show 'ab c' --lines 3"


def test_a_mention_a_word_in_the_own_chat_a_shortcut_and_the_home(slack: Slack, engine: Engine) -> None:
    said = slack.control("say", user="U0DS1", channel="C0DEV", text="@groundcrew whoami")
    (mention,) = stored(engine)
    assert (mention.surface, mention.text.strip(), mention.thread_ts) == ("mention", "whoami", said["ts"])
    slack.control("say", user="U0DS1", channel="D0DS1", text="help")
    assert stored(engine, 2)[1].text == "help"
    assert slack.control("shortcut", user="U0DS1", callback_id="run_command")["ok"]
    assert stored(engine, 3)[2].surface == "global"
    slack.control("home", user="U0DS1")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with engine.begin() as connection:
            if homes.looked_at(connection):
                return
        time.sleep(0.01)
    raise AssertionError("nobody noted that the Home was opened")


def test_a_click_right_after_a_refresh_waits_for_nothing(engine: Engine, tmp_path: Path) -> None:
    with running(tmp_path, app_token=APP_TOKEN, ack_seconds=3.0, rates=False) as slack, connected(slack, engine):
        assert slack.control("refresh") == {"connections": CONNECTIONS}
        for number in range(6):
            slack.control("refresh", reason="refresh_requested")
            answer = slack.control("command", user="U0DS1", channel="C0DEV", text=f"/mlops help {number}")
            assert answer["ok"], answer
            assert answer["ack_ms"] < 1_000, "the client's own way back takes three seconds"
            deadline = time.monotonic() + 10
            while slack.control("refresh")["connections"] < CONNECTIONS:
                assert time.monotonic() < deadline, "the refreshed connection never came back"
                time.sleep(0.02)
    assert len(stored(engine, 6)) == 6


def test_connections_that_break_without_a_word_are_opened_again(engine: Engine, tmp_path: Path) -> None:
    with running(tmp_path, app_token=APP_TOKEN, ack_seconds=10.0, rates=False) as slack, connected(slack, engine):
        slack.control("refresh", reason="link_disabled", at_once=True)
        slack.control("refresh", reason="link_disabled", at_once=True)
        answer = slack.control("command", user="U0DS1", channel="C0DEV", text="/mlops help")
        assert answer["ok"], answer
    assert len(stored(engine)) == 1


def test_the_workspace_takes_each_token_only_where_it_belongs(tmp_path: Path) -> None:
    with running(tmp_path, app_token=APP_TOKEN) as slack:
        assert slack.api("apps.connections.open", token=TOKEN)["error"] == "not_allowed_token_type"
        assert slack.api("auth.test", token=APP_TOKEN)["error"] == "not_allowed_token_type"
        assert slack.api("apps.connections.open", token=APP_TOKEN)["url"].startswith("ws://")
