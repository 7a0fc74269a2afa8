"""The Slack stand-in's Web API, called over a socket as slack-sdk calls it."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from tests.sandbox.slack_running import TOKEN, Slack, running

SECTION = {"type": "section", "text": {"type": "mrkdwn", "text": "hello"}}


@pytest.fixture(scope="module")
def slack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slack]:
    with running(tmp_path_factory.mktemp("slack"), rates=False) as workspace:
        yield workspace


@pytest.fixture
def sdk(slack: Slack) -> WebClient:
    return WebClient(TOKEN, base_url=f"{slack.url}/api/")


def png(width: int = 32, height: int = 24) -> bytes:
    holder = io.BytesIO()
    Image.new("RGB", (width, height), "green").save(holder, "PNG")
    return holder.getvalue()


def test_token_and_method(slack: Slack) -> None:
    assert slack.api("auth.test")["user_id"] == "U0BOT"
    assert slack.api("auth.test", token=None)["error"] == "not_authed"
    assert slack.api("auth.test", token="xoxb-other")["error"] == "invalid_auth"
    assert slack.api("chat.meMessage")["error"] == "unknown_method"
    unscoped = slack.api("conversations.join", channel="C0AWAY")
    assert (unscoped["status"], unscoped["error"], unscoped["needed"]) == (200, "missing_scope", "channels:join")
    assert "chat:write" in unscoped["provided"]


def test_arguments_come_from_query_form_and_json(slack: Slack) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    asked = slack.client.get("/api/users.info", params={"user": "U0DS1"}, headers=bearer)
    assert asked.json()["user"]["name"] == "data-scientist"
    form = {"token": TOKEN, "channel": "C0DEV", "text": "form", "blocks": '[{"type":"divider"}]'}
    posted = slack.client.post("/api/chat.postMessage", data=form).json()
    assert posted["message"]["blocks"][0]["type"] == "divider"


@pytest.mark.parametrize(
    ("channel", "error"),
    [
        ("C0NONE", "channel_not_found"),
        ("C0SECRET", "channel_not_found"),
        ("C0AWAY", "not_in_channel"),
        ("C0OLD", "is_archived"),
    ],
)
def test_where_the_app_may_post(slack: Slack, channel: str, error: str) -> None:
    assert slack.api("chat.postMessage", channel=channel, text="x")["error"] == error


def test_what_the_app_may_post(slack: Slack) -> None:
    def error(**arguments: Any) -> Any:
        return slack.api("chat.postMessage", channel="C0DEV", **arguments)["error"]

    assert error() == "no_text"
    assert error(text="x" * 40_001) == "msg_too_long"
    assert error(text="x", thread_ts="1.0") == "thread_not_found"
    assert error(text="x", metadata={"event_type": 1}) == "invalid_metadata_format"
    answer = slack.api("chat.postMessage", channel="C0DEV", text="x", blocks=[{"type": "plan"}])
    assert answer["error"] == "invalid_blocks"
    assert "[json-pointer:/blocks/0/type]" in answer["errors"][0]
    picture = {"type": "image", "alt_text": "a", "slack_file": {"id": "F0NONE"}}
    assert "invalid slack file" in slack.api("chat.postMessage", channel="C0DEV", blocks=[picture])["errors"][0]


def test_a_message_is_edited_in_place(sdk: WebClient, slack: Slack) -> None:
    ts = sdk.chat_postMessage(channel="C0DEV", text="run", blocks=[SECTION])["ts"]
    both = sdk.chat_update(channel="C0DEV", ts=ts, text="run 2", blocks=[SECTION, {"type": "divider"}])["message"]
    assert len(both["blocks"]) == 2
    assert "edited" not in both
    only_text = sdk.chat_update(channel="C0DEV", ts=ts, text="run 3")["message"]
    assert "blocks" not in only_text
    assert only_text["edited"]["user"] == "U0BOT"
    seen = [message for message in slack.messages() if message["ts"] == ts]
    assert [message["words"] for message in seen] == ["run 3"]
    assert seen[0]["changes"] == 2
    persons = slack.control("say", user="U0DS1", channel="C0DEV", text="mine")["ts"]
    assert slack.api("chat.update", channel="C0DEV", ts=persons, text="x")["error"] == "cant_update_message"
    assert slack.api("chat.update", channel="C0DEV", ts="1.0", text="x")["error"] == "message_not_found"
    assert slack.api("chat.update", channel="C0DEV", ts=ts, text="x" * 4001)["error"] == "msg_too_long"
    sdk.chat_delete(channel="C0DEV", ts=ts)
    assert not [message for message in slack.messages() if message["ts"] == ts]


def test_metadata_is_kept_and_given_back_on_request(sdk: WebClient) -> None:
    mark = {"event_type": "groundcrew", "event_payload": {"row": "7"}}
    ts = str(sdk.chat_postMessage(channel="C0PROD", text="x", metadata=mark)["ts"])
    sdk.chat_update(channel="C0PROD", ts=ts, text="y")
    with_it = sdk.conversations_history(channel="C0PROD", include_all_metadata=True)["messages"][0]
    assert with_it["metadata"] == mark
    assert "metadata" not in sdk.conversations_history(channel="C0PROD")["messages"][0]
    sdk.chat_update(channel="C0PROD", ts=ts, text="z", metadata={})
    assert "metadata" not in sdk.conversations_history(channel="C0PROD", include_all_metadata=True)["messages"][0]


def test_history_and_threads_come_in_pages(sdk: WebClient) -> None:
    root = sdk.chat_postMessage(channel="C0STAGING", text="root")["ts"]
    for number in range(4):
        sdk.chat_postMessage(channel="C0STAGING", text=f"reply {number}", thread_ts=root)
        sdk.chat_postMessage(channel="C0STAGING", text=f"line {number}")
    sdk.chat_postEphemeral(channel="C0STAGING", user="U0DS1", text="private")
    first = sdk.conversations_history(channel="C0STAGING", limit=100)
    assert [message["text"] for message in first["messages"]] == ["line 3", "line 2", "line 1"]
    assert first["has_more"]
    texts = [m["text"] for page in sdk.conversations_history(channel="C0STAGING") for m in page["messages"]]
    assert texts == ["line 3", "line 2", "line 1", "line 0", "root"]
    replies = [
        m["text"] for page in sdk.conversations_replies(channel="C0STAGING", ts=str(root)) for m in page["messages"]
    ]
    assert replies == ["root", "reply 0", "reply 1", "reply 2", "reply 3"]


def test_only_the_addressee_sees_an_ephemeral(sdk: WebClient, slack: Slack) -> None:
    ts = sdk.chat_postEphemeral(channel="C0DEV", user="U0DS1", text="psst")["message_ts"]
    assert ts in [message["ts"] for message in slack.messages("U0DS1")]
    assert ts not in [message["ts"] for message in slack.messages("U0DS2")]
    assert slack.api("chat.update", channel="C0DEV", ts=ts, text="x")["error"] == "message_not_found"
    assert slack.api("chat.postEphemeral", channel="C0DEV", user="U0NOBODY", text="x")["error"] == "user_not_in_channel"


def test_a_picture_is_uploaded_shown_and_fetched(sdk: WebClient, slack: Slack) -> None:
    data = png()
    uploaded = sdk.files_upload_v2(content=data, filename="a b.png", channel="C0PHOTOS", initial_comment="look")
    file = uploaded["files"][0]
    assert (file["mimetype"], file["original_w"], file["size"]) == ("image/png", 32, len(data))
    fetched = slack.client.get(file["url_private"], headers={"Authorization": f"Bearer {TOKEN}"})
    assert fetched.content == data
    assert fetched.headers["content-type"] == "image/png"
    assert slack.client.get(file["url_private"]).status_code == 403
    sdk.chat_postMessage(
        channel="C0PHOTOS", text="p", blocks=[{"type": "image", "slack_file": {"id": file["id"]}, "alt_text": "photo"}]
    )
    assert slack.api("files.getUploadURLExternal", filename="x", length=0)["error"] == "missing_argument"
    shown = slack.messages("U0STK", "C0PHOTOS")[0]
    assert shown["files"][0]["id"] == file["id"]
    assert shown["text"] == "look"


def test_an_upload_must_be_as_long_as_announced(slack: Slack) -> None:
    ticket = slack.api("files.getUploadURLExternal", filename="x.txt", length=5)
    assert slack.client.post(ticket["upload_url"], content=b"toolong").status_code == 400
    assert slack.api("files.completeUploadExternal", files=[{"id": ticket["file_id"]}])["error"] == "file_not_found"
    assert slack.client.post(ticket["upload_url"], content=b"right").text == "OK - 5"
    assert slack.api("files.completeUploadExternal", files=[{"id": ticket["file_id"]}])["ok"]


def test_direct_messages(sdk: WebClient, slack: Slack) -> None:
    channel = sdk.conversations_open(users="U0ML1")["channel"]["id"]
    assert sdk.chat_postMessage(channel="U0ML1", text="for you")["channel"] == channel
    assert slack.messages("U0ML1", channel)[0]["text"] == "for you"
    assert slack.messages("U0DS1", channel) == []


def test_too_many_calls_are_answered_with_429(tmp_path: Path) -> None:
    with running(tmp_path, channel_burst=2) as slack:
        answers = [slack.api("chat.postMessage", channel="C0DEV", text="x") for _ in range(3)]
        assert [answer["status"] for answer in answers] == [200, 200, 429]
        assert answers[2]["error"] == "ratelimited"
        assert int(answers[2]["headers"]["retry-after"]) == 1
        with pytest.raises(SlackApiError) as caught:
            WebClient(TOKEN, base_url=f"{slack.url}/api/").chat_postMessage(channel="C0DEV", text="x")
        assert caught.value.response.status_code == 429


def test_ordered_faults_of_a_method(slack: Slack) -> None:
    slack.control("fault", method="chat.postMessage", kind="ratelimited", seconds=7)
    limited = slack.api("chat.postMessage", channel="C0DEV", text="f")
    assert (limited["status"], limited["headers"]["retry-after"]) == (429, "7")
    slack.control("fault", method="chat.postMessage", kind="http_500")
    assert slack.api("chat.postMessage", channel="C0DEV", text="f")["status"] == 500
    slack.control("fault", method="chat.postMessage", kind="error", error="restricted_action")
    assert slack.api("chat.postMessage", channel="C0DEV", text="f")["error"] == "restricted_action"
    slack.control("fault", method="chat.postMessage", kind="delay", seconds=0.2)
    started = time.monotonic()
    assert slack.api("chat.postMessage", channel="C0DEV", text="f")["ok"]
    assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize(("when", "arrived"), [("before", 0), ("after", 1)])
def test_a_connection_can_break_before_or_after_the_call(slack: Slack, when: str, arrived: int) -> None:
    slack.control("fault", method="chat.postMessage", kind="drop", when=when)
    with pytest.raises(httpx.RemoteProtocolError):
        slack.api("chat.postMessage", channel="C0DEV", text=f"lost {when}")
    assert len([message for message in slack.messages() if message["text"] == f"lost {when}"]) == arrived


def test_only_loopback_names_and_marked_requests_are_served(slack: Slack) -> None:
    assert slack.client.get("/_sandbox/health").status_code == 200
    assert slack.client.get("/_sandbox/health", headers={"Host": "evil.test"}).status_code == 400
    unmarked = slack.client.post("/_control/say", json={"user": "U0DS1", "channel": "C0DEV", "text": "x"})
    assert unmarked.status_code == 403
    assert slack.client.get("/_control/messages?user=U0DS1&channel=C0DEV").status_code == 403
