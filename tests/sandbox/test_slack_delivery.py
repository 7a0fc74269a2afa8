"""What the Slack stand-in delivers to the app, and what people see of its answers."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.slack_running import Received, Slack, running

JSON = {"Content-Type": "application/json"}
BUTTON = {
    "type": "button",
    "action_id": "command:0",
    "value": "pipeline stop x",
    "text": {"type": "plain_text", "text": "Stop"},
}


@pytest.fixture
def slack(tmp_path: Path) -> Iterator[Slack]:
    with running(tmp_path, rates=False, trigger_seconds=0.4) as workspace:
        yield workspace


def command(slack: Slack, text: str, **more: Any) -> dict[str, Any]:
    return slack.control("command", user="U0DS1", channel="C0DEV", text=text, **more)


def answers(body: dict[str, Any]) -> Any:
    return lambda received: (200, JSON, json.dumps(body).encode())


def test_a_command_is_a_signed_form(slack: Slack) -> None:
    result = command(slack, "/mlops pipeline run --name a<b&c")
    assert (result["status"], result["ack_body"], result["error"]) == (200, {}, None)
    assert result["ack_ms"] > 0
    got = slack.app.got[0]
    assert got.signed
    fields = got.payload
    assert fields["command"] == "/mlops"
    assert fields["text"] == "pipeline run --name a&lt;b&amp;c"
    assert (fields["team_id"], fields["channel_id"], fields["user_id"]) == ("T0GC", "C0DEV", "U0DS1")
    assert fields["is_enterprise_install"] == "false"
    assert slack.messages() == []


def test_an_acknowledgement_can_answer(slack: Slack) -> None:
    slack.app.answer = lambda received: (200, {"Content-Type": "text/plain"}, b"hello")
    command(slack, "/mlops")
    slack.app.answer = answers({"response_type": "in_channel", "text": "for all"})
    command(slack, "/mlops")
    assert [(m["text"], m["ephemeral"]) for m in slack.messages()] == [("hello", True), ("for all", False)]
    assert [m["text"] for m in slack.messages("U0ML1")] == ["for all"]


def test_failures_are_lines_the_person_sees(slack: Slack) -> None:
    slack.app.answer = lambda received: (500, {}, b"")
    assert command(slack, "/mlops a")["error"] == "dispatch_failed"
    slack.app.answer = lambda received: (time.sleep(0.7), (200, {}, b""))[1]
    late = command(slack, "/mlops b")
    assert (late["error"], late["status"]) == ("operation_timeout", None)
    assert command(slack, "/nothing")["error"] == "unknown_command"
    slack.app.answer = answers({"blocks": [{"type": "nonsense"}]})
    command(slack, "/mlops c")
    words = [message["words"] for message in slack.messages()]
    assert "dispatch_failed" in words[0]
    assert "HTTP 500" in words[0]
    assert "operation_timeout" in words[1]
    assert "/nothing is not a valid command" in words[2]
    assert "invalid_blocks" in words[3]
    assert {message["kind"] for message in slack.messages()} == {"failure"}
    assert slack.messages("U0DS2") == []


def test_a_command_in_a_thread_is_refused(slack: Slack) -> None:
    root = slack.control("say", user="U0DS1", channel="C0DEV", text="root")["ts"]
    sent = len(slack.app.got)
    assert command(slack, "/mlops whoami", thread_ts=root)["error"] == "not_supported_in_threads"
    assert "command" not in [got.payload.get("command") for got in slack.app.got[sent:]]
    assert "not supported in threads" in slack.messages()[-1]["words"]


def test_a_button_is_found_as_the_person_sees_it(slack: Slack) -> None:
    attachments = [{"color": "#b3261e", "blocks": [{"type": "actions", "elements": [BUTTON]}]}]
    posted = slack.api("chat.postMessage", channel="C0DEV", text="run", attachments=attachments)
    slack.app.got.clear()
    slack.control("press", user="U0ML1", channel="C0DEV", ts=posted["ts"], label="Stop")
    body = slack.app.got[0].payload
    assert (body["type"], body["user"]["id"]) == ("block_actions", "U0ML1")
    assert body["actions"][0]["value"] == "pipeline stop x"
    assert body["actions"][0]["action_id"] == "command:0"
    assert body["container"] | {"x": 0} == {
        "type": "message_attachment",
        "message_ts": posted["ts"],
        "channel_id": "C0DEV",
        "is_ephemeral": False,
        "attachment_id": 1,
        "is_app_unfurl": False,
        "x": 0,
    }
    assert body["message"]["ts"] == posted["ts"]
    private = slack.api(
        "chat.postEphemeral",
        channel="C0DEV",
        user="U0DS1",
        text="p",
        blocks=[{"type": "actions", "elements": [BUTTON]}],
    )["message_ts"]
    slack.control("press", user="U0DS1", channel="C0DEV", ts=private, action_id="command:0")
    assert "message" not in slack.app.got[-1].payload
    assert slack.app.got[-1].payload["container"]["is_ephemeral"]
    other = {"user": "U0DS2", "channel": "C0DEV", "ts": private, "label": "Stop"}
    refused = slack.client.post("/_control/press", json=other, headers={"X-Sandbox": "1"})
    assert refused.status_code == 404


def test_response_url_answers_replaces_and_runs_out(slack: Slack) -> None:
    private = slack.api(
        "chat.postEphemeral",
        channel="C0DEV",
        user="U0DS1",
        text="old",
        blocks=[{"type": "actions", "elements": [BUTTON]}],
    )["message_ts"]
    slack.control("press", user="U0DS1", channel="C0DEV", ts=private, label="Stop")
    hook = slack.app.got[-1].payload["response_url"]
    assert slack.client.post(hook, json={"replace_original": True, "text": "new"}).text == "ok"
    assert [(m["ts"], m["text"]) for m in slack.messages()] == [(private, "new")]
    assert slack.client.post(hook, json={"text": "only you"}).status_code == 200
    assert slack.client.post(hook, json={"text": "all", "response_type": "in_channel"}).status_code == 200
    assert slack.client.post(hook, json={"blocks": [{"type": "x"}]}).status_code == 400
    assert slack.client.post(hook, json={"delete_original": True}).status_code == 200
    spent = slack.client.post(hook, json={"text": "sixth"})
    assert (spent.status_code, spent.json()["error"]) == (404, "used_url")
    assert [(m["text"], m["ephemeral"]) for m in slack.messages()] == [("only you", True), ("all", False)]


def test_the_shortcut_brings_the_file(slack: Slack) -> None:
    data = base64.b64encode(b"not an image").decode()
    sent = slack.control(
        "upload", user="U0DS1", channel="C0PHOTOS", filename="a.jpg", title="A", text="my @ml-engineer photo", data=data
    )
    assert sent["text"] == "my <@U0ML1> photo"
    slack.app.got.clear()
    slack.control("shortcut", user="U0ML1", channel="C0PHOTOS", ts=sent["ts"], callback_id="detect_objects")
    body = slack.app.got[0].payload
    assert (body["type"], body["callback_id"], body["message_ts"]) == ("message_action", "detect_objects", sent["ts"])
    assert body["message"]["files"][0]["name"] == "a.jpg"
    assert body["channel"] == {"id": "C0PHOTOS", "name": "survey-photos"}
    assert body["response_url"].startswith(slack.url)


def test_a_form_is_opened_corrected_and_submitted(slack: Slack) -> None:
    view = {
        "type": "modal",
        "callback_id": "run",
        "title": {"type": "plain_text", "text": "Run"},
        "submit": {"type": "plain_text", "text": "Go"},
        "blocks": [
            {
                "type": "input",
                "block_id": "epochs",
                "label": {"type": "plain_text", "text": "Epochs"},
                "element": {"type": "plain_text_input", "action_id": "value"},
            }
        ],
    }
    command(slack, "/mlops form")
    trigger = slack.app.got[-1].payload["trigger_id"]
    assert slack.api("views.open", trigger_id="1.x", view=view)["error"] == "invalid_trigger_id"
    opened = slack.api("views.open", trigger_id=trigger, view=view)["view"]
    assert slack.api("views.open", trigger_id=trigger, view=view)["error"] == "exchanged_trigger_id"
    assert slack.control("submit", user="U0DS1", values={})["errors"] == {
        "epochs": "Please complete this required field."
    }
    slack.app.answer = answers({"response_action": "errors", "errors": {"epochs": "too many"}})
    values = {"epochs": {"value": "9"}}
    assert slack.control("submit", user="U0DS1", values=values)["errors"] == {"epochs": "too many"}
    sent = slack.app.got[-1].payload
    assert sent["type"] == "view_submission"
    assert sent["view"]["id"] == opened["id"]
    assert sent["view"]["state"]["values"]["epochs"]["value"] == {"type": "plain_text_input", "value": "9"}
    slack.app.answer = lambda received: (200, {}, b"")
    assert slack.control("submit", user="U0DS1", values=values)["errors"] == {}
    shown = slack.client.get("/_control/view", params={"user": "U0DS1"}, headers={"X-Sandbox": "1"}).json()
    assert shown["modal"] is None
    command(slack, "/mlops form")
    threading.Event().wait(0.45)
    late = slack.api("views.open", trigger_id=slack.app.got[-1].payload["trigger_id"], view=view)
    assert late["error"] == "expired_trigger_id"


def test_events_are_retried_with_the_same_id(tmp_path: Path) -> None:
    done = threading.Event()
    with running(tmp_path, events=["message"]) as slack:

        def failing_twice(received: Received) -> tuple[int, dict[str, str], bytes]:
            if len(slack.app.got) < 3:
                return 500, {}, b""
            done.set()
            return 200, {}, b""

        slack.app.answer = failing_twice
        slack.control("say", user="U0DS1", channel="C0DEV", text="hello")
        assert done.wait(5)
        got = list(slack.app.got)
    assert [one.headers.get("x-slack-retry-num") for one in got] == [None, "1", "2"]
    assert got[1].headers["x-slack-retry-reason"] == "http_error"
    assert len({one.payload["event_id"] for one in got}) == 1
    assert got[0].payload["event"]["channel_type"] == "channel"


def test_a_mention_is_an_event_of_its_own(tmp_path: Path) -> None:
    both = threading.Event()
    with running(tmp_path, events=["message", "app_mention"]) as slack:

        def counting(received: Received) -> tuple[int, dict[str, str], bytes]:
            if len(slack.app.got) == 2:
                both.set()
            return 200, {}, b""

        slack.app.answer = counting
        slack.control("say", user="U0DS1", channel="C0DEV", text="hi @groundcrew")
        assert both.wait(5)
        kinds = sorted(one.payload["event"]["type"] for one in slack.app.got)
    assert kinds == ["app_mention", "message"]


def test_url_verification(slack: Slack) -> None:
    slack.app.answer = lambda received: (200, JSON, json.dumps({"challenge": received.payload["challenge"]}).encode())
    assert slack.control("verify")["verified"]
    slack.app.answer = lambda received: (200, {}, b"")
    assert not slack.control("verify")["verified"]


@pytest.mark.parametrize("kind", ["bad_signature", "old_timestamp", "bad_timestamp"])
def test_forged_deliveries(slack: Slack, kind: str) -> None:
    slack.control("fault", target="delivery", kind=kind)
    command(slack, "/mlops a")
    command(slack, "/mlops b")
    assert [got.signed for got in slack.app.got] == [False, True]


def test_lost_and_doubled_deliveries(slack: Slack) -> None:
    slack.control("fault", target="delivery", kind="duplicate")
    command(slack, "/mlops a")
    assert slack.app.got[0].raw == slack.app.got[1].raw
    slack.control("fault", target="delivery", kind="drop")
    assert command(slack, "/mlops b")["error"] == "operation_timeout"
    assert len(slack.app.got) == 3


def test_waiting_returns_when_the_message_comes(slack: Slack) -> None:
    first = slack.api("chat.postMessage", channel="C0DEV", text="epoch 1")["ts"]
    answer: dict[str, Any] = {}
    asked = {"user": "U0DS1", "channel": "C0DEV", "ts": first, "contains": "epoch 2", "timeout": 5}
    waiting = threading.Thread(target=lambda: answer.update(slack.control("wait", **asked)))
    waiting.start()
    slack.api("chat.update", channel="C0DEV", ts=first, text="epoch 2")
    waiting.join(5)
    assert answer["message"]["ts"] == first
    none = slack.control("wait", user="U0DS1", channel="C0DEV", contains="epoch 3", timeout=0.05)
    assert none == {"message": None}


def test_the_journal_has_every_crossing_and_no_secret(slack: Slack, tmp_path: Path) -> None:
    command(slack, "/mlops x")
    slack.api("chat.postMessage", channel="C0DEV", text="y")
    text = (tmp_path / "journal.jsonl").read_text()
    kinds = [json.loads(line)["kind"] for line in text.splitlines()]
    assert kinds[:2] == ["delivery", "api"]
    assert "xoxb-of-the-test" not in text
    assert "signing-secret-of-the-test" not in text
