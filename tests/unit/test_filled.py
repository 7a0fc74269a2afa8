"""A form that was sent becomes the line it means, and a line becomes a form with what it says already."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from bot.slack.filled import read
from bot.slack.forms import modal
from commands import all_commands
from commands.command import Context, Person
from commands.form import bare, has_form, opener
from commands.form import form as form_command
from commands.parsing import options, parse
from commands.reply import Choice, Field, Form
from pipeline.errors import Refused
from pipeline.names import Names
from pipeline.tracking import Tracking
from sandbox.slack.blocks import check_view
from sandbox.slack.messages import fill_ids
from sandbox.slack.views import refused_by_client, state_values
from state import catalog
from state.catalog import Entry

FORM = Form(
    "thing do",
    "thing do",
    [
        Field("id", "Id", required=True),
        Field("env", "Env", choices=[Choice("dev", "--env dev"), Choice("prod", "--env prod")], value="--env dev"),
        Field(
            "size", "Size", "--size", number=True, whole=True, low=64, high=1280, step=32, value="128", default="128"
        ),
        Field("rate", "Rate", "--rate", number=True, low=0.000001, high=1, value="0.003", default="0.003"),
        Field("reason", "Reason", "--reason"),
        Field("now", "Now", choices=[Choice("At once", "--now")], several=True),
    ],
)


def sent(form: Form, channel: str | None = "C0DEV", **values: Any) -> Any:
    """What the bot makes of a form in which a person has put these values, the others left as they are."""
    view = modal(form, channel)
    check_view(view)
    fill_ids(view["blocks"], lambda prefix: prefix)
    inputs = [block for block in view["blocks"] if block["type"] == "input"]
    given_values: dict[str, dict[str, Any]] = {
        block["block_id"]: {block["element"]["action_id"]: values.get(block["block_id"], initial(block["element"]))}
        for block in inputs
    }
    view["state"] = {"values": state_values(view, given_values)}
    return read(view)


def initial(element: Mapping[str, Any]) -> Any:
    if element["type"] == "checkboxes":
        return [option["value"] for option in element.get("initial_options", [])]
    return element.get("initial_value") or (element.get("initial_option") or {}).get("value")


def test_a_form_is_the_line_it_means_without_what_is_usual() -> None:
    filled = sent(FORM, id="abc", env="--env prod", reason='it\'s "late"', now=["--now"])
    assert filled.errors == {}
    assert shlex.split(filled.line) == ["thing", "do", "abc", "--env", "prod", "--reason", 'it\'s "late"', "--now"]
    assert filled.channel == "C0DEV"


def test_a_field_for_several_values_takes_each_word_for_one() -> None:
    form = Form("experiments compare", "experiments compare", [Field("runs", "Runs", required=True, words=True)])
    assert parse(sent(form, runs=" 3vyq  7bq0 ").line)[1]["runs"] == ["3vyq", "7bq0"]
    assert sent(form, runs="--yes").errors


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"size": "100"}, "size", "multiple of 32, such as 96"),
        ({"size": "32"}, "size", "between 64 and 1280"),
        ({"size": "64.5"}, "size", "whole number"),
        ({"size": "many"}, "size", "whole number"),
        ({"rate": "nan"}, "rate", "a number"),
        ({"rate": "2"}, "rate", "between 0.000001 and 1"),
        ({"id": ""}, "id", "needed"),
        ({"id": "--env"}, "id", "dash"),
    ],
)
def test_a_wrong_value_is_said_at_its_field(values: dict[str, str], field: str, words: str) -> None:
    filled = sent(FORM, **{"id": "abc", **values})
    assert words in filled.errors[field]
    assert set(filled.errors) == {field}


def test_a_choice_that_was_not_offered_is_refused() -> None:
    view = modal(FORM, None)
    fill_ids(view["blocks"], lambda prefix: prefix)
    view["state"] = {"values": state_values(view, {"id": {"value": "abc"}})}
    odd = {"type": "static_select", "selected_option": {"value": "--env staging --yes"}}
    view["state"]["values"]["env"] = {"value": odd}
    assert read(view).errors == {"env": "This is not among the choices."}


@given(st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: text.split()))
def test_any_text_is_one_word_of_the_line_and_never_an_option_of_its_own(text: str) -> None:
    filled = sent(FORM, id="abc", reason=text)
    words = shlex.split(filled.line)
    said = " ".join(text.split())
    assert words[-2:] == ["--reason", said] or words[-1] == f"--reason={said}"


def test_slacks_own_client_refuses_before_us() -> None:
    view = modal(FORM, None)
    wrong = refused_by_client(view, {"size": {"--size": "3"}, "rate": {"--rate": "x"}})
    assert set(wrong) == {"id", "size", "rate"}


# --- from the declaration ---------------------------------------------------------------------------------------------


def context(engine: Engine, role: str) -> Context:
    person = Person("T0GC", "U0DS1", "someone", role)
    return Context(person, "i1", Names("123456789012", "us-east-1"), lambda service: None, Tracking(""), engine)


def fields(engine: Engine, line: str, role: str = "data-scientist") -> dict[str, Field]:
    shown = form_command(context(engine, role), line).form
    assert shown is not None
    check_view(modal(shown, "C0DEV"))
    return {each.name: each for each in shown.fields}


@pytest.mark.parametrize("role", ["data-scientist", "ml-engineer", "stakeholder"])
def test_every_command_with_more_than_two_arguments_has_a_form_slack_takes(engine: Engine, role: str) -> None:
    with_form = [each for each in all_commands().values() if has_form(each)]
    assert {"pipeline run", "audit log", "schedule set", "drift report"} <= {each.name for each in with_form}
    for each in (each for each in with_form if each.open_to(role)):
        names = {option.name for option in options(each) if not option.hidden}
        assert set(fields(engine, each.name, role)) == names


def test_what_a_form_sends_unchanged_is_the_bare_command(engine: Engine) -> None:
    for name in ("pipeline run", "cost report", "dataset profile", "audit log", "deployment create"):
        shown = form_command(context(engine, "ml-engineer"), name).form
        assert shown is not None
        line = sent(shown).line
        assert {**parse(line)[1], "env": None} == {**parse(name)[1], "env": None}


def test_only_environments_the_role_may_use_are_offered(engine: Engine) -> None:
    assert [each.label for each in fields(engine, "pipeline run")["env"].choices] == ["dev"]
    theirs = fields(engine, "pipeline run", "ml-engineer")["env"]
    assert (theirs.value, theirs.default) == ("--env staging", ""), "dev, the usual, is not theirs, so it is said"
    assert [each.label for each in fields(engine, "pipeline logs", "ml-engineer")["env"].choices] == [
        "dev", "staging", "prod",
    ]  # fmt: skip


def test_there_is_no_form_of_what_a_role_may_do_nowhere(engine: Engine) -> None:
    with pytest.raises(Refused, match="stakeholder"):
        fields(engine, "pipeline run", "stakeholder")


def test_what_the_line_says_already_stands_in_the_form(engine: Engine) -> None:
    found = fields(engine, "pipeline run --epochs 8 --on-bad-data=fail --weights s3://b/k")
    assert (found["epochs"].value, found["epochs"].default) == ("8", "")
    assert "4 in dev" in found["epochs"].hint, "it depends on the environment, so it is said and not filled in"
    assert found["on_bad_data"].value == "--on-bad-data fail"
    assert fields(engine, "access request")["reason"].hint == "Why"
    assert found["weights"].value == "s3://b/k"
    assert (found["image_size"].low, found["image_size"].high, found["image_size"].step) == (64, 1280, 32)


def test_runs_of_the_catalog_are_offered_with_their_environment_and_none_of_another(engine: Engine) -> None:
    now = datetime.now(UTC)
    with engine.begin() as connection:
        catalog.replace(connection, "run", "dev", [Entry("run", "dev", "abcd1234", "failed", now)])
        catalog.replace(connection, "run", "prod", [Entry("run", "prod", "beef5678", "done", now)])
    found = fields(engine, "pipeline logs")
    assert "env" not in found
    assert [each.typed for each in found["execution"].choices] == ["abcd1234 --env dev"]
    assert found["execution"].value == "abcd1234 --env dev", "the only one there is"
    shown = form_command(context(engine, "ml-engineer"), "pipeline logs").form
    assert shown is not None
    line = sent(shown, execution="beef5678 --env prod", lines="20").line
    found_command, arguments = parse(line)
    assert (found_command.name, arguments["execution"], arguments["env"], arguments["lines"]) == (
        "pipeline logs", "beef5678", "prod", 20,
    )  # fmt: skip


def test_a_version_may_be_left_to_the_environment(engine: Engine) -> None:
    now = datetime.now(UTC)
    with engine.begin() as connection:
        catalog.replace(connection, "version", "staging", [Entry("version", "staging", "3", "completed", now)])
    found = fields(engine, "deployment create --env staging", "ml-engineer")["version"]
    assert found.value == "--env staging"
    assert "--version 3 --env staging" in [each.typed for each in found.choices]


def test_the_bare_name_of_a_command_that_needs_more_is_a_wish_for_its_form() -> None:
    assert bare("pipeline logs")
    assert bare("access request ")
    assert not bare("pipeline run"), "runs as it is"
    assert not bare("pipeline logs abc")
    assert not bare("")
    assert opener("pipeline logs --lines 3")[0].command == "form pipeline logs --lines 3"
    assert opener("whoami") == []


def test_a_command_to_choose_first_is_one_the_role_may_use(engine: Engine) -> None:
    shown = form_command(context(engine, "stakeholder")).form
    assert shown is not None
    offered = [each.typed for each in shown.fields[0].choices]
    assert "form cost report" in offered
    assert "form pipeline run" not in offered
    assert sent(shown, command="form cost report").line == "form cost report"


def test_several_values_of_a_line_stand_in_one_field(engine: Engine) -> None:
    shown = form_command(context(engine, "ml-engineer"), "experiments compare 3vyq 7bq0 --env staging").form
    assert shown is not None
    assert next(each for each in shown.fields if each.name == "runs").value == "3vyq 7bq0"
