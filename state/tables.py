"""The tables, as SQLAlchemy Core objects. Changed only together with a migration (`state/migrations`)."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()


def _moment(name: str, *, now: bool = False) -> Column[object]:
    """A point in time with zone; `now` fills it by the database's clock, the only clock all processes share."""
    default = func.now() if now else None
    return Column(name, DateTime(timezone=True), server_default=default, nullable=not now)


invocations = Table(
    "invocations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("delivery", Text, nullable=False, unique=True),
    Column("surface", Text, nullable=False),
    Column("team", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("user_name", Text, nullable=False, server_default=""),
    Column("channel", Text),
    Column("text", Text, nullable=False),
    Column("message_ts", Text),
    Column("thread_ts", Text),
    Column("response_url", Text),
    Column("files", JSONB, nullable=False, server_default=text("'[]'")),
    Column("approval", Text),
    Column("state", Text, nullable=False, server_default="waiting"),
    Column("outcome", Text),
    Column("worker", Text),
    Column("attempts", Integer, nullable=False, server_default="0"),
    _moment("lease_until"),
    _moment("created_at", now=True),
    _moment("finished_at"),
)
Index(
    "invocations_open",
    invocations.c.state,
    invocations.c.created_at,
    postgresql_where=invocations.c.state != "finished",
)

approvals = Table(
    "approvals",
    metadata,
    Column("id", Text, primary_key=True),
    Column("team", Text, nullable=False),
    Column("requester", Text, nullable=False),
    Column("command", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("facts", JSONB, nullable=False),
    Column("bound_hash", Text, nullable=False),
    Column("environment", Text),
    Column("channel", Text),
    Column("invocation", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="pending"),
    Column("decided_by", Text),
    Column("reason", Text, nullable=False, server_default=""),
    _moment("created_at", now=True),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    _moment("decided_at"),
)
Index("approvals_state", approvals.c.state, approvals.c.created_at)

audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("invocation", Text, nullable=False),
    Column("type", Text, nullable=False, server_default="command"),
    Column("phase", Text, nullable=False),
    Column("surface", Text, nullable=False),
    Column("team", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("role", Text),
    Column("command", Text, nullable=False),
    Column("arguments", JSONB, nullable=False, server_default=text("'{}'")),
    Column("approval", Text),
    Column("outcome", Text),
    Column("detail", Text, nullable=False, server_default=""),
    Column("session", Text),
    Column("requests", JSONB, nullable=False, server_default=text("'[]'")),
    _moment("at", now=True),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
)
Index("audit_invocation", audit.c.invocation)
Index("audit_at", audit.c.at)

anchors = Table(
    "anchors",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("record", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
    Column("key", Text, nullable=False),
    _moment("at", now=True),
)

grants = Table(
    "grants",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("team", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("role", Text),
    Column("resource", Text),
    Column("reason", Text, nullable=False, server_default=""),
    Column("approval", Text),
    Column("decided_by", Text),
    Column("channel", Text),
    Column("invocation", Text, nullable=False),
    _moment("created_at", now=True),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    _moment("ended_at"),
    Column("reviewed_by", Text),
    _moment("reviewed_at"),
    Column("finding", Text, nullable=False, server_default=""),
)
Index("grants_of", grants.c.team, grants.c.user_id, grants.c.expires_at)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="queued"),
    Column("priority", Integer, nullable=False),
    Column("channel", Text),
    Column("user_id", Text),
    Column("thread_ts", Text),
    Column("response_url", Text),
    Column("slot", Text, unique=True),
    Column("content", JSONB, nullable=False),
    Column("revision", Integer, nullable=False, server_default="1"),
    Column("picture", LargeBinary),
    Column("picture_name", Text),
    Column("ts", Text),
    Column("unsure", Boolean, nullable=False, server_default=text("false")),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("error", Text),
    Column("invocation", Text),
    _moment("not_before", now=True),
    _moment("created_at", now=True),
    _moment("sent_at"),
)
Index("outbox_open", outbox.c.priority, outbox.c.id, postgresql_where=outbox.c.state.in_(["queued", "sending"]))

live = Table(
    "live",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("arn", Text, nullable=False),
    Column("slot", Text, nullable=False, unique=True),
    Column("invocation", Text, nullable=False),
    Column("digest", Text),
    Column("ended", Boolean, nullable=False, server_default=text("false")),
    Column("errors", Integer, nullable=False, server_default="0"),
    _moment("created_at", now=True),
    _moment("next_look", now=True),
)
Index("live_open", live.c.next_look, postgresql_where=live.c.ended.is_(False))
