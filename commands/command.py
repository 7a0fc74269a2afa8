"""How a command is declared: one typed function, one decorator line. All else about a command is derived from here.

    @command("registry show", allowed=READERS, needs=[Need("sagemaker:DescribeModelPackage", "model-package/*")])
    def show(ctx: Context, version: int, *, env: Environment = "dev") -> Reply:
        '''Show a model version.'''

The signature is the arguments (`commands.parsing` turns text into them), the docstring the help, `needs` the session
policy, `allowed` the row of the access matrix, which a test compares with what AWS says. A handler is called as
`handler(ctx, **arguments)`.
"""

from __future__ import annotations

import hashlib
import inspect
import math
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

from sqlalchemy import Engine

from alerts.routes import Routes
from commands.reply import Audience, Fact, Finding, Link, Reply
from pipeline.errors import BadInput
from pipeline.names import ENVIRONMENTS, Environment, Monitor, Names
from pipeline.prices import Component
from pipeline.tracking import Tracking
from state.grants import Grant

Handler = TypeVar("Handler", bound=Callable[..., Reply])


@dataclass(frozen=True)
class Need:
    """AWS actions a command performs, on which resources.

    `actions` is one action or several, `resource` an ARN template or `*`. A template without `arn:` is a SageMaker
    resource of this account and region. Fields: `{account} {region} {bucket} {data_bucket}`, where there is an
    environment `{env} {pipeline} {group} {stack}`, and every argument of the command by its name. Unknown fields are
    an error when the command is declared.
    """

    actions: str | Sequence[str]
    resource: str = "*"
    env: str | None = None
    """Fixed environment for `{env}`, `{pipeline}`, `{group}`, `{stack}` when it is not the command's `env` argument."""
    only: str | None = None
    """The argument without which it is not needed: the session is not given what this line does not do."""

    where: tuple[Environment, ...] = ENVIRONMENTS
    """The environments in which it is needed."""

    def applies(self, arguments: Mapping[str, Any]) -> bool:
        """Whether a command with these arguments needs it."""
        here = arguments.get("env")
        return (self.only is None or bool(arguments.get(self.only))) and (here is None or here in self.where)


Allowed = Mapping[str, tuple[Environment, ...]]
"""Environments by role, as the access matrix has them."""

READERS: Allowed = MappingProxyType(
    {"data-scientist": ("dev",), "ml-engineer": ENVIRONMENTS, "stakeholder": ENVIRONMENTS}
)
"""Who may look at runs, models and deployments, and where."""


@dataclass(frozen=True)
class Approval:
    """A second person must agree. `role` is who may; `when` narrows it to some arguments (e.g. only prod).

    `asked_by`: who may ask for it and not do it: the plan is theirs to read, the change runs as the person who agrees.
    `standing`: only somebody whose own role it is may agree, not somebody who holds it for a while.
    """

    role: str | Callable[[Mapping[str, Any]], str]
    when: Callable[[Mapping[str, Any]], bool] = lambda arguments: True
    asked_by: Allowed = field(default_factory=dict)
    standing: bool = False

    def role_for(self, arguments: Mapping[str, Any]) -> str:
        """The role that decides on a command with these arguments."""
        return self.role if isinstance(self.role, str) else self.role(arguments)


@dataclass(frozen=True)
class Plan:
    """What an approval or a confirmation is about.

    `title` and `facts` are shown; `bound` is hashed and must be the same when it runs.
    """

    title: str
    facts: Sequence[Fact]
    bound: Mapping[str, str]


@dataclass(frozen=True)
class Use:
    """Instances that a line puts to work: those of a step's job, or with `stays` what runs until it is deleted.

    `seconds` is what it typically takes where nothing like it has run, `most_s` when SageMaker stops it. Its time grows
    with the product of what `grows_with` names in the work, the image size twice. `instead` are other instance types,
    `spot`: on capacity that AWS may take back.
    """

    step: str
    component: Component
    instance_type: str
    seconds: float = 0.0
    most_s: float = math.inf
    grows_with: Sequence[str] = ()
    stays: bool = False
    instances: int = 1
    instead: Sequence[str] = ()
    spot: bool = False


@dataclass(frozen=True)
class Spend:
    """What a line will use. `work` is how much it does (epochs, photos, image_size), as far as the line says.

    `less` is the same line with less of something, in words and as work: `--epochs 2`.
    """

    uses: Sequence[Use]
    work: Mapping[str, int] = field(default_factory=dict)
    less: tuple[str, Mapping[str, int]] | None = None


@dataclass(frozen=True)
class Person:
    """Who asks: Slack team and user id, display name, and the role they act as.

    That is the role the access file gives them, unless one of `elevations` (roles held for a while) is what it takes.
    """

    team: str
    user: str
    name: str
    role: str
    elevations: Sequence[Grant] = ()

    def holds(self, role: str, *, standing: bool = False) -> bool:
        """Whether this role is theirs now; `standing`: by the access file, not for a while."""
        for_a_while = any(grant.role == role for grant in self.elevations)
        return not for_a_while and role == self.role if standing else for_a_while or role == self.role


@dataclass(frozen=True)
class Attachment:
    """A file the person pointed at (message shortcut), already fetched."""

    name: str
    data: bytes = field(repr=False)


def _blind(service: str) -> Any:
    raise TypeError(f"this context was given no eyes of the bot's own to read {service} with")


def _unrouted() -> Routes:
    raise TypeError("this context knows no routes")


def no_file(path: str) -> bytes:
    """Outside of a terminal nobody names files. Raises BadInput."""
    raise BadInput(f"{path[:60]!r} is neither an event nor the id of an alert.", "Paste the event, from { to }.")


def _unchecked() -> Sequence[Finding]:
    raise TypeError("this context cannot look at the installation")


def _unheard(link: Link) -> None:
    raise TypeError("nobody can be whispered to in this context")


@dataclass(frozen=True)
class Context:
    """What a handler may use. `client` reaches AWS: it makes boto3 clients with the person's narrowed session.

    `eyes` are the bot's own read-only clients, for what an approval shows to whoever decides, where the person who
    asks may not look. `holders` names who holds a role now, `notify` the channel that hears of a role's approvals.
    """

    person: Person
    invocation: str
    names: Names
    client: Callable[[str], Any]
    tracking: Tracking
    state: Engine
    channel: str | None = None
    approval: str | None = None
    attachment: Attachment | None = None
    web_links: Mapping[str, str] = field(default_factory=dict)
    people: Mapping[str, str] = field(default_factory=dict)
    """Role by Slack user of this workspace, as the access file has it."""
    eyes: Callable[[str], Any] = field(default=_blind, repr=False)
    holders: Callable[[str], Sequence[str]] = field(default=lambda role: (), repr=False)
    notify: Mapping[str, str] = field(default_factory=dict)
    zone: Callable[[], str] = field(default=lambda: "", repr=False)
    """The IANA time zone of the person's Slack profile, empty where that is not known. Raises Unavailable."""
    routes: Callable[[], Routes] = field(default=_unrouted, repr=False)
    """Where alerts go, by the routes file as it is now."""
    clarify_image: str = ""
    """Address of Clarify's image in this region, which explanations need where `monitor` is native."""
    local_file: Callable[[str], bytes] = field(default=no_file, repr=False)
    """A file on the machine of whoever types in a terminal. Raises BadInput when there is none, as in Slack."""
    monitor: Monitor = "processing"
    """What watches the deployments that are made."""
    checkup: Callable[[], Sequence[Finding]] = field(default=_unchecked, repr=False)
    """Looks at everything the installation stands on, with the bot's own eyes. Raises nothing."""
    whisper: Callable[[Link], None] = field(default=_unheard, repr=False)
    """Shows the person a link that is a key, at once and unrecorded. Raises Refused or Unavailable when it cannot."""

    @property
    def token(self) -> str:
        """A client request token (64 characters) for AWS: the same invocation never does the same thing twice."""
        return hashlib.sha256(self.invocation.encode()).hexdigest()


@dataclass(frozen=True)
class Command:
    """A declared command. `name` is what people type after `/mlops`."""

    name: str
    handler: Callable[..., Reply]
    needs: Sequence[Need]
    allowed: Allowed | None
    changes: bool
    audience: Audience
    approval: Approval | None
    confirm: bool
    plan: Callable[..., Plan] | None
    spends: Callable[..., Spend | None] | None
    example: str

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return (self.handler.__doc__ or "").strip().split("\n", 1)[0]

    def may(self, role: str, env: Environment | None = None) -> bool:
        """Whether AWS lets a role do this in an environment; without one, in any."""
        if self.allowed is None:
            return True
        where = self.allowed.get(role, ())
        return env in where if env else bool(where)

    def open_to(self, role: str) -> bool:
        """Whether a role may do this or ask for it, somewhere: whether it is worth showing."""
        return self.may(role) or (self.approval is not None and bool(self.approval.asked_by.get(role)))


def command(
    name: str,
    *,
    allowed: Allowed | None,
    needs: Sequence[Need] = (),
    changes: bool = False,
    audience: Audience = Audience.PERSON,
    approval: Approval | None = None,
    confirm: bool = False,
    plan: Callable[..., Plan] | None = None,
    spends: Callable[..., Spend | None] | None = None,
    example: str = "",
) -> Callable[[Handler], Handler]:
    """Declare a function as a command.

    `allowed`: the environments in which AWS lets each role do it, with an approval where one is declared (all three for
    what touches no single environment); None for what everybody may do, which calls nothing in AWS but one's identity.
    `changes`: it alters something (never re-run after a crash, never a cached session). `confirm`: asks before acting
    unless `--yes` is typed. `plan(ctx, **arguments) -> Plan`: required with `approval` or `confirm`.
    `spends(ctx, **arguments)`: what it will use, None for arguments that use nothing. The price is shown before it
    runs, and asked about when it is high, so such a command takes `yes`.
    """

    def declare(handler: Handler) -> Handler:
        if (approval or confirm) and plan is None:
            raise TypeError(f"{name}: a command that asks first needs a plan to show")
        if spends and "yes" not in inspect.signature(handler).parameters:
            raise TypeError(f"{name}: a command that spends may have to ask first, and takes `yes`")
        for need in needs:
            _check(name, need, handler)
        about = (name, handler, tuple(needs), allowed, changes, audience, approval, confirm, plan, spends, example)
        declared = Command(*about)
        handler.__command__ = declared  # type: ignore[attr-defined]
        return handler

    return declare


_FIELDS = frozenset({"account", "region", "bucket", "data_bucket"})
_FIELDS_OF_ENV = frozenset({"env", "pipeline", "group", "stack"})


def _check(name: str, need: Need, handler: Callable[..., Reply]) -> None:
    """Raise TypeError when the need's template names a field that nothing will fill."""
    arguments = set(inspect.signature(handler).parameters)
    known = _FIELDS | arguments | (_FIELDS_OF_ENV if need.env or "env" in arguments else frozenset())
    used = {field for _, field, _, _ in string.Formatter().parse(need.resource) if field is not None}
    if used - known:
        raise TypeError(f"{name}: the need {need.resource!r} has unknown fields {sorted(used - known)}")
