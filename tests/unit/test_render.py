"""Any reply is a message that Slack accepts, and shows what the handler meant and nothing it did not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot import terminal
from bot.slack import words
from bot.slack.render import PICTURE_BLOCK, blocks_of, for_one_person, render
from bot.surfaces import ACTION_PREFIX
from commands.reply import (
    Action,
    Code,
    Confirm,
    Fact,
    Link,
    Mention,
    Menu,
    Moment,
    Outcome,
    Picture,
    Reply,
    Step,
    Strong,
    Table,
)
from sandbox.slack.blocks import check_message

nasty = st.text(st.one_of(st.characters(), st.sampled_from("<>&*_~`:@!\n\x00")), max_size=60)
long = st.one_of(nasty, st.integers(1, 9000).map(lambda n: "<&>*x" * (n // 5)))
inline = st.one_of(
    long,
    st.builds(Mention, st.one_of(st.just("U0DS1"), nasty)),
    st.builds(Code, long),
    st.builds(Strong, long),
    st.builds(Link, st.one_of(st.just("https://a.b/c"), long), nasty),
    st.builds(Moment, st.floats(0, 4e9)),
)
texts = st.one_of(long, st.lists(inline, max_size=30))
actions = st.builds(
    Action,
    label=long,
    command=long,
    style=st.sampled_from(["primary", "danger", None]),
    confirm=st.one_of(st.none(), st.builds(Confirm, long, long, nasty)),
    url=st.one_of(st.none(), st.just("https://mlflow.example/#/runs/1"), nasty),
)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    columns = draw(st.integers(1, 25))
    row = st.lists(st.one_of(st.just(""), nasty), min_size=columns, max_size=columns)
    few = draw(st.lists(row, max_size=3))
    return Table(draw(row), few * draw(st.sampled_from([1, 60])), "rows")


replies = st.builds(
    Reply,
    title=long,
    context=texts,
    text=texts,
    steps=st.lists(
        st.builds(
            Step,
            name=long,
            state=st.sampled_from(["waiting", "running", "done", "failed", "stopped", "skipped"]),
            detail=texts,
            progress=st.one_of(st.none(), st.floats(-1, 2)),
        ),
        max_size=40,
    ),
    facts=st.lists(st.builds(Fact, long, texts), max_size=40),
    table=st.one_of(st.none(), tables()),
    quote=long,
    picture=st.one_of(st.none(), st.builds(Picture, st.just(b"png"), st.just("a.png"), long)),
    actions=st.lists(st.one_of(actions, st.builds(Menu, long, st.lists(actions, max_size=12))), max_size=30),
    environment=st.sampled_from(["dev", "staging", "prod", None]),
)


def with_file(message: dict[str, Any]) -> dict[str, Any]:
    """As the sender makes it: the picture's file id filled in."""
    for block in blocks_of(message):
        if block.get("block_id") == PICTURE_BLOCK:
            block["slack_file"]["id"] = "F1"
    return message


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(replies)
def test_every_reply_renders_within_slacks_limits(reply: Reply) -> None:
    message = with_file(render(reply))
    check_message(message["blocks"], message.get("attachments", []))
    assert 0 < len(message["text"]) <= 4000
    assert "\\u0000" not in json.dumps(message)
    json.dumps(message, ensure_ascii=False).encode()
    private = for_one_person(message)
    check_message(private["blocks"], [])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(replies)
def test_every_reply_prints(reply: Reply) -> None:
    assert terminal.lines(reply)
    assert json.loads(terminal.as_json(reply, "i"))["outcome"] == "ok"


@pytest.mark.parametrize(
    "text",
    ["<!channel>", "<@U0DS1>", "<https://evil.example|click>", "&lt;", "*bold*", "_i_", "~s~", "`c`", ":tada:", "> q"],
)
def test_strings_are_shown_and_not_obeyed(text: str) -> None:
    made = words.mrkdwn(text)
    assert "<" not in made
    for sign in "*_~`":
        assert f" {sign}" not in f" {made}"
    assert ":tada:" not in made
    assert not made.startswith("&gt;")
    shown = made.replace("\u2060", "").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert shown == text
    assert words.elements(text) == [{"type": "text", "text": text}]


def test_names_can_be_copied_as_they_are() -> None:
    for name in ("solar_panel", "groundcrew-dev-detector", "s3://a_b/c*d", "12:30:45"):
        assert words.mrkdwn(name) == name


def test_a_link_that_is_no_web_address_is_only_words() -> None:
    assert words.mrkdwn([Link("javascript:alert(1)", "x")]) == "x (javascript:alert(1))"
    assert words.elements([Link("file:///etc", "x")])[0]["type"] == "text"


def test_pieces_that_slack_knows_are_slacks() -> None:
    assert words.mrkdwn(["by ", Mention("U0DS1"), " at ", Moment(0)]) == (
        "by <@U0DS1> at <!date^0^{date_short_pretty} {time}|1970-01-01 00:00 UTC>"
    )
    assert [element["type"] for element in words.elements([Mention("U0DS1"), Moment(0), Link("https://a.b", "c")])] == [
        "user",
        "date",
        "link",
    ]


def test_production_says_so_before_anyone_presses_anything() -> None:
    message = render(Reply(title="deploy v3", environment="prod", actions=[Action("Go", "x")]))
    assert message["blocks"][0]["text"]["text"] == "PRODUCTION · deploy v3"
    assert message["text"].startswith("PRODUCTION · deploy v3")
    assert message["attachments"][0]["color"] == "#b3261e"
    assert "attachments" not in render(Reply(title="deploy v3", environment="dev"))


def test_the_fallback_carries_the_meaning_alone() -> None:
    reply = Reply(
        title="Training run 7f3a",
        steps=[Step("Train", "running", "3 of 4")],
        facts=[Fact("mAP50", "0.81")],
        quote="AccessDenied",
        picture=Picture(b"", "a.png", "two panels"),
    )
    for piece in ("Training run 7f3a", "Train: running · 3 of 4", "mAP50: 0.81", "AccessDenied", "two panels"):
        assert piece in render(reply)["text"]


def test_what_is_left_out_is_counted() -> None:
    table = Table(("a", "b"), [(str(n), "x" * 100) for n in range(300)], "many")
    shown = json.dumps(render(Reply(title="t", table=table)), ensure_ascii=False)
    rows = len(
        next(block for block in blocks_of(render(Reply(title="t", table=table))) if block["type"] == "data_table")[
            "rows"
        ]
    )
    assert f"… {300 - (rows - 1)} more" in shown
    assert "… 15 more" in json.dumps(render(Reply(title="t", steps=[Step("s", "done")] * 40)), ensure_ascii=False)


def test_a_command_too_long_for_a_button_is_said_and_not_cut() -> None:
    message = render(Reply(title="t", actions=[Action("Run", "x" * 2001), Action("Stop", "stop")]))
    (buttons,) = [block for block in message["blocks"] if block["type"] == "actions"]
    assert [(button["value"], button["action_id"]) for button in buttons["elements"]] == [("stop", "command:0")]
    assert "type it instead: Run" in json.dumps(message)


def test_a_menu_shows_its_words_and_each_choice_types_a_command() -> None:
    menu = Menu("Mute…", [Action("1 hour", "alerts mute A1 1h"), Action("1 day", "alerts mute A1 1d")])
    reply = Reply(title="t", actions=[Action("Resolve", "alerts resolve A1"), menu])
    (block,) = [block for block in render(reply)["blocks"] if block["type"] == "actions"]
    button, select = block["elements"]
    assert (button["value"], select["type"], select["placeholder"]["text"]) == (
        "alerts resolve A1", "static_select", "Mute…",
    )  # fmt: skip
    assert {option["text"]["text"]: option["value"] for option in select["options"]} == {
        "1 hour": "alerts mute A1 1h",
        "1 day": "alerts mute A1 1d",
    }
    assert select["action_id"].startswith(ACTION_PREFIX) and select["action_id"] != button["action_id"]
    printed = terminal.lines(reply)
    assert "  > Mute…\n    > 1 hour: alerts mute A1 1h\n    > 1 day: alerts mute A1 1d" in printed
    options = json.loads(terminal.as_json(reply, "i"))["actions"][1]["options"]
    assert [option["command"] for option in options] == ["alerts mute A1 1h", "alerts mute A1 1d"]


def test_what_a_menu_cannot_hold_becomes_a_button_and_still_asks() -> None:
    sure = Confirm("Sure?", "It ends now.", "End it")
    asks, wordy = Action("now", "stop", confirm=sure), Action("wordy", "x" * 151)
    opens, endless = Action("log", url="https://a.b/c"), Action("endless", "x" * 2001)
    options = [asks, Action("later", "stop --later"), wordy, opens, endless]
    message = render(Reply(title="t", actions=[Menu("Stop", options)]))
    (block,) = [block for block in message["blocks"] if block["type"] == "actions"]
    select, *buttons = block["elements"]
    assert [option["value"] for option in select["options"]] == ["stop --later"]
    assert [(each["text"]["text"], each.get("value") or each["url"]) for each in buttons] == [
        ("Stop · now", "stop"),
        ("Stop · wordy", "x" * 151),
        ("Stop · log", "https://a.b/c"),
    ]
    assert buttons[0]["confirm"]["confirm"]["text"] == "End it"
    assert "type it instead: Stop · endless" in json.dumps(message, ensure_ascii=False)
    nothing = render(Reply(title="t", actions=[Menu("Empty", [])]))
    assert [block["type"] for block in nothing["blocks"]] == ["header"]


def test_a_progress_bar_and_a_word_for_every_state() -> None:
    message = render(Reply(title="t", steps=[Step("Train", "running", "3 of 4", 0.75), Step("Deploy", "waiting")]))
    shown = "".join(element["text"] for element in message["blocks"][1]["elements"][0]["elements"])
    assert shown == "▶  Train   ▰▰▰▰▰▰▰▰▱▱  3 of 4\n·  Deploy   waiting"


def test_exit_statuses() -> None:
    assert {outcome.value: terminal.EXIT[outcome] for outcome in Outcome} == {
        "ok": 0, "denied": 3, "error": 1, "expired": 1, "interrupted": 1, "needs_confirmation": 5,
        "pending_approval": 4,
    }  # fmt: skip
