"""From bytes to durable effect: each event read, given its place and recorded, a batch in one transaction."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError, TimeoutError

from alerts.events import Home, read
from alerts.happening import Happening, Unreadable
from alerts.routes import Routes, RoutesFile
from commands.rehearsal import news_of
from state import happenings, sending
from state.grouping import News

log = logging.getLogger(__name__)

FORGET_S = 600.0
"""How often old events and messages are looked for."""

Tags = Callable[[Sequence[str]], Mapping[str, Mapping[str, str]]]
"""The tags of resources, by ARN; what cannot be found out is left out."""


class Intake:
    """Makes events durable; threads may share it. `tags` is asked only where routes ask, and only for new alerts."""

    def __init__(self, engine: Engine, routes: RoutesFile, home: Callable[[], Home], tags: Tags) -> None:
        self._engine = engine
        self._routes = routes
        self._home = home
        self._tags = tags

    def take(self, bodies: Sequence[str]) -> Sequence[bool]:
        """Record messages of a queue. Returns of each whether its effect is durable.

        What is no event, or fails for a reason of its own, is not durable and keeps nobody else from being recorded.
        Raises SQLAlchemyError when the database does not answer: then none is.
        """
        found = [self._read(body) for body in bodies]
        durable = self.record([happening for happening in found if happening is not None])
        return [happening is not None and happening.fingerprint in durable for happening in found]

    def record(self, batch: Sequence[Happening]) -> set[str]:
        """Record events; the fingerprints of those that are durable now. Raises as `take`."""
        if not batch:
            return set()
        try:
            self._commit(batch)
            return {happening.fingerprint for happening in batch}
        except Exception as error:
            if away(error):
                raise
            if len(batch) == 1:
                # It stays in its queue, which moves it to the undelivered ones, which are announced.
                log.exception("event %s (%s) cannot be recorded", batch[0].fingerprint, batch[0].kind)
                return set()
            log.warning("a batch of %s events failed (%s): trying one by one", len(batch), type(error).__name__)
        return set().union(*(self.record([happening]) for happening in batch))

    def _read(self, body: str) -> Happening | None:
        try:
            return read(body, self._home())
        except Unreadable as error:
            log.warning("a message is no event and stays in its queue: %s", error)
        except Exception:
            log.exception("a message cannot be read and stays in its queue")
        return None

    def _commit(self, batch: Sequence[Happening]) -> None:
        routes = self._routes.now()
        news = [placed(happening, routes) for happening in batch]
        if routes.by_tags:
            news = self._by_tags(batch, news, routes)
        with self._engine.begin() as connection:
            happenings.record(connection, news)

    def _by_tags(self, batch: Sequence[Happening], news: Sequence[News], routes: Routes) -> list[News]:
        """The same with places that tags decide, where an alert would be opened."""
        with self._engine.begin() as connection:
            opening = happenings.opening(connection, news)
        asked = {each.fingerprint: tagged(each.subject) for each in batch if each.fingerprint in opening}
        known = self._tags(sorted({arn for arn in asked.values() if arn}))
        tags = {key: known.get(arn, {}) for key, arn in asked.items()}
        return [placed(each, routes, tags.get(each.fingerprint, {})) for each in batch]


def placed(happening: Happening, routes: Routes, tags: Mapping[str, str] | None = None) -> News:
    """An event with its place. What the bot says about its own queues goes into the fallback channel."""
    route = routes.route(happening, tags or {})
    if happening.topic == "queue":
        route = replace(route, channel=routes.fallback)
    return news_of(happening, route)


def tagged(arn: str) -> str:
    """The ARN of the resource whose tags decide: an execution and its steps are their pipeline's."""
    return arn.partition("/execution/")[0] if ":sagemaker:" in arn else ""


def away(error: Exception) -> bool:
    """Whether it is the database that failed, rather than something about one event."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(error, (OperationalError, InterfaceError, TimeoutError))


def keep_forgetting(engine: Engine, stop: threading.Event) -> None:
    """Runs in the leader: events too old to be repeated and messages long said are deleted, a thousand at a time."""
    pause = 0.0
    while not stop.wait(pause):
        pause = FORGET_S
        try:
            with engine.begin() as connection:
                pause = 1.0 if happenings.forget(connection) + sending.forget(connection) else FORGET_S
        except SQLAlchemyError as error:
            log.error("old events and messages cannot be deleted: %s", type(error).__name__)
