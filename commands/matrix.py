"""The access matrix: for every command, role and environment the AWS calls behind it and what is expected of AWS.

All of it comes from the declarations (`needs`, `allowed`, `approval`). Whether AWS agrees is asked by `iam.explain`,
and judged by `disagreement`: the bot's own checks play no part in either.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Any

from commands import all_commands
from commands.command import Allowed, Approval, Command, Need
from commands.parsing import Option, options
from iam.explain import Call, simulate
from iam.mapping import ROLES
from iam.policy import resource, statements
from pipeline.names import ENVIRONMENTS, Environment, Names
from pipeline.registry import PREVIOUS


class Outcome(StrEnum):
    """What a role is expected to get; the words are those of the published matrix."""

    ALLOWED = "yes"
    APPROVAL = "with approval"
    ASKS = "may ask"
    """Reads what the plan shows and opens the approval; the change then runs as the person who agrees."""
    DENIED = "no"


MARKS: Mapping[Outcome, str] = MappingProxyType(
    {Outcome.ALLOWED: "", Outcome.APPROVAL: " (approval)", Outcome.ASKS: " (may ask)"}
)
"""What stands behind an environment in a list of them."""


@dataclass(frozen=True)
class Row:
    """One thing people do through AWS. `environments` is `(None,)` for what touches no single environment."""

    name: str
    needs: Sequence[Need]
    allowed: Allowed
    changes: bool
    environments: tuple[Environment | None, ...]
    approval: Approval | None = None
    options: Sequence[Option] = ()

    def outcome(self, role: str, env: Environment | None) -> Outcome:
        """What AWS is expected to say to a role."""
        where = self.allowed.get(role, ())
        asks = self.approval is not None and self.approval.when(self._arguments(env))
        if (env in where) if env else where:
            return Outcome.APPROVAL if asks else Outcome.ALLOWED
        asking = self.approval.asked_by.get(role, ()) if self.approval else ()
        return Outcome.ASKS if ((env in asking) if env else asking) else Outcome.DENIED

    def where(self, role: str) -> str:
        """Where a role may do it, in a few words: `staging, prod (approval)`."""
        found = [(env, self.outcome(role, env)) for env in self.environments]
        return ", ".join(f"{env or 'yes'}{MARKS[outcome]}" for env, outcome in found if outcome in MARKS) or "no"

    def calls(self, names: Names, env: Environment | None) -> list[Call]:
        """The calls in an environment, on representative resources."""
        found = (
            Call(action, arn, _context(action, arn, names, env))
            for need in self.needs
            if need.applies(self._arguments(env))
            for arn in [_representative(need, self._arguments(env), names, env)]
            for action in ([need.actions] if isinstance(need.actions, str) else need.actions)
        )
        return list(dict.fromkeys(found))

    def session_policy(self, names: Names, env: Environment | None) -> dict[str, Any]:
        """What a session for it is narrowed to, with the arguments at their defaults."""
        given = self._arguments(env)
        needs = [(need.actions, need.resource, need.env) for need in self.needs if need.applies(given)]
        return statements(needs, names, given)

    def _arguments(self, env: Environment | None) -> dict[str, Any]:
        """Every argument at its default; the environment where one is asked for."""
        given = {option.name: option.default for option in self.options}
        return given | {"env": env} | ({"to": env} if "to" in given else {})


@dataclass(frozen=True)
class Cell:
    """One command for one role in one environment."""

    row: Row
    role: str
    env: Environment | None

    @property
    def outcome(self) -> Outcome:
        """What is expected."""
        return self.row.outcome(self.role, self.env)

    def __str__(self) -> str:
        return f"{self.row.name} as {self.role}" + (f" in {self.env}" if self.env else "")


PUBLISH = Row(
    "python -m pipeline.publish",
    needs=(
        Need("s3:PutObject", "arn:aws:s3:::{bucket}/{env}/code/*"),
        Need(
            ("sagemaker:DescribePipeline", "sagemaker:CreatePipeline", "sagemaker:UpdatePipeline", "sagemaker:AddTags"),
            "pipeline/{pipeline}",
        ),
        Need("iam:PassRole", "arn:aws:iam::{account}:role/groundcrew-{env}-execution"),
    ),
    allowed={"data-scientist": ("dev",), "ml-engineer": ("dev", "staging")},
    changes=True,
    environments=ENVIRONMENTS,
)
"""Publishing is no command of the bot: an operator runs it, in the role of an ML engineer."""


@cache
def rows() -> tuple[Row, ...]:
    """Every command that calls AWS, in the order of help, and publishing."""
    return (*(of(each) for each in all_commands().values() if each.needs), PUBLISH)


def of(command: Command) -> Row:
    """The row of a command."""
    arguments = options(command)
    allowed = command.allowed if command.allowed is not None else dict.fromkeys(ROLES, ENVIRONMENTS)
    where = _environments(arguments)
    row = Row(command.name, command.needs, allowed, command.changes, where, command.approval, arguments)
    apart = {tuple(row.calls(Names("", ""), env)) for env in where}
    return row if len(apart) > 1 else replace(row, environments=(None,))


def cells() -> Iterator[Cell]:
    """The whole matrix."""
    for row in rows():
        for role in ROLES:
            for env in row.environments:
                yield Cell(row, role, env)


def reads(action: str) -> bool:
    """Whether an action changes nothing; to make an address does not either."""
    looks = ("Describe", "List", "Get", "View", "Lookup", "Simulate", "Invoke", "CreatePresigned")
    return action.partition(":")[2].startswith(looks)


def disagreement(cell: Cell, calls: Sequence[Call], plain: Collection[Call], tagged: Collection[Call]) -> str:
    """What AWS says otherwise than the matrix, in words; empty when they agree.

    `plain` are the calls that AWS allows in an ordinary session, `tagged` those in one with the `approval` tag. In
    production it is not enough that one call of a change is denied: without the tag, every call that changes something
    must be.
    """
    refused = [call for call in calls if call not in plain]
    refused_tagged = [call for call in calls if call not in tagged]
    if cell.outcome is Outcome.ALLOWED:
        return _wrongly(cell, "denies", refused or refused_tagged)
    if cell.outcome is Outcome.APPROVAL and refused_tagged:
        return _wrongly(cell, "denies, with an approval", refused_tagged)
    if cell.outcome is Outcome.ASKS and any(reads(call.action) for call in refused):
        return _wrongly(cell, "does not let the plan read", refused)
    if not refused:
        return _wrongly(cell, "allows without an approval", calls)
    if cell.outcome is not Outcome.APPROVAL and not refused_tagged:
        return _wrongly(cell, "allows with an approval", calls)
    if cell.env == "prod":
        return _wrongly(cell, "lets through in production", [c for c in calls if c in plain and not reads(c.action)])
    return ""


def _wrongly(cell: Cell, verb: str, calls: Sequence[Call]) -> str:
    """The sentence of a disagreement; empty without a call to name."""
    named = ", ".join(f"{call.action} on {call.resource}" for call in calls)
    return f"{cell} is {cell.outcome.value!r} in the matrix, but AWS {verb}: {named}" if named else ""


def _environments(arguments: Sequence[Option]) -> tuple[Environment | None, ...]:
    """Where a command can be asked to act: the choices of `env` or `to`, all when it says nothing about them."""
    argument = next((option for option in arguments if option.name in ("env", "to")), None)
    if argument is None:
        return (None,)
    return tuple(env for env in ENVIRONMENTS if env in argument.values.split("|"))


_ID = "0a1b2c3d"
"""Stands for what a person or AWS would name: an execution, a package's version, a key."""


def _representative(need: Need, arguments: Mapping[str, Any], names: Names, env: Environment | None) -> str:
    """The need's resource with something real for each `*`.

    Where the `*` stands for an environment, it is the one that the command reads: for a promotion the one before.
    """
    where = need.env or env
    about: Environment = next((each for each in ENVIRONMENTS if each == where), "dev")
    read = PREVIOUS.get(about, about) if "to" in arguments else about
    arn = resource(need.resource, names, arguments, need.env or env)
    if arn == "*":
        return arn
    arn = arn.replace("groundcrew-*-", f"groundcrew-{read}-").replace(f"{names.bucket}/*/", f"{names.bucket}/{read}/")
    return re.sub(r"\*+", _ID, arn.replace("/*Jobs:", "/ProcessingJobs:"))


def _context(action: str, arn: str, names: Names, within: Environment | None) -> tuple[tuple[str, str], ...]:
    """What the request says besides action and resource, as far as a policy asks: pairs of context key and value."""
    service, _, verb = action.partition(":")
    env = next((each for each in ENVIRONMENTS if f"groundcrew-{each}-" in arn), None)
    if action == "iam:PassRole":
        service = "cloudformation" if arn.endswith("-deploy") else "sagemaker"
        return (("iam:PassedToService", f"{service}.amazonaws.com"),)
    if action == "s3:ListBucket":
        own = arn.endswith(f":{names.bucket}")
        return (("s3:prefix", f"{within}/monitoring/" if own and within else "survey/images/"),)
    if action == "sagemaker:CreatePresignedDomainUrl":  # one's own profile, which carries one's name as a tag
        return (("aws:SourceIdentity", "T0.U0"), ("sagemaker:ResourceTag/SlackUser", "T0.U0"))
    if service == "cloudformation" and env and not reads(action):
        role = ("cloudformation:RoleArn", names.role(f"{env}-deploy"))
        template = f"https://{names.bucket}.s3.{names.region}.amazonaws.com/{env}/code/{_ID}/deployment.yaml"
        return (role, ("cloudformation:TemplateUrl", template)) if verb in ("CreateStack", "UpdateStack") else (role,)
    return ()


def prove(iam: Any, names: Names) -> Iterator[tuple[Cell, str]]:
    """Ask IAM about every cell of the matrix: the cell and what is wrong with it, empty when AWS agrees.

    `iam` is a client of somebody who may simulate the roles; nothing of the bot takes part.
    """
    for role in ROLES:
        mine = [(cell, cell.row.calls(names, cell.env)) for cell in cells() if cell.role == role]
        every = list(dict.fromkeys(call for _, calls in mine for call in calls))
        plain, tagged = (
            {verdict.call for verdict in simulate(iam, names, role, every, approved=approved) if verdict.allowed}
            for approved in (False, True)
        )
        for cell, calls in mine:
            yield cell, disagreement(cell, calls, plain, tagged)
