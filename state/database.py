"""Connections to PostgreSQL: small pools, notifications, advisory locks, migrations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Engine, create_engine, text

Dedicated = psycopg.Connection[tuple[Any, ...]]

LOCK_MIGRATION = 7_160_001
LOCK_LEADER = 7_160_002
LOCK_AUDIT = 7_160_003
LOCK_INTAKE = 7_160_004

CHANNEL_INVOCATIONS = "groundcrew_invocations"
CHANNEL_OUTBOX = "groundcrew_outbox"
CHANNEL_LIVE = "groundcrew_live"
CHANNEL_ALERTS = "groundcrew_alerts"
CHANNEL_SCHEDULES = "groundcrew_schedules"
CHANNEL_HOMES = "groundcrew_homes"


def engine(url: str, *, pool: int = 4, statement_timeout_ms: int = 15_000, connect_timeout_s: int = 5) -> Engine:
    """An engine that has not connected yet. `url` is a `postgresql+psycopg://` address; `pool` the connections kept."""
    return create_engine(
        url,
        pool_size=pool,
        max_overflow=pool,
        pool_timeout=connect_timeout_s,
        connect_args={
            "connect_timeout": connect_timeout_s,
            "options": f"-c statement_timeout={statement_timeout_ms} -c timezone=UTC",
            "application_name": "groundcrew",
        },
    )


def dedicated(url: str) -> Dedicated:
    """One autocommitting connection outside every pool, for a lock or for LISTEN."""
    plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
    return psycopg.connect(
        plain, autocommit=True, connect_timeout=5, keepalives_idle=5, keepalives_interval=2, keepalives_count=3
    )


def listen(connection: Dedicated, channels: Iterable[str]) -> None:
    """From now on `connection.notifies()` yields what is notified on `channels`."""
    for channel in channels:
        connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))


def migrate(target: Engine) -> None:
    """Bring the schema up to date. Processes that start together wait for each other on an advisory lock."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with target.connect() as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_MIGRATION})
        connection.commit()
        try:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK_MIGRATION})
            connection.commit()
            connection.invalidate()


def schema(target: Engine) -> tuple[str | None, Sequence[str]]:
    """The revision at which the database is (None: empty), and those that this program knows, the newest first."""
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    known = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    with target.connect() as connection:
        if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
            return None, known
        return connection.scalar(text("SELECT version_num FROM alembic_version")), known


def answers(url: str) -> bool:
    """Whether a connection can be made and used now; takes five seconds at most to find out that it cannot."""
    try:
        with dedicated(url) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True
