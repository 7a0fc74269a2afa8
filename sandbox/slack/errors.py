"""The error with which a Web API call ends: `{"ok": false, "error": code}` at HTTP 200."""

from __future__ import annotations

from typing import Any


class SlackError(Exception):
    """A refusal in Slack's own words. `extra` are further fields of the answer."""

    def __init__(self, code: str, **extra: Any) -> None:
        super().__init__(code)
        self.code = code
        self.extra = extra

    def body(self) -> dict[str, Any]:
        """The answer's JSON."""
        return {"ok": False, "error": self.code, **self.extra}


class NoSuchThing(Exception):
    """The control API or the page named something that is not there (user, channel, message, button)."""
