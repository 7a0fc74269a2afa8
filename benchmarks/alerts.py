"""`alerts.lost`, `alerts.repeated`, `alerts.critical_s`, `alerts.rate`, `alerts.rate_sqs`, `alerts.idle_rss_mib`.

A burst of 10,000 events over 200 jobs, each event three times, shuffled, goes through the sandbox's SQS, the worker and
the Slack stand-in: effects missing, posts made twice, messages a second from the first sent to the last deleted, and
how long a critical alert in the middle of it waits from being sent to being posted. `alerts.rate` is events a second
from bytes to commit, by batches as the reader makes them, this process and its own PostgreSQL pinned to one core. At
the end 10,000 open alerts are added and the idle worker's memory is taken, as benchmarks.memory takes it.
"""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Engine, text

from alerts.events import Home, read
from alerts.routes import RoutesFile
from benchmarks import burst
from benchmarks.burst import ROUTES, alarm_event, left, missing, operator, queued, send
from benchmarks.figures import Figure, Figures, main, sandbox, say
from benchmarks.live import calls
from benchmarks.memory import pss_mib
from bot.alerts.intake import Intake, placed
from bot.alerts.queue import BATCH, CRITICAL
from sandbox.environment import ACCOUNT, REGION, Environments, Ports
from sandbox.person import Slack
from sandbox.postgres import Postgres
from sandbox.record import Record
from state import database, happenings

EVENTS = 10_000
OPEN = 10_000
SEED = 20_260_504
CRITICAL_ALERTS = 5
"""So many in the middle of the burst, one after another; the slowest counts."""
LONGEST_S = 600.0
IDLE_S = 15.0
HOME = Home(ACCOUNT, REGION)


def measure() -> Figures:
    """First alone on one core, then a sandbox."""
    found = {"alerts.rate": Figure(rate(), "1/s")}
    with sandbox() as state:
        (state / "routes.yaml").write_text(ROUTES)
        slack = Slack(Record(state).url())
        engine = database.engine(address(state))
        found |= through_everything(state, slack, engine)
        open_alerts(engine)
        time.sleep(IDLE_S)
        worker = next(row["pid"] for row in Record(state).read("processes.json") if row["name"] == "worker")
        found["alerts.idle_rss_mib"] = Figure(pss_mib(psutil.Process(worker)), "MiB")
        engine.dispose()
        slack.close()
    return found


def address(state: Path) -> str:
    """A sandbox's database."""
    url: str = Record(state).read("settings.json")["DATABASE_URL"]
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


def through_everything(state: Path, slack: Slack, engine: Engine) -> Figures:
    """The burst, with critical alerts in its middle."""
    wanted, began = burst.burst(EVENTS), time.time()
    bodies = wanted.shuffled(random.Random(SEED))
    sent: dict[str, float] = {}
    with operator(state) as sqs:
        url = sqs.get_queue_url(QueueName=CRITICAL)["QueueUrl"]

        def criticals() -> None:
            for number in range(CRITICAL_ALERTS):
                name = f"groundcrew-prod-burst-{number}"
                sent[name] = time.time()
                sqs.send_message(QueueUrl=url, MessageBody=alarm_event(name, datetime.now(UTC)))
                time.sleep(2.5)

        middle = threading.Thread(target=criticals)

        def at_half(number: int) -> None:
            if number == len(bodies) // 20 * 10:
                middle.start()

        send(sqs, bodies, at_half)
        while left(sqs):
            wait(began, "the queues are not empty")
        seconds = time.time() - began
        middle.join()
    say(f"{len(bodies):,} messages taken in within {seconds:.1f} s")
    while queued(engine):
        wait(began, "not all is posted")
    posts = calls(slack, "chat.postMessage", began)
    waits = [posted(posts, name) - at for name, at in sent.items()]
    say(
        f"{len(posts)} posts in {time.time() - began:.0f} s; critical ones after {[round(each, 2) for each in waits]} s"
    )
    lost = missing(engine, wanted) + unposted(engine, posts)
    return {
        "alerts.lost": Figure(lost, "effects"),
        "alerts.repeated": Figure(repeated(engine, posts), "posts"),
        "alerts.critical_s": Figure(max(waits), "s"),
        "alerts.rate_sqs": Figure(len(bodies) / seconds, "1/s"),
    }


def wait(began: float, what: str) -> None:
    """A moment. Raises TimeoutError when the whole has taken too long."""
    if time.time() - began > LONGEST_S:
        raise TimeoutError(f"after {LONGEST_S:.0f} s {what}")
    time.sleep(1.0)  # looking counts every message of the queue


def mark(post: dict[str, Any]) -> str:
    """Which row of the outbox a post belongs to."""
    return str(post["answer"]["message"]["metadata"]["event_payload"]["row"])


def posted(posts: Sequence[dict[str, Any]], words: str) -> float:
    """When the message with these words was posted, epoch seconds."""
    return next(float(post["answer"]["ts"]) for post in posts if words in post["answer"]["message"]["text"])


def unposted(engine: Engine, posts: Sequence[dict[str, Any]]) -> int:
    """Firing alerts without a message."""
    with engine.begin() as connection:
        firing = set(connection.scalars(text("SELECT 'alert-' || id FROM alerts WHERE state = 'firing'")))
    return len(firing - {mark(post) for post in posts})


def repeated(engine: Engine, posts: Sequence[dict[str, Any]]) -> int:
    """Posts beyond the first of each message, and alerts beyond the first of each family."""
    with engine.begin() as connection:
        query = "SELECT count(*) - count(DISTINCT family) FROM alerts"
        alerts = connection.scalar(text(query)) or 0
    return sum(number - 1 for number in Counter(mark(post) for post in posts).values()) + alerts


def rate() -> float:
    """Events a second from bytes to commit, on one core with the database."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})  # what this process starts inherits it
    try:
        return asyncio.run(_rate())
    finally:
        os.sched_setaffinity(0, before)


async def _rate() -> float:
    with tempfile.TemporaryDirectory(prefix="groundcrew-bench-") as folder:
        state = Path(folder)
        cluster = Postgres(state / "postgres", Environments(state, Ports(0, 0, 0, 0)).base(), state / "database.log")
        server = await cluster.start()
        try:
            engine = database.engine(cluster.url.replace("postgresql://", "postgresql+psycopg://", 1))
            database.migrate(engine)
            (state / "routes.yaml").write_text(ROUTES)
            intake = Intake(engine, RoutesFile(state / "routes.yaml"), lambda: HOME, lambda arns: {})
            found = taken(intake)
            engine.dispose()
            return found
        finally:
            await server.stop()
            cluster.close()


def taken(intake: Intake) -> float:
    """Events a second, after a first batch has loaded whatever is loaded once."""
    bodies = [*burst.burst(EVENTS).bodies]
    random.Random(SEED).shuffle(bodies)
    began = 0.0
    for start in range(0, len(bodies), BATCH):
        if not all(intake.take(bodies[start : start + BATCH])):
            raise RuntimeError("an event was not recorded")
        began = began or time.perf_counter()
    return (len(bodies) - BATCH) / (time.perf_counter() - began)


def open_alerts(engine: Engine) -> None:
    """Ten thousand alerts that stand, each of a family of its own."""
    place = RoutesFile(Path(__file__).parents[1] / "sandbox" / "config" / "routes.yaml").now()
    now = datetime.now(UTC)
    news = [placed(read(alarm_event(f"open-{number}", now), HOME), place) for number in range(OPEN)]
    quiet = [replace(each, place=replace(each.place, channel=None)) for each in news]
    for start in range(0, OPEN, 1_000):
        with engine.begin() as connection:
            happenings.record(connection, quiet[start : start + 1_000])
    with engine.begin() as connection:
        connection.execute(text("UPDATE alerts SET channel = 'C0DEV' WHERE channel IS NULL"))


if __name__ == "__main__":
    main(__doc__ or "", measure)
