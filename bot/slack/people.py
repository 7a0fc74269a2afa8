"""What Slack says of somebody: whether it still vouches for them (not deactivated, no guest, of that very workspace)
and in which time zone they are.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackRequestError

from pipeline.errors import Unavailable

KEPT_S = 30.0
"""Seconds an answer counts: this long somebody can still do something after Slack has let them go."""
UNKNOWN = frozenset({"user_not_found", "user_not_visible"})


class People:
    """Asks `users.info`. Threads may share one."""

    def __init__(self, client: WebClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._answers: dict[str, tuple[float, Mapping[str, Any] | None]] = {}

    def objection(self, team: str, user: str) -> str:
        """Why this person may do nothing here, empty when nothing is against it. Raises Unavailable."""
        return _objection(self._profile(user), team)

    def zone(self, user: str) -> str:
        """The IANA time zone of their profile, empty when it names none. Raises Unavailable."""
        return str((self._profile(user) or {}).get("tz") or "")

    def name(self, user: str) -> str:
        """What they are called, empty when Slack does not know them. Raises Unavailable."""
        found = self._profile(user) or {}
        return str((found.get("profile") or {}).get("display_name") or found.get("name") or "")

    def _profile(self, user: str) -> Mapping[str, Any] | None:
        with self._lock:
            asked, answer = self._answers.get(user, (0.0, None))
        if time.monotonic() - asked < KEPT_S and asked:
            return answer
        answer = self._asked(user)
        with self._lock:
            self._answers[user] = (time.monotonic(), answer)
        return answer

    def _asked(self, user: str) -> Mapping[str, Any] | None:
        try:
            found: Mapping[str, Any] = self._client.users_info(user=user)["user"]
        except SlackApiError as error:
            code = error.response.get("error", "") if isinstance(error.response.data, dict) else ""
            if code in UNKNOWN:
                return None
            raise Unavailable(f"Slack does not say who {user} is: {code or 'no answer'}.", _LATER) from error
        except (OSError, SlackRequestError) as error:
            raise Unavailable(f"Slack cannot be asked who {user} is.", _LATER) from error
        return found


_LATER = "Nothing was done. Try again in a minute."


def _objection(found: Mapping[str, Any] | None, team: str) -> str:
    if found is None:
        return "Slack does not know them"
    if found.get("deleted"):
        return "their Slack account is deactivated"
    if found.get("is_restricted") or found.get("is_ultra_restricted"):
        return "they are a guest in this workspace"
    homes = {found.get("team_id"), *(found.get("enterprise_user") or {}).get("teams", ())}
    if found.get("is_stranger") or team not in homes:
        return "they belong to another workspace"
    return ""
