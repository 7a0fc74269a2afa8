"""The check-up: what it looks for is what there is, every failure has a fix, and nothing it meets stops it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from pydantic import SecretStr
from slack_sdk.errors import SlackApiError
from sqlalchemy import Engine, text

from bot import doctor
from bot.__main__ import main
from bot.manifest import SCOPES
from bot.settings import Settings
from commands.command import Context, Person
from commands.doctor import doctor as typed
from commands.doctor import told
from commands.reply import Finding
from pipeline.errors import Refused
from pipeline.names import Names
from pipeline.tracking import Tracking
from tests.unit.test_imports import ROOT

TOKEN = SecretStr("xoxb-1")
FILES = {
    "access_file": str(ROOT / "sandbox/config/access.yaml"),
    "routes_file": str(ROOT / "sandbox/config/routes.yaml"),
}


class Answer(dict[str, Any]):
    """What Slack answers, with its headers."""

    def __init__(self, headers: dict[str, str], **body: Any) -> None:
        super().__init__(body)
        self.headers = headers


class FakeSlack:
    """A workspace with some scopes, a clock, and a channel the bot is not in."""

    def __init__(self, scopes: str, date: str, away: str = "") -> None:
        self._headers = {"X-OAuth-Scopes": scopes, "Date": date}
        self._away = away

    def auth_test(self) -> Answer:
        return Answer(self._headers, user="groundcrew", team="Sandbox")

    def conversations_history(self, channel: str, limit: int) -> None:
        if channel == self._away:
            raise SlackApiError("no", {"error": "not_in_channel"})


def now() -> str:
    from email.utils import formatdate

    return formatdate(usegmt=True)


def found(settings: Settings, slack: Any, engine: Engine | None = None) -> dict[str, Finding]:
    return {each.what: each for each in doctor.examine(settings, slack, None, engine)}


def test_the_rules_it_looks_for_are_those_that_are_made() -> None:
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda loader, suffix, node: None)
    made = yaml.load((ROOT / "infra" / "events.yaml").read_text(), Loader)["Resources"].values()
    names = {each["Properties"]["Name"] for each in made if each["Type"] == "AWS::Events::Rule"}
    assert set(doctor.RULES) == names


def test_a_sound_slack_is_fine() -> None:
    seen = found(Settings(slack_bot_token=TOKEN, **FILES), FakeSlack(", ".join(SCOPES), now()))
    for what in ("Slack token", "Slack scopes", "Clock against Slack", "Channels", "Access file", "Routes file"):
        assert seen[what].fine, seen[what]


@pytest.mark.parametrize(
    ("slack", "what", "said", "fix"),
    [
        (FakeSlack("commands", now()), "Slack scopes", "chat:write", "install the app again"),
        (
            FakeSlack(",".join(SCOPES), "Mon, 01 Jan 2024 00:00:00 GMT"),
            "Clock against Slack",
            "seconds",
            "keep its time",
        ),
        (FakeSlack(",".join(SCOPES), now(), away="C0PROD"), "Channels", "C0PROD: not_in_channel", "/invite"),
    ],
)
def test_what_slack_lacks_is_said_with_its_fix(slack: Any, what: str, said: str, fix: str) -> None:
    seen = found(Settings(slack_bot_token=TOKEN, **FILES), slack)[what]
    assert not seen.fine
    assert said in seen.said
    assert fix in seen.fix


@pytest.mark.parametrize(
    ("token", "kind"), [("xoxp-1", "user"), ("xapp-1", "app-level"), ("hello", "no token"), ("", "not set")]
)
def test_a_token_of_the_wrong_kind_is_named(token: str, kind: str) -> None:
    seen = found(Settings(slack_bot_token=SecretStr(token), **FILES), FakeSlack("", now()))["Slack token"]
    assert not seen.fine
    assert kind in seen.said
    assert "xoxb-" in seen.fix


def test_what_is_missing_is_named_and_files_that_are_broken_are_too() -> None:
    seen = found(Settings(access_file="/nowhere.yaml", routes_file="/nowhere.yaml"), FakeSlack("", now()))
    assert not seen["DATABASE_URL"].fine
    assert not seen["Access file"].fine
    assert not seen["Routes file"].fine
    assert all(each.fix for each in seen.values() if not each.fine)


def test_a_database_from_the_future_is_told_from_one_that_is_behind(engine: Engine) -> None:
    settings = Settings(slack_bot_token=TOKEN, **FILES)
    assert found(settings, FakeSlack("", now()), engine)["Migrations"].fine
    with engine.begin() as connection:
        (before,) = connection.execute(text("SELECT version_num FROM alembic_version")).one()
    try:
        for revision, fix in (("9999", "newer Groundcrew"), ("0001", "Start a worker")):
            with engine.begin() as connection:
                connection.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": revision})
            seen = found(settings, FakeSlack("", now()), engine)["Migrations"]
            assert not seen.fine
            assert fix in seen.fix
    finally:
        with engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": before})


def test_aws_and_mlflow_that_do_not_answer_are_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    settings = Settings(aws_region="us-east-1", mlflow_tracking_uri="http://127.0.0.1:9", **FILES)
    seen = found(settings, FakeSlack("", now()))
    assert "no AWS credentials" in seen["AWS"].said
    assert not seen["MLflow"].fine


def test_findings_as_an_answer_and_who_gets_it() -> None:
    reply = told([Finding("One", True, "good"), Finding("Two", False, "bad", "Mend it.")])
    assert reply.title == "1 of 2 checks failed"
    assert [step.state for step in reply.steps] == ["done", "failed"]
    assert "Mend it." in str(reply.text)
    engine: Any = SimpleNamespace()
    ctx = Context(Person("T", "U1", "x", "data-scientist"), "i", Names("1", "r"), lambda s: None, Tracking(""), engine)
    with pytest.raises(Refused, match="ML engineer"):
        typed(ctx)


def test_a_variable_that_cannot_be_used_is_named_with_an_example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORKER_THREADS", "many")
    for process in ("web", "worker", "doctor"):
        assert main([process]) == 2
        said = capsys.readouterr().err
        assert "WORKER_THREADS cannot be used" in said
        assert "WORKER_THREADS=6" in said
