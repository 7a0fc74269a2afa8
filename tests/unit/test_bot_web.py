"""The web process: signed deliveries are stored once and acknowledged, everything else is turned away."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text

from bot.settings import Settings
from bot.slack.forms import modal
from bot.web import Gate, slack_app
from commands.reply import Field, Form
from state import database, homes

SECRET = "shhh"
SETTINGS = Settings(slack_signing_secret=SecretStr(SECRET), slack_bot_token=SecretStr("xoxb-1"))
COMMAND = {
    "command": "/mlops",
    "text": "pipeline run",
    "trigger_id": "1.2.3",
    "team_id": "T0GC",
    "user_id": "U0DS1",
    "user_name": "data-scientist",
    "channel_id": "C0DEV",
    "response_url": "http://127.0.0.1:9/hooks/1",
}


def button(value: str = "pipeline list", action_ts: str = "5.5", action_id: str = "command:0") -> dict[str, Any]:
    return {
        "type": "block_actions",
        "team": {"id": "T0GC"},
        "user": {"id": "U0ML1", "username": "ml-engineer", "team_id": "T0GC"},
        "trigger_id": "9",
        "container": {"type": "message", "message_ts": "7.7", "channel_id": "C0DEV"},
        "channel": {"id": "C0DEV"},
        "actions": [
            {"type": "button", "action_id": action_id, "block_id": "b", "action_ts": action_ts, "value": value}
        ],
    }


@pytest.fixture
def gate(engine: Engine) -> Gate:
    return Gate(slack_app(SETTINGS, engine), engine)


def post(
    gate: Gate, body: bytes, headers: Mapping[str, str] | None = None, path: str = "/slack/events"
) -> tuple[int, str]:
    seen: list[str] = []
    now = str(int(time.time()))
    signed = {"HTTP_X_SLACK_REQUEST_TIMESTAMP": now, "HTTP_X_SLACK_SIGNATURE": sign(now, body)}
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        **(signed if headers is None else headers),
    }
    answer = b"".join(gate(environ, lambda status, _: seen.append(status)))
    return int(seen[0].split()[0]), answer.decode()


def sign(timestamp: str, body: bytes) -> str:
    return "v0=" + hmac.new(SECRET.encode(), f"v0:{timestamp}:".encode() + body, hashlib.sha256).hexdigest()


def interactive(payload: Mapping[str, Any]) -> bytes:
    return urlencode({"payload": json.dumps(payload)}).encode()


def rows(engine: Engine) -> list[Any]:
    with engine.begin() as connection:
        return list(connection.execute(text("SELECT * FROM invocations ORDER BY created_at")))


def test_a_command_is_stored_before_it_is_acknowledged_silently_and_once(gate: Gate, engine: Engine) -> None:
    for _ in range(2):
        assert post(gate, urlencode(COMMAND).encode()) == (200, "")
    (row,) = rows(engine)
    assert (row.surface, row.text, row.user_id, row.channel, row.state) == (
        "command", "pipeline run", "U0DS1", "C0DEV", "waiting",
    )  # fmt: skip


def test_pressing_a_button_is_typing_its_value(gate: Gate, engine: Engine) -> None:
    assert post(gate, interactive(button())) == (200, "")
    assert post(gate, interactive(button())) == (200, "")
    assert post(gate, interactive(button(action_ts="6.6"))) == (200, "")
    assert [(row.surface, row.text, row.message_ts) for row in rows(engine)] == [("action", "pipeline list", "7.7")] * 2


def test_choosing_an_option_is_typing_its_value(gate: Gate, engine: Engine) -> None:
    chosen = {"text": {"type": "plain_text", "text": "1 hour"}, "value": "alerts mute A1 1h"}
    payload = button()
    del payload["actions"][0]["value"]
    payload["actions"][0] |= {"type": "static_select", "selected_option": chosen}
    for _ in range(2):
        assert post(gate, interactive(payload)) == (200, "")
    assert [(row.surface, row.text) for row in rows(engine)] == [("action", "alerts mute A1 1h")]


def test_a_message_shortcut_brings_the_files_of_its_message(gate: Gate, engine: Engine) -> None:
    payload = {
        "type": "message_action",
        "callback_id": "detect_objects",
        "team": {"id": "T0GC"},
        "user": {"id": "U0DS1", "name": "x"},
        "trigger_id": "4",
        "channel": {"id": "C0PHOTOS"},
        "message": {"ts": "8.8", "files": [{"id": "F1"}]},
        "message_ts": "8.8",
    }
    assert post(gate, interactive(payload)) == (200, "")
    (row,) = rows(engine)
    assert (row.surface, row.text, row.files, row.channel) == ("shortcut", "deployment predict", ["F1"], "C0PHOTOS")


@pytest.mark.parametrize(
    "payload",
    [
        button(action_id="link:0"),
        {"type": "shortcut", "callback_id": "other", "user": {"id": "U1"}, "team": {"id": "T0GC"}, "trigger_id": "1"},
        {
            "type": "view_submission",
            "view": {"type": "modal", "callback_id": "v"},
            "user": {"id": "U1"},
            "team": {"id": "T0GC"},
        },
    ],
)
def test_what_nobody_listens_to_is_acknowledged_without_work(
    gate: Gate, engine: Engine, payload: dict[str, Any]
) -> None:
    assert post(gate, interactive(payload))[0] == 200
    assert rows(engine) == []


@pytest.mark.parametrize(
    "timestamp", ["", "soon", "1e9", "12", "²", pytest.param(str(int(time.time()) - 400), id="400 seconds ago")]
)
def test_a_strange_or_old_timestamp_is_401(gate: Gate, engine: Engine, timestamp: str) -> None:
    body = urlencode(COMMAND).encode()
    headers = {"HTTP_X_SLACK_REQUEST_TIMESTAMP": timestamp, "HTTP_X_SLACK_SIGNATURE": sign(timestamp, body)}
    assert post(gate, body, headers)[0] == 401
    assert rows(engine) == []


@pytest.mark.parametrize("signature", ["", "v0=00", "v0=é", "\u00ff"])
def test_a_forged_signature_is_401(gate: Gate, engine: Engine, signature: str) -> None:
    headers = {"HTTP_X_SLACK_REQUEST_TIMESTAMP": str(int(time.time())), "HTTP_X_SLACK_SIGNATURE": signature}
    assert post(gate, urlencode(COMMAND).encode(), headers)[0] == 401
    assert post(gate, urlencode(COMMAND).encode(), {})[0] == 401
    assert rows(engine) == []


def test_a_body_that_is_no_text_is_401(gate: Gate) -> None:
    assert post(gate, b"\xff\xfe")[0] == 401


def test_text_with_a_null_character_is_stored_without_it(gate: Gate, engine: Engine) -> None:
    assert post(gate, urlencode(COMMAND | {"text": "who\x00ami"}).encode()) == (200, "")
    assert rows(engine)[0].text == "whoami"


def test_without_a_database_the_person_is_told_at_once() -> None:
    nowhere = database.engine("postgresql+psycopg://postgres@/none?host=/nowhere", connect_timeout_s=1)
    gate = Gate(slack_app(SETTINGS, nowhere), nowhere)
    status, answer = post(gate, urlencode(COMMAND).encode())
    assert status == 200
    assert "cannot reach its database" in answer
    assert post(gate, b"", {}, "/health")[0] == 503


def test_health(gate: Gate) -> None:
    assert post(gate, b"", {}, "/health") == (200, "ok")


def test_the_web_process_imports_nothing_of_aws_and_no_command() -> None:
    import subprocess
    import sys

    unwanted = ("boto3", "botocore", "cyclopts", "commands", "PIL", "alembic", "yaml")
    program = f"import sys, bot.web; print([name for name in {unwanted} if name in sys.modules])"
    seen = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "[]"


def form_sent(values: dict[str, Any], view_id: str = "V1") -> bytes:
    view = modal(
        Form("pipeline show", "pipeline show", [Field("execution", "Run", required=True), LINES]), "C0DEV", "1.1"
    )
    sent = {**view, "id": view_id, "state": {"values": values}}
    body = {"type": "view_submission", "view": sent, "team": {"id": "T0GC"}, "trigger_id": "3.3"}
    return interactive(body | {"user": {"id": "U0DS1", "username": "data-scientist", "team_id": "T0GC"}})


LINES = Field("lines", "Lines", "--lines", number=True, whole=True, low=1, high=9, value="4", default="4")


def test_a_form_that_was_sent_is_its_line_once(gate: Gate, engine: Engine) -> None:
    sent = form_sent({"execution": {"value": {"value": "ab c"}}, "lines": {"--lines": {"value": "5"}}})
    for _ in range(2):
        assert post(gate, sent) == (200, "")
    (row,) = rows(engine)
    assert (row.surface, row.text, row.channel, row.thread_ts, row.trigger_id) == (
        "form", "pipeline show 'ab c' --lines 5", "C0DEV", "1.1", "3.3",
    )  # fmt: skip


def test_a_form_with_a_wrong_value_stays_open_and_says_where(gate: Gate, engine: Engine) -> None:
    status, answer = post(gate, form_sent({"execution": {"value": None}, "lines": {"--lines": {"value": "99"}}}))
    assert status == 200
    assert json.loads(answer) == {
        "response_action": "errors",
        "errors": {"execution": "This is needed.", "lines": "This must be between 1 and 9."},
    }
    assert rows(engine) == []


def test_a_form_that_cannot_be_stored_stays_open_with_the_reason() -> None:
    nowhere = database.engine("postgresql+psycopg://postgres@/none?host=/nowhere", connect_timeout_s=1)
    gate = Gate(slack_app(SETTINGS, nowhere), nowhere)
    status, answer = post(gate, form_sent({"execution": {"value": {"value": "ab"}}}))
    assert status == 200
    assert "cannot reach its database" in json.loads(answer)["errors"]["execution"]


def test_a_global_shortcut_asks_in_the_own_chat(gate: Gate, engine: Engine) -> None:
    payload = {"type": "shortcut", "callback_id": "run_command", "team": {"id": "T0GC"}, "trigger_id": "6"}
    assert post(gate, interactive(payload | {"user": {"id": "U0DS1", "username": "x"}})) == (200, "")
    (row,) = rows(engine)
    assert (row.surface, row.text, row.channel, row.trigger_id) == ("global", "form", "U0DS1", "6")


def event(body: dict[str, Any], id: str = "Ev1") -> bytes:
    about = {"type": "event_callback", "team_id": "T0GC", "event_id": id, "authorizations": [{"user_id": "U0BOT"}]}
    return json.dumps(about | {"event": body}).encode()


MENTION = {
    "type": "app_mention",
    "user": "U0DS1",
    "channel": "C0DEV",
    "ts": "5.5",
    "text": "<@U0BOT> access show <@U2>",
}


def said(gate: Gate, body: dict[str, Any], id: str = "Ev1") -> int:
    now, raw = str(int(time.time())), event(body, id)
    headers = {"HTTP_X_SLACK_REQUEST_TIMESTAMP": now, "HTTP_X_SLACK_SIGNATURE": sign(now, raw)}
    return post(gate, raw, headers | {"CONTENT_TYPE": "application/json"})[0]


def test_a_mention_is_stored_once_with_its_thread_and_without_its_address(gate: Gate, engine: Engine) -> None:
    assert said(gate, MENTION | {"files": [{"id": "F1"}]}) == 200
    assert said(gate, MENTION) == 200  # Slack's own retry
    assert said(gate, MENTION | {"text": "<@U0BOT> pipeline run", "edited": {"ts": "6"}}, "Ev2") == 200
    assert said(gate, MENTION | {"ts": "7.7", "thread_ts": "2.2"}, "Ev3") == 200
    first, second = rows(engine)
    assert (first.surface, first.text.strip(), first.thread_ts, first.files) == (
        "mention", "access show <@U2>", "5.5", ["F1"],
    )  # fmt: skip
    assert second.thread_ts == "2.2"


@pytest.mark.parametrize(
    "more",
    [
        {"type": "message", "channel_type": "channel"},
        {"type": "message", "channel_type": "im", "bot_id": "B1"},
        {"type": "message", "channel_type": "im", "subtype": "message_changed"},
        {"type": "message", "channel_type": "im", "subtype": "channel_join"},
        {"bot_id": "B1"},
    ],
)
def test_what_is_not_said_to_the_bot_by_a_person_is_left_alone(
    gate: Gate, engine: Engine, more: dict[str, Any]
) -> None:
    assert said(gate, MENTION | more) == 200
    assert rows(engine) == []


def test_the_own_chat_needs_no_mention_and_makes_no_threads(gate: Gate, engine: Engine) -> None:
    assert said(gate, MENTION | {"type": "message", "channel_type": "im", "channel": "D1", "text": "whoami"}) == 200
    (row,) = rows(engine)
    assert (row.text, row.channel, row.thread_ts) == ("whoami", "D1", None)


def test_an_event_that_cannot_be_stored_is_left_to_slack_to_bring_again() -> None:
    nowhere = database.engine("postgresql+psycopg://postgres@/none?host=/nowhere", connect_timeout_s=1)
    assert said(Gate(slack_app(SETTINGS, nowhere), nowhere), MENTION) == 500


def test_an_opened_home_is_noted(gate: Gate, engine: Engine) -> None:
    opened = {"type": "app_home_opened", "user": "U0DS1", "channel": "D1", "tab": "home"}
    assert said(gate, opened | {"tab": "messages"}) == 200
    assert said(gate, opened) == 200
    with engine.begin() as connection:
        assert [(each.user_id, each.wanted) for each in homes.looked_at(connection)] == [("U0DS1", True)]


def test_a_button_of_the_home_is_answered_in_the_own_chat(gate: Gate, engine: Engine) -> None:
    payload = button() | {"container": {"type": "view", "view_id": "V1"}}
    del payload["channel"]
    assert post(gate, interactive(payload)) == (200, "")
    assert [(row.text, row.channel, row.message_ts) for row in rows(engine)] == [("pipeline list", "U0ML1", None)]
