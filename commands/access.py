"""Who may do what, and why: the matrix of expectations, AWS's own reasons, and what a person has at the moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from commands import all_commands, matrix
from commands.command import Command, Context, Need, command
from commands.matrix import Cell, Outcome, Row
from commands.parsing import options, parse
from commands.reply import Action, Code, Fact, Inline, Mention, Moment, Reply, Table
from iam import explain, policy
from iam.explain import Rules, Verdict
from iam.mapping import ROLES
from pipeline.errors import NotFound
from pipeline.names import ENVIRONMENTS, Environment
from state import grants
from state.grants import Grant

Role = Literal["data-scientist", "ml-engineer", "stakeholder"]
ANYBODY = dict.fromkeys(ROLES, ENVIRONMENTS)
RULES = (
    Need(
        (
            "iam:SimulatePrincipalPolicy",
            "iam:GetRole",
            "iam:ListRolePolicies",
            "iam:GetRolePolicy",
            "iam:ListAttachedRolePolicies",
        ),
        "arn:aws:iam::{account}:role/groundcrew-*",
    ),
    Need(("iam:GetPolicy", "iam:GetPolicyVersion"), "arn:aws:iam::{account}:policy/groundcrew-*"),
)


@command("access matrix", allowed=None, example="access matrix --role ml-engineer")
def matrix_(
    ctx: Context, *, role: Annotated[Role | None, Parameter(help="Only this role, an environment a column")] = None
) -> Reply:
    """Show who may do what where, as AWS enforces it."""
    rows, columns = matrix.rows(), ROLES if role is None else ENVIRONMENTS
    if role is None:
        cells = [(row.name, *(row.where(each) for each in ROLES)) for row in rows]
    else:
        cells = [(row.name, *(_in(row, role, env) for env in ENVIRONMENTS)) for row in rows]
    return Reply(
        title="Who may do what" if role is None else f"What the role {role} may do",
        context="commands without a row call nothing in AWS · “approval”: once a second person has agreed",
        table=Table(("Command", *columns), cells, "Commands by role and environment"),
        actions=[Action(f"As {each}", f"access matrix --role {each}") for each in ROLES if each != role],
    )


def _in(row: Row, role: str, env: Environment) -> str:
    if row.environments == (None,):
        return row.outcome(role, None).value
    return row.outcome(role, env).value if env in row.environments else "–"


@command("access why", allowed=ANYBODY, needs=RULES, example="access why deployment create --env prod")
def why(
    ctx: Context,
    about: Annotated[str, Parameter(help="A command, or a whole command line in quotes")],
    verb: Annotated[str, Parameter(help="The second word of the command")] = "",
    *,
    env: Annotated[Environment | None, Parameter(help="Environment; the command's own default if not given")] = None,
    as_role: Annotated[Role | None, Parameter(help="Ask for this role instead of yours")] = None,
) -> Reply:
    """Ask AWS which statement lets you run a command, or does not."""
    asked, place = _asked(f"{about} {verb}".strip(), env)
    role = as_role or ctx.person.role
    if not asked.needs:
        return Reply(
            title=f"{asked.name} calls nothing in AWS",
            text="Whether it runs is the bot's business alone: `help` lists what you may type.",
        )
    row = matrix.of(asked)
    calls, iam = row.calls(ctx.names, place), ctx.client("iam")
    plain = explain.simulate(iam, ctx.names, role, calls, approved=False)
    approved = {verdict.call: verdict for verdict in explain.simulate(iam, ctx.names, role, calls, approved=True)}
    rules = Rules(iam, ctx.names, role)
    length = len(policy.text(row.session_policy(ctx.names, place)))
    missing = [verdict for verdict in plain if not verdict.allowed]
    forever = [verdict for verdict in missing if not approved[verdict.call].allowed]
    return Reply(
        title=f"{Cell(row, role, place)}: {_answer(row.outcome(role, place), missing, forever)}",
        context=["decided by IAM's simulator for ", Code(ctx.names.role(role).rsplit("/", 1)[-1])],
        text=_lesson(row, role, place, missing, forever),
        facts=[
            Fact("Boundary", _boundary(plain)),
            Fact("Session policy", f"exactly these calls, {length:,} of {policy.LONGEST:,} characters"),
        ],
        table=Table(
            ("Call", "Answer", "Because"),
            [(_short(verdict), "yes" if verdict.allowed else "no", explain.why(verdict, rules)) for verdict in plain],
            f"The calls of {asked.name} and AWS's answers",
        ),
        environment=place,
    )


def _asked(words: str, env: Environment | None) -> tuple[Command, Environment | None]:
    """The command meant, and where: as said, as typed in a whole line, else its own default."""
    commands = all_commands()
    found, arguments = (commands[words], dict[str, Any]()) if words in commands else parse(words)
    places = matrix.of(found).environments
    defaults = {option.name: option.default for option in options(found)} | arguments
    said = env or defaults.get("env") or defaults.get("to")
    if env is not None and env not in places and places != (None,):
        raise NotFound(f"environment for {found.name}", env, [place for place in places if place])
    return found, next((place for place in places if place == said), places[0])


def _answer(expected: Outcome, missing: Sequence[Verdict], forever: Sequence[Verdict]) -> str:
    if expected is Outcome.ASKS and forever:
        return "you may ask for it"
    return "AWS says no" if forever else "only with an approval" if missing else "AWS says yes"


def _lesson(
    row: Row, role: str, env: Environment | None, missing: Sequence[Verdict], forever: Sequence[Verdict]
) -> str:
    """What follows from it for a person."""
    if row.outcome(role, env) is Outcome.ASKS:
        return "This role may ask for it; the change then runs in the session of the person who agrees."
    if forever:
        others = [each for each in ROLES if row.outcome(each, env) in (Outcome.ALLOWED, Outcome.APPROVAL)]
        return f"It takes the role {' or '.join(others)}." if others else "No role may do this there."
    return "Typing it opens a request; a second person agrees, and AWS lets their session through." if missing else ""


def _boundary(verdicts: Sequence[Verdict]) -> str:
    outside = sum(not verdict.boundary for verdict in verdicts)
    return f"stops {outside} of {len(verdicts)} calls" if outside else "allows all of it"


def _short(verdict: Verdict) -> str:
    """The action and the last part of what it is about."""
    resource = verdict.call.resource
    return f"{verdict.call.action} on {resource if resource == '*' else resource.split(':', 5)[-1]}"


@command("access show", allowed=None, example="access show U0123456789")
def show(ctx: Context, person: Annotated[str, Parameter(help="A person's Slack id; you if not given")] = "") -> Reply:
    """Show a person's role, where it may change things, and what was granted for a while."""
    user = person.strip("<@>").split("|")[0] or ctx.person.user
    standing = ctx.people.get(user)
    if standing is None:
        raise NotFound("person with a role", user, list(ctx.people))
    granted = grants.active(ctx.state, ctx.person.team, user)
    rows = matrix.rows()
    return Reply(
        title="Your access" if user == ctx.person.user else "Access of a colleague",
        context=[Mention(user), " · the access file says ", Code(standing)],
        text=_granted(granted),
        table=Table(
            ("In", "May change"),
            [(env, _changes(rows, standing, env)) for env in ENVIRONMENTS],
            "What this person may change, by environment",
        ),
        actions=[Action("All of it", f"access matrix --role {standing}")],
    )


def _granted(granted: Sequence[Grant]) -> list[Inline]:
    """What counts for a while, a line each."""
    text: list[Inline] = []
    for grant in granted:
        what = f"the role {grant.role}" if grant.kind == "elevation" else f"break-glass on {grant.resource}"
        text += [Code(grant.id), f" {what} until ", Moment(grant.expires_at.timestamp()), f": {grant.reason}\n"]
    return text


def _changes(rows: Sequence[Row], role: str, env: Environment) -> str:
    """What a role may change or ask for in an environment."""
    found = [(row.name, row.outcome(role, env)) for row in rows if row.changes and env in row.environments]
    may_look = any(row.outcome(role, env) is Outcome.ALLOWED for row in rows if env in row.environments)
    named = ", ".join(f"{name}{matrix.MARKS[what]}" for name, what in found if what in matrix.MARKS)
    return named or ("look, change nothing" if may_look else "nothing")
