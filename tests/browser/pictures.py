"""The pictures of the README, taken from the page while the story is played: `make pictures`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, sync_playwright

from sandbox.record import Record
from tests.browser.visitor import Visitor
from tests.chromium import find

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / "var" / "pictures"
ALBUM = ROOT / "docs" / "pictures"
SEED = 42
COLORS = 200


class Photographer:
    """Takes numbered pictures of one visitor's page."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._taken = 0

    def take(self, name: str, message: Locator | None = None) -> None:
        """The page as it is, with a message in sight; reduced to few colours, so that the repository stays small."""
        if message is not None:
            message.scroll_into_view_if_needed()
            if message.locator("img").count():
                self._visitor.natural_size(message)
        self._visitor.page.wait_for_timeout(400)  # the inspector follows a moment later
        self._taken += 1
        path = ALBUM / f"{self._taken}-{name}.png"
        self._visitor.page.screenshot(path=path)
        with Image.open(path) as shot:
            few = shot.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
        few.save(path, optimize=True)
        print(f"  {path.relative_to(ROOT)}  {path.stat().st_size // 1024} KiB", flush=True)


def play(visitor: Visitor, photographer: Photographer) -> None:
    """The story, with a picture of each of its turns."""
    visitor.arrive()
    photographer.take("welcome")
    visitor.types("/mlops pipeline run")
    live = visitor.sees("Training run", "in dev")
    visitor.sees("Training run", "epoch 3 of 4", within_ms=300_000)
    photographer.take("training", live)
    visitor.sees("in dev: done", within_ms=300_000)
    photographer.take("trained", live)
    visitor.types("/mlops registry show 1")
    photographer.take("model", visitor.sees("Detector v1 in dev"))
    visitor.presses(live, "Request promotion to staging")
    visitor.become("U0ML1")
    card = visitor.sees("Approval needed", "promote detector v1")
    photographer.take("approval", card)
    visitor.presses(card, "Approve…", agree="Approve")
    promoted = visitor.sees("is now v1 in staging")
    visitor.become("U0DS1")
    visitor.types("/mlops deployment create --env staging --version 1")
    photographer.take("denied", visitor.sees("AWS said no"))
    visitor.become("U0ML1")
    visitor.presses(promoted, "Deploy to staging")
    photographer.take("deployed", visitor.sees("groundcrew-staging-detector: in service", within_ms=120_000))
    visitor.enter("C0PHOTOS")
    visitor.page.locator("#file").set_input_files(STATE / "survey" / "photo.jpg")
    photo = visitor.sees("photo.jpg")
    photo.hover()
    photo.get_by_role("button", name="Detect objects").click()
    photographer.take("detected", visitor.sees("on photo.jpg", "groundcrew-staging-detector"))
    visitor.become("U0DS1")
    visitor.enter("C0DEV")
    visitor.types("/mlops dataset profile")
    photographer.take("profile", visitor.sees("Data set survey/", "objects of", within_ms=180_000))
    visitor.types("/mlops form pipeline run")
    form = visitor.form("pipeline run")
    form.get_by_label("Image size").fill("100")
    form.get_by_role("button", name="Run", exact=True).click()
    form.get_by_text("This must be a multiple of 32").wait_for()
    photographer.take("form")
    visitor.page.keyboard.press("Escape")
    visitor.page.locator("[data-home]").click()
    visitor.page.locator("#home").get_by_text("You are data-scientist").wait_for(timeout=30_000)
    photographer.take("home")


def main() -> int:
    """Start a sandbox, take the pictures, stop it."""
    ALBUM.mkdir(parents=True, exist_ok=True)
    up = [sys.executable, "-m", "sandbox", "up", "--state", str(STATE), "--port", "0", "--seed", str(SEED)]
    try:
        subprocess.run(up, cwd=ROOT, check=True)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=find(), args=["--no-sandbox", "--disable-dev-shm-usage"]
            )
            visitor = Visitor(browser, Record(STATE).url())
            play(visitor, Photographer(visitor))
            browser.close()
    finally:
        subprocess.run([sys.executable, "-m", "sandbox", "down", "--state", str(STATE)], cwd=ROOT, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
