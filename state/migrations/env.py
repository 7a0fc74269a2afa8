"""Alembic's entry. `state.database.migrate` hands over the connection; nothing is read from the environment."""

from alembic import context

from state.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
