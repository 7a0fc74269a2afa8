"""Bookkeeping: the leader writes down what ran in SageMaker, for whom and at which price (table `jobs`).

It looks with the bot's own eyes, often while something runs and seldom otherwise. Each kind of job is read from where
a bookmark says, which moves only when everything up to it has been written; writing twice changes nothing. So nothing
is lost by a kill or an hour without a leader.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from commands.command import Context
from commands.pricing import hourly
from commands.training_cost import work_of
from pipeline import usage
from pipeline.definition import HYPERPARAMETERS
from pipeline.errors import GroundcrewError, Unavailable
from pipeline.usage import Origin, Used
from state import bookmarks, estimates, jobs, live
from state.jobs import Job

log = logging.getLogger(__name__)

TICK_S = 2.0
BUSY_S = 4.0
IDLE_S = 60.0
LONGEST_PAUSE_S = 300.0
"""After looks that failed: SageMaker's lists are shared by everybody in the account, and throttled."""
FIRST_LOOK = timedelta(days=90)
OVERLAP = timedelta(minutes=5)
"""Read again each time: a change shows in a list a little later than it says."""
AT_A_TIME = 100
"""Descriptions of one kind in one look; the rest is read in the next."""
ASK_AGAIN_S = 60.0
"""A price list or MLflow that did not answer is left alone so long; what was written without it is completed after."""
REMEMBERED = 200
SAID_WITHIN = timedelta(minutes=2)
"""After what a person started has begun, it is on record that they did."""
TOLD_WITHIN = timedelta(minutes=5)
"""After a job of a run has ended, its training has told how many photos there are, or there will be none to tell of."""

TROUBLE = (ClientError, BotoCoreError, GroundcrewError)


class Books:
    """Runs in the leader. `context` brings the bot's own eyes."""

    def __init__(self, engine: Engine, context: Callable[[], Context], stop: threading.Event) -> None:
        self._engine = engine
        self._context = context
        self._stop = stop
        self._seen: dict[str, Mapping[str, datetime]] = {}
        self._origins: dict[str, Origin | None] = {}
        self._photos: dict[str, int] = {}
        self._silent_until: dict[str, float] = {}
        self._failures = 0

    def run(self) -> None:
        """Look until stopped."""
        next_look = 0.0
        while not self._stop.wait(TICK_S):
            try:
                if self._busy() and not self._failures:
                    next_look = min(next_look, time.monotonic() + BUSY_S)
                if time.monotonic() >= next_look:
                    next_look = time.monotonic() + (self.look() or IDLE_S)
            except SQLAlchemyError as error:
                log.error("what ran cannot be written down: %s", type(error).__name__)

    def look(self) -> float:
        """Bring the books up to date. Returns the seconds to wait when something did not answer, else 0."""
        try:
            ctx = self._context()
        except TROUBLE as error:
            return self._back_off(error)
        trouble: Exception | None = None
        for kind in usage.JOBS:
            try:
                self._jobs(ctx, kind)
            except TROUBLE as error:
                trouble = error  # the other kinds are read all the same
        try:
            self._endpoints(ctx)
        except TROUBLE as error:
            trouble = error
        if trouble is not None:
            return self._back_off(trouble)
        self._failures = 0
        return 0.0

    def _back_off(self, error: Exception) -> float:
        if not self._failures:
            log.error("what runs in SageMaker cannot be read, trying again later and later: %s", error)
        self._failures += 1
        return min(LONGEST_PAUSE_S, BUSY_S * 2.0**self._failures)

    def _busy(self) -> bool:
        with self._engine.begin() as connection:
            going = any(row.kind != "endpoint" for row in jobs.running(connection))
            return going or live.following(connection) > 0

    # --- jobs ------------------------------------------------------------------------------------------------------

    def _jobs(self, ctx: Context, kind: str) -> None:
        """Write down the jobs of a kind that changed; the bookmark moves when all of them are written."""
        began, reader = datetime.now(UTC), f"jobs/{kind}"
        with self._engine.begin() as connection:
            since = bookmarks.get(connection, reader) or began - FIRST_LOOK
        before, now, left, complete = self._seen.get(kind, {}), {}, AT_A_TIME, True
        sagemaker = ctx.client("sagemaker")
        for listed in usage.changed(sagemaker, kind, since):
            if before.get(listed.name) != listed.changed:
                if left == 0:
                    complete = False
                    break
                left -= 1
                used = usage.job(sagemaker, kind, listed.name)
                if used is None:
                    continue  # it has not started: looked at again until its last change is long ago
                if not self._write(ctx, used):
                    complete = False
                    continue
            now[listed.name] = listed.changed
        self._seen[kind] = now
        if complete:
            with self._engine.begin() as connection:
                bookmarks.put(connection, reader, began - OVERLAP)

    def _write(self, ctx: Context, used: Used) -> bool:
        """Write a use as it is now. False when its price or its work is not known yet: it has to be written again."""
        origin = self._origin(ctx, used)
        price = self._price(ctx, used)
        execution = None
        if origin is not None and used.run is not None:
            pipeline = f"pipeline/groundcrew-{used.environment}-detector"
            execution = ctx.names.arn("sagemaker", f"{pipeline}/execution/{used.run}")
        work = self._work(ctx, used, execution, origin) if used.completed else None
        # A run's photos are told by its training, which begins after the first jobs have ended.
        early = work is not None and execution is not None and "photos" not in work and _just_ended(used)
        with self._engine.begin() as connection:
            team, user = _person(connection, used, origin)
            jobs.put(connection, _job(used, execution, team, user, price or (None, None), work))
        return price is not None and not early

    def _price(self, ctx: Context, used: Used) -> tuple[Decimal | None, str | None] | None:
        """Price and currency, both None where the list has none; None when it does not answer."""
        if self._silent("prices"):
            return None
        try:
            found = hourly(ctx, used.component, used.instance_type)
        except Unavailable as error:
            self._fell_silent("prices", error)
            return None
        return (None, None) if found.per_hour is None else (found.per_hour, found.currency)

    def _origin(self, ctx: Context, used: Used) -> Origin | None:
        if used.run is None or used.environment is None:
            return None
        if used.run not in self._origins:
            found = usage.origin(ctx.client("sagemaker"), ctx.names, used.environment, used.run)
            _remember(self._origins, used.run, found)
        return self._origins[used.run]

    def _work(self, ctx: Context, used: Used, execution: str | None, origin: Origin | None) -> Mapping[str, int]:
        """What a completed job got through, as far as it is known."""
        if used.kind == "tuning":
            return work_of({name: used.told.get(told, "") for told, name in HYPERPARAMETERS.items()})
        if origin is None or execution is None:
            return {}
        work = work_of(origin.parameters)
        photos = self._photos.get(execution) or self._count(ctx, execution)
        return {**work, "photos": photos} if photos else work

    def _count(self, ctx: Context, execution: str) -> int:
        """The photos of a run, as its first step has logged them; 0 while that is not known."""
        if self._silent("MLflow"):
            return 0
        try:
            run = ctx.tracking.run_for_execution(execution)
        except Unavailable as error:
            self._fell_silent("MLflow", error)
            return 0
        parts = ("train", "validation", "test")
        found = sum(int(run.params.get(f"data/{part}_images", 0)) for part in parts) if run else 0
        if found:
            _remember(self._photos, execution, found)
        return found

    def _silent(self, what: str) -> bool:
        return time.monotonic() < self._silent_until.get(what, 0.0)

    def _fell_silent(self, what: str, error: Exception) -> None:
        log.warning("%s cannot be asked, trying again in %s s: %s", what, ASK_AGAIN_S, error)
        self._silent_until[what] = time.monotonic() + ASK_AGAIN_S

    # --- endpoints -------------------------------------------------------------------------------------------------

    def _endpoints(self, ctx: Context) -> None:
        """A row for every configuration an endpoint serves with, ended when another takes its place or it is gone.

        When an endpoint was deleted while nobody looked is not known: it counts until it was missed.
        """
        with self._engine.begin() as connection:
            standing = [row for row in jobs.running(connection) if row.kind == "endpoint"]
        here: dict[str, datetime] = {}
        sagemaker, seen = ctx.client("sagemaker"), self._seen.get("endpoint", {})
        for listed in usage.endpoints(sagemaker):
            mine = [row for row in standing if row.endpoint == listed.name]
            if mine and seen.get(listed.name) == listed.changed:
                here[listed.name] = listed.changed
                continue
            used = usage.serving(sagemaker, listed.name)
            if used is not None and self._serves(ctx, used, listed.changed, mine):
                here[listed.name] = listed.changed
            elif used is not None:
                here[listed.name] = datetime.min.replace(tzinfo=UTC)  # it is there, and is looked at again
        self._seen["endpoint"] = here
        self._end([row for row in standing if row.endpoint not in here], datetime.now(UTC))

    def _serves(self, ctx: Context, used: Used, changed: datetime, standing: Sequence[Job]) -> bool:
        """Write down what an endpoint serves with; True when that is complete."""
        same = [row for row in standing if _config(row) == used.id and row.started_at >= used.started]
        replaced = [row for row in standing if row not in same]
        # Another life of the endpoint begins when it was made; another configuration of the same life, when it changed.
        lives_on = any(row.started_at >= used.started for row in replaced)
        started = same[0].started_at if same else changed if lives_on else used.started
        self._end(replaced, started)
        return self._write(ctx, _since(used, started))

    def _end(self, rows: Sequence[Job], at: datetime) -> None:
        with self._engine.begin() as connection:
            for row in rows:
                jobs.end(connection, row, max(at, row.started_at))


def _just_ended(used: Used) -> bool:
    return used.ended is not None and datetime.now(UTC) - used.ended < TOLD_WITHIN


def _config(row: Job) -> str:
    return row.id.rpartition("#")[0]


def _since(used: Used, started: datetime) -> Used:
    return replace(used, id=f"{used.id}#{started.timestamp():.0f}", started=started)


def _person(connection: Connection, used: Used, origin: Origin | None) -> tuple[str | None, str | None]:
    """Who started it: the execution's SourceIdentity, else whose command it was; nobody for a schedule's work."""
    if origin is not None:
        team, _, user = (origin.by or "").partition(".")
        return (team, user) if user and team != "system" else (None, None)
    if used.kind == "endpoint":
        deployed = jobs.deployed_by(connection, used.environment, used.started)
        if deployed is not None:
            return deployed.team, deployed.user_id
        said = estimates.of_stack(connection, used.name, used.started + SAID_WITHIN)
    else:
        said = next(reversed(estimates.of_subject(connection, used.parent or used.id)), None)
    return (said.team, said.user_id) if said else (None, None)


def _job(
    used: Used,
    execution: str | None,
    team: str | None,
    user: str | None,
    price: tuple[Decimal | None, str | None],
    work: Mapping[str, int] | None,
) -> Job:
    return Job(
        id=used.id,
        kind=used.kind,
        name=used.name,
        environment=used.environment,
        step=used.step,
        execution=execution,
        endpoint=used.endpoint,
        team=team,
        user_id=user,
        instance_type=used.instance_type,
        instances=used.instances,
        spot=used.spot,
        started_at=used.started,
        ended_at=used.ended,
        seconds=used.seconds,
        per_hour=price[0],
        currency=price[1],
        work=work,
    )


def _remember(memory: dict[str, Any], key: str, value: Any) -> None:
    """Keep a value, and no more than so many of them."""
    memory[key] = value
    while len(memory) > REMEMBERED:
        del memory[next(iter(memory))]
