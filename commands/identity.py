"""Who am I to AWS, and what can be typed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from cyclopts import Parameter

from commands import all_commands, matrix
from commands.command import Approval, Command, Context, command
from commands.elevation import notices
from commands.form import opener
from commands.parsing import Option, options, usage
from commands.reply import Action, Code, Fact, Inline, Mention, Reply, Strong, Table
from iam.mapping import ROLES
from pipeline.errors import NotFound, Refused
from pipeline.names import ENVIRONMENTS

REACH = {
    "data-scientist": ("dev", "train, look at models and deploy in dev; ask for a promotion to staging"),
    "ml-engineer": ("staging, prod", "promote, deploy to staging and prod, approve what others ask for"),
    "stakeholder": ("none; reads only", "read the registry and follow runs"),
}


@command("whoami", allowed=None, example="whoami")
def whoami(ctx: Context) -> Reply:
    """Say who you are to AWS: role, session and environments."""
    seen = ctx.client("sts").get_caller_identity()
    environments, may = REACH.get(ctx.person.role, ("as the role's policies say", "see `help` for the commands"))
    for_a_while = [f"as {grant.role}: {REACH[grant.role or ''][0]}" for grant in ctx.person.elevations]
    return Reply(
        title=f"You are {ctx.person.name}" + ("" if ctx.person.role in ctx.person.name else f", {ctx.person.role}"),
        context=[Mention(ctx.person.user), " · AWS account ", seen["Account"]],
        text=[f"You can {may}.\n", *notices(ctx)],
        facts=[
            Fact("Environments", "; for a while ".join([environments, *for_a_while])),
            Fact("AWS says you are", [Code(seen["Arn"])]),
            Fact("SourceIdentity", [Code(f"{ctx.person.team}.{ctx.person.user}")]),
        ],
        actions=_next_for(ctx.person.role),
    )


@command("help", allowed=None, example="help pipeline run")
def help_(
    ctx: Context,
    command: Annotated[str, Parameter(help="A command, or the first word of several")] = "",
    verb: Annotated[str, Parameter(help="The other words of the command, in quotes if several")] = "",
) -> Reply:
    """List what you can type, or explain one command."""
    commands = all_commands()
    name = f"{command} {verb}".strip().lower()
    if name in commands:
        return _one(commands[name])
    asked = [item for item in commands.values() if not name or item.name.startswith(f"{name} ")]
    if not asked:
        raise NotFound("command", name, commands)
    roles = dict.fromkeys([ctx.person.role, *(grant.role for grant in ctx.person.elevations)])
    shown = [item for item in asked if any(item.open_to(role) for role in roles)]
    if not shown:
        raise Refused(
            f"There is nothing about {name} that a {ctx.person.role} may do.", "`access matrix` shows who may do what."
        )
    return Reply(
        title=f"{name}: the commands" if name else "What you can type",
        context=[f"as {' and '.join(roles)} · after ", Code("/mlops"), "; ", Code("help <command>"), " explains one"],
        text=[*notices(ctx), *_overview(shown)],
        actions=_next_for(ctx.person.role),
    )


def _overview(commands: Iterable[Command]) -> list[Inline]:
    lines: list[Inline] = []
    noun = ""
    for item in commands:
        first = item.name.split()[0] if " " in item.name else "you"
        if first != noun:
            lines += [*(["\n"] if lines else []), Strong(first), "\n"]
            noun = first
        lines += [Code(item.name), f"  {item.summary}\n"]
    return lines


def _one(item: Command) -> Reply:
    shown = [option for option in options(item) if not option.hidden]
    actions = sorted({action for need in item.needs for action in _actions(need.actions)})
    facts = [Fact("Example", [Code(item.example or item.name)])]
    if item.needs:
        row = matrix.of(item)
        who = [(role, row.where(role)) for role in ROLES]
        facts.append(Fact("Who", " · ".join(f"{role}: {where}" for role, where in who if where != "no") or "nobody"))
    if item.approval:
        facts.append(Fact("Needs approval", f"by another {_decides(item.approval)}{_where(item, item.approval)}"))
    if item.spends:
        facts.append(
            Fact("Costs", [Code(f"cost estimate {item.name}"), " tells how much; asked about when it is high"])
        )
    if item.confirm:
        facts.append(Fact("Asks first", [Code("--yes"), " skips the question"]))
    return Reply(
        title=f"{item.name}: {item.summary.rstrip('.')}",
        context=["needs in AWS: ", ", ".join(actions) if actions else "nothing but your identity"],
        facts=facts,
        table=Table(("Argument", "Default", "What"), [_row(option) for option in shown], f"Arguments of {item.name}")
        if shown
        else None,
        quote=usage(item),
        actions=opener(item.name),
    )


def _decides(approval: Approval) -> str:
    return approval.role if isinstance(approval.role, str) else "person with the role that it is about"


def _where(item: Command, approval: Approval) -> str:
    """In which environments an approval is needed, unless in all."""
    if "env" not in {option.name for option in options(item)}:
        return ""
    environments = [env for env in ENVIRONMENTS if approval.when({"env": env})]
    if not environments:
        return ", with some of its arguments"
    return f", in {' and '.join(environments)}" if len(environments) < len(ENVIRONMENTS) else ""


def _actions(actions: str | Iterable[str]) -> list[str]:
    return [actions] if isinstance(actions, str) else list(actions)


def _row(option: Option) -> tuple[str, str, str]:
    default = "required" if option.required else "" if option.default in ("", None, False) else str(option.default)
    return option.label, default, option.help


def _next_for(role: str) -> list[Action]:
    lists = [Action("Runs", "pipeline list"), Action("Models", "registry list")]
    if role == "data-scientist":
        return [Action("Start a training run", "pipeline run", style="primary"), *lists]
    if role == "ml-engineer":
        return [*lists, Action("Staging", "deployment status --env staging"), Action("Approvals", "approvals list")]
    return lists
