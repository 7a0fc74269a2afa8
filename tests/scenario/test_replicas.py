"""Two web and two worker processes beside each other on one PostgreSQL: nothing is lost and nothing is done twice."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import psycopg
import pytest

from sandbox.person import Person, moment
from tests.conftest import ROOT, Sandbox
from tests.scenario.test_wire import signed, wait_until

COMMANDS = 16
WEB_NEEDS = ("DATABASE_URL", "SLACK_SIGNING_SECRET")


@dataclass(frozen=True)
class Replicas:
    """The second of each kind, and both request URLs."""

    urls: tuple[str, str]
    worker: subprocess.Popen[bytes]


@contextmanager
def process(name: str, log: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """One more of the bot's processes, until it is told to stop; it then ends well."""
    with log.open("wb") as out:
        child = subprocess.Popen([sys.executable, "-m", "bot", name], cwd=ROOT, env=env, stdout=out, stderr=out)
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        ended = child.wait(60)
    assert ended == 0, log.read_text()[-2000:]


@pytest.fixture(scope="module")
def replicas(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    """Beside the sandbox's own web and worker a second of each, as a platform starts them: by their environment."""
    folder = tmp_path_factory.mktemp("replicas")
    settings = sandbox.settings() | {"PATH": os.environ["PATH"]}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    web = {name: settings[name] for name in (*WEB_NEEDS, "PATH")} | {"PORT": port}
    with (
        process("web", folder / "web.log", web),
        process("worker", folder / "worker.log", settings) as worker,
    ):
        other = f"http://127.0.0.1:{port}"
        wait_until(lambda: healthy(other))
        wait_until(lambda: "is ready" in (folder / "worker.log").read_text())
        yield Replicas((f"http://127.0.0.1:{sandbox.port('web')}", other), worker)


def healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def deliver(sandbox: Sandbox, url: str, trigger: str, text: str) -> None:
    """A slash command as Slack brings it."""
    body = urlencode(
        {"command": "/mlops", "text": text, "user_id": "U0DS1", "team_id": "T0GC", "channel_id": "C0DEV"}
        | {"trigger_id": trigger, "user_name": "data-scientist", "response_url": ""}
    ).encode()
    answer = httpx.post(f"{url}/slack/events", content=body, headers=signed(sandbox, body), trust_env=False, timeout=10)
    assert answer.status_code == 200


def rows(sandbox: Sandbox, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(sandbox.settings()["DATABASE_URL"]) as connection:
        return connection.execute(query, values).fetchall()


def test_every_command_is_worked_on_once_by_whoever_is_free(sandbox: Sandbox, ds: Person, replicas: Replicas) -> None:
    after = moment()
    for number in range(COMMANDS):
        deliver(sandbox, replicas.urls[number % 2], f"replica.{number}", f"registry show {9_000 + number}")
    query = "SELECT state, attempts, worker FROM invocations WHERE text LIKE 'registry show 90%%'"
    wait_until(lambda: [row[0] for row in rows(sandbox, query)] == ["finished"] * COMMANDS)
    done = rows(sandbox, query)
    assert {attempts for _, attempts, _ in done} == {1}
    assert len({worker for *_, worker in done}) == 2, "one of the workers did nothing"
    for number in range(COMMANDS):
        ds.sees("There is no", str(9_000 + number), after=after, seconds=60)
    said = [message["words"] for message in ds.reads(after)]
    for number in range(COMMANDS):
        assert sum(str(9_000 + number) in words for words in said) == 1, "answered twice"
    closed = "SELECT count(*) FROM audit WHERE command LIKE 'registry show 90%%' AND phase = %s"
    assert [rows(sandbox, closed, phase)[0][0] for phase in ("opened", "closed")] == [COMMANDS, COMMANDS]


def test_what_slack_brings_twice_by_different_ways_is_one_command(sandbox: Sandbox, replicas: Replicas) -> None:
    """Slack tries again when an acknowledgement was late, and a load balancer may hand it to the other web."""
    for url in (*replicas.urls, *replicas.urls):
        deliver(sandbox, url, "replica.same", "registry show 9500")
    assert rows(sandbox, "SELECT count(*) FROM invocations WHERE text = 'registry show 9500'") == [(1,)]


def test_the_audit_chain_of_two_writers_is_unbroken(sandbox: Sandbox, replicas: Replicas) -> None:
    sandbox.slack.person("U0STK").asks("audit verify", "records, unbroken", seconds=60)


def test_one_of_them_stops_and_the_other_goes_on(sandbox: Sandbox, ds: Person, replicas: Replicas) -> None:
    replicas.worker.send_signal(signal.SIGTERM)
    assert replicas.worker.wait(60) == 0
    ds.asks("whoami", "You are", seconds=30)
