"""The database goes away under a worker: what is critical is said all the same, once, and recorded when it is back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import burst
from benchmarks.alerts_kill import Worker, own_database, suspended
from bot.alerts.queue import CRITICAL, POLL_S
from sandbox.person import buttons, moment
from tests.conftest import Sandbox
from tests.scenario.test_burst import scalar, wait_while

OWN = "kills"
"""The database that the worker of this test has for itself: the sandbox's others go on."""


@contextmanager
def away(url: str) -> Iterator[None]:
    """Nobody gets into the database, and who is in it is thrown out, for a while."""
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"ALTER DATABASE {OWN} ALLOW_CONNECTIONS false")
        try:
            server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (OWN,))
            yield
        finally:
            server.execute(f"ALTER DATABASE {OWN} ALLOW_CONNECTIONS true")


def send(sqs: Any, name: str, value: str, at: datetime) -> None:
    """A change of an alarm, as a rule puts it into the queue of what is critical."""
    event = json.loads(burst.alarm_event(name, at))
    event["detail"]["state"]["value"] = value
    url = sqs.get_queue_url(QueueName=CRITICAL)["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps(event))


def visible(sqs: Any) -> int:
    """Messages that somebody could receive now."""
    name = "ApproximateNumberOfMessages"
    url = sqs.get_queue_url(QueueName=CRITICAL)["QueueUrl"]
    return int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name])


def no_poll_is_open(sqs: Any) -> None:
    """The poll of a worker that stands still or is dead takes one message: not the one this is about."""
    send(sqs, "groundcrew-prod-detector-nobody", "OK", datetime.now(UTC))
    ends = time.monotonic() + POLL_S + 1
    while visible(sqs) and time.monotonic() < ends:
        time.sleep(0.1)


def test_without_a_database_a_critical_alert_is_posted_marked_and_recorded_afterwards(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    name, ml = "groundcrew-prod-detector-outage", sandbox.slack.person("U0ML1", "C0PROD")
    workers: list[Worker] = []
    with burst.operator(sandbox.state) as sqs, suspended(sandbox.state), own_database(sandbox.state) as (engine, env):
        try:
            no_poll_is_open(sqs)
            workers.append(Worker(env, tmp_path / "first.log"))
            wait_while(lambda: not workers[0].leads, "the first worker does not lead")
            engine.dispose()
            with away(sandbox.settings()["DATABASE_URL"]):
                wait_while(lambda: workers[0].process.poll() is None, "a leader without its lock goes on")
                no_poll_is_open(sqs)
                workers.append(Worker(env, tmp_path / "second.log"))
                before = moment()
                send(sqs, name, "ALARM", datetime.now(UTC) - timedelta(minutes=1))
                posted = ml.sees("CRITICAL", name, "Not recorded: the database does not answer", after=before)
                assert not buttons(posted)
            back = ml.sees("CRITICAL", name, ts=posted["ts"], button="Acknowledge", absent="Not recorded", seconds=60)
            assert back["changes"] >= 1
            assert len([row for row in ml.reads(before) if name in row["words"]]) == 1
            assert scalar(engine, "SELECT count(*) FROM alerts WHERE state = 'firing'") == 1
        finally:
            for worker in workers:
                worker.kill()
