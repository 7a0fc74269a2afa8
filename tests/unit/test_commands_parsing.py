"""Words become commands: every mistake is answered with the fix, and no text breaks the parser."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands import all_commands
from commands.command import Command, Need, command
from commands.parsing import options, parse, usage
from iam.policy import statements
from pipeline.errors import BadInput
from pipeline.names import Names

COMMANDS = all_commands()
VOCABULARY = sorted(
    {word for name in COMMANDS for word in name.split()}
    | {f"--{option.name.replace('_', '-')}" for found in COMMANDS.values() for option in options(found)}
    | {"3", "-1", "nan", "1e9", "dev", "prod", "'", '"', "--", "--help", "-h", "=", "--epochs=4", "\\", "s3://b/k"}
)


def mistake(text: str) -> str:
    with pytest.raises(BadInput) as raised:
        parse(text)
    return f"{raised.value.message} {raised.value.advice}"


def test_the_issue_s_commands_are_all_there() -> None:
    assert set(COMMANDS) >= {
        "whoami",
        "help",
        *(f"pipeline {verb}" for verb in ("run", "list", "show", "stop")),
        *(f"registry {verb}" for verb in ("list", "show", "request", "approve", "reject")),
        *(f"approvals {verb}" for verb in ("list", "show", "approve", "reject")),
        *(f"deployment {verb}" for verb in ("create", "status", "predict", "delete")),
    }


@pytest.mark.parametrize("found", COMMANDS.values(), ids=lambda found: found.name)
def test_every_example_is_its_own_command(found: Command) -> None:
    assert parse(found.example)[0] is found


@pytest.mark.parametrize("found", COMMANDS.values(), ids=lambda found: found.name)
def test_every_command_and_argument_says_what_it_is(found: Command) -> None:
    assert found.summary.endswith(".")
    assert all(option.help for option in options(found))


@pytest.mark.parametrize("found", COMMANDS.values(), ids=lambda found: found.name)
def test_every_command_fits_a_session_policy(found: Command) -> None:
    needs = [(need.actions, need.resource, need.env) for need in found.needs]
    assert statements(needs, Names("123456789012", "ap-southeast-2"), parse(found.example)[1])["Statement"]


def test_arguments_are_typed_and_defaults_filled_in() -> None:
    found, arguments = parse("Pipeline RUN --epochs 8 --lr 0.01 --on-bad-data fail")
    assert found.name == "pipeline run"
    assert {name: value for name, value in arguments.items() if value is not None} == {
        "env": "dev",
        "epochs": 8,
        "lr": 0.01,
        "on_bad_data": "fail",
        "dry_run": False,
        "yes": False,
    }


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("help", {"command": "", "verb": ""}),
        ("pipeline", {"command": "pipeline", "verb": ""}),
        ("pipeline run --epochs 3 --help", {"command": "pipeline", "verb": "run"}),
        ("registry -h", {"command": "registry", "verb": ""}),
    ],
)
def test_what_leads_to_help(text: str, arguments: dict[str, str]) -> None:
    found, given_arguments = parse(text)
    assert (found.name, given_arguments) == ("help", arguments)


@pytest.mark.parametrize("text", ["", "   "])
def test_nothing_leads_home(text: str) -> None:
    assert parse(text)[0].name == "home"


def test_yes_is_taken_and_not_shown() -> None:
    assert parse("deployment delete --env dev --yes")[1] == {"env": "dev", "yes": True}
    assert "yes" not in usage(COMMANDS["deployment delete"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pipeline rum", "Did you mean `pipeline run`?"),
        ("run", "Did you mean `pipeline run`?"),
        ("pipline list", "Did you mean `pipeline list`?"),
        ("deploymnt create", "Did you mean `deployment create`?"),
        ("xyzzy", "Type `help`"),
        ("pipeline run --epoch 3", "Did you mean --epochs?"),
        ("pipeline run --epochs 0", "between 1 and 300"),
        ("pipeline run --epochs 301", "between 1 and 300"),
        ("pipeline run --image-size 100", "between 64 and 1280, a multiple of 32"),
        ("pipeline run --map-threshold nan", "between 0 and 1"),
        ("pipeline run --env stagin", 'Did you mean "staging"?'),
        ("pipeline run --epochs", "needs --epochs 1..300"),
        ("registry show", "needs <version>"),
        ("registry request 3 --to dev", '"staging", "prod"'),
        ("approvals reject A1 --reason too low", "needs quotes"),
        ("approvals reject A1 --reason don't", "A quote that opens must also close"),
        ("deployment delete", "needs --env dev|staging|prod"),
        ("pipeline run --epochs 1 --epochs 2", "multiple times"),
    ],
)
def test_a_mistake_is_answered_with_its_fix(text: str, words: str) -> None:
    assert words in mistake(text)


def test_a_mistake_shows_usage_and_example() -> None:
    said = mistake("registry show x")
    assert "Usage: `registry show <version> [--env dev|staging|prod]`" in said
    assert "Example: `registry show 3 --env dev`" in said


@given(st.text() | st.lists(st.sampled_from(VOCABULARY), max_size=8).map(" ".join))
def test_any_text_parses_or_says_why_not(text: str) -> None:
    try:
        found, arguments = parse(text)
    except BadInput as error:
        assert error.message
        assert error.advice
    else:
        assert set(arguments) == {option.name for option in options(found)}


def test_a_need_names_only_what_will_be_filled() -> None:
    with pytest.raises(TypeError, match="unknown fields"):

        @command("x", allowed=None, needs=[Need("s3:GetObject", "arn:aws:s3:::{buckett}/*")])
        def handler(ctx: object) -> None: ...

    with pytest.raises(TypeError, match="plan"):

        @command("x", allowed=None, confirm=True)
        def other(ctx: object) -> None: ...
