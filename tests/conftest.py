"""One sandbox a process, one training for the whole suite: what is in `tests/scenario` and `tests/browser` uses them.

The sandbox is started as a person starts it (`python -m sandbox up`), from a shell that holds real-looking AWS keys, a
Slack token and a dead proxy: whatever works then works without them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from hypothesis import HealthCheck, settings
from playwright.sync_api import Browser, sync_playwright
from xdist.scheduler import LoadScopeScheduling

from sandbox.person import Person, Slack, buttons, moment
from sandbox.record import Record
from tests.browser.visitor import Visitor
from tests.chromium import find

ROOT = Path(__file__).resolve().parents[1]
SEED = 7
TRAINING_SECONDS = 600
"""A minute and a half on a quiet machine; two trainings at a time on two busy cores take much longer."""
PLANTED = {
    "AWS_ACCESS_KEY_ID": "AKIAPLANTEDPLANTED00",
    "AWS_SECRET_ACCESS_KEY": "planted/secret/of/a/real/account/00000000",
    "AWS_PROFILE": "planted",
    "SLACK_BOT_TOKEN": "xoxb-planted",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    "PORT": "9",
}


# No law depends on how busy the machine is: timings belong in benchmarks.
settings.register_profile("laws", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("laws")


class Halves(LoadScopeScheduling):
    """For `-n 2`: the files that use the one training go together, what else uses a sandbox too, any other file alone.

    So each of two processes has a sandbox of its own, and only one of them trains what many tests look at.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        found = re.search(r"^from tests\.conftest import (.*)$", (ROOT / file).read_text(), re.MULTILINE)
        names = found[1].split(", ") if found else []
        return next((name for name in ("Training", "Sandbox") if name in names), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Halves:
    """Called where tests are handed out to several processes."""
    return Halves(config, log)


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox and the ways into it."""

    state: Path
    slack: Slack
    said: str
    """What `up` printed."""

    @property
    def record(self) -> Record:
        """Its ports and processes."""
        return Record(self.state)

    def port(self, name: str) -> int:
        """A port by its name: page, aws, web, mlflow."""
        return int(self.record.read("ports.json")[name])

    def process(self, name: str) -> psutil.Process:
        """A child of the supervisor by its name."""
        rows = {row["name"]: row["pid"] for row in self.record.read("processes.json")}
        return psutil.Process(rows[name])

    def settings(self) -> dict[str, str]:
        """The worker's environment."""
        values: dict[str, str] = self.record.read("settings.json")
        return values

    def bot(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m bot …` in the worker's environment, with some settings in place of its own."""
        env = self.settings() | {"PATH": os.environ["PATH"], **settings}
        argv = [sys.executable, "-m", "bot", *arguments]
        return subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)

    def web(self, content: bytes, headers: dict[str, bytes | str]) -> httpx.Response:
        """POST something to the bot's request URL, past Slack."""
        url = f"http://127.0.0.1:{self.port('web')}/slack/events"
        return httpx.post(url, content=content, headers=headers, trust_env=False, timeout=10)


def start(state: Path, *options: str, planted: dict[str, str] = PLANTED) -> subprocess.CompletedProcess[str]:
    """`python -m sandbox up` with a state folder of its own and any free port."""
    argv = [sys.executable, "-m", "sandbox", "up", "--state", str(state), "--port", "0", *options]
    return subprocess.run(
        argv, cwd=ROOT, env=os.environ | planted, capture_output=True, text=True, check=False, timeout=180
    )


def stop(state: Path) -> None:
    """`python -m sandbox down`."""
    subprocess.run([sys.executable, "-m", "sandbox", "down", "--state", str(state)], cwd=ROOT, check=True, timeout=60)


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The one sandbox."""
    state = tmp_path_factory.mktemp("sandbox")
    try:
        started = start(state, "--seed", str(SEED))
        assert started.returncode == 0, f"{started.stdout}\n{started.stderr}"
        slack = Slack(Record(state).url())
        yield Sandbox(state, slack, started.stdout)
        slack.close()
    finally:
        stop(state)


@pytest.fixture
def ds(sandbox: Sandbox) -> Person:
    """A data scientist in #ml-dev."""
    return sandbox.slack.person("U0DS1")


@pytest.fixture
def ml(sandbox: Sandbox) -> Person:
    """An ML engineer in #ml-dev."""
    return sandbox.slack.person("U0ML1")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium; `make test` sees to it that there is one."""
    with sync_playwright() as playwright:
        # As root, and in small containers, Chromium's own sandbox and /dev/shm do not work.
        started = playwright.chromium.launch(executable_path=find(), args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield started
        started.close()


@dataclass(frozen=True)
class Training:
    """The one real run: started by a data scientist on the page, watched there until it ended."""

    id: str
    states: tuple[str, ...]
    """The texts its message went through, as seen on the page."""
    message: dict[str, Any]
    complaints: tuple[str, ...]
    """What the browser's console complained about."""


@pytest.fixture(scope="session")
def training(sandbox: Sandbox, browser: Browser) -> Training:
    """Type `/mlops pipeline run` on the page and watch the message that answers."""
    visitor = Visitor(browser, sandbox.slack.url)
    visitor.arrive()
    somebody, before = sandbox.slack.person("U0DS1"), moment()
    visitor.types("/mlops pipeline run")
    begun = somebody.sees("Training run", "in dev", button="Stop", after=before)
    states = visitor.watches(visitor.message(begun["ts"]), TRAINING_SECONDS)
    visitor.page.close()
    run = buttons(begun)["Stop"].split()[2]
    return Training(run, tuple(states), somebody.sees(ts=begun["ts"]), tuple(visitor.complaints))
