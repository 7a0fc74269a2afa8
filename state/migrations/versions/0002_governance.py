"""The audit log becomes a hash chain with anchors; grants for elevation and break-glass."""

import hashlib
import json
from datetime import UTC

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"

BATCH = 1000


def upgrade() -> None:
    # A record's number is its place in the chain, given by whoever appends it.
    op.execute("ALTER TABLE audit ALTER COLUMN id DROP IDENTITY")
    op.add_column("audit", sa.Column("type", sa.Text(), server_default="command", nullable=False))
    op.add_column("audit", sa.Column("session", sa.Text(), nullable=True))
    op.add_column("audit", sa.Column("requests", JSONB(), server_default=sa.text("'[]'"), nullable=False))
    op.add_column("audit", sa.Column("previous", sa.Text(), nullable=True))
    op.add_column("audit", sa.Column("hash", sa.Text(), nullable=True))
    _chain(op.get_bind())
    op.alter_column("audit", "previous", nullable=False)
    op.alter_column("audit", "hash", nullable=False)
    op.create_index("audit_at", "audit", ["at"])
    op.create_table(
        "anchors",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("record", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "grants",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=True),
        sa.Column("resource", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("approval", sa.Text(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("invocation", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reviewed_by", sa.Text(), nullable=True),
        sa.Column("reviewed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finding", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("grants_of", "grants", ["team", "user_id", "expires_at"])


def _chain(connection: sa.Connection) -> None:
    """Chain what was recorded before there was a chain, by the recipe of `state.audit` as it was at this revision."""
    previous, last = "0" * 64, 0
    some = sa.text("SELECT * FROM audit WHERE id > :last ORDER BY id LIMIT :batch")
    link = sa.text("UPDATE audit SET previous = :previous, hash = :hash WHERE id = :id")
    while rows := connection.execute(some, {"last": last, "batch": BATCH}).mappings().all():
        links = []
        for row in rows:
            meaning = {**row, "previous": previous, "at": row["at"].astimezone(UTC).isoformat()}
            known = {name: value for name, value in meaning.items() if value is not None}
            digest = hashlib.sha256(json.dumps(known, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
            links.append({"id": row["id"], "previous": previous, "hash": digest})
            previous, last = digest, row["id"]
        connection.execute(link, links)
