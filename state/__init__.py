"""The database: everything Groundcrew must not forget, in one PostgreSQL.

Lives here: tables and migrations, and one module for each table with the few statements that touch it.
Lives elsewhere: what the rows mean (`commands`, `bot`). This package knows neither Slack nor AWS.
"""
