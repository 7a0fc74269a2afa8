"""Somebody at the page: looks, types, presses. The browser test and the README's pictures are made with it."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Locator, Page, expect

WIDTH, HEIGHT = 1440, 1000
SOON_MS = 30_000
ENDED = re.compile(r"in dev: (done|failed|stopped|mAP50 too low)")


class Visitor:
    """One browser window. `complaints` collects what the page's scripts complain about."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.page: Page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        self.complaints: list[str] = []
        self.page.on("console", lambda line: self.complaints.append(line.text) if line.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self._url = url.rstrip("/")

    def arrive(self, channel: str = "") -> None:
        """Open the page as a newcomer does, without choosing anything; or as a link to a channel does."""
        self.page.goto(f"{self._url}?channel={channel}" if channel else self._url)
        expect(self.page.locator("#command")).to_be_focused()

    def become(self, user: str) -> None:
        """Choose who to be."""
        chosen = self.page.locator(f"#nav .person[data-user={user}]")
        chosen.click()
        expect(chosen).to_have_attribute("aria-pressed", "true")

    def enter(self, channel: str) -> None:
        """Choose a channel."""
        chosen = self.page.locator(f"#nav [data-channel={channel}]")
        chosen.click()
        expect(chosen).to_have_attribute("aria-current", "page")

    def types(self, line: str) -> None:
        """Type into the command box and send."""
        box = self.page.locator("#command")
        box.fill(line)
        box.press("Escape")  # closes the suggestions: Enter would take one
        box.press("Enter")
        expect(box).to_have_value("")

    def sees(self, *words: str, within_ms: float = SOON_MS) -> Locator:
        """Wait for the last message with all these words."""
        found = self.page.locator("article.message:not(.echo)")
        for part in words:
            found = found.filter(has_text=part)
        expect(found.last).to_be_visible(timeout=within_ms)
        return found.last

    def form(self, title: str) -> Locator:
        """Wait for the form of this title."""
        form = self.page.locator("#form")
        expect(form.get_by_role("heading", name=title, exact=True)).to_be_visible(timeout=SOON_MS)
        return form

    def message(self, ts: str) -> Locator:
        """One message, whatever it says."""
        found = self.page.locator(f'article.message[data-ts="{ts}"]')
        expect(found).to_be_visible()
        return found

    def presses(self, message: Locator, label: str, agree: str | None = None) -> None:
        """Press a button; `agree` is the button that answers the question the page then asks."""
        message.get_by_role("button", name=label, exact=True).click()
        if agree is not None:
            question = self.page.locator("#ask")
            expect(question).to_be_visible()
            question.get_by_role("button", name=agree, exact=True).click()
            expect(question).to_be_hidden()

    def watches(self, live: Locator, seconds: float) -> list[str]:
        """The texts a run's message goes through until the run has ended."""
        states = [live.inner_text()]
        for _ in range(round(seconds / 0.2)):
            if ENDED.search(states[-1]):
                break
            self.page.wait_for_timeout(200)
            if (text := live.inner_text()) != states[-1]:
                states.append(text)
        return states

    def natural_size(self, message: Locator) -> tuple[int, int]:
        """Pixels of the picture in a message as the browser decoded it; waits until it is loaded."""
        image = message.locator("img").and_(self.page.locator(":visible")).last  # a closed thread may hold more
        image.scroll_into_view_if_needed()
        expect(image).to_be_visible()
        size = "image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])"
        width, height = image.evaluate(size)
        return int(width), int(height)
