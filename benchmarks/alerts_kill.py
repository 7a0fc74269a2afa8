"""`alerts.kill_lost`: kill -9 of the leading worker at 50 random moments of a burst; effects lost or posts repeated.

Three workers of its own, on a database of their own beside the sandbox's, read the sandbox's SQS and post to
its Slack; the sandbox's worker is suspended meanwhile. Whoever leads is killed a moment later, the other takes over,
and a new one is started. What the dead had received comes back after the queue's 60 s.
"""

from __future__ import annotations

import os
import random
import secrets
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
from sqlalchemy import Engine

from benchmarks import burst
from benchmarks.alerts import address, repeated, unposted
from benchmarks.burst import ROUTES, left, missing, operator, queued, send, taken
from benchmarks.figures import ROOT, Figure, Figures, main, sandbox, say
from benchmarks.live import calls
from sandbox.person import Slack
from sandbox.record import Record
from state import database

EVENTS = 6_000
KILLS = 50
LONGEST_S = 600.0
A_KILL_S = 2.5
"""About the time from one kill to the next: a worker starts, and takes over."""
MOMENT_S = (0.05, 1.5)
"""How long after it took the lead a leader is killed."""


class Worker:
    """A worker process with a log of its own."""

    def __init__(self, settings: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bot", "worker"], cwd=ROOT, env=settings, stdout=file, stderr=subprocess.STDOUT
            )

    @property
    def leads(self) -> bool:
        """Whether it has taken the lead."""
        return "this worker leads" in self.log.read_text()

    @property
    def ready(self) -> bool:
        """Whether it could take the lead."""
        return "is ready" in self.log.read_text()

    def kill(self) -> None:
        """End it as the kernel does."""
        self.process.kill()
        self.process.wait()


def measure() -> Figures:
    """One sandbox."""
    with sandbox() as state:
        (state / "routes.yaml").write_text(ROUTES)
        with suspended(state), own_database(state) as (engine, settings):
            slack = Slack(Record(state).url())
            wrong = killed(state, settings, engine, slack)
            slack.close()
    return {"alerts.kill_lost": Figure(wrong, "effects")}


def killed(state: Path, settings: Mapping[str, str], engine: Engine, slack: Slack) -> int:
    """Burst and kills; what is missing or was said twice at the end."""
    seed = secrets.randbelow(2**32)
    say(f"random seed {seed}")
    chance, began = random.Random(seed), time.time()
    wanted = burst.burst(EVENTS)
    bodies, over = wanted.shuffled(chance), threading.Event()
    with operator(state) as sqs, workers(settings, state) as those:

        def trickle(number: int) -> None:
            # Spread over the kills: there is always something in the middle of which to die.
            over.wait(began + number * KILLS * A_KILL_S / len(bodies) - time.time())

        sending = threading.Thread(target=send, args=(sqs, bodies, trickle))
        sending.start()
        for number in range(KILLS):
            leader = next_leader(those, began)
            time.sleep(chance.uniform(*MOMENT_S))
            leader.kill()
            those.remove(leader)
            those.append(Worker(settings, state / f"worker-{number + 3}.log"))
        so_far = f"{taken(engine, wanted)} of {len(wanted.bodies)} events taken in"
        say(f"{KILLS} kills in {time.time() - began:.0f} s, {so_far}")
        over.set()
        sending.join()
        while left(sqs) or queued(engine):
            if time.time() - began > LONGEST_S:
                raise TimeoutError("the burst does not come to its end")
            time.sleep(0.5)
        posts = calls(slack, "chat.postMessage", began)
    lost, twice = missing(engine, wanted) + unposted(engine, posts), repeated(engine, posts)
    say(f"{len(posts)} posts in {time.time() - began:.0f} s; lost {lost}, repeated {twice}")
    return lost + twice


def next_leader(those: deque[Worker], began: float) -> Worker:
    """Who leads now, as soon as somebody does and another is there to follow."""
    while True:
        leader = next((each for each in those if each.leads), None)
        if leader is not None and any(each.ready for each in those if each is not leader):
            return leader
        if time.time() - began > LONGEST_S or any(each.process.poll() is not None for each in those):
            raise RuntimeError(f"no leader; see {[str(each.log) for each in those]}")
        time.sleep(0.02)


@contextmanager
def workers(settings: Mapping[str, str], state: Path) -> Iterator[deque[Worker]]:
    """A leader, one that follows, and one that starts; whoever is left is killed at the end."""
    three = deque(Worker(settings, state / f"worker-{number}.log") for number in range(3))
    try:
        yield three
    finally:
        for each in three:
            each.kill()


@contextmanager
def own_database(state: Path) -> Iterator[tuple[Engine, dict[str, str]]]:
    """An empty database on the sandbox's server, and the settings of a worker that uses it."""
    settings = Record(state).read("settings.json")
    with database.dedicated(settings["DATABASE_URL"]) as connection:
        connection.execute("CREATE DATABASE kills")
    settings["DATABASE_URL"] = settings["DATABASE_URL"].replace("/postgres?", "/kills?")
    engine = database.engine(address(state).replace("/postgres?", "/kills?"))
    database.migrate(engine)
    yield engine, {"PATH": os.environ["PATH"], **settings}
    engine.dispose()


@contextmanager
def suspended(state: Path) -> Iterator[None]:
    """The sandbox's own worker stands still: it would read the same queues."""
    honcho = next(row["pid"] for row in Record(state).read("processes.json") if row["name"] == "worker")
    below = psutil.Process(honcho).children(recursive=True)
    for process in below:
        process.suspend()
    try:
        yield
    finally:
        for process in below:
            process.resume()


if __name__ == "__main__":
    main(__doc__ or "", measure)
