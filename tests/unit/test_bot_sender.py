"""What reaches Slack: in order, at Slack's pace, once, and again after every way of failing."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web import SlackResponse
from sqlalchemy import Engine, text

from bot.slack.delivery import metadata
from bot.slack.render import blocks_of, render
from bot.slack.sender import THREADS, Sender
from commands.reply import Action, Picture, Reply, Table
from state import live, outbox, sending
from state.outbox import Priority

FALLBACK = "C0OPS"


def refusal(
    error: str, status: int = 200, headers: dict[str, str] | None = None, url: str = "", **more: Any
) -> SlackApiError:
    data = {"ok": False, "error": error, **more}
    response = SlackResponse(
        client=None, http_verb="POST", api_url=url, req_args={}, data=data, headers=headers or {}, status_code=status
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
        self.absent: dict[str, str] = {}
        self.hang: Callable[[str], object] = lambda method: None

    def _do(self, method: str, channel: str = "") -> None:
        self.calls.append(method)
        self.times.append(time.monotonic())
        self.hang(method)
        if self.before[method]:
            raise self.before[method].pop(0)
        if channel in self.absent:
            raise refusal(self.absent[channel])

    def _done(self, method: str) -> None:
        if self.after[method]:
            raise self.after[method].pop(0)

    def chat_postMessage(self, **message: Any) -> dict[str, Any]:
        self._do("post", message["channel"])
        ts = f"{len(self.messages) + 1}.0"
        self.messages[ts] = {**message, "ts": ts, "at": time.time()}
        self._done("post")
        return {"ts": ts}

    def chat_update(self, *, channel: str, ts: str, **message: Any) -> dict[str, Any]:
        self._do("update", channel)
        self.messages[ts] |= message
        self._done("update")
        return {"ts": ts}

    def chat_postEphemeral(self, **message: Any) -> dict[str, Any]:
        self._do("ephemeral")
        self.private.append(message)
        return {"message_ts": "9.9"}

    def conversations_history(self, *, oldest: str, **_: Any) -> dict[str, Any]:
        self._do("history")
        return {"messages": [message for message in self.messages.values() if message["at"] >= float(oldest)]}

    def conversations_replies(self, *, ts: str, **_: Any) -> dict[str, Any]:
        self._do("replies")
        return {"messages": [message for message in self.messages.values() if message.get("thread_ts") == ts]}

    def files_upload_v2(self, **file: Any) -> dict[str, Any]:
        self._do("upload")
        self.files.append(file)
        return {"files": [{"id": f"F{len(self.files)}"}]}

    def texts(self, channel: str = "") -> list[str]:
        return [message["text"] for message in self.messages.values() if channel in ("", message.get("channel"))]


@pytest.fixture
def slack() -> FakeSlack:
    return FakeSlack()


@pytest.fixture
def bell() -> threading.Event:
    return threading.Event()


@pytest.fixture
def lane_s() -> float:
    """Seconds between two messages in a channel: as short as the tests that do not look at it like them."""
    return 0.02


@pytest.fixture
def starts(
    engine: Engine, slack: FakeSlack, bell: threading.Event, lane_s: float, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Starts the sender when called; it is stopped at the end."""
    for module in ("pace", "sender"):
        monkeypatch.setattr(f"bot.slack.{module}.LANE_S", lane_s)
    stop = threading.Event()
    sender = Sender(engine, slack, lambda: FALLBACK, bell, stop)  # type: ignore[arg-type]
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


def test_answers_go_before_posts_and_posts_before_live_edits(engine: Engine, slack: FakeSlack, starts: Any) -> None:
    put(engine, "live", priority=Priority.LIVE)
    put(engine, "post")
    put(engine, "answer", priority=Priority.ANSWER)
    starts()
    until(lambda: len(slack.messages) == 3)
    assert slack.texts() == ["answer", "post", "live"]
    until(lambda: states(engine) == ["sent"] * 3)


def test_a_slot_is_posted_once_and_then_edited(
    engine: Engine, slack: FakeSlack, starts: Any, bell: threading.Event
) -> None:
    put(engine, "one", slot="s")
    starts()
    until(lambda: states(engine) == ["sent"])
    put(engine, "two", slot="s")
    bell.set()
    until(lambda: slack.texts() == ["two"])
    assert slack.calls == ["post", "update"]


@pytest.mark.parametrize("lane_s", [0.4])
def test_one_channel_gets_one_message_in_its_time_and_others_do_not_wait(
    engine: Engine, slack: FakeSlack, starts: Any, lane_s: float
) -> None:
    late = [0.0, 0.2, 0.0]
    slack.hang = lambda method: time.sleep(late.pop()) if late else None
    for n in range(3):
        put(engine, str(n))
    put(engine, "elsewhere", channel="C0PROD")
    starts()
    until(lambda: len(slack.messages) == 4)
    assert slack.texts("C0DEV") == ["0", "1", "2"]
    assert slack.texts()[-2:] == ["1", "2"]
    assert slack.times[3] - slack.times[2] >= lane_s


def test_a_thread_is_left_for_answers_when_calls_hang(
    engine: Engine, slack: FakeSlack, bell: threading.Event, starts: Any
) -> None:
    free = threading.Event()
    slack.hang = lambda method: None if len(slack.calls) >= THREADS else free.wait(10)
    for n in range(THREADS + 2):
        put(engine, f"post {n}", channel=f"C{n}")
    starts()
    until(lambda: len(slack.calls) == THREADS - 1)
    put(engine, "answer", priority=Priority.ANSWER)
    bell.set()
    until(lambda: slack.texts() == ["answer"])
    free.set()
    until(lambda: len(slack.messages) == THREADS + 3)


@pytest.mark.parametrize("lane_s", [0.4])
def test_a_new_leader_waits_for_what_the_last_one_may_just_have_posted(
    engine: Engine, slack: FakeSlack, starts: Any, lane_s: float
) -> None:
    put(engine, "the last leader's")
    with engine.begin() as connection:
        (row,) = sending.waiting(connection)
        taken = sending.take(connection, row)
        assert taken is not None
        sending.sent(connection, taken, "0.1")
    put(engine, "ours")
    began = time.monotonic()
    starts()
    until(lambda: slack.texts() == ["ours"])
    assert slack.times[0] - began >= lane_s


def test_retry_after_is_obeyed(engine: Engine, slack: FakeSlack, starts: Any) -> None:
    slack.before["post"].append(refusal("ratelimited", 429, {"Retry-After": "1"}))
    put(engine, "hello")
    starts()
    until(lambda: states(engine) == ["sent"])
    assert slack.calls == ["post", "post"]
    assert slack.times[1] - slack.times[0] >= 0.95


@pytest.mark.parametrize("failure", [refusal("internal_error", 500), refusal("fatal_error"), ConnectionResetError()])
def test_after_a_failure_that_may_have_posted_it_looks_before_it_posts_again(
    engine: Engine, slack: FakeSlack, starts: Any, failure: Exception
) -> None:
    slack.after["post"].append(failure)
    put(engine, "hello")
    starts()
    until(lambda: states(engine) == ["sent"])
    assert slack.texts() == ["hello"]
    assert slack.calls == ["post", "history", "update"]


def test_after_a_failure_that_did_not_post_it_posts(engine: Engine, slack: FakeSlack, starts: Any) -> None:
    slack.before["post"].append(refusal("", 503))
    put(engine, "hello")
    starts()
    until(lambda: states(engine) == ["sent"])
    assert slack.calls == ["post", "history", "post"]


def test_a_new_leader_finds_what_the_last_one_posted(engine: Engine, slack: FakeSlack, starts: Any) -> None:
    put(engine, "posted")
    put(engine, "posted in a thread", channel="C0PROD", thread_ts="3.0")
    put(engine, "not posted", channel="C0OPS")
    with engine.begin() as connection:
        taken = [sending.take(connection, row) for row in sending.waiting(connection)]
    for ts, row in zip(("5.0", "6.0"), taken[:2], strict=True):
        assert row is not None
        mark = metadata(f"{row.id}-{int(row.created_at.timestamp())}")
        message = {"ts": ts, "text": row.content["text"], "thread_ts": row.thread_ts, "channel": row.channel}
        slack.messages[ts] = message | {"metadata": mark, "at": time.time()}
    starts()
    until(lambda: states(engine) == ["sent"] * 3)
    assert sorted(slack.texts()) == ["not posted", "posted", "posted in a thread"]
    assert [row.ts for row in rows(engine)[:2]] == ["5.0", "6.0"]


def test_an_alert_posted_without_the_database_is_recognised_by_its_slot(
    engine: Engine, slack: FakeSlack, starts: Any
) -> None:
    hours_ago = time.time() - 4 * 3600
    slack.messages["5.0"] = {"ts": "5.0", "text": "not recorded", "metadata": metadata("alert-1"), "at": hours_ago}
    put(engine, "recorded", slot="alert-1", unsure=True, priority=Priority.CRITICAL)
    put(engine, "new", slot="alert-2", unsure=True)
    starts()
    until(lambda: states(engine) == ["sent", "sent"])
    assert slack.texts() == ["recorded", "new"]


def test_a_limit_on_looking_up_does_not_stop_others_from_being_posted(
    engine: Engine, slack: FakeSlack, starts: Any
) -> None:
    limit = refusal("ratelimited", 429, {"Retry-After": "1"}, url="https://slack.com/api/conversations.history")
    slack.before["history"].append(limit)
    put(engine, "in doubt", slot="alert-1", unsure=True)
    put(engine, "new", channel="C0PROD")
    starts()
    until(lambda: states(engine) == ["sent", "sent"])
    assert slack.texts() == ["new", "in doubt"]


def test_the_history_of_an_alert_hangs_in_its_thread(engine: Engine, slack: FakeSlack, starts: Any) -> None:
    put(engine, "history", slot="alert-1-history", below="alert-1", priority=Priority.ANSWER)
    put(engine, "alert", slot="alert-1")
    starts()
    until(lambda: states(engine) == ["sent", "sent"])
    assert slack.texts() == ["alert", "history"]
    assert [message["thread_ts"] for message in slack.messages.values()] == [None, "1.0"]


def test_where_the_bot_is_not_a_member_the_answer_goes_by_the_response_url(
    engine: Engine, slack: FakeSlack, starts: Any, monkeypatch: pytest.MonkeyPatch
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
    starts()
    until(lambda: states(engine) == ["sent", "sent"])
    assert {answer["url"] for answer in told} == {"http://r/1", "http://r/2"}
    assert all(answer["response_type"] == "ephemeral" for answer in told)
    assert any("not in this channel" in str(answer["blocks"]) for answer in told)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("not_in_channel", "Type `/invite @groundcrew` there."),
        ("channel_not_found", "Type `/invite @groundcrew` there, or name another channel"),
        ("is_archived", "Unarchive it, or name another channel"),
    ],
)
def test_what_is_for_a_channel_that_cannot_be_reached_goes_to_the_fallback_channel(
    engine: Engine, slack: FakeSlack, bell: threading.Event, starts: Any, code: str, advice: str
) -> None:
    slack.absent["C0GONE"] = code
    content = render(Reply(title="the endpoint fails"))
    for slot in ("alert-1", "alert-2"):
        put(engine, "", content=content, channel="C0GONE", slot=slot)
    starts()
    until(lambda: states(engine) == ["sent"] * 3)
    report, first, second = sorted(slack.texts(FALLBACK), key=lambda words: not words.startswith("Nothing can"))
    assert report.startswith("Nothing can be posted in <#C0GONE>:")
    assert advice in report
    assert first == second == "Meant for <#C0GONE>, where nothing can be posted.\nthe endpoint fails"
    put(engine, "it recovered", channel="C0GONE", slot="alert-1")
    bell.set()
    until(lambda: any(words.endswith("it recovered") for words in slack.texts()))
    assert slack.calls.count("update") == 1
    assert "Meant for" in slack.texts()[0] + slack.texts()[1]


def test_a_channel_is_reported_once_until_it_works_again(
    engine: Engine, slack: FakeSlack, bell: threading.Event, starts: Any
) -> None:
    def reports() -> list[str]:
        return [words for words in slack.texts(FALLBACK) if "<#C0GONE>" in words and "Meant for" not in words]

    def say(words: str, **more: Any) -> None:
        put(engine, words, channel="C0GONE", **more)
        bell.set()
        until(lambda: any(words in text for text in slack.texts()) and set(states(engine)) == {"sent"})

    starts()
    slack.absent["C0GONE"] = "not_in_channel"
    say("one")
    say("two")
    assert len(reports()) == 1
    del slack.absent["C0GONE"]
    say("three")
    assert "three" in slack.texts("C0GONE")
    assert reports() == ["<#C0GONE> can be reached again: what is meant for it goes there."]
    slack.absent["C0GONE"] = "is_archived"
    say("four")
    assert len(reports()) == 2
    assert "it is archived" in reports()[1]


def test_a_live_message_follows_into_the_fallback_channel(
    engine: Engine, slack: FakeSlack, bell: threading.Event, starts: Any
) -> None:
    put(engine, "training", channel="C0GONE", slot="live-1")
    with engine.begin() as connection:
        live.follow(connection, kind="execution", arn="arn", slot="live-1", invocation="i")
    starts()
    until(lambda: slack.texts("C0GONE") == ["training"])
    slack.absent["C0GONE"] = "is_archived"
    put(engine, "done", channel=None, slot="live-1")
    bell.set()
    until(lambda: any(words.endswith("done") for words in slack.texts(FALLBACK)))
    with engine.begin() as connection:
        assert live.following(connection) == 1


def test_a_fallback_channel_that_cannot_be_reached_either_is_logged(
    engine: Engine, slack: FakeSlack, bell: threading.Event, starts: Any, caplog: pytest.LogCaptureFixture
) -> None:
    slack.absent |= {"C0GONE": "not_in_channel", FALLBACK: "is_archived"}
    put(engine, "lost", channel="C0GONE")
    starts()
    until(lambda: states(engine) == ["failed", "failed"])
    assert {row.error for row in rows(engine)} == {"is_archived"}
    assert "cannot be sent: is_archived" in caplog.text
    del slack.absent[FALLBACK]
    put(engine, "moved", channel="C0GONE")
    bell.set()
    until(lambda: len(slack.texts(FALLBACK)) == 2)  # this time it could be reported


@pytest.mark.parametrize("place", [{"channel": None, "user": "U0DS1"}, {"channel": "D0DS1"}])
def test_what_is_for_one_person_never_goes_to_the_fallback_channel(
    engine: Engine, slack: FakeSlack, starts: Any, place: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = {"channel": {"id": "D0DS1"}}
    monkeypatch.setattr(FakeSlack, "conversations_open", lambda *_, **__: opened, raising=False)
    slack.absent["D0DS1"] = "channel_not_found"
    put(engine, "secret", **place)
    starts()
    until(lambda: states(engine) == ["failed"])
    assert rows(engine)[0].error == "channel_not_found"
    assert slack.messages == {}


def with_picture(engine: Engine) -> int:
    content = render(Reply(title="photo", picture=Picture(b"x", "a.jpg", "boxes")))
    return put(engine, "", content=content, picture=b"jpeg", picture_name="a.jpg")


def test_a_picture_is_uploaded_once_and_shown_in_the_message(engine: Engine, slack: FakeSlack, starts: Any) -> None:
    pending = refusal(
        "invalid_blocks", response_metadata={"messages": ["[ERROR] invalid slack file /blocks/1/slack_file"]}
    )
    slack.before["post"] += [pending, refusal("ratelimited", 429, {"Retry-After": "0"})]
    with_picture(engine)
    starts()
    until(lambda: states(engine) == ["sent"])
    assert slack.calls.count("upload") == 1
    assert slack.files[0]["file"] == b"jpeg"
    assert slack.files[0]["alt_txt"] == "boxes"
    (message,) = slack.messages.values()
    assert [block["slack_file"] for block in blocks_of(message) if block["type"] == "image"] == [{"id": "F1"}]


def test_a_file_that_is_no_picture_goes_with_its_words(engine: Engine, slack: FakeSlack, starts: Any) -> None:
    document = {"picture": b'{"id": 1}', "picture_name": "audit.jsonl"}
    put(engine, "the file", channel="C0DEV", content=render(Reply(title="2 audit records")), **document)
    starts()
    until(lambda: states(engine) == ["sent"])
    assert rows(engine)[0].picture is None
    (file,) = slack.files
    assert (file["file"], file["filename"], file["channel"]) == (b'{"id": 1}', "audit.jsonl", "C0DEV")
    assert file["initial_comment"] == "2 audit records"
    assert slack.messages == {}


def long_table(title: str) -> Reply:
    """A reply whose table has pages, and a button."""
    cells = [(f"run {number}", "0.9") for number in range(15)]
    return Reply(title=title, table=Table(("Run", "mAP50"), cells, "Runs"), actions=[Action("Again", "whoami")])


def kinds(message: dict[str, Any]) -> list[str]:
    return [block["type"] for block in message["blocks"]]


def test_a_block_slack_does_not_know_is_drawn_as_an_older_one_and_the_rest_stays(
    engine: Engine, slack: FakeSlack, starts: Any
) -> None:
    slack.before["post"] += [
        refusal("invalid_blocks", errors=[f"unsupported type: {kind}"]) for kind in ("data_table", "table")
    ]
    put(engine, "", content=render(long_table("the runs")))
    starts()
    until(lambda: states(engine) == ["sent"])
    (message,) = slack.messages.values()
    assert kinds(message) == ["header", "rich_text", "actions"]
    text = message["blocks"][1]["elements"][0]["elements"][0]["text"]
    assert text.splitlines()[:2] == ["Run     mAP50", "run 0   0.9"]
    put(engine, "", content=render(long_table("more of them")))
    until(lambda: states(engine) == ["sent", "sent"])
    assert slack.calls.count("post") == 4, "what was refused by name was tried again"
    assert kinds(list(slack.messages.values())[1]) == ["header", "rich_text", "actions"]


def test_a_refusal_that_names_no_block_is_not_held_against_the_next_message(
    engine: Engine, slack: FakeSlack, starts: Any
) -> None:
    slack.before["post"].append(refusal("invalid_blocks"))
    put(engine, "", content=render(long_table("the runs")))
    starts()
    until(lambda: states(engine) == ["sent"])
    put(engine, "", content=render(long_table("more of them")))
    until(lambda: states(engine) == ["sent", "sent"])
    assert [kinds(each)[1] for each in slack.messages.values()] == ["table", "data_table"]


def test_a_private_answer_whose_form_is_refused_comes_in_a_simpler_one(
    engine: Engine, starts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []

    class Webhook:
        def __init__(self, url: str, **_: Any) -> None:
            pass

        def send_dict(self, body: dict[str, Any]) -> Any:
            told.append(body)
            refused = len(told) <= 3
            status, words = (400, "invalid_blocks") if refused else (200, "ok")
            return type("Answer", (), {"status_code": status, "headers": {}, "body": words})()

    monkeypatch.setattr("bot.slack.delivery.WebhookClient", Webhook)
    put(engine, "", kind="respond", content=render(long_table("the runs")), response_url="http://r/1")
    starts()
    until(lambda: states(engine) == ["sent"])
    assert [kinds(body) for body in told] == [
        ["header", "data_table", "actions"],
        ["header", "table", "actions"],
        ["header", "rich_text", "actions"],
        [],
    ]
    assert told[-1]["text"].startswith("the runs")


def test_a_refusal_about_a_table_s_content_is_not_taken_for_an_unknown_block(
    engine: Engine, slack: FakeSlack, starts: Any
) -> None:
    slack.before["post"].append(refusal("invalid_blocks", errors=["a data_table holds no more than 10000 characters"]))
    put(engine, "", content=render(long_table("the runs")))
    starts()
    until(lambda: states(engine) == ["sent"])
    put(engine, "", content=render(long_table("more of them")))
    until(lambda: states(engine) == ["sent", "sent"])
    assert [kinds(each)[1] for each in slack.messages.values()] == ["table", "data_table"]


def test_when_the_form_is_refused_the_words_are_sent(engine: Engine, slack: FakeSlack, starts: Any) -> None:
    slack.before["post"].append(refusal("invalid_blocks", errors=["unsupported type: table"]))
    put(engine, "", content=render(Reply(title="the words")))
    starts()
    until(lambda: states(engine) == ["sent"])
    (message,) = slack.messages.values()
    assert (message["text"], message["blocks"]) == ("the words", [])
