"""Who is calling: users and roles from moto's IAM, sessions from our own STS."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock

from moto.iam.models import Group, IAMBackend, ManagedPolicy, Role, User, iam_backends

from sandbox.aws.errors import AwsError
from sandbox.aws.statements import Statement, Who, parse

Documents = tuple[tuple[Statement, ...], ...]


@dataclass(frozen=True)
class Session:
    """Temporary credentials of an assumed role and what was fixed when it was taken."""

    access_key_id: str
    secret: str = field(repr=False)
    token: str = field(repr=False)
    role_arn: str
    role_name: str
    role_id: str
    name: str
    issued: datetime
    expires: datetime
    policies: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    transitive: frozenset[str] = frozenset()
    source_identity: str | None = None


@dataclass(frozen=True)
class Principal:
    """A caller whose key is known. `who` is how policies see it; `kind` is `root`, `user` or `role-session`."""

    kind: str
    who: Who
    user_id: str
    user_name: str | None
    access_key_id: str
    secret: str = field(repr=False)
    session: Session | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        """ARN of the user, of the session, or of the account's root."""
        return self.who.arn

    @property
    def source_identity(self) -> str | None:
        """The person a chain of sessions began with, if it was stamped."""
        return self.session.source_identity if self.session else None

    def credentials(self) -> dict[str, str]:
        """The caller's own credentials, with which a service may act on the caller's behalf."""
        keys = {"AccessKeyId": self.access_key_id, "SecretAccessKey": self.secret}
        return keys | ({"SessionToken": self.session.token} if self.session else {})


class Directory:
    """All keys and policies of one account."""

    def __init__(self, account: str) -> None:
        self.account = account
        self._lock = Lock()
        self._sessions: dict[str, Session] = {}
        self._root: tuple[str, str] | None = None

    @property
    def iam(self) -> IAMBackend:
        """Moto's IAM of this account: users, roles, policies."""
        return iam_backends[self.account]["aws"]

    def set_root(self, access_key_id: str, secret: str) -> None:
        """Make a key the account root's: it passes the policies, never the signature check."""
        self._root = (access_key_id, secret)

    def add(self, session: Session) -> None:
        """Remember a new session; sessions that ran out an hour ago are forgotten."""
        with self._lock:
            horizon = session.issued.timestamp() - 3600
            self._sessions = {k: s for k, s in self._sessions.items() if s.expires.timestamp() > horizon}
            self._sessions[session.access_key_id] = session

    def find(self, key_id: str) -> Principal | None:
        """The principal a key belongs to; None for an unknown, inactive or deleted key."""
        if self._root is not None and key_id == self._root[0]:
            who = Who(self.account, f"arn:aws:iam::{self.account}:root")
            return Principal("root", who, self.account, None, key_id, self._root[1])
        if session := self._sessions.get(key_id):
            return self._session_principal(session)
        for user in list(self.iam.users.values()):
            for key in user.access_keys:
                if key.access_key_id == key_id and key.status == "Active":
                    who = Who(self.account, user.arn)
                    tags = {tag["Key"]: tag["Value"] for tag in user.tags or []}
                    return Principal("user", who, user.id, user.name, key_id, key.secret_access_key, tags=tags)
        return None

    def _session_principal(self, session: Session) -> Principal:
        arn = f"arn:aws:sts::{self.account}:assumed-role/{session.role_name}/{session.name}"
        who = Who(self.account, arn, role_arn=session.role_arn)
        role = self.role(session.role_arn)
        tags = {**(self.role_tags(role) if role else {}), **session.tags}
        user_id = f"{session.role_id}:{session.name}"
        return Principal("role-session", who, user_id, None, session.access_key_id, session.secret, session, tags)

    def role(self, arn: str) -> Role | None:
        """The role of an ARN, if it exists."""
        return next((role for role in list(self.iam.roles.values()) if role.arn == arn), None)

    def identity_policies(self, principal: Principal) -> Documents:
        """Inline, attached and (for users) group policies. A deleted role has none."""
        owner: User | Role | None
        if principal.session is not None:
            owner = self.role(principal.session.role_arn)
        else:
            owner = self.iam.users.get(principal.user_name or "")
        if owner is None:
            return ()
        owners: list[User | Role | Group] = [owner]
        if isinstance(owner, User):
            owners += self.iam.get_groups_for_user(owner.name)
        return tuple(
            parse(text)
            for each in owners
            for text in [
                *each.policies.values(),
                *(version_in_force(policy) for policy in each.managed_policies.values()),
            ]
        )

    def boundary(self, principal: Principal) -> Documents | None:
        """The permissions boundary of a role's session, None without one. A boundary that is gone allows nothing."""
        role = self.role(principal.session.role_arn) if principal.session else None
        if role is None or not role.permissions_boundary_arn:
            return None
        policy = self.iam.managed_policies.get(role.permissions_boundary_arn)
        return () if policy is None else (parse(version_in_force(policy)),)

    @staticmethod
    def role_tags(role: Role) -> dict[str, str]:
        """Tags of a role."""
        raw = role.tags
        return {tag["Key"]: tag["Value"] for tag in (raw.values() if isinstance(raw, dict) else raw or [])}

    @staticmethod
    def session_policies(principal: Principal) -> Documents | None:
        """The policies passed when the session was taken; None when there were none."""
        if principal.session is None or not principal.session.policies:
            return None
        return tuple(parse(text) for text in principal.session.policies)


def check_token(principal: Principal, token: str | None, now: datetime) -> None:
    """Temporary keys need their token and must not have run out. Raises AwsError."""
    if principal.session is None:
        if token is not None:
            raise invalid_token()
        return
    if token is None or not hmac.compare_digest(token.encode(), principal.session.token.encode()):
        raise invalid_token()
    if now >= principal.session.expires:
        raise AwsError("ExpiredToken", "The security token included in the request is expired", 403)


def invalid_token() -> AwsError:
    """Unknown key, or a token that is not the key's."""
    return AwsError("InvalidClientTokenId", "The security token included in the request is invalid.", 403)


def version_in_force(policy: ManagedPolicy) -> str:
    """The text of a managed policy's default version."""
    return next(version.document for version in policy.versions if version.is_default)
