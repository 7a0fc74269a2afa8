"""The wire between Slack and the bot: signatures, Slack's bad days, a worker that is killed."""

from __future__ import annotations

import hashlib
import hmac
import signal
import time
from urllib.parse import urlencode

import psutil
import psycopg
import pytest

from sandbox.person import Person, moment
from tests.conftest import Sandbox

COMMAND = urlencode(
    {"command": "/mlops", "text": "whoami", "user_id": "U0DS1", "team_id": "T0GC", "channel_id": "C0DEV"}
    | {"trigger_id": "forged.1", "user_name": "data-scientist", "response_url": "http://127.0.0.1:9/"}
).encode()


def signed(sandbox: Sandbox, body: bytes, *, secret: str | None = None, at: float | None = None) -> dict[str, str]:
    key = secret or sandbox.settings()["SLACK_SIGNING_SECRET"]
    stamp = str(int(time.time() if at is None else at))
    digest = hmac.new(key.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": f"v0={digest}",
    }


def stored(sandbox: Sandbox) -> int:
    with psycopg.connect(sandbox.settings()["DATABASE_URL"]) as connection:
        row = connection.execute("SELECT count(*) FROM invocations").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("forged", {"X-Slack-Signature": "v0=" + "0" * 64}),
        ("no signature", {"X-Slack-Signature": ""}),
        ("not ASCII", {"X-Slack-Signature": "v0=é".encode()}),
        ("no number", {"X-Slack-Request-Timestamp": "soon"}),
        ("odd number", {"X-Slack-Request-Timestamp": "²³".encode()}),
        ("huge number", {"X-Slack-Request-Timestamp": "9" * 400}),
    ],
)
def test_an_unsigned_request_is_refused_and_stored_nowhere(
    sandbox: Sandbox, name: str, change: dict[str, bytes | str]
) -> None:
    before = stored(sandbox)
    answer = sandbox.web(COMMAND, {**signed(sandbox, COMMAND), **change})
    assert answer.status_code == 401, name
    assert stored(sandbox) == before


# Five minutes are allowed. What is signed in the future grows older on the way: a margin for a slow machine.
@pytest.mark.parametrize("seconds", [-3600, -301, 360, 3600])
def test_an_old_or_early_signature_is_refused(sandbox: Sandbox, seconds: int) -> None:
    before = stored(sandbox)
    answer = sandbox.web(COMMAND, signed(sandbox, COMMAND, at=time.time() + seconds))
    assert answer.status_code == 401
    assert stored(sandbox) == before


def test_a_body_that_was_changed_after_signing_is_refused(sandbox: Sandbox) -> None:
    answer = sandbox.web(COMMAND + b"&text=pipeline+run", signed(sandbox, COMMAND))
    assert answer.status_code == 401


def test_slacks_own_retry_changes_nothing(sandbox: Sandbox, ds: Person) -> None:
    before = stored(sandbox)
    sandbox.slack.act("fault", target="delivery", kind="duplicate")
    after = ds.types("whoami")
    ds.sees("You are", after=after)
    assert stored(sandbox) == before + 1


def test_somebody_of_another_workspace_is_a_stranger_whatever_their_id(sandbox: Sandbox) -> None:
    """Ids count within a workspace: this one has a role in ours."""
    ml = sandbox.slack.person("U0ML1")
    body = urlencode(
        {"command": "/mlops", "text": "pipeline list --env prod", "user_id": "U0ML1", "team_id": "T0OTHER"}
        | {"channel_id": "C0DEV", "trigger_id": "elsewhere.1", "user_name": "somebody"}
    ).encode()
    after = moment()
    assert sandbox.web(body, signed(sandbox, body)).status_code == 200
    ml.sees("I do not know you yet", after=after)
    with psycopg.connect(sandbox.settings()["DATABASE_URL"]) as database:
        query = "SELECT role, outcome, session FROM audit WHERE team = 'T0OTHER' AND phase = 'closed'"
        assert database.execute(query).fetchall() == [(None, "denied", None)]


@pytest.mark.parametrize("kind", ["ratelimited", "http_500", "drop"])
def test_slack_answers_badly_and_the_person_still_gets_the_answer_once(sandbox: Sandbox, ds: Person, kind: str) -> None:
    sandbox.slack.act("fault", method="chat.postMessage", kind=kind, count=2, seconds=1)
    after = ds.types("registry show 998")
    ds.sees("There is no", "998", after=after, seconds=60)
    assert sum("998" in row["words"] for row in ds.reads(after)) == 1


def test_a_message_whose_answer_got_lost_is_found_and_not_posted_again(sandbox: Sandbox, ds: Person) -> None:
    sandbox.slack.act("fault", method="chat.postMessage", kind="drop", when="after")
    after = ds.types("registry show 997")
    ds.sees("There is no", "997", after=after, seconds=60)
    ds.asks("registry show 996", "There is no", "996", seconds=60)
    assert sum("997" in row["words"] for row in ds.reads(after)) == 1


def test_a_worker_is_killed_in_the_middle_of_a_command_and_the_person_is_told(sandbox: Sandbox, ds: Person) -> None:
    """AWS is held still, so that the command is surely in the middle; then its worker gets SIGKILL."""
    aws = sandbox.process("aws")
    honcho = sandbox.process("worker")
    worker = next(process for process in honcho.children(recursive=True) if "bot" in process.cmdline()[2:3])
    aws.send_signal(signal.SIGSTOP)
    try:
        after = ds.types("pipeline run --epochs 1 --max-images 60")
        wait_until(lambda: running(sandbox) == 1)
        worker.kill()
    finally:
        aws.send_signal(signal.SIGCONT)
    ds.sees("This was interrupted", "pipeline run", after=after, seconds=90)
    wait_until(lambda: sandbox.process("worker").pid != honcho.pid)
    ds.asks("whoami", "You are", seconds=30)
    assert not any("Training run" in row["words"] for row in ds.reads(after)), "the command was repeated"


def running(sandbox: Sandbox) -> int:
    with psycopg.connect(sandbox.settings()["DATABASE_URL"]) as connection:
        row = connection.execute("SELECT count(*) FROM invocations WHERE state = 'running'").fetchone()
    assert row is not None
    return int(row[0])


def wait_until(holds: object, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_every_process_talks_to_loopback_only_and_sees_none_of_the_shells_secrets(sandbox: Sandbox) -> None:
    """The shell that started the sandbox held real-looking keys and a proxy (see conftest)."""
    supervisor = sandbox.record.supervisor()
    assert supervisor is not None
    processes = supervisor.children(recursive=True)
    assert len(processes) >= 8
    for process in processes:
        values = list(process.environ().values())
        assert not any("planted" in value.lower() for value in values), process.cmdline()
        assert "http://127.0.0.1:9" not in values, process.cmdline()
        for connection in process.net_connections("inet"):
            for end in (connection.laddr, connection.raddr):
                assert not end or end.ip in ("127.0.0.1", "::1"), (process.cmdline(), connection)


def test_web_has_no_aws_variable_and_its_own_port(sandbox: Sandbox) -> None:
    web = sandbox.process("web")
    for process in [web, *web.children(recursive=True)]:
        assert not [name for name in process.environ() if name.startswith("AWS_")], process.cmdline()
    gunicorn = next(process for process in web.children(recursive=True) if "gunicorn" in " ".join(process.cmdline()))
    assert gunicorn.environ()["PORT"] == str(sandbox.port("web")) != str(sandbox.port("page"))
    assert psutil.pid_exists(gunicorn.pid)
