"""What people type, and what they are told when it is wrong."""

from __future__ import annotations

import pytest

from sandbox.person import Person
from tests.conftest import Sandbox


def test_whoami_names_the_role_and_the_session(ds: Person) -> None:
    told = ds.asks("whoami", "You are")
    assert told["ephemeral"]
    assert "assumed-role/groundcrew-data-scientist/U0DS1-" in told["words"]
    assert "T0GC.U0DS1" in told["words"]


def test_help_lists_every_noun_and_explains_a_command(ds: Person) -> None:
    told = ds.asks("help", "What you can type")["words"]
    for name in ("pipeline run", "registry request", "deployment predict", "approvals list", "whoami"):
        assert name in told
    assert "registry approve" not in told, "help shows what this person may not do"
    explained = ds.asks("help pipeline run", "pipeline run:")["words"]
    assert "--epochs" in explained
    assert "1..300" in explained


def test_an_unknown_command_is_answered_with_the_right_one(ds: Person) -> None:
    told = ds.asks("pipeline rnu", "Did you mean", "pipeline run", "Usage")["words"]
    assert "--epochs" in told


def test_an_unknown_option_is_answered_with_the_right_one_and_the_usage(ds: Person) -> None:
    told = ds.asks("pipeline run --epoch 4", "--epoch")["words"]
    assert "--epochs" in told
    assert "Usage" in told


@pytest.mark.parametrize("line", ["pipeline run --epochs 0", "pipeline run --epochs 301", "pipeline run --epochs many"])
def test_a_number_out_of_range_is_refused_with_the_range(ds: Person, line: str) -> None:
    told = ds.asks(line, "epochs")["words"]
    assert "300" in told
    assert "Training run" not in told


def test_text_is_data_wherever_it_is_shown(ds: Person) -> None:
    told = ds.asks("pipeline show <!channel>", "<!channel>")
    assert "<!channel>" not in str(told["blocks"]) or "rich_text" in str(told["blocks"])
    assert "&lt;!channel&gt;" in told["text"]


def test_a_run_that_does_not_exist_is_answered_with_the_nearest(ds: Person) -> None:
    ds.asks("pipeline show zzzzzzzzzzzz", "There is no", "zzzzzzzzzzzz")


def test_a_version_that_does_not_exist_is_said_so(ds: Person) -> None:
    ds.asks("registry show 999", "There is no", "999")


def test_an_endpoint_that_does_not_exist_is_said_with_the_way_to_one(ml: Person) -> None:
    ml.asks("deployment predict --env prod", "groundcrew-prod-detector")
    ml.asks("deployment delete --env prod", "There is no", "deployment create")


def test_somebody_without_a_role_is_refused_and_told_whom_to_ask(sandbox: Sandbox) -> None:
    told = sandbox.slack.person("U0NEW").asks("whoami", "I do not know you yet")
    assert told["ephemeral"]
    assert "ML engineer in ml-prod" in told["words"]


def test_a_mistake_stays_between_the_bot_and_the_person(sandbox: Sandbox, ds: Person) -> None:
    told = ds.asks("pipeline rnu --nonsense", "Did you mean")
    seen_by_others = [row["ts"] for row in sandbox.slack.person("U0ML1").reads()]
    assert told["ts"] not in seen_by_others


@pytest.mark.parametrize(
    ("user", "line", "outcome", "status"),
    [
        ("U0DS1", "whoami", "ok", 0),
        ("U0DS1", "pipeline rnu", "error", 1),
        ("U0NEW", "whoami", "denied", 3),
        ("U0DS1", "pipeline show zzzz", "error", 1),
    ],
)
def test_a_terminal_goes_the_same_way_and_tells_by_its_status(
    sandbox: Sandbox, user: str, line: str, outcome: str, status: int
) -> None:
    import json

    ran = sandbox.bot("run", "--as", user, line, "--json")
    assert ran.returncode == status, ran.stderr
    assert json.loads(ran.stdout)["outcome"] == outcome
