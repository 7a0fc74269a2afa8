"""What a message has to be used, on the page and by keyboard: a menu, and the pages of a table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

from bot.slack.render import render
from commands.reply import Action, Menu, Reply, Table
from tests.browser.visitor import Visitor
from tests.sandbox.slack_running import Slack, running

MUTE = Menu("Mute…", [Action("1 hour", "alerts mute A1 1h"), Action("1 day", "alerts mute A1 1d")])
ALERT = Reply(
    title="Training failed",
    environment="prod",
    context="groundcrew-prod-detector",
    actions=[Action("Acknowledge", "alerts ack A1", "primary"), MUTE, Action("Resolve", "alerts resolve A1")],
)


@pytest.fixture
def slack(tmp_path: Path) -> Iterator[Slack]:
    with running(tmp_path, rates=False) as workspace:
        yield workspace


@pytest.fixture
def visitor(slack: Slack, browser: Browser) -> Iterator[Visitor]:
    somebody = Visitor(browser, slack.url)
    yield somebody
    somebody.page.close()
    assert not somebody.complaints


def opened(message: Locator) -> Locator:
    """The menu, opened with the space bar."""
    message.get_by_role("button", name="Acknowledge").focus()
    message.page.keyboard.press("Tab")
    expect(message.locator("summary", has_text="Mute…")).to_be_focused()
    message.page.keyboard.press("Space")
    sheet = message.get_by_role("group", name="Mute…")
    expect(sheet).to_be_in_viewport(ratio=1)
    return sheet


def test_a_menu_by_keyboard(slack: Slack, visitor: Visitor) -> None:
    slack.api("chat.postMessage", channel="C0DEV", **render(ALERT))
    visitor.arrive("C0DEV")
    message, keys = visitor.sees("Training failed"), visitor.page.keyboard

    sheet = opened(message)
    keys.press("Escape")
    expect(sheet).to_be_hidden()
    expect(message.locator("summary", has_text="Mute…")).to_be_focused()

    opened(message)
    for _ in range(3):  # past its two options: who leaves a menu has not chosen
        keys.press("Tab")
    expect(message.get_by_role("button", name="Resolve")).to_be_focused()
    expect(sheet).to_be_hidden()
    assert not slack.app.got

    opened(message)
    keys.press("Tab")
    keys.press("Tab")
    keys.press("Enter")
    expect(sheet).to_be_hidden()
    expect(visitor.page.locator("#inspector")).to_contain_text("alerts mute A1 1d")
    (sent,) = slack.app.got
    (action,) = sent.payload["actions"]
    assert (action["type"], action["selected_option"]["value"]) == ("static_select", "alerts mute A1 1d")


def test_a_person_without_a_page_chooses_by_the_label(slack: Slack) -> None:
    posted = slack.api("chat.postMessage", channel="C0DEV", **render(ALERT))
    slack.control("press", user="U0ML1", channel="C0DEV", ts=posted["ts"], label="1 hour")
    (action,) = slack.app.got[-1].payload["actions"]
    assert action["selected_option"]["value"] == "alerts mute A1 1h"


def test_the_pages_of_a_table_by_keyboard(slack: Slack, visitor: Visitor) -> None:
    cells = [(f"run {number}", "0.9") for number in range(1, 25)]
    slack.api(
        "chat.postMessage",
        channel="C0DEV",
        **render(Reply(title="24 runs", table=Table(("Run", "mAP50"), cells, "Runs"))),
    )
    visitor.arrive("C0DEV")
    message, keys = visitor.sees("24 runs"), visitor.page.keyboard
    after, before = (message.get_by_role("button", name=f"Rows {word}") for word in ("after", "before"))
    expect(message.get_by_text("1–10 of 24")).to_be_visible()
    expect(before).to_be_disabled()
    after.focus()
    keys.press("Enter")
    expect(message.get_by_text("run 11", exact=True)).to_be_visible()
    expect(message.get_by_text("run 10", exact=True)).to_be_hidden()
    keys.press("Enter")
    expect(message.get_by_text("21–24 of 24")).to_be_visible()
    expect(after).to_be_disabled()
    before.focus()
    keys.press("Enter")
    expect(message.get_by_text("11–20 of 24")).to_be_visible()
