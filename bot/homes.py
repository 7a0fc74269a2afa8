"""Homes: the leader draws the Home of everybody who looks at theirs, when it is opened and when something has changed.

What stands there is compared before Slack is asked, so a Home in which nothing changes costs no call.
"""

from __future__ import annotations

import http.client
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from bot.slack import home
from bot.slack.pace import Bucket, Budget
from bot.watcher import fingerprint
from commands.reply import Reply
from pipeline.errors import GroundcrewError
from state import homes
from state.homes import Home

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 5.0
"""Amounts and what has no notification of its own are this old at most."""
REST_S = 0.3
"""After a change others follow at once: what a burst brings is drawn together. Who opens their Home waits for none."""
PUBLISHES = Budget(80, 20)
"""`views.publish` is allowed 100 times a minute."""


class Homes:
    """Runs in the leader. `sections` makes what a person's Home says; raises GroundcrewError with why it cannot."""

    def __init__(
        self,
        engine: Engine,
        slack: WebClient,
        sections: Callable[[str, str], Sequence[Reply]],
        bell: threading.Event,
        stop: threading.Event,
    ) -> None:
        self._engine = engine
        self._slack = slack
        self._sections = sections
        self._bell = bell
        self._stop = stop
        self._budget = Bucket(PUBLISHES)

    def run(self) -> None:
        """Draw until stopped: what was just opened at once, the others when they have rested."""
        drawn, owed = 0.0, True
        while not self._stop.is_set():
            self._bell.wait(max(0.0, drawn + REST_S - time.monotonic()) if owed else LOOK_AGAIN_S)
            self._bell.clear()
            rested = time.monotonic() >= drawn + REST_S
            owed = not rested
            try:
                self.draw(opened_only=not rested)
            except SQLAlchemyError as error:
                log.error("homes cannot be drawn: %s", type(error).__name__)
                self._stop.wait(1.0)
            if rested:
                drawn = time.monotonic()

    def draw(self, *, opened_only: bool = False) -> None:
        """Bring the Homes up to date that somebody looks at, or only those that were just opened."""
        with self._engine.begin() as connection:
            looked_at = homes.looked_at(connection, opened_only=opened_only)
        for each in looked_at:
            if self._stop.is_set():
                return
            self._draw(each)

    def _draw(self, each: Home) -> None:
        try:
            view = home.view(self._sections(each.team, each.user_id))
        except GroundcrewError as error:
            view = home.view([Reply(title="Nothing to show you", text=f"{error.message} {error.advice}")])
        except SQLAlchemyError:
            raise
        except Exception:
            # Whatever broke this one, the others are drawn; a duty that ends would end the leader.
            log.exception("the home of %s could not be drawn", each.user_id)
            return
        digest = fingerprint(view)
        if digest != each.digest and not self._published(each, view):
            return
        if digest != each.digest or each.wanted:
            with self._engine.begin() as connection:
                homes.published(connection, each, digest)

    def _published(self, each: Home, view: dict[str, Any]) -> bool:
        """Whether Slack took it; what it did not take is tried again at the next look."""
        self._stop.wait(self._budget.wait())
        self._budget.spend()
        try:
            self._slack.views_publish(user_id=each.user_id, view=view)
        except SlackApiError as error:
            code = error.response.get("error") if isinstance(error.response.data, dict) else error.response.status_code
            seconds = float(error.response.headers.get("Retry-After", 0))
            log.warning("the home of %s was not published: %s", each.user_id, code)
            self._stop.wait(min(seconds, 60.0))
            return False
        except (SlackClientError, OSError, http.client.HTTPException) as error:
            log.warning("the home of %s was not published: %s", each.user_id, type(error).__name__)
            return False
        return True
