"""The page of the Slack stand-in, as HTML and events (a browser plays the whole story in tests/browser)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from tests.sandbox.slack_running import Slack, running

HOSTILE = "<script>alert(1)</script> <img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("commands") / "commands.json"


@pytest.fixture(scope="module")
def slack(tmp_path_factory: pytest.TempPathFactory, commands: Path) -> Iterator[Slack]:
    with running(tmp_path_factory.mktemp("slack"), commands=commands, aws=True, rates=False) as workspace:
        yield workspace


def fragment(slack: Slack, name: str, user: str = "U0DS1", channel: str = "C0DEV", **more: str) -> str:
    answer = slack.client.get(f"/page/{name}", params={"user": user, "channel": channel, **more})
    assert answer.status_code == 200, answer.text
    return answer.text


def test_the_shell_is_closed_to_foreign_code(slack: Slack) -> None:
    answer = slack.client.get("/")
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert "<script>" not in answer.text
    assert "httponly" in answer.headers["set-cookie"].lower()
    assert "/mlops whoami" in answer.text
    assert slack.client.get("/?user=U0NOBODY").status_code == 404
    assert slack.client.get("/?user=U0DS2&channel=C0SECRET").status_code == 404


def test_what_people_and_the_app_write_is_shown_not_obeyed(slack: Slack) -> None:
    slack.control("say", user="U0DS1", channel="C0PROD", text=HOSTILE)
    slack.api(
        "chat.postMessage",
        channel="C0PROD",
        text=HOSTILE,
        blocks=[
            {"type": "header", "text": {"type": "plain_text", "text": HOSTILE}},
            {"type": "section", "text": {"type": "mrkdwn", "text": HOSTILE}},
            {"type": "markdown", "text": HOSTILE},
            {"type": "table", "rows": [[{"type": "raw_text", "text": HOSTILE}]]},
            {"type": "actions", "elements": [{
                "type": "button", "action_id": '"><script>', "text": {"type": "plain_text", "text": HOSTILE},
                "confirm": {
                    "title": {"type": "plain_text", "text": "'\"><b>"}, "text": {"type": "plain_text", "text": "x"},
                    "confirm": {"type": "plain_text", "text": "y"}, "deny": {"type": "plain_text", "text": "n"}},
            }]},
        ],
    )  # fmt: skip
    shown = fragment(slack, "history", channel="C0PROD")
    assert "<script" not in shown
    assert "<img" not in shown
    assert shown.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 6


def test_a_table_with_pages_shows_the_first_and_says_how_many(slack: Slack) -> None:
    cells = [[{"type": "raw_text", "text": f"row {number}"}] for number in range(24)]
    table = {"type": "data_table", "caption": HOSTILE, "rows": cells, "page_size": 10}
    slack.api("chat.postMessage", channel="C0STAGING", text="rows", blocks=[table])
    shown = fragment(slack, "history", channel="C0STAGING")
    assert "<script" not in shown
    assert shown.count("<tbody") == 3 and shown.count("<tbody hidden") == 2
    assert "1–10 of 23" in shown and "21–23 of 23" in shown


def test_an_attachment_shows_its_colour(slack: Slack) -> None:
    section = {"type": "section", "text": {"type": "mrkdwn", "text": "in production"}}
    slack.api("chat.postMessage", channel="C0STAGING", attachments=[{"color": "#b3261e", "blocks": [section]}])
    slack.api("chat.postMessage", channel="C0STAGING", attachments=[{"color": '"/><x', "text": "odd"}])
    shown = fragment(slack, "history", channel="C0STAGING")
    assert 'fill="#b3261e"' in shown
    assert "in production" in shown
    assert "<x" not in shown


def test_private_lines_are_gone_after_a_reload_and_for_others(slack: Slack) -> None:
    slack.api("chat.postEphemeral", channel="C0DEV", user="U0DS1", text="only for one")
    assert "only for one" in fragment(slack, "history")
    assert "only for one" not in fragment(slack, "history", since="9999999999.000000")
    assert "only for one" not in fragment(slack, "history", user="U0DS2")


def test_unread_marks(slack: Slack) -> None:
    slack.api("chat.postMessage", channel="C0PHOTOS", text="one")
    slack.api("chat.postMessage", channel="C0PHOTOS", text="two")
    assert 'aria-label="2 unread"' in fragment(slack, "nav", user="U0STK")
    fragment(slack, "history", user="U0STK", channel="C0PHOTOS")
    assert "unread" not in fragment(slack, "nav", user="U0STK").split("survey-photos")[1].split("</button>")[0]


def test_commands_are_read_again_when_they_change(slack: Slack, commands: Path) -> None:
    assert slack.client.get("/page/commands").json() == {"commands": [], "problem": None}
    commands.write_text(json.dumps([{"name": "whoami"}]))
    assert slack.client.get("/page/commands").json()["commands"] == [{"name": "whoami"}]
    commands.write_text("[broken")
    os.utime(commands, (1, 1))
    assert "commands.json" in slack.client.get("/page/commands").json()["problem"]


def test_commands_are_suggested_to_those_who_may(slack: Slack, commands: Path) -> None:
    roles = {"whoami": ["data-scientist", "stakeholder"], "pipeline run": ["data-scientist"], "else": []}
    commands.write_text(json.dumps([{"name": name, "roles": roles[name]} for name in roles]))
    offered = {
        user: [each["name"] for each in slack.client.get("/page/commands", params={"user": user}).json()["commands"]]
        for user in ("U0DS1", "U0STK", "U0ML1", "U0NEW")
    }
    assert offered == {"U0DS1": ["whoami", "pipeline run"], "U0STK": ["whoami"], "U0ML1": [], "U0NEW": ["whoami"]}


def test_the_inspector_shows_the_wire(slack: Slack) -> None:
    assert "Nothing yet" in fragment(slack, "inspector", user="U0NEW")
    slack.control("command", user="U0NEW", channel="C0DEV", text="/mlops who < me")
    slack.api("chat.postMessage", channel="C0NONE", text="x")
    arn = "arn:aws:sts::1:assumed-role/groundcrew-data-scientist/U0NEW-7f3a"
    slack.app.aws_calls.append(
        {"eventName": "CreateStack", "eventSource": "cloudformation.amazonaws.com"}
        | {"errorCode": "AccessDenied", "userIdentity": {"arn": arn}}
    )
    shown = fragment(slack, "inspector", user="U0NEW")
    assert "cloudformation:CreateStack" in shown
    assert "AccessDenied" in shown
    assert "groundcrew-data-scientist/U0NEW-7f3a" in shown
    asked = slack.app.aws_asked[-1]
    assert asked["source_identity"] == ["T0GC.U0NEW"]
    assert datetime.fromisoformat(asked["since"][0]).tzinfo is not None
    assert "text=who &amp;lt; me" in shown
    assert "channel_not_found" in shown


def test_the_stream_tells_of_messages_and_edits(slack: Slack) -> None:
    with (
        httpx.Client(base_url=slack.url, trust_env=False, timeout=5) as browser,
        browser.stream("GET", "/page/stream", params={"user": "U0ML2", "channel": "C0DEV"}) as stream,
    ):
        lines = (json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: "))
        assert next(lines)["kind"] == "hello"
        ts = slack.api("chat.postMessage", channel="C0DEV", text="first")["ts"]
        posted = next(line for line in lines if line["kind"] == "message")
        assert (posted["ts"], posted["of"]) == (ts, "posted")
        slack.api("chat.postEphemeral", channel="C0DEV", user="U0DS1", text="not for this page")
        slack.api("chat.update", channel="C0DEV", ts=ts, text="second")
        edited = next(line for line in lines if line["kind"] == "message")
        assert "second" in edited["html"]
        assert (edited["ts"], edited["of"]) == (ts, "edited")
