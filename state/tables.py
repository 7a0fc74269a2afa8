"""The tables, as SQLAlchemy Core objects. Changed only together with a migration (`state/migrations`)."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSON, JSONB

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
    Column("trigger_id", Text),
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

LANE = (
    "CASE WHEN kind <> 'message'::text THEN (kind || ' '::text) || COALESCE(user_id, ''::text)"
    " ELSE CASE WHEN ts IS NULL THEN 'post '::text ELSE 'edit '::text END || COALESCE(channel, user_id, ''::text) END"
)
"""What is sent one after the other: posts into a channel, edits in a channel, private answers to a person."""

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
    Column("below", Text),
    Column("meant_for", Text),
    Column("lane", Text, Computed(LANE, persisted=True)),
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
    _moment("queued_at", now=True),
    _moment("created_at", now=True),
    _moment("sent_at"),
)
Index(
    "outbox_lanes",
    outbox.c.lane,
    outbox.c.priority,
    outbox.c.queued_at,
    outbox.c.id,
    postgresql_where=outbox.c.state == "queued",
)
Index("outbox_due", outbox.c.not_before, postgresql_where=outbox.c.state == "queued")
Index("outbox_below", outbox.c.below, postgresql_where=outbox.c.below.is_not(None))

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

events = Table(
    "events",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("alert", Text),
    Column("at", DateTime(timezone=True), nullable=False),
    _moment("received_at", now=True),
)
Index("events_received", events.c.received_at)
Index("events_alert", events.c.alert, events.c.at, postgresql_where=events.c.alert.is_not(None))

subjects = Table(
    "subjects",
    metadata,
    Column("arn", Text, primary_key=True),
    Column("family", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("ended", Boolean, nullable=False, server_default=text("false")),
    Column("alert", Text),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("latest_at", DateTime(timezone=True), nullable=False),
    Column("latest_state", Text, nullable=False),
    _moment("ended_at"),
    Column("ended_state", Text),
    _moment("reopened_at"),
    _moment("fired_at"),
    _moment("cleared_at"),
    _moment("succeeded_at"),
    _moment("changed_at", now=True),
)
Index("subjects_alert", subjects.c.alert, postgresql_where=subjects.c.alert.is_not(None))
Index("subjects_family", subjects.c.family, subjects.c.succeeded_at)

alerts = Table(
    "alerts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("family", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("environment", Text),
    Column("severity", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("last_state", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("text", Text, nullable=False, server_default=""),
    Column("facts", JSON, nullable=False, server_default=text("'{}'")),  # as JSONB it would lose its order
    Column("count", Integer, nullable=False, server_default="1"),
    Column("route", Text, nullable=False),
    Column("channel", Text),
    Column("mention", Text, nullable=False, server_default=""),
    Column("first_at", DateTime(timezone=True), nullable=False),
    Column("last_at", DateTime(timezone=True), nullable=False),
    Column("group_until", DateTime(timezone=True), nullable=False),
    _moment("opened_at", now=True),
    Column("acknowledged_by", Text),
    _moment("acknowledged_at"),
    Column("assigned_to", Text),
    Column("resolved_by", Text),
    _moment("resolved_at"),
    _moment("hold_until"),
    _moment("remind_at"),
    Column("reminded", Integer, nullable=False, server_default="0"),
    _moment("escalate_at"),
    _moment("escalated_at"),
    Column("evidence", JSONB),
    Column("dirty", Boolean, nullable=False, server_default=text("true")),
)
Index("alerts_open", alerts.c.family, unique=True, postgresql_where=alerts.c.state == "firing")
Index("alerts_dirty", alerts.c.opened_at, postgresql_where=alerts.c.dirty)
Index("alerts_remind", alerts.c.remind_at, postgresql_where=alerts.c.state == "firing")
Index("alerts_family", alerts.c.family, alerts.c.state)
Index("alerts_last", alerts.c.last_at)

mutes = Table(
    "mutes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("family", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    _moment("created_at", now=True),
    Column("until", DateTime(timezone=True), nullable=False),
    _moment("ended_at"),
)
Index("mutes_family", mutes.c.family, mutes.c.until)

schedules = Table(
    "schedules",
    metadata,
    Column("name", Text, primary_key=True),
    Column("report", Text, nullable=False),
    Column("cron", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("team", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("late_minutes", Integer, nullable=False),
    _moment("created_at", now=True),
)

schedule_runs = Table(
    "schedule_runs",
    metadata,
    Column("schedule", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("due_at", DateTime(timezone=True), nullable=False),
    Column("outcome", Text),
    _moment("at", now=True),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("environment", Text),
    Column("step", Text),
    Column("execution", Text),
    Column("endpoint", Text),
    Column("team", Text),
    Column("user_id", Text),
    Column("instance_type", Text, nullable=False),
    Column("instances", Integer, nullable=False, server_default="1"),
    Column("spot", Boolean, nullable=False, server_default=text("false")),
    Column("started_at", DateTime(timezone=True), nullable=False),
    _moment("ended_at"),
    Column("seconds", Numeric),
    Column("per_hour", Numeric),
    Column("currency", Text),
    Column("work", JSONB(none_as_null=True)),
    _moment("changed_at", now=True),
)
Index("jobs_started", jobs.c.started_at)
Index("jobs_execution", jobs.c.execution, postgresql_where=jobs.c.execution.is_not(None))
Index("jobs_running", jobs.c.id, postgresql_where=jobs.c.ended_at.is_(None))

bookmarks = Table(
    "bookmarks",
    metadata,
    Column("reader", Text, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
)

prices = Table(
    "prices",
    metadata,
    Column("region", Text, primary_key=True),
    Column("component", Text, primary_key=True),
    Column("instance_type", Text, primary_key=True),
    Column("per_hour", Numeric),
    Column("currency", Text, nullable=False),
    _moment("as_of", now=True),
)

estimates = Table(
    "estimates",
    metadata,
    Column("invocation", Text, primary_key=True),
    Column("subject", Text),
    Column("command", Text, nullable=False),
    Column("environment", Text),
    Column("team", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("low", Numeric),
    Column("expected", Numeric),
    Column("high", Numeric),
    Column("currency", Text, nullable=False),
    Column("basis", Text, nullable=False),
    _moment("created_at", now=True),
)
Index("estimates_subject", estimates.c.subject, postgresql_where=estimates.c.subject.is_not(None))

answers = Table(
    "answers",
    metadata,
    Column("key", Text, primary_key=True),
    Column("answer", JSONB, nullable=False),
    _moment("at", now=True),
)

feedback = Table(
    "feedback",
    metadata,
    Column("anomaly", Text, primary_key=True),
    Column("verdict", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("note", Text, nullable=False, server_default=""),
    _moment("at", now=True),
)

catalog = Table(
    "catalog",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("detail", JSON, nullable=False, server_default=text("'{}'")),
    Column("team", Text),
    Column("user_id", Text),
    Column("at", DateTime(timezone=True), nullable=False),
    _moment("changed_at", now=True),
)
Index("catalog_newest", catalog.c.kind, catalog.c.at)

homes = Table(
    "homes",
    metadata,
    Column("team", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    _moment("opened_at", now=True),
    Column("wanted", Boolean, nullable=False, server_default=text("true")),
    Column("digest", Text),
)
