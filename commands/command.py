"""How a command is declared: one typed function, one decorator line. All else about a command is derived from here.

    @command("registry show", needs=[Need("sagemaker:DescribeModelPackage", "model-package/{group}/*")])
    def show(ctx: Context, version: int, *, env: Environment = "dev") -> Reply:
        '''Show a model version.'''

The signature is the arguments (`commands.parsing` turns text into them), the docstring the help, `needs` the session
policy. A handler is called as `handler(ctx, **arguments)`.
"""

from __future__ import annotations

import hashlib
import inspect
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Engine

from commands.reply import Audience, Fact, Reply
from pipeline.names import Names
from pipeline.tracking import Tracking

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


@dataclass(frozen=True)
class Approval:
    """A second person must agree. `role` is who may; `when` narrows it to some arguments (e.g. only prod)."""

    role: str
    when: Callable[[Mapping[str, Any]], bool] = lambda arguments: True


@dataclass(frozen=True)
class Plan:
    """What an approval or a confirmation is about.

    `title` and `facts` are shown; `bound` is hashed and must be the same when it runs.
    """

    title: str
    facts: Sequence[Fact]
    bound: Mapping[str, str]


@dataclass(frozen=True)
class Person:
    """Who asks: Slack team and user id, display name, and the role that the access file gives them."""

    team: str
    user: str
    name: str
    role: str


@dataclass(frozen=True)
class Attachment:
    """A file the person pointed at (message shortcut), already fetched."""

    name: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Context:
    """What a handler may use. Only `client` reaches AWS: it makes boto3 clients with the person's narrowed session."""

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
    changes: bool
    audience: Audience
    approval: Approval | None
    confirm: bool
    plan: Callable[..., Plan] | None
    example: str

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return (self.handler.__doc__ or "").strip().split("\n", 1)[0]


def command(
    name: str,
    *,
    needs: Sequence[Need] = (),
    changes: bool = False,
    audience: Audience = Audience.PERSON,
    approval: Approval | None = None,
    confirm: bool = False,
    plan: Callable[..., Plan] | None = None,
    example: str = "",
) -> Callable[[Handler], Handler]:
    """Declare a function as a command.

    `changes`: it alters something (never re-run after a crash, never a cached session). `confirm`: asks before acting
    unless `--yes` is typed. `plan(ctx, **arguments) -> Plan`: required with `approval` or `confirm`.
    """

    def declare(handler: Handler) -> Handler:
        if (approval or confirm) and plan is None:
            raise TypeError(f"{name}: a command that asks first needs a plan to show")
        for need in needs:
            _check(name, need, handler)
        declared = Command(name, handler, tuple(needs), changes, audience, approval, confirm, plan, example)
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
