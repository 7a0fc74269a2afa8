"""Pure rules, and the database on a real PostgreSQL. Nothing here needs the running sandbox."""
