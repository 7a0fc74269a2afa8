"""A small burst through everything, with the worker killed in its middle: nothing lost, nothing said twice."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, text

from benchmarks import burst
from benchmarks.alerts import address, mark
from benchmarks.live import calls
from bot.alerts.queue import EVENTS
from state import database
from tests.conftest import Sandbox

SOON_S = 4
"""What a dead worker had received comes back after so long here."""


@pytest.fixture
def sqs(sandbox: Sandbox) -> Iterator[Any]:
    """The queue as the operator sees it; messages come back sooner than elsewhere."""
    with burst.operator(sandbox.state) as client, visible_again_after(client, SOON_S):
        yield client


@contextmanager
def visible_again_after(sqs: Any, seconds: int) -> Iterator[None]:
    """What was received and not deleted comes back after so long, for a while."""
    url = sqs.get_queue_url(QueueName=EVENTS)["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": str(seconds)})
    try:
        yield
    finally:
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "60"})


@pytest.fixture
def engine(sandbox: Sandbox) -> Iterator[Engine]:
    made = database.engine(address(sandbox.state))
    yield made
    made.dispose()


def scalar(engine: Engine, query: str) -> Any:
    with engine.begin() as connection:
        return connection.scalar(text(query))


def wait_while(condition: Any, what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def test_a_burst_loses_and_repeats_nothing_although_its_reader_is_killed(
    sandbox: Sandbox, sqs: Any, engine: Engine
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"random seed {seed}")  # shown when the test fails
    wanted = burst.burst(200, jobs=20)
    began = time.time()
    bodies = wanted.shuffled(random.Random(seed))
    burst.send(sqs, bodies[:400])
    wait_while(lambda: not burst.taken(engine, wanted), "nothing was taken in")
    for process in sandbox.process("worker").children(recursive=True):
        if "honcho" not in " ".join(process.cmdline()):
            process.kill()
    burst.send(sqs, bodies[400:])
    wait_while(lambda: burst.left(sqs), "messages are left in the queue")
    wait_while(lambda: burst.queued(engine), "not everything was said")
    assert burst.missing(engine, wanted) == 0
    posts = [mark(post) for post in calls(sandbox.slack, "chat.postMessage", began)]
    assert len(posts) == len(set(posts))
    firing = "SELECT array_agg('alert-' || id) FROM alerts WHERE state = 'firing' AND family LIKE '%-night%'"
    alerts = scalar(engine, firing)
    assert len(alerts) == len(wanted.failed)
    assert set(alerts) <= set(posts)

    # What ended well after all is over: so the other tests find no alert of this one.
    now = datetime.now(UTC)
    late = [arn for arn, state in wanted.states.items() if state == "failed"]
    burst.send(sqs, [burst.job_event(arn, "Completed", now) for arn in late])
    wait_while(lambda: scalar(engine, firing), "the alerts are not resolved")
