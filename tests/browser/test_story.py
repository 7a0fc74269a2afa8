"""The story as a person plays it on the page, checked by what is on the screen."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from sandbox import evidence
from tests.browser.visitor import Visitor
from tests.conftest import Sandbox, Training


@pytest.fixture
def visitor(sandbox: Sandbox, browser: Browser) -> Iterator[Visitor]:
    somebody = Visitor(browser, sandbox.slack.url)
    yield somebody
    somebody.page.close()
    assert not somebody.complaints


def test_a_newcomer_finds_what_to_type(visitor: Visitor) -> None:
    visitor.arrive("C0STAGING")  # a channel in which nobody else writes: the welcome stands where nothing was said
    expect(visitor.page.locator("#welcome")).to_contain_text("/mlops whoami")
    expect(visitor.page.locator("#nav .person")).to_have_count(7)
    visitor.page.locator("#welcome [data-fill='/mlops whoami']").click()
    visitor.page.locator("#command").press("Enter")
    answer = visitor.sees("AWS says you are", "groundcrew-data-scientist")
    expect(answer).to_contain_text("only visible to you")
    visitor.page.locator("#command").press_sequentially("/mlops pipeline s")
    expect(visitor.page.locator("#options")).to_contain_text("/mlops pipeline stop")


def test_a_run_is_watched_on_the_page(training: Training) -> None:
    """The fixture typed it on the page and looked at its message until it ended."""
    assert not training.complaints
    assert "in dev: done" in training.states[-1], training.states[-1]
    assert len(training.states) >= 3
    assert any(re.search(r"epoch \d of 4", state) for state in training.states)


def test_run_approve_deploy_predict(sandbox: Sandbox, training: Training, visitor: Visitor) -> None:
    visitor.arrive()
    visitor.enter("C0DEV")
    done = visitor.sees("in dev: done, mAP50 0.")
    visitor.presses(done, "Request promotion to staging")
    card = visitor.sees("Approval needed", "promote detector v1 from dev to staging")

    visitor.presses(card, "Approve…", agree="Approve")
    visitor.sees("You asked for this yourself")

    visitor.become("U0ML1")
    card = visitor.sees("Approval needed", "promote detector v1 from dev to staging")
    visitor.presses(card, "Approve…", agree="Approve")
    promoted = visitor.sees("is now v1 in staging", "approved by")
    expect(visitor.page.locator("#log").get_by_text("Approval needed")).to_have_count(0)

    visitor.presses(promoted, "Deploy to staging")
    ready = visitor.sees("groundcrew-staging-detector: in service", within_ms=120_000)
    expect(ready).to_contain_text("STAGING")

    photo = evidence.labelled_photo(sandbox.state / "survey")
    visitor.types(f"/mlops deployment predict survey/images/{photo.path.name} --env staging")
    answer = visitor.sees(f"on {photo.path.name}", "groundcrew-staging-detector")
    width, height = visitor.natural_size(answer)
    assert width == height >= 160
    expect(answer.locator("table tr")).not_to_have_count(0)

    visitor.types("/mlops deployment delete --env staging")
    visitor.presses(visitor.sees("Really delete the deployment in staging?"), "Yes, do it")
    visitor.sees("groundcrew-staging-detector: deleted", within_ms=120_000)


def test_a_denial_is_shown_in_awss_words_on_the_page(training: Training, visitor: Visitor) -> None:
    visitor.arrive()
    visitor.become("U0STK")
    visitor.types("/mlops pipeline run")
    refusal = visitor.sees("AWS said no")
    expect(refusal).to_contain_text("not authorized to perform: sagemaker:StartPipelineExecution")
    expect(visitor.page.locator("#inspector")).to_contain_text("StartPipelineExecution")
