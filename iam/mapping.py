"""Who a Slack user is to AWS: the access file, checked whenever it is read and read again whenever it has changed.

    contact: an ML engineer in the channel ml-prod
    teams:
      T0123456789:
        data-scientist: [U0123456789]
        ml-engineer: [U1123456789]
        stakeholder: []
    notify:
      ml-engineer: C0123456789

Slack says who a person is, this file which role that person has, AWS what the role may do. `notify` (may be left out)
is the channel that hears of what a role is asked to agree to; who may agree is the list of people, whoever reads along.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from pipeline.yaml_lines import YamlFile

ROLES = ("data-scientist", "ml-engineer", "stakeholder")
"""The roles a person can have (iam/roles.yaml has further ones, for machines)."""

_TEAM = re.compile(r"T[A-Z0-9]{2,}")
_USER = re.compile(r"[UW][A-Z0-9]{2,}")
_GROUP = re.compile(r"(<!subteam\^)?S[A-Z0-9]{2,}.*|@.+")
_CHANNEL = re.compile(r"[CG][A-Z0-9]{2,}")


@dataclass(frozen=True)
class Access:
    """The access file. `contact` is whom somebody without a role should ask; `roles` is role by (team, user).

    `notify` is a channel by role.
    """

    contact: str
    roles: Mapping[tuple[str, str], str]
    notify: Mapping[str, str] = field(default_factory=dict)

    def role_of(self, team: str, user: str) -> str | None:
        """The person's role; None for somebody the file does not name."""
        return self.roles.get((team, user))

    def members(self, role: str, team: str | None = None) -> Sequence[str]:
        """The Slack users with a role, in the file's order; of one team when it is given."""
        return [user for (where, user), given in self.roles.items() if given == role and team in (None, where)]

    def of_team(self, team: str) -> Mapping[str, str]:
        """Role by Slack user of one workspace."""
        return {user: role for (where, user), role in self.roles.items() if where == team}

    def advice(self, user: str) -> str:
        """What to tell somebody without a role."""
        return f"Ask {self.contact} to add {user} to the access file, with one of: {', '.join(ROLES)}."


class AccessFile:
    """The access file as it is now: a role given or taken away counts from the next question on.

    Read when made, so that a mistake in it is known at the start. Threads may share one.
    """

    def __init__(self, path: Path | str) -> None:
        self._file = _file(path)
        self._lock = threading.Lock()
        self._read = self._file.stamp(), _access(self._file)

    def now(self) -> Access:
        """What it says. Raises BadInput, naming file and line, as long as it has a mistake: nobody has a role then."""
        with self._lock:
            stamp = self._file.stamp()
            if self._read[0] != stamp:
                self._read = stamp, _access(self._file)
            return self._read[1]


def load(path: Path | str) -> Access:
    """Read the access file. Raises BadInput, naming file and line, for whatever is not as the example above."""
    return _access(_file(path))


def _file(path: Path | str) -> YamlFile:
    return YamlFile(Path(path), "The access file", "See iam/access.yaml for the form.")


def _access(file: YamlFile) -> Access:
    sections = file.known(file.root(), "the file", ("contact", "teams", "notify"), needed=("contact", "teams"))
    roles: dict[tuple[str, str], str] = {}
    for team, (key, node) in file.pairs(sections["teams"], "teams").items():
        if not _TEAM.fullmatch(team):
            raise file.refused(key, f"{team!r} is not the id of a Slack team")
        _team(file, team, node, roles)
    notify = _notify(file, sections["notify"]) if "notify" in sections else {}
    return Access(file.text(sections["contact"], "contact"), roles, notify)


def _notify(file: YamlFile, node: yaml.Node) -> dict[str, str]:
    channels = {}
    for role, (key, value) in file.pairs(node, "notify").items():
        if role not in ROLES:
            raise file.refused(key, f"unknown role {role!r}; the roles are {', '.join(ROLES)}")
        channels[role] = file.text(value, "a channel")
        if not _CHANNEL.fullmatch(channels[role]):
            raise file.refused(value, f"{channels[role]!r} is not the id of a Slack channel")
    return channels


def _team(file: YamlFile, team: str, node: yaml.Node, roles: dict[tuple[str, str], str]) -> None:
    for role, (key, people) in file.pairs(node, team).items():
        if role not in ROLES:
            raise file.refused(key, f"unknown role {role!r}; the roles are {', '.join(ROLES)}")
        for item in file.items(people, f"{role} must be a list of Slack user ids"):
            user = file.text(item, "a user")
            if _GROUP.fullmatch(user):
                reaches = "" if role == "data-scientist" else ", and a group never grants staging or prod"
                raise file.refused(item, f"{user} is a user group{reaches}; name the people")
            if not _USER.fullmatch(user):
                raise file.refused(item, f"{user!r} is not the id of a Slack user")
            if (team, user) in roles:
                raise file.refused(item, f"{user} is named twice; a person has one role")
            roles[team, user] = role
