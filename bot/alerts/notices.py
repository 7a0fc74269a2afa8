"""What intake says about itself: one alert for each of its troubles, said once and cleared once."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from alerts.happening import Effect, Happening, Severity
from bot.alerts.intake import Intake
from state import happenings

log = logging.getLogger(__name__)


class Notice:
    """One trouble of one queue. What a former leader said about it is known from the database."""

    def __init__(self, engine: Engine, intake: Intake, queue: str, trouble: str) -> None:
        self._engine = engine
        self._intake = intake
        self._queue = queue
        self._subject = f"{queue}/{trouble}"
        self._asked = False
        self._said: str | None = None

    def say(self, state: str, title: str, text: str) -> None:
        """Open the alert, or say its new state. Nothing when that was said before."""
        if self._standing() != state and self._record("fires", state, title, text):
            self._said = state

    def over(self, title: str) -> None:
        """Clear the alert if it was opened."""
        if self._standing() is not None and self._record("clears", "fine", title, ""):
            self._said = None

    def _standing(self) -> str | None:
        if not self._asked:
            try:
                with self._engine.begin() as connection:
                    self._said, self._asked = happenings.firing(connection, self._subject), True
            except SQLAlchemyError as error:
                log.error("what was said about %s cannot be read: %s", self._subject, type(error).__name__)
        return self._said

    def _record(self, effect: Effect, state: str, title: str, text: str) -> bool:
        at = datetime.now(UTC)
        happening = Happening(
            fingerprint=f"{self._subject}|{state}|{at.isoformat()}",
            source="groundcrew",
            kind="Groundcrew Queue",
            topic="queue",
            subject=self._subject,
            family=self._subject.lower(),
            environment=None,
            severity=Severity.WARNING if effect == "fires" else Severity.INFO,
            effect=effect,
            state=state,
            at=at,
            title=title,
            text=text,
            facts={"Queue": self._queue},
        )
        try:
            return bool(self._intake.record([happening]))
        except SQLAlchemyError as error:
            log.error("%s, which cannot be recorded: %s", title, type(error).__name__)
            return False
