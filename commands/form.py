"""Commands as forms: each field comes from the declaration, what it offers from what the person may use.

A form is another way to type a line. So a choice holds the piece of line that it stands for, and what the form sends
is parsed, checked and audited like any line.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated

from cyclopts import Parameter

from commands import all_commands
from commands.arguments import Between, Verbatim
from commands.command import Command, Context, command
from commands.parsing import Option, named, options, usage
from commands.reply import Action, Choice, Code, Field, Form, Reply
from commands.wording import day
from pipeline.errors import BadInput, Refused
from pipeline.names import ENVIRONMENTS, Environment
from state import alerts, catalog
from state.catalog import Entry

FEW = 2
"""So many arguments are typed faster than chosen: commands with more have a form."""
OFFERED = 99
"""Things of the catalog that a field offers; Slack shows a hundred choices."""
_QUOTES = re.compile(r",? in quotes( if several)?")
KINDS: Mapping[str, catalog.Kind] = {"run": "run", "version": "version", "endpoint": "endpoint"}


def has_form(item: Command) -> bool:
    """Whether a command has so many arguments that a form helps."""
    shown = [option for option in options(item) if not option.hidden]
    return len(shown) > FEW


def bare(line: str) -> bool:
    """Whether a line is only the name of a command that has a form and cannot run without arguments."""
    found = named(line)
    if found is None or found[1] or not has_form(found[0]):
        return False
    return any(option.required for option in options(found[0]))


def opener(line: str, label: str = "Fill in a form") -> list[Action]:
    """A button that opens the form of a line, with what it says already; none for a line without a form."""
    found = named(line)
    return [Action(label, f"form {line.strip()}")] if found and has_form(found[0]) else []


@command("form", allowed=None, example="form pipeline run --epochs 8")
def form(
    ctx: Context, line: Annotated[str, Parameter(help="A command, with as much as you know already"), Verbatim()] = ""
) -> Reply:
    """Fill in a command as a form that offers what you may use; without a command, choose one first."""
    if not line:
        return _picker(ctx)
    found = named(line)
    if found is None:
        raise BadInput(f"There is no command {line[:60]!r}.", "Type `form` alone to choose one.")
    item, rest = found
    if not any(not option.hidden for option in options(item)):
        raise BadInput(f"`{item.name}` has nothing to fill in.", f"Type `{item.name}`.")
    if not any(item.open_to(role) for role in _roles(ctx)):
        raise Refused(f"A {ctx.person.role} may not do {item.name} anywhere.", f"`access why {item.name}` asks AWS.")
    known = " ".join([item.name, *([shlex.join(rest)] if rest else [])])
    return Reply(
        title=f"{item.name}: {item.summary.rstrip('.')}",
        text=["Type it with its arguments, or fill in the form. Optional ones stand in brackets: ", Code(usage(item))],
        actions=[Action("Open the form", f"form {known}", "primary")],
        form=Form(item.name, item.name, _fields(ctx, item, rest), item.summary),
    )


def _picker(ctx: Context) -> Reply:
    """Which command; it opens the next form."""
    offered = [each for each in all_commands().values() if has_form(each) and _places(ctx, each)]
    choices = [Choice(f"{each.name} · {each.summary.rstrip('.')}", f"form {each.name}") for each in offered]
    field = Field("command", "Command", hint="What needs no form is typed faster.", required=True, choices=choices)
    return Reply(
        title="Commands with a form",
        text="Choose one, or type its name.",
        actions=[Action(each.name, f"form {each.name}") for each in offered[:8]],
        form=Form("Run a command", "", [field], "Each opens a form with what you may use.", send="Next"),
    )


def _fields(ctx: Context, item: Command, rest: Sequence[str]) -> list[Field]:
    """The fields, in the order of the signature. One that names a thing of an environment brings that environment."""
    shown = [option for option in options(item) if not option.hidden]
    places = _places(ctx, item)
    held = _given(shown, rest)
    offers = {option.name: _known(ctx, option, places) for option in shown if option.known}
    merged = next((name for name, offer in offers.items() if offer), None) if _has_env(shown) else None
    fields = []
    for option in shown:
        if option.name == "env" and merged:
            continue
        if offer := offers.get(option.name):
            entries = [Choice(f"{env}: the usual", f"--env {env}") for env in places if merged and not option.required]
            chosen = [*entries, *(_choice(option, entry, with_env=merged == option.name) for entry in offer)]
            field = _field(option, held, chosen[: OFFERED + 1])
            usual = f"--env {held.get('env', places[0])}"
            if merged == option.name and not field.value and any(each.typed == usual for each in chosen):
                field = replace(field, value=usual)
            fields.append(field)
        elif option.name == "env":
            pieces = [Choice(env, f"{option.typed} {env}".strip()) for env in option.choices if env in places]
            fields.append(_field(option, held, pieces))
        else:
            pieces = [Choice(value, f"{option.typed} {value}".strip()) for value in option.choices]
            fields.append(_field(option, held, pieces))
    return fields


def _has_env(shown: Iterable[Option]) -> bool:
    return any(option.name == "env" for option in shown)


def _places(ctx: Context, item: Command) -> list[Environment]:
    """The environments in which this person may do it or ask for it; all, where it is about no single one."""
    roles = _roles(ctx)
    asked = item.approval.asked_by if item.approval else {}
    return [env for env in ENVIRONMENTS if any(item.may(role, env) or env in asked.get(role, ()) for role in roles)]


def _roles(ctx: Context) -> list[str]:
    return [ctx.person.role, *(grant.role for grant in ctx.person.elevations)]


def _known(ctx: Context, option: Option, places: Sequence[Environment]) -> Sequence[Entry]:
    """What the catalog knows for an argument, in the environments where the person may use it."""
    if option.known == "alert":
        open_alerts = alerts.listed(ctx.state, environments=[*places, None], limit=OFFERED)
        return [
            Entry("run", row.environment or "", row.id[:8], row.severity, row.first_at, {"about": row.title})
            for row in open_alerts
        ]
    with ctx.state.begin() as connection:
        return catalog.newest(connection, KINDS[option.known], places, limit=OFFERED)


def _choice(option: Option, entry: Entry, *, with_env: bool) -> Choice:
    """A thing of the catalog: choosing it types its name, and its environment where that is another argument."""
    about = str(entry.detail.get("about", ""))
    words = [entry.environment, _called(option, entry), entry.state, about, day(entry.at)]
    typed = f"{option.typed} {entry.name}".strip() + (f" --env {entry.environment}" if with_env else "")
    return Choice(" · ".join(word for word in words if word), typed)


def _called(option: Option, entry: Entry) -> str:
    return {"run": entry.name[:4], "version": f"v{entry.name}"}.get(option.known, entry.name)


def _field(option: Option, held: Mapping[str, str], choices: Sequence[Choice]) -> Field:
    default = "" if option.default is None or option.default is False else _written(option.default)
    given = held.get(option.name, "")
    if option.flag:
        yes = Choice(option.help, option.typed)
        return Field(option.name, _label(option), choices=[yes], several=True, value=option.typed if given else "")
    span = option.span
    chosen = _first(choices, option, given or default)
    if option.name == "env" and not chosen and choices:
        chosen = choices[0].typed  # the usual environment is not this person's: theirs has to be said
    return Field(
        name=option.name,
        label=_label(option),
        typed=option.typed,
        hint=_hint(option),
        required=option.required,
        words=option.several,
        choices=choices,
        number=option.number,
        whole=option.whole,
        low=span.low if span else None,
        high=span.high if span else None,
        step=span.step if span else None,
        value=chosen if choices else given or default,
        default=_first(choices, option, default) if choices else default,
    )


def _first(choices: Sequence[Choice], option: Option, value: str) -> str:
    """The piece of line that a value means among the choices; the first when it must be one and only one is there."""
    piece = f"{option.typed} {value}".strip()
    fitting = [each.typed for each in choices if value and (each.typed == piece or each.typed.startswith(f"{piece} "))]
    if not fitting and len(choices) == 1 and option.required:
        return choices[0].typed
    return fitting[0] if fitting else ""


def _hint(option: Option) -> str:
    """The help with the range; the help itself names a step. A field needs no quotes."""
    if option.name == "env":
        return ""
    span, words = option.span, _QUOTES.sub("", option.help)
    return words + (f" ({Between(span.low, span.high).words()})" if span else "")


def _label(option: Option) -> str:
    if option.name == "env":
        return option.help
    return option.name.strip("_").replace("_", " ").capitalize()


def _written(value: object) -> str:
    """A default as a person would type it."""
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _given(shown: Sequence[Option], rest: Sequence[str]) -> dict[str, str]:
    """What a line says already, by argument. Whatever cannot be made out is left for the person to say again."""
    named_ones = {option.typed: option for option in shown if option.typed}
    positional = [option for option in shown if option.positional]
    held: dict[str, str] = {}
    words = list(rest)
    while words:
        word, _, value = words.pop(0).partition("=")
        option = named_ones.get(word)
        if option is not None and option.flag:
            held[option.name] = "yes"
        elif option is not None:
            held[option.name] = value or (words.pop(0) if words else "")
        elif positional and not word.startswith("--"):
            option = positional[0] if positional[0].several else positional.pop(0)
            said = word + (f"={value}" if value else "")
            held[option.name] = f"{held[option.name]} {said}" if option.name in held else said
    return held
