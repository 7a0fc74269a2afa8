"""What is written in `sandbox/config/workspace.yaml`, as frozen objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

DEFAULT_FILE = Path(__file__).parent.parent / "config" / "workspace.yaml"


@dataclass(frozen=True)
class User:
    """A member of the workspace. `display` is what the page shows, `name` the handle behind `@`.

    `is_restricted`: a guest. `deleted`: deactivated.
    """

    id: str
    name: str
    display: str
    initials: str
    color: str
    about: str = ""
    role: str = ""
    """What the app lets them do, as its commands name it; empty for somebody the app does not know."""
    is_bot: bool = False
    is_restricted: bool = False
    deleted: bool = False
    tz: str = "Etc/UTC"


@dataclass(frozen=True)
class ChannelSeed:
    """A channel as it is when the workspace starts. `members` None means everybody."""

    id: str
    name: str
    purpose: str = ""
    members: Sequence[str] | None = None
    is_private: bool = False
    is_archived: bool = False


@dataclass(frozen=True)
class App:
    """The installed app: its bot user and what it is subscribed to and allowed to do."""

    id: str
    user: str
    bot: str
    name: str
    display: str
    initials: str
    color: str
    commands: Sequence[str]
    shortcuts: Sequence[Mapping[str, str]]
    events: Sequence[str]
    scopes: Sequence[str]
    anybody: Sequence[str] = ()
    """Commands worth suggesting to somebody without a role."""


@dataclass
class Rules:
    """Slack's clocks (seconds) and budgets. Tests may change them while the server runs."""

    ack_seconds: float = 3.0
    trigger_seconds: float = 3.0
    retry_seconds: Sequence[float] = (0.0, 60.0, 300.0)
    page_size: int = 20
    rates: bool = True
    channel_per_second: float = 1.0
    channel_burst: int = 4


@dataclass(frozen=True)
class Secrets:
    """What the app and the workspace share; never printed, never journalled."""

    bot_token: str = field(repr=False)
    signing_secret: str = field(repr=False)
    app_token: str = field(default="", repr=False)
    """Of an app in Socket Mode; without one deliveries go to the request URL."""


@dataclass(frozen=True)
class Config:
    """The whole workspace file."""

    team: Mapping[str, str]
    app: App
    users: dict[str, User]
    channels: Sequence[ChannelSeed]
    suggestions: Sequence[Mapping[str, str]]
    rules: Rules

    def shortcuts(self, kind: str) -> list[Mapping[str, str]]:
        """The app's shortcuts of a kind: `message`, which is what they are when nothing is said, or `global`."""
        return [entry for entry in self.app.shortcuts if entry.get("type", "message") == kind]

    @property
    def people(self) -> list[User]:
        """Everybody one can be on the page: who is deactivated cannot sign in."""
        return [user for user in self.users.values() if not (user.is_bot or user.deleted)]


def load(path: Path = DEFAULT_FILE) -> Config:
    """Read a workspace file. Raises `TypeError` or `KeyError` when a field is unknown or missing."""
    return parse(yaml.safe_load(path.read_text(encoding="utf-8")))


def parse(raw: Mapping[str, Any]) -> Config:
    """Build the configuration from the file's content."""
    app = App(**raw["app"])
    bot = User(app.user, app.name, app.display, app.initials, app.color, is_bot=True)
    users = {entry["id"]: User(**entry) for entry in raw["users"]} | {bot.id: bot}
    return Config(
        team=raw["team"],
        app=app,
        users=users,
        channels=[ChannelSeed(**entry) for entry in raw["channels"]],
        suggestions=raw.get("suggestions", []),
        rules=Rules(**raw.get("rules", {})),
    )
