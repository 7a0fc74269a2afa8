"""From the words a person typed to a command and its typed arguments (by cyclopts), or to a mistake explained.

`parse` is total: any text gives a command or raises `BadInput` that names the fix. Nothing is printed, nothing exits.
"""

from __future__ import annotations

import difflib
import inspect
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from cyclopts import App, CycloptsError, MissingArgumentError, Parameter, UnusedCliTokensError

from commands import all_commands
from commands.arguments import Between, Known, Verbatim
from commands.command import Command
from pipeline.errors import BadInput


@dataclass(frozen=True)
class Option:
    """One argument of a command, as usage, help and forms show it.

    `choices` and `span` are what it may be, `whole` and `number` what it is when it is a number, `known` what kind of
    thing of the catalog it names.
    """

    name: str
    positional: bool
    required: bool
    flag: bool
    default: Any
    help: str
    hidden: bool
    several: bool = False
    """All the words that are left belong to it."""
    choices: Sequence[str] = ()
    span: Between | None = None
    number: bool = False
    whole: bool = False
    known: str = ""

    @property
    def values(self) -> str:
        """Its range or its choices, in short."""
        return self.span.short() if self.span else "|".join(self.choices) or "…"

    @property
    def typed(self) -> str:
        """What stands before its value on the line: `--image-size`; nothing before a positional one."""
        return "" if self.positional else f"--{self.name.strip('_').replace('_', '-')}"

    @property
    def label(self) -> str:
        """How a person writes it: `<version>`, `<run> …` or `--env dev|staging|prod`."""
        if self.positional:
            return f"<{self.name.removesuffix('s')}> …" if self.several else f"<{self.name}>"
        return self.typed if self.flag else f"{self.typed} {self.values}"


def parse(text: str) -> tuple[Command, dict[str, Any]]:
    """The command and all its arguments, defaults filled in.

    Empty text is `home`; `--help` after a command is help on that command. Raises BadInput with usage and an example.
    """
    try:
        tokens = _verbatim(text) or shlex.split(text)
    except ValueError as mistake:
        raise BadInput(
            f"That line cannot be read: {str(mistake).lower()}.",
            "A quote that opens must also close; write an apostrophe inside double quotes.",
        ) from mistake
    command, rest = _find(tokens)
    try:
        _, bound, _ = _app(command.name).parse_args(rest, print_error=False, exit_on_error=False, verbose=False)
    except CycloptsError as mistake:
        raise BadInput(_explain(mistake, command, rest), _advice(command)) from mistake
    bound.apply_defaults()
    return command, dict(bound.arguments)


def usage(command: Command) -> str:
    """One line: the command with its arguments, optional ones in brackets."""
    shown = (option for option in options(command) if not option.hidden)
    return " ".join([command.name, *(o.label if o.required else f"[{o.label}]" for o in shown)])


def options(command: Command) -> list[Option]:
    """The command's arguments in the order of its signature."""
    return [_option(parameter) for parameter in _signature(command).parameters.values()]


def named(text: str) -> tuple[Command, list[str]] | None:
    """The command that a line begins with and the words after it, whatever they are worth; None for any other line."""
    try:
        command, rest = _find(shlex.split(text))
    except (ValueError, BadInput):
        return None
    return (command, rest) if text.strip() and command.name not in ("help", "form") else None


def _find(tokens: Sequence[str]) -> tuple[Command, list[str]]:
    commands = all_commands()
    if not tokens:
        return commands["home"], []
    words = [token.lower() for token in tokens[:2]]
    for length in (3, 2, 1):
        name = " ".join(token.lower() for token in tokens[:length])
        if len(tokens) >= length and name in commands:
            return _or_help(commands[name], tokens[length:])
    if (shown := " ".join([*words, "show"])) in commands and len(words) == 2:
        return _or_help(commands[shown], tokens[2:])
    if words[0] in _nouns() and (len(words) == 1 or words[1] in ("--help", "-h")):
        return commands["help"], words[:1]
    typed = " ".join(tokens[:2] if words[0] in _nouns() else tokens[:1])
    near = _nearest(words)
    if near:
        raise BadInput(f"There is no command {typed!r}.", f"Did you mean `{near.name}`? {_advice(near)}")
    raise BadInput(f"There is no command {typed!r}.", "Type `help` to see them all.")


def _or_help(command: Command, rest: Sequence[str]) -> tuple[Command, list[str]]:
    """The command, or help on it when that is what is asked for."""
    if {"--help", "-h"} & set(rest):
        return all_commands()["help"], command.name.split(" ", 1)
    return command, list(rest)


def _verbatim(text: str) -> list[str]:
    """The tokens of a command that takes the rest of its line as it is; none for any other line."""
    for words in (2, 1):
        *name, rest = [*text.split(None, words), *[""] * words][: words + 1]
        command = all_commands().get(" ".join(name).lower())
        if command is None or rest.strip() in ("", "--help", "-h"):
            continue
        marks = [item for each in _signature(command).parameters.values() for item in _details(each.annotation)]
        if any(isinstance(mark, Verbatim) for mark in marks):
            return [*name, rest.strip()]
    return []


def _nouns() -> set[str]:
    return {name.split()[0] for name in all_commands() if " " in name}


def _nearest(words: Sequence[str]) -> Command | None:
    """The command most like these one or two words; a verb alone counts when it means one command only."""
    commands = all_commands()
    by_verb = [command for name, command in commands.items() if name.split()[-1] == words[0]]
    if len(by_verb) == 1:
        return by_verb[0]
    for typed, cutoff in ((" ".join(words), 0.6), (words[0], 0.6)):
        near = difflib.get_close_matches(typed, commands, n=1, cutoff=cutoff)
        if near:
            return commands[near[0]]
    noun = difflib.get_close_matches(words[0], _nouns(), n=1)
    return next((command for name, command in commands.items() if noun and name.startswith(noun[0])), None)


def _explain(mistake: CycloptsError, command: Command, tokens: Sequence[str]) -> str:
    """What is wrong with the arguments. Cyclopts already says the range, the choices and the nearest option."""
    if isinstance(mistake, UnusedCliTokensError):
        extra = " ".join(mistake.unused_tokens or tokens)
        return f"`{command.name}` does not know what to do with {extra!r}. Text of several words needs quotes."
    if isinstance(mistake, MissingArgumentError) and mistake.argument is not None:
        missing = mistake.argument.field_info.name
        label = next(option.label for option in options(command) if option.name == missing)
        return f"`{command.name}` needs {label}."
    return str(mistake)


def _advice(command: Command) -> str:
    return f"Usage: `{usage(command)}`." + (f" Example: `{command.example}`." if command.example else "")


@cache
def _app(name: str) -> App:
    command = all_commands()[name]
    app = App(
        name=name,
        help_flags=[],
        version_flags=[],
        default_parameter=Parameter(negative=(), show_env_var=False),
        result_action="return_value",
    )
    app.default(_without_context(command))
    return app


def _without_context(command: Command) -> Any:
    """A function with the handler's arguments but not its context, for cyclopts to look at. It is never called."""

    def typed(*args: Any, **kwargs: Any) -> None:
        raise TypeError("only the signature of this function is used")

    signature = _signature(command)
    typed.__signature__ = signature  # type: ignore[attr-defined]
    typed.__annotations__ = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    return typed


def _signature(command: Command) -> inspect.Signature:
    signature = inspect.signature(command.handler, eval_str=True)
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def _details(annotation: Any) -> Sequence[Any]:
    """What stands beside the type in `Annotated`."""
    return getattr(annotation, "__metadata__", ())


def _option(parameter: inspect.Parameter) -> Option:
    annotation, marks = parameter.annotation, _details(parameter.annotation)
    details = next((item for item in marks if isinstance(item, Parameter)), Parameter())
    if marks:
        annotation = annotation.__origin__
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(item for item in get_args(annotation) if item is not type(None))
    checks = details.validator if isinstance(details.validator, tuple) else (details.validator,)
    return Option(
        name=parameter.name,
        positional=parameter.kind is not inspect.Parameter.KEYWORD_ONLY,
        required=parameter.default is inspect.Parameter.empty,
        flag=annotation is bool,
        default=None if parameter.default is inspect.Parameter.empty else parameter.default,
        help=details.help or "",
        hidden=details.show is False,
        several=get_origin(annotation) is list,
        choices=get_args(annotation) if get_origin(annotation) is Literal else (),
        span=next((check for check in checks if isinstance(check, Between)), None),
        number=annotation in (int, float),
        whole=annotation is int,
        known=next((mark.kind for mark in marks if isinstance(mark, Known)), ""),
    )
