"""The audit log: two records for every invocation, `opened` before and `closed` after it, whatever came."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, insert, select

from state.tables import audit

_SECRETS = re.compile(
    r"(xox[a-z]-|xapp-)[\w-]+"  # Slack tokens
    r"|\b(AKIA|ASIA)[A-Z0-9]{12,}\b"  # AWS access key ids
    r"|(?<=X-Amz-Signature=)[0-9a-f]+|(?<=X-Amz-Security-Token=)[^&\s]+"  # presigned addresses
    r"|(?<=hooks\.slack\.com/)\S+"
    r"|(?i:(?<=password=)|(?<=secret=)|(?<=token=))[^\s&]+"
)


@dataclass(frozen=True)
class AuditRow:
    """One record as it was written."""

    id: int
    invocation: str
    phase: str
    surface: str
    team: str
    user_id: str
    role: str | None
    command: str
    arguments: Mapping[str, Any]
    approval: str | None
    outcome: str | None
    detail: str
    at: datetime


def append(
    connection: Connection,
    phase: Literal["opened", "closed"],
    *,
    invocation: str,
    surface: str,
    team: str,
    user: str,
    command: str,
    role: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    approval: str | None = None,
    outcome: str | None = None,
    detail: str = "",
) -> None:
    """Write one record. Text that looks like a key, token or signature is replaced before it is stored."""
    connection.execute(
        insert(audit).values(
            phase=phase,
            invocation=invocation,
            surface=surface,
            team=team,
            user_id=user,
            role=role,
            command=redact(command),
            arguments={name: redact(str(value)) for name, value in (arguments or {}).items()},
            approval=approval,
            outcome=outcome,
            detail=redact(detail),
        )
    )


def of_invocation(connection: Connection, invocation: str) -> Sequence[AuditRow]:
    """The records of one invocation, oldest first."""
    rows = connection.execute(select(audit).where(audit.c.invocation == invocation).order_by(audit.c.id))
    return [AuditRow(**row._mapping) for row in rows]


def redact(text: str) -> str:
    """`text` with everything that looks like a secret replaced by a mark."""
    return _SECRETS.sub("[removed]", text)
