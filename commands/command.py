"""How a command is declared: one typed function, one decorator line. Everything else about a command is derived from here.

    @command("registry request", needs=[Need("sagemaker:DescribeModelPackage", "model-package/{group}/*")], approval=Approval("ml-engineer"))
    def request(ctx: Context, version: int, *, to: Literal["staging", "prod"] = "staging") -> Reply:
        '''Ask for a version to be promoted to the next environment.'''

The signature is the arguments (`commands.parsing` turns text into them), the docstring the help, `needs` the session policy.
"""

from __future__ import annotations

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
    resource of this account and region. Fields: `{account} {region} {env} {bucket} {data_bucket} {pipeline} {group} {stack}`
    and every argument of the command by its name. Unknown fields are an error when the command is declared.
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
    """What an approval or a confirmation is about: `title` and `facts` are shown, `bound` is hashed and must be the same when it runs."""

    title: str
    facts: Sequence[Fact]
    bound: Mapping[str, str]


@dataclass(frozen=True)
class Person:
    """Who asks: Slack team and user id, display name, and the role the access file gives them (`data-scientist`, ...)."""

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
    """What a handler may use. `client` makes boto3 clients with this person's narrowed session; nothing else reaches AWS."""

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
        declared = Command(name, handler, tuple(needs), changes, audience, approval, confirm, plan, example)
        handler.__command__ = declared  # type: ignore[attr-defined]
        return handler

    return declare
