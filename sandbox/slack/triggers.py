"""Trigger ids: the app's short-lived permission to open a view for a person who just did something."""

from __future__ import annotations

import time
import uuid

from sandbox.slack.config import Rules
from sandbox.slack.errors import SlackError


class Triggers:
    """Issues trigger ids and exchanges each once, within `rules.trigger_seconds` of its delivery."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._issued: dict[str, tuple[str, float]] = {}
        self._used: set[str] = set()

    def issue(self, user: str) -> str:
        """A new trigger id for what `user` just did."""
        trigger = f"{len(self._issued) + 1}.{uuid.uuid4().hex}"
        self._issued[trigger] = (user, time.monotonic())
        return trigger

    def exchange(self, trigger: str) -> str:
        """The user behind a trigger id. Raises `SlackError`: unknown, used or expired have a code each."""
        if trigger not in self._issued:
            raise SlackError("invalid_trigger_id")
        user, born = self._issued[trigger]
        if trigger in self._used:
            raise SlackError("exchanged_trigger_id")
        if time.monotonic() - born > self._rules.trigger_seconds:
            raise SlackError("expired_trigger_id")
        self._used.add(trigger)
        return user
