"""What people said about cost anomalies: one verdict for each, the last one counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from state.tables import feedback


@dataclass(frozen=True)
class FeedbackRow:
    """`verdict` is what `user_id` thinks of it: yes, no or planned."""

    anomaly: str
    verdict: str
    user_id: str
    note: str
    at: datetime


def put(connection: Connection, anomaly: str, verdict: str, user: str, note: str = "") -> None:
    """Write what somebody thinks of an anomaly, in the place of what was said before."""
    values = {"verdict": verdict, "user_id": user, "note": note}
    new = insert(feedback).values(anomaly=anomaly, **values)
    connection.execute(new.on_conflict_do_update(index_elements=["anomaly"], set_={**values, "at": func.now()}))


def of(connection: Connection, anomalies: Iterable[str]) -> dict[str, FeedbackRow]:
    """What was said about some anomalies, by their id."""
    rows = connection.execute(select(feedback).where(feedback.c.anomaly.in_(list(anomalies))))
    return {row.anomaly: FeedbackRow(**row._mapping) for row in rows}
