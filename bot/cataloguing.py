"""The catalog: the leader looks through AWS with the bot's own eyes and keeps what forms and Homes show.

Lists are read whole each time; a run is described when it is new and while it goes on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from commands.command import Context
from commands.execution import execution_live
from commands.wording import score
from pipeline import executions, registry
from pipeline.errors import GroundcrewError, NotFound
from pipeline.executions import Summary
from pipeline.names import ENVIRONMENTS, Environment
from state import catalog, live
from state.catalog import Entry

log = logging.getLogger(__name__)

BUSY_S = 8.0
IDLE_S = 60.0
"""While nothing runs and nothing is followed: whatever begins in Slack, and every event, wakes it earlier."""
REST_S = 2.0
"""Between two looks at least: a burst of changes is seen in one."""
LONGEST_PAUSE_S = 300.0
KEPT = 50
"""Runs and versions of an environment, the newest."""
STATES: Mapping[str, str] = {"Succeeded": "done", "Failed": "failed", "Stopped": "stopped"}
TROUBLE = (ClientError, BotoCoreError, GroundcrewError)


class Cataloguer:
    """Runs in the leader. `context` brings the bot's own eyes."""

    def __init__(
        self, engine: Engine, context: Callable[[], Context], bell: threading.Event, stop: threading.Event
    ) -> None:
        self._engine = engine
        self._context = context
        self._bell = bell
        self._stop = stop
        self._failures = 0

    def run(self) -> None:
        """Look until stopped."""
        while not self._stop.is_set():
            pause = IDLE_S
            try:
                self.look()
                self._failures = 0
                pause = BUSY_S if self._busy() else IDLE_S
            except TROUBLE as error:
                self._failures += 1
                pause = min(LONGEST_PAUSE_S, BUSY_S * 2.0**self._failures)
                log.warning("the catalog is as old as it is, AWS was not read: %s", error)
            except SQLAlchemyError as error:
                log.error("the catalog cannot be written: %s", type(error).__name__)
            except Exception:
                # An answer nobody foresaw must not end the leader: forms and Homes show what they knew.
                log.exception("the catalog is as old as it is")
            self._stop.wait(REST_S)
            self._bell.wait(pause)
            self._bell.clear()

    def look(self) -> None:
        """Bring the catalog up to date."""
        ctx = self._context()
        for env in ENVIRONMENTS:
            self._put("run", env, self._runs(ctx, env))
            self._put("version", env, self._versions(ctx, env))
            self._put("endpoint", env, _endpoints(ctx, env))

    def _busy(self) -> bool:
        with self._engine.begin() as connection:
            runs = catalog.newest(connection, "run", ENVIRONMENTS, limit=3 * KEPT)
            return any(entry.state == "running" for entry in runs) or live.following(connection) > 0

    def _put(self, kind: catalog.Kind, env: Environment, entries: Sequence[Entry]) -> None:
        with self._engine.begin() as connection:
            catalog.replace(connection, kind, env, entries)

    def _runs(self, ctx: Context, env: Environment) -> list[Entry]:
        try:
            found = executions.recent(ctx.client("sagemaker"), ctx.names, env, limit=KEPT)
        except NotFound:
            return []
        known = self._known("run", env)
        return [self._run(ctx, env, item, known.get(item.id)) for item in found]

    def _run(self, ctx: Context, env: Environment, item: Summary, before: Entry | None) -> Entry:
        state = "running" if item.status in executions.RUNNING else STATES.get(item.status, item.status.lower())
        if before is not None and before.state == state and state != "running":
            return before
        reply, _ = execution_live(ctx, item.arn)
        progress = next((step.progress for step in reply.steps if step.progress is not None), None)
        detail = {"about": reply.title.partition(": ")[2]} | ({"progress": progress} if progress is not None else {})
        team, user = (before.team, before.user_id) if before else _whose(ctx, item.arn)
        return Entry("run", env, item.id, state, item.started, detail, team, user)

    def _versions(self, ctx: Context, env: Environment) -> list[Entry]:
        known = self._known("version", env)
        found = registry.listed(ctx.client("sagemaker"), ctx.names, env, KEPT)
        return [self._version(ctx, env, each, known.get(str(each.version))) for each in found]

    def _version(self, ctx: Context, env: Environment, each: registry.Listed, before: Entry | None) -> Entry:
        if before is not None and before.state == each.status.lower():
            return before
        reached = registry.load(ctx.client("sagemaker"), ctx.names, env, each.version).metadata.get("map50")
        about = f"mAP50 {score(reached)}" if reached else ""
        return Entry("version", env, str(each.version), each.status.lower(), each.created, {"about": about})

    def _known(self, kind: catalog.Kind, env: Environment) -> Mapping[str, Entry]:
        with self._engine.begin() as connection:
            return {entry.name: entry for entry in catalog.newest(connection, kind, [env], limit=KEPT)}


def _whose(ctx: Context, arn: str) -> tuple[str | None, str | None]:
    """Team and user of the SourceIdentity under which a run was started."""
    team, dot, user = (executions.starter(ctx.client("sagemaker"), arn) or "").partition(".")
    return (team, user) if dot else (None, None)


def _endpoints(ctx: Context, env: Environment) -> list[Entry]:
    pages = ctx.client("sagemaker").get_paginator("list_endpoints").paginate(NameContains=ctx.names.begin(env))
    listed: list[dict[str, Any]] = [item for page in pages for item in page["Endpoints"]]
    return [
        Entry("endpoint", env, item["EndpointName"], item["EndpointStatus"], item["CreationTime"])
        for item in listed
        if item["EndpointName"].startswith(ctx.names.begin(env))
    ]
