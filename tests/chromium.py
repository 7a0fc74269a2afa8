"""A headless Chromium for the browser tests: one that is already there, else Debian's package, else Playwright's own.

`python -m tests.chromium` sets it up and prints where it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ON_MACOS = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")


def find() -> str | None:
    """Path of a Chromium: the variable CHROMIUM, one on PATH, or Playwright's own. None when there is none."""
    if chosen := os.environ.get("CHROMIUM"):
        return chosen
    for name in NAMES:
        if found := shutil.which(name):
            return found
    if ON_MACOS.exists():
        return str(ON_MACOS)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


def install() -> None:
    """Install one, saying what is done. Raises `CalledProcessError` when the installer fails."""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print("Installing Debian's chromium for the browser tests (once)", flush=True)
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], check=True, env=quiet)
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium", "fonts-liberation"],
            check=True,
            env=quiet,
            stdout=subprocess.DEVNULL,
        )
    else:
        print("Installing Playwright's Chromium for the browser tests (once)", flush=True)
        subprocess.run([sys.executable, "-m", "playwright", "install", "--only-shell", "chromium"], check=True)


def main() -> int:
    """Set it up; exit status 1 with what to do when that does not work."""
    if find() is None:
        try:
            install()
        except subprocess.CalledProcessError as error:
            print(
                f"Chromium could not be installed ({error}). Install one and name it: CHROMIUM=/path", file=sys.stderr
            )
            return 1
    print(f"Browser: {find()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
