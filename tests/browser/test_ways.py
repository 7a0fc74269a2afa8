"""Forms, the Home and a mention, as a person meets them on the page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from sandbox.person import buttons
from tests.browser.visitor import Visitor
from tests.conftest import Sandbox


@pytest.fixture
def visitor(sandbox: Sandbox, browser: Browser) -> Iterator[Visitor]:
    somebody = Visitor(browser, sandbox.slack.url)
    yield somebody
    somebody.page.close()
    sandbox.slack.act("close", user="U0DS1")  # an open form would stand before whoever comes next
    assert not somebody.complaints


def test_a_form_with_an_error_and_its_correction(visitor: Visitor) -> None:
    visitor.arrive("C0STAGING")
    visitor.types("/mlops form pipeline run --weights nowhere")
    form = visitor.form("pipeline run")
    expect(form.get_by_text("4 in dev, 20 in staging if not given")).to_be_visible()
    form.get_by_label("Image size").fill("100")
    form.get_by_role("button", name="Run", exact=True).click()
    expect(form.locator("#error-image_size")).to_have_text("This must be a multiple of 32, such as 96.")
    expect(form.get_by_label("Image size")).to_be_focused()
    form.get_by_label("Image size").fill("96")
    form.get_by_role("button", name="Run", exact=True).click()
    expect(form).to_be_hidden()
    answer = visitor.sees("--weights 'nowhere' is no .pt file in S3.")
    visitor.presses(answer, "Fill in a form")
    expect(visitor.form("pipeline run").get_by_label("Image size")).to_have_value("96")
    visitor.page.keyboard.press("Escape")
    expect(form).to_be_hidden()


def test_the_shortcut_leads_to_a_form_by_keyboard_alone(visitor: Visitor) -> None:
    visitor.arrive("C0STAGING")
    visitor.page.locator("[data-global]").focus()
    visitor.page.keyboard.press("Enter")
    picker = visitor.form("Run a command")
    picker.get_by_label("Command", exact=True).select_option("form access request")
    picker.get_by_label("Command", exact=True).press("Tab")
    visitor.page.keyboard.press("Tab")
    visitor.page.keyboard.press("Enter")
    form = visitor.form("access request")
    form.get_by_role("button", name="Run", exact=True).click()
    expect(form.locator("#error-role")).to_have_text("Please complete this required field.")


def test_the_home_before_and_after_an_event(sandbox: Sandbox, visitor: Visitor) -> None:
    visitor.arrive("C0STAGING")
    visitor.become("U0ML1")
    visitor.page.locator("[data-home]").click()
    home = visitor.page.locator("#home")
    expect(home).to_contain_text("You are ml-engineer", timeout=30_000)
    for heading in ("Your runs", "Endpoints", "Open alerts", "Money", "What you can do next"):
        expect(home.get_by_role("heading", name=heading)).to_be_visible()
    asked = sandbox.slack.person("U0DS1", "C0STAGING").asks(
        'access request ml-engineer --for 30m --reason "for the Home"', "Asked for approval"
    )
    id = buttons(asked)["Withdraw"].split()[2]
    expect(home).to_contain_text(id, timeout=30_000)
    home.get_by_role("button", name=f"Look at {id}").click()
    visitor.enter("D0ML1")
    visitor.sees(id, "for the Home")
    visitor.page.locator("[data-home]").click()
    sandbox.slack.person("U0DS1", "C0STAGING").presses(asked, "Withdraw")
    expect(home).not_to_contain_text(id, timeout=30_000)


def test_a_mention_in_a_thread_is_answered_there(visitor: Visitor) -> None:
    visitor.arrive("C0STAGING")
    visitor.types("what is version 990?")
    asked = visitor.sees("what is version 990?")
    asked.hover()
    asked.get_by_role("button", name="Reply").click()
    asked.get_by_label("Reply in this thread").fill("@groundcrew registry show 990")
    asked.get_by_label("Reply in this thread").press("Enter")
    expect(asked.locator(".replies")).to_contain_text("There is no version in dev '990'", timeout=30_000)
