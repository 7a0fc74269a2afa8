"""What Slack does to typed text is undone; what people are told has the right shape."""

from __future__ import annotations

import json

import pytest
import yaml

from bot import __main__ as program
from bot.manifest import SCOPES, manifest
from bot.settings import Settings, load
from bot.wording import denied, mistake, typed
from commands.parsing import parse
from commands.reply import Action, Mention
from pipeline.errors import BadInput, Denied, Refused


@pytest.mark.parametrize(
    ("arrived", "meant"),
    [
        ("pipeline run", "pipeline run"),
        ("  pipeline   list ", "pipeline   list"),
        ("registry reject 3 —reason “too few”", 'registry reject 3 --reason "too few"'),
        ("pipeline run –epochs 4", "pipeline run --epochs 4"),
        ("pipeline run --epochs 4", "pipeline run --epochs 4"),
        ("x --reason ‘a &lt;b&gt; &amp; c’", "x --reason 'a <b> & c'"),
        ("see <http://example.com|example.com>", "see example.com"),
        ("see <https://example.com/a?b=1>", "see https://example.com/a?b=1"),
        ("--weights s3://<http://bucket.example|bucket.example>/a.pt", "--weights s3://bucket.example/a.pt"),
        ("access why <@U0DS1|data-scientist> in <#C0DEV|ml-dev>", "access why U0DS1 in C0DEV"),
        ("a — b", "a — b"),
        ("&lt;@U0DS1&gt;", "<@U0DS1>"),
        ("/mlops whoami", "whoami"),
    ],
)
def test_typed_text_is_what_the_person_meant(arrived: str, meant: str) -> None:
    assert typed(arrived) == meant


def test_a_refusal_says_the_command_the_role_and_aws_own_words() -> None:
    words = "User: arn:aws:sts::1:x is not authorized to perform: sagemaker:CreateEndpoint on resource: y"
    reply = denied(Denied(words), "data-scientist", "deployment create", "staging")
    assert reply.title == "AWS said no to deployment create in staging"
    assert reply.quote == words
    assert "data-scientist" in str(reply.text)
    why = reply.actions[0]
    assert isinstance(why, Action)
    assert parse(why.command)[1] == {"about": "deployment create", "verb": "", "env": "staging", "as_role": None}


def test_a_person_in_an_error_is_shown_as_a_person() -> None:
    reply = mistake(Refused("A1 was already approved by <@U0ML1>.", "Ask again."))
    assert Mention("U0ML1") in list(reply.text)


def test_the_manifest_asks_for_what_is_declared_and_says_why() -> None:
    made = yaml.safe_load(manifest())
    assert made["oauth_config"]["scopes"]["bot"] == list(SCOPES)
    assert made["features"]["slash_commands"][0]["command"] == "/mlops"
    assert made["features"]["shortcuts"][0]["callback_id"] == "detect_objects"
    assert made["settings"]["interactivity"]["is_enabled"] is True
    for scope in SCOPES:
        assert f"- {scope}  # " in manifest()


def test_the_database_address_names_its_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    for given in ("postgres://u:p@h/d", "postgresql://u:p@h/d", "postgresql+psycopg://u:p@h/d"):
        monkeypatch.setenv("DATABASE_URL", given)
        assert Settings().database == "postgresql+psycopg://u:p@h/d"
        assert "p@h" not in repr(Settings())


def test_a_missing_setting_is_one_line_that_says_where_to_find_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("SLACK_SIGNING_SECRET", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BadInput, match="SLACK_SIGNING_SECRET"):
        load("web")
    assert program.main(["web"]) == 1
    seen = capsys.readouterr()
    assert seen.out == ""
    assert len(seen.err.splitlines()) == 1
    assert "Basic Information" in seen.err


def test_commands_are_printed_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["commands"]) == 0
    found = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert set(found["pipeline run"]) == {"name", "summary", "usage", "example", "roles"}
    assert found["pipeline run"]["usage"].startswith("pipeline run")
