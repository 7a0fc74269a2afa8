"""What reaches Slack: in order, at Slack's pace, once, and again after every way of failing."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web import SlackResponse
from sqlalchemy import Engine, text

from bot.slack.delivery import EVENT_TYPE
from bot.slack.pace import CHANNEL_BURST, Pace
from bot.slack.render import blocks_of, render
from bot.slack.sender import Sender
from commands.reply import Picture, Reply
from state import outbox
from state.outbox import Priority


def refusal(error: str, status: int = 200, headers: dict[str, str] | None = None, **more: Any) -> SlackApiError:
    data = {"ok": False, "error": error, **more}
    response = SlackResponse(
        client=None, http_verb="POST", api_url="", req_args={}, data=data, headers=headers or {}, status_code=status
    )
    return SlackApiError(error, response)


class FakeSlack:
    """Slack's Web API as the sender uses it: remembers messages; fails as told, before or after it did the work."""

    def __init__(self) -> None:
        self.messages: dict[str, dict[str, Any]] = {}
        self.private: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.before: dict[str, list[Exception]] = defaultdict(list)
        self.after: dict[str, list[Exception]] = defaultdict(list)
        self.files: list[dict[str, Any]] = []
        self.times: list[float] = []

    def _do(self, method: str) -> None:
        self.calls.append(method)
        self.times.append(time.monotonic())
        if self.before[method]:
            raise self.before[method].pop(0)

    def _done(self, method: str) -> None:
        if self.after[method]:
            raise self.after[method].pop(0)

    def chat_postMessage(self, **message: Any) -> dict[str, Any]:
        self._do("post")
        ts = f"{len(self.messages) + 1}.0"
        self.messages[ts] = {**message, "ts": ts}
        self._done("post")
        return {"ts": ts}

    def chat_update(self, *, channel: str, ts: str, **message: Any) -> dict[str, Any]:
        self._do("update")
        self.messages[ts] |= message
        self._done("update")
        return {"ts": ts}

    def chat_postEphemeral(self, **message: Any) -> dict[str, Any]:
        self._do("ephemeral")
        self.private.append(message)
        return {"message_ts": "9.9"}

    def conversations_history(self, **_: Any) -> dict[str, Any]:
        self._do("history")
        return {"messages": list(self.messages.values())}

    def files_upload_v2(self, **file: Any) -> dict[str, Any]:
        self._do("upload")
        self.files.append(file)
        return {"files": [{"id": f"F{len(self.files)}"}]}

    def texts(self) -> list[str]:
        return [message["text"] for message in self.messages.values()]


@pytest.fixture
def slack() -> FakeSlack:
    return FakeSlack()


@pytest.fixture
def bell() -> threading.Event:
    return threading.Event()


@pytest.fixture
def sending(engine: Engine, slack: FakeSlack, bell: threading.Event) -> Iterator[Any]:
    """Starts the sender when called; it is stopped at the end."""
    stop = threading.Event()
    sender = Sender(engine, slack, bell, stop)  # type: ignore[arg-type]
    thread = threading.Thread(target=sender.run)
    yield thread.start
    stop.set()
    bell.set()
    if thread.ident:
        thread.join(10)
    assert not thread.is_alive()


def put(engine: Engine, words: str, content: dict[str, Any] | None = None, **more: Any) -> int:
    how = {"kind": "message", "priority": Priority.POST, "channel": "C0DEV", "user": "U0DS1"} | more
    with engine.begin() as connection:
        id = outbox.put(connection, content=content or {"text": words, "blocks": []}, **how)
    assert id is not None
    return id


def rows(engine: Engine) -> list[Any]:
    with engine.begin() as connection:
        return list(connection.execute(text("SELECT * FROM outbox ORDER BY id")))


def until(condition: Any, seconds: float = 8.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


def states(engine: Engine) -> list[str]:
    return [row.state for row in rows(engine)]


def test_answers_go_before_posts_and_posts_before_live_edits(engine: Engine, slack: FakeSlack, sending: Any) -> None:
    put(engine, "live", priority=Priority.LIVE)
    put(engine, "post")
    put(engine, "answer", priority=Priority.ANSWER)
    sending()
    until(lambda: len(slack.messages) == 3)
    assert slack.texts() == ["answer", "post", "live"]
    until(lambda: states(engine) == ["sent"] * 3)


def test_a_slot_is_posted_once_and_then_edited(
    engine: Engine, slack: FakeSlack, sending: Any, bell: threading.Event
) -> None:
    put(engine, "one", slot="s")
    sending()
    until(lambda: states(engine) == ["sent"])
    put(engine, "two", slot="s")
    bell.set()
    until(lambda: slack.texts() == ["two"])
    assert slack.calls == ["post", "update"]


def test_one_channel_gets_about_one_message_a_second_after_a_burst(
    engine: Engine, slack: FakeSlack, sending: Any
) -> None:
    for n in range(int(CHANNEL_BURST) + 1):
        put(engine, str(n))
    put(engine, "elsewhere", channel="C0PROD")
    sending()
    until(lambda: len(slack.messages) == CHANNEL_BURST + 2)
    assert [words for words in slack.texts() if words != "elsewhere"] == ["0", "1", "2", "3"]
    assert slack.texts()[-1] == "3"
    assert slack.times[-1] - slack.times[0] > 0.8


def test_retry_after_is_obeyed(engine: Engine, slack: FakeSlack, sending: Any) -> None:
    slack.before["post"].append(refusal("ratelimited", 429, {"Retry-After": "1"}))
    put(engine, "hello")
    sending()
    until(lambda: states(engine) == ["sent"])
    assert slack.calls == ["post", "post"]
    assert slack.times[1] - slack.times[0] >= 0.95


@pytest.mark.parametrize("failure", [refusal("internal_error", 500), refusal("fatal_error"), ConnectionResetError()])
def test_after_a_failure_that_may_have_posted_it_looks_before_it_posts_again(
    engine: Engine, slack: FakeSlack, sending: Any, failure: Exception
) -> None:
    slack.after["post"].append(failure)
    put(engine, "hello")
    sending()
    until(lambda: states(engine) == ["sent"])
    assert slack.texts() == ["hello"]
    assert slack.calls == ["post", "history", "update"]


def test_after_a_failure_that_did_not_post_it_posts(engine: Engine, slack: FakeSlack, sending: Any) -> None:
    slack.before["post"].append(refusal("", 503))
    put(engine, "hello")
    sending()
    until(lambda: states(engine) == ["sent"])
    assert slack.calls == ["post", "history", "post"]


def test_a_new_leader_finds_what_the_last_one_posted(engine: Engine, slack: FakeSlack, sending: Any) -> None:
    id = put(engine, "posted")
    put(engine, "not posted")
    with engine.begin() as connection:
        row = outbox.take(connection, id)
        assert row is not None
        outbox.take(connection, id + 1)
    mark = f"{row.id}-{int(row.created_at.timestamp())}"
    metadata = {"event_type": EVENT_TYPE, "event_payload": {"row": mark}}
    slack.messages["5.0"] = {"ts": "5.0", "text": "posted", "metadata": metadata}
    sending()
    until(lambda: states(engine) == ["sent", "sent"])
    assert slack.texts() == ["posted", "not posted"]
    assert rows(engine)[0].ts == "5.0"


def test_where_the_bot_is_not_a_member_the_answer_goes_by_the_response_url(
    engine: Engine, slack: FakeSlack, sending: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []

    class Webhook:
        def __init__(self, url: str, **_: Any) -> None:
            self.url = url

        def send_dict(self, body: dict[str, Any]) -> Any:
            told.append({"url": self.url, **body})
            return type("Answer", (), {"status_code": 200, "headers": {}, "body": "ok"})()

    monkeypatch.setattr("bot.slack.delivery.WebhookClient", Webhook)
    slack.before["post"].append(refusal("not_in_channel"))
    slack.before["ephemeral"].append(refusal("channel_not_found"))
    put(engine, "public", content=render(Reply(title="public")), response_url="http://r/1")
    put(engine, "private", kind="ephemeral", response_url="http://r/2")
    sending()
    until(lambda: states(engine) == ["sent", "sent"])
    assert {answer["url"] for answer in told} == {"http://r/1", "http://r/2"}
    assert all(answer["response_type"] == "ephemeral" for answer in told)
    assert any("not in this channel" in str(answer["blocks"]) for answer in told)


def test_what_can_never_be_sent_is_given_up_and_says_why(engine: Engine, slack: FakeSlack, sending: Any) -> None:
    slack.before["post"].append(refusal("channel_not_found"))
    put(engine, "nowhere")
    sending()
    until(lambda: states(engine) == ["failed"])
    assert rows(engine)[0].error == "channel_not_found"


def with_picture(engine: Engine) -> int:
    content = render(Reply(title="photo", picture=Picture(b"x", "a.jpg", "boxes")))
    return put(engine, "", content=content, picture=b"jpeg", picture_name="a.jpg")


def test_a_picture_is_uploaded_once_and_shown_in_the_message(engine: Engine, slack: FakeSlack, sending: Any) -> None:
    pending = refusal(
        "invalid_blocks", response_metadata={"messages": ["[ERROR] invalid slack file /blocks/1/slack_file"]}
    )
    slack.before["post"] += [pending, refusal("ratelimited", 429, {"Retry-After": "0"})]
    with_picture(engine)
    sending()
    until(lambda: states(engine) == ["sent"])
    assert slack.calls.count("upload") == 1
    assert slack.files[0]["file"] == b"jpeg"
    assert slack.files[0]["alt_txt"] == "boxes"
    (message,) = slack.messages.values()
    assert [block["slack_file"] for block in blocks_of(message) if block["type"] == "image"] == [{"id": "F1"}]


def test_a_file_that_is_no_picture_goes_with_its_words(engine: Engine, slack: FakeSlack, sending: Any) -> None:
    document = {"picture": b'{"id": 1}', "picture_name": "audit.jsonl"}
    put(engine, "the file", channel="C0DEV", content=render(Reply(title="2 audit records")), **document)
    sending()
    until(lambda: states(engine) == ["sent"])
    assert rows(engine)[0].picture is None
    (file,) = slack.files
    assert (file["file"], file["filename"], file["channel"]) == (b'{"id": 1}', "audit.jsonl", "C0DEV")
    assert file["initial_comment"] == "2 audit records"
    assert slack.messages == {}


def test_when_the_form_is_refused_the_words_are_sent(engine: Engine, slack: FakeSlack, sending: Any) -> None:
    slack.before["post"].append(refusal("invalid_blocks", errors=["unsupported type: table"]))
    put(engine, "", content=render(Reply(title="the words")))
    sending()
    until(lambda: states(engine) == ["sent"])
    (message,) = slack.messages.values()
    assert (message["text"], message["blocks"]) == ("the words", [])


def test_pace_keeps_room_for_urgent_messages() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])
    for _ in range(2):
        assert pace.wait("chat.update", "C", keep=1.0) == 0
        pace.spend("chat.update", "C")
    assert pace.wait("chat.update", "C", keep=1.0) == pytest.approx(1.0)
    assert pace.wait("chat.postMessage", "C") == 0
    pace.close("chat.postMessage", 7)
    assert pace.wait("chat.postMessage", "D") == pytest.approx(7)
    assert pace.wait("chat.postEphemeral", None) == 0
    now[0] = 8
    assert pace.wait("chat.postMessage", "D") == 0


def test_a_method_has_a_budget_across_channels() -> None:
    pace = Pace(lambda: 0.0)
    for n in range(50):
        assert pace.wait("chat.update", f"C{n}") == 0
        pace.spend("chat.update", f"C{n}")
    assert pace.wait("chat.update", "C99") > 1
