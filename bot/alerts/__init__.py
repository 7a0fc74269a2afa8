"""Alerts on their way: from the queue into the database, from there into messages, and reminders."""
