"""The pages below docs/ that are made from the declarations: `python -m bot docs` writes them, a test compares them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from commands import all_commands, matrix
from commands.command import Command
from commands.form import has_form
from commands.matrix import Row
from commands.parsing import Option, options, usage
from commands.reply import Audience
from iam.mapping import ROLES
from pipeline.names import ENVIRONMENTS

ROOT = Path(__file__).resolve().parent.parent


def access_matrix() -> str:
    """`docs/access-matrix.md`."""
    rows = matrix.rows()
    own = [each for each in all_commands().values() if not each.needs]
    return "\n".join(
        [
            _OPENING,
            *_table(("Command", *ROLES), ([f"`{row.name}`", *map(row.where, ROLES)] for row in rows)),
            _AROUND,
            *_table(
                ("Command", "Shown to", "What it does"),
                ([f"`{each.name}`", _shown_to(each), each.summary] for each in own),
            ),
            _CALLS,
            *(line for row in rows for line in _calls(row)),
            _LIMITS,
        ]
    )


def commands() -> str:
    """`docs/commands.md`."""
    ordered = sorted({_noun(each) for each in all_commands().values()})
    found = {noun: [each for each in all_commands().values() if _noun(each) == noun] for noun in ordered}
    contents = [
        f"- [{noun}](#{noun}): " + ", ".join(f"`{each.name}`" for each in found[noun]) for noun in ordered if noun
    ]
    parts = [line for noun in ordered for line in [f"\n## {noun or 'You'}", *_entries(found[noun])]]
    return "\n".join([_COMMANDS, *contents, *parts, ""])


def _noun(item: Command) -> str:
    return item.name.split()[0] if " " in item.name else ""


def _entries(found: Iterable[Command]) -> Iterator[str]:
    for item in found:
        shown = [option for option in options(item) if not option.hidden]
        yield f"\n### {item.name}\n\n{item.summary}\n"
        yield f"    /mlops {usage(item)}\n"
        if shown:
            yield from _table(("Argument", "Default", "What"), map(_argument, shown))
            yield ""
        yield " ".join(_notes(item))


def _argument(option: Option) -> Sequence[str]:
    default = "required" if option.required else "" if option.default in ("", None) else f"`{option.default}`"
    flag = option.default is False
    return f"`{option.label}`".replace("|", "\\|"), "no" if flag else default, option.help.replace("|", "\\|")


def _notes(item: Command) -> Iterator[str]:
    """What else a person should know before typing it, in sentences."""
    told = _shown_to(item)
    yield "For everybody who has a role." if told == ", ".join(ROLES) else f"For {told}."
    yield (
        "Everybody in the channel sees the answer." if item.audience is Audience.CHANNEL else "Only you see the answer."
    )
    if item.approval:
        role = item.approval.role if isinstance(item.approval.role, str) else "person of the role it is about"
        yield f"Another {role} has to agree{_approved_where(item)}."
    if item.confirm:
        yield "It asks first; `--yes` answers."
    if item.spends:
        yield "It tells what it will cost, and asks when that is much."
    if has_form(item):
        yield f"As a form: `/mlops form {item.name}`."
    yield f"Example: `/mlops {item.example}`."


def _approved_where(item: Command) -> str:
    if item.approval is None or "env" not in {option.name for option in options(item)}:
        return ""
    where = [env for env in ENVIRONMENTS if item.approval.when({"env": env})]
    return f" in {' and '.join(where)}" if 0 < len(where) < len(ENVIRONMENTS) else "" if where else " in some cases"


PAGES: Mapping[str, Callable[[], str]] = MappingProxyType(
    {"docs/access-matrix.md": access_matrix, "docs/commands.md": commands}
)


def write(root: Path = ROOT) -> Sequence[str]:
    """Write every page; returns their paths."""
    for path, page in PAGES.items():
        (root / path).write_text(page(), encoding="utf-8")
    return list(PAGES)


def _shown_to(command: Command) -> str:
    """The roles that may do it by the bot's own rule, with their environments where that is not all of them."""
    where = {role: (command.allowed or {}).get(role, ()) for role in ROLES if command.open_to(role)}
    some = {role: envs for role, envs in where.items() if envs and len(envs) < len(ENVIRONMENTS)}
    return ", ".join(f"{role} ({', '.join(some[role])})" if role in some else role for role in where)


def _calls(row: Row) -> Iterator[str]:
    """The calls behind one row, as declared: a line for each resource."""
    yield f"\n**`{row.name}`**\n"
    for need in row.needs:
        actions = [need.actions] if isinstance(need.actions, str) else need.actions
        resource = need.resource if need.resource == "*" or need.resource.startswith("arn:") else f"…:{need.resource}"
        only = f", only with `--{need.only.replace('_', '-')}`" if need.only else ""
        only += f", only in {' and '.join(need.where)}" if need.where != ENVIRONMENTS else ""
        yield f"- {', '.join(f'`{action}`' for action in actions)} on `{resource}`{only}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{' --- |' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


_COMMANDS = """\
<!-- Generated by `make docs` from the commands' declarations. Change those, not this page. -->

# Commands

What can be typed after `/mlops`, after a mention of the bot (`@groundcrew …`, in threads too), in its own chat, and in
a terminal after `python -m bot run --as <slack user id>`. Buttons, menus and forms type the same lines. `/mlops` alone
shows what is yours and what you can do next, `/mlops help <command>` explains one command.

- `<this>` is typed as it stands, `--this …` in any order; brackets around an argument mean that it may be left out.
- Text of several words needs quotes. An id may be shortened to its first characters.
- The name alone of a command that needs more, such as `/mlops access request`, opens its form. `/mlops form <command>`
  opens the form of any command, with as much filled in as you have typed; the shortcut *Run a command* does so from
  anywhere in Slack.
- Who may do what where is decided by AWS: [access-matrix.md](access-matrix.md).
"""

_OPENING = """\
<!-- Generated by `make docs` from the commands' declarations. Change those, not this page. -->

# Access matrix

Who may do what, in which environment. AWS decides, by `iam/roles.yaml`: every command runs in a session of that
person's own role, narrowed to the calls below. `tests/scenario/test_access.py` asks IAM's simulator about every cell,
with and without the session tag `approval`, and performs some of them for real, the bot's own checks off: what AWS
would allow and this page forbids, or the other way round, fails the build.

- *approval*: only in a session tagged `approval=<id>`, which a second person's agreement brings.
- *may ask*: may read what is asked for and open the request; the change runs in the session of whoever agrees.
- *no*: at least one of the calls is denied. In production every call that changes something is, without the tag.
- *yes*: the command is about no single environment.

## Commands that call AWS

`python -m pipeline.publish` is no command of the bot: an operator runs it, in the role of an ML engineer.
"""

_AROUND = """
## Commands that call nothing in AWS

Here the bot decides, by the role in the access file and by what is stored about the request. Alerts are among them:
who sees and handles those of which environment is the bot's own rule, and AWS is not asked. What belongs to no
environment everybody sees, and only roles with all environments handle. A button on an alert that calls AWS (retry,
logs) is a command of the table above and runs in the session of whoever presses it.
"""

_CALLS = """
## The calls behind each command

`…:` stands for this account and region of SageMaker. A session may do what its line says and nothing else."""

_LIMITS = """
## What IAM cannot limit

| What | Why | What follows |
| --- | --- | --- |
| List calls (`ListPipelines`, `ListModelPackages`, `ListEndpoints`, `ListStacks`, `DescribeLogGroups`, …) | \
these actions take no resource on AWS | whoever may list sees names, states and times of all environments; \
opening one of them is limited again |
| Tags of pipeline executions | executions cannot be tagged, and conditions on tags do not reach them | \
the wall is the pipeline's name in the execution's ARN |
| Tags of versioned model packages | only the group carries tags; its versions do not | \
the wall is the group's name in the version's ARN |
| CloudTrail's events (`LookupEvents`) | the action takes no resource | \
ML engineers and stakeholders see the calls of the whole account |

Whoever needs these walls too gives **each environment its own account**: the same roles, stacks and names in every one
of them, and a profile per environment.
"""
