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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from pipeline.errors import BadInput

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
        self._path = Path(path)
        self._lock = threading.Lock()
        self._read = self._stamp(), load(self._path)

    def now(self) -> Access:
        """What it says. Raises BadInput, naming file and line, as long as it has a mistake: nobody has a role then."""
        with self._lock:
            stamp = self._stamp()
            if self._read[0] != stamp:
                self._read = stamp, load(self._path)
            return self._read[1]

    def _stamp(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError as fault:
            raise BadInput(f"The access file {self._path} cannot be read: {fault.strerror}.", _EXAMPLE) from fault
        return found.st_mtime_ns, found.st_size, found.st_ino


def load(path: Path | str) -> Access:
    """Read the access file. Raises BadInput, naming file and line, for whatever is not as the example above."""
    path = Path(path)
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as fault:
        raise BadInput(f"The access file {path} cannot be read: {fault.strerror}.", _EXAMPLE) from fault
    except yaml.YAMLError as fault:
        raise BadInput(f"The access file {path} is not YAML: {fault}", _EXAMPLE) from fault
    return _Reader(path).access(root)


_EXAMPLE = "See iam/access.yaml for the form."


class _Reader:
    """Walks the YAML nodes, which know their lines; a mapping of plain values would have lost duplicates and lines."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def access(self, root: yaml.Node | None) -> Access:
        sections = dict(self._pairs(root, "the file"))
        for name, (key, _) in sections.items():
            if name not in ("contact", "teams", "notify"):
                raise self._refused(key, f"unknown entry {name!r}")
        for name in ("contact", "teams"):
            if name not in sections:
                raise BadInput(f"The access file {self.path} has no {name!r}.", _EXAMPLE)
        roles: dict[tuple[str, str], str] = {}
        for team, (key, node) in self._pairs(sections["teams"][1], "teams"):
            if not _TEAM.fullmatch(team):
                raise self._refused(key, f"{team!r} is not the id of a Slack team")
            self._team(team, node, roles)
        notify = self._notify(sections["notify"][1]) if "notify" in sections else {}
        return Access(self._text(sections["contact"][1], "contact"), roles, notify)

    def _notify(self, node: yaml.Node) -> dict[str, str]:
        channels = {}
        for role, (key, value) in self._pairs(node, "notify"):
            if role not in ROLES:
                raise self._refused(key, f"unknown role {role!r}; the roles are {', '.join(ROLES)}")
            channels[role] = self._text(value, "a channel")
            if not _CHANNEL.fullmatch(channels[role]):
                raise self._refused(value, f"{channels[role]!r} is not the id of a Slack channel")
        return channels

    def _team(self, team: str, node: yaml.Node, roles: dict[tuple[str, str], str]) -> None:
        for role, (key, people) in self._pairs(node, team):
            if role not in ROLES:
                raise self._refused(key, f"unknown role {role!r}; the roles are {', '.join(ROLES)}")
            if not isinstance(people, yaml.SequenceNode):
                raise self._refused(people, f"{role} must be a list of Slack user ids")
            for item in people.value:
                user = self._text(item, "a user")
                if _GROUP.fullmatch(user):
                    reaches = "" if role == "data-scientist" else ", and a group never grants staging or prod"
                    raise self._refused(item, f"{user} is a user group{reaches}; name the people")
                if not _USER.fullmatch(user):
                    raise self._refused(item, f"{user!r} is not the id of a Slack user")
                if (team, user) in roles:
                    raise self._refused(item, f"{user} is named twice; a person has one role")
                roles[team, user] = role

    def _pairs(self, node: yaml.Node | None, what: str) -> Iterator[tuple[str, tuple[yaml.Node, yaml.Node]]]:
        if not isinstance(node, yaml.MappingNode):
            line = f"{self.path}, line {node.start_mark.line + 1}" if node else f"{self.path}"
            raise BadInput(f"{line}: {what} must be a mapping.", _EXAMPLE)
        seen: set[str] = set()
        for key, value in node.value:
            name = self._text(key, "a name")
            if name in seen:
                raise self._refused(key, f"{name!r} is there twice")
            seen.add(name)
            yield name, (key, value)

    def _text(self, node: yaml.Node, what: str) -> str:
        if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
            raise self._refused(node, f"{what} must be a text")
        return str(node.value)

    def _refused(self, node: yaml.Node, why: str) -> BadInput:
        return BadInput(f"{self.path}, line {node.start_mark.line + 1}: {why}.", _EXAMPLE)
