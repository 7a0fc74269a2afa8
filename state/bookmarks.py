"""How far a reader of something endless has read, so that the next process goes on from there."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from state.tables import bookmarks


def get(connection: Connection, reader: str) -> datetime | None:
    """Until when everything has been read; None for a reader that has read nothing yet."""
    return connection.scalar(select(bookmarks.c.at).where(bookmarks.c.reader == reader))


def put(connection: Connection, reader: str, at: datetime) -> None:
    """Everything until `at` has been read."""
    new = insert(bookmarks).values(reader=reader, at=at)
    connection.execute(new.on_conflict_do_update(index_elements=["reader"], set_={"at": at}))
