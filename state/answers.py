"""Answers that cost money to ask for, kept a while and shared by all workers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from state.tables import answers

FORGOTTEN = timedelta(days=1)
"""Older ones are of no use to anybody and are deleted."""


def find(connection: Connection, key: str, within: timedelta) -> Any | None:
    """The answer to the question `key`, None when nobody asked it lately."""
    fresh = (answers.c.key == key) & (answers.c.at > func.now() - within)
    return connection.scalar(select(answers.c.answer).where(fresh))


def put(connection: Connection, key: str, answer: Any) -> None:
    """Keep an answer (JSON) that was given just now."""
    connection.execute(answers.delete().where(answers.c.at < func.now() - FORGOTTEN))
    new = insert(answers).values(key=key, answer=answer)
    values = {"answer": new.excluded.answer, "at": func.now()}
    connection.execute(new.on_conflict_do_update(index_elements=["key"], set_=values))
