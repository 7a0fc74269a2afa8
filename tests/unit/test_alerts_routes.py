"""The routes file: which route takes what, and every mistake in it named with its line."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerts.events import Home
from alerts.happening import Happening, Severity, Unreadable
from alerts.routes import Escalation, Route, Routes, RoutesFile, explain, load, tried
from pipeline.errors import BadInput

ROOT = Path(__file__).resolve().parents[2]
GOOD = """fallback: C0ALERTS
routes:
  - name: production
    match: {environment: prod, severity: [critical, warning]}
    channel: C0PROD
    mention: S0ONCALL
    window: 1h30m
    remind: 20m
    escalate: {after: 2h, channel: C0LEADS, mention: U0LEAD}
    quiet: {from: "22:00", to: "07:00", zone: Europe/Berlin}
    runbook: https://wiki.example.com/prod
  - name: money
    match:
      topic: [cost, budget]
    channel: C0MONEY
    window: 1d
  - name: team
    match: {source: aws.sagemaker, tags: {Owner: ml, Stage: late}}
    channel: G0TEAM
  - name: quietly
    match: {environment: none, severity: info}
    channel: none
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "routes.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def happening(**changes: Any) -> Happening:
    return Happening(
        **{
            "fingerprint": "f",
            "source": "aws.sagemaker",
            "kind": "k",
            "topic": "execution",
            "subject": "s",
            "family": "f",
            "environment": "prod",
            "severity": Severity.CRITICAL,
            "effect": "fires",
            "state": "failed",
            "at": datetime(2026, 1, 10, 23, tzinfo=UTC),
            "title": "t",
            **changes,
        }
    )


@pytest.fixture
def routes(tmp_path: Path) -> Routes:
    return load(written(tmp_path, GOOD))


@pytest.mark.parametrize(
    ("changes", "tags", "name"),
    [
        ({}, {}, "production"),
        ({"severity": Severity.WARNING}, {}, "production"),
        ({"severity": Severity.INFO}, {}, "fallback"),
        ({"environment": "dev"}, {}, "fallback"),
        ({"environment": "dev", "topic": "budget"}, {}, "money"),
        ({"topic": "budget"}, {}, "production"),
        ({"environment": "dev"}, {"Owner": "ml", "Stage": "late"}, "team"),
        ({"environment": "dev"}, {"Owner": "ml"}, "fallback"),
        ({"environment": "dev"}, {"Owner": "other", "Stage": "late"}, "fallback"),
        ({"environment": "dev", "source": "aws.ce"}, {"Owner": "ml", "Stage": "late"}, "fallback"),
        ({"environment": "dev", "tags": {"Owner": "ml"}}, {"Stage": "late"}, "team"),
        ({"environment": None, "severity": Severity.INFO}, {}, "quietly"),
        ({"environment": None}, {"Environment": "prod"}, "production"),
    ],
)
def test_the_first_route_that_matches_takes_it(
    routes: Routes, changes: dict[str, Any], tags: Mapping[str, str], name: str
) -> None:
    found = happening(**changes)
    assert routes.route(found, tags).name == name
    assert explain(routes, found, tags)[-1][0] == name


def test_a_route_holds_what_its_lines_say(routes: Routes) -> None:
    found = routes.route(happening())
    assert found.quiet is not None
    assert found == Route(
        name="production",
        channel="C0PROD",
        mention="S0ONCALL",
        window=timedelta(minutes=90),
        remind=timedelta(minutes=20),
        escalate=Escalation(timedelta(hours=2), "C0LEADS", "U0LEAD"),
        quiet=found.quiet,
        runbook="https://wiki.example.com/prod",
    )
    assert routes.route(happening(environment=None, severity=Severity.INFO)).channel is None
    assert routes.route(happening(environment="dev")) == Route("fallback", "C0ALERTS")
    assert routes.by_tags
    assert not load(ROOT / "sandbox" / "config" / "routes.yaml").by_tags


def test_quiet_hours_hold_back_everything_but_what_is_critical(routes: Routes) -> None:
    route, night = routes.route(happening()), datetime(2026, 1, 10, 23, tzinfo=UTC)
    assert route.quiet_until(Severity.WARNING, night) == datetime(2026, 1, 11, 6, tzinfo=UTC)
    assert route.quiet_until(Severity.CRITICAL, night) is None
    assert route.quiet_until(Severity.WARNING, night.replace(hour=12)) is None
    assert Route("plain", "C0").quiet_until(Severity.WARNING, night) is None


def test_why_is_told_field_by_field(routes: Routes) -> None:
    assert explain(routes, happening(environment="dev", tags={"Owner": "ml"})) == [
        ("production", "environment is dev, not prod"),
        ("money", "topic is execution, not budget or cost"),
        ("team", "tag Stage is absent, not late"),
        ("quietly", "environment is dev, not none"),
        ("fallback", "no route matches"),
    ]
    assert explain(routes, happening()) == [("production", "it matches")]


def test_what_is_not_understood_is_silenced_only_by_a_route_that_says_so(tmp_path: Path, routes: Routes) -> None:
    found = happening(topic="unknown", environment=None, severity=Severity.INFO)
    assert routes.route(found).name == "fallback"
    assert dict(explain(routes, found))["quietly"] == "it is recorded only, and does not name the topic unknown"
    silenced = load(written(tmp_path, GOOD.replace("{environment: none,", "{topic: unknown, environment: none,")))
    assert silenced.route(found).name == "quietly"


def test_an_event_is_tried_without_doing_anything(routes: Routes) -> None:
    text = (ROOT / "tests" / "unit" / "events" / "budget.json").read_bytes()
    trial = tried(text, Home("123456789012", "us-east-1"), routes)
    assert (trial.happening.topic, trial.route.channel) == ("budget", "C0MONEY")
    assert trial.why == [("production", "environment is none, not prod"), ("money", "it matches")]
    foreign = tried(json.dumps({"a": 1}), Home("1", "r"), routes)
    assert (foreign.happening.topic, foreign.route.name) == ("unknown", "fallback")
    with pytest.raises(Unreadable):
        tried("no event", Home("1", "r"), routes)


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("fallback: C0ALERTS", "fallback: none", 1, "'none' is not the id of a Slack channel"),
        ("fallback: C0ALERTS", "fallback: '#alerts'", 1, "'#alerts' is not the id of a Slack channel"),
        ("fallback: C0ALERTS", "fallbak: C0ALERTS", 1, "unknown entry 'fallbak'"),
        ("fallback: C0ALERTS\n", "", 1, "the file has no 'fallback'"),
        ("routes:\n", "routes: C0\nroutes:\n", 3, "'routes' is there twice"),
        ("    channel: C0PROD\n", "", 3, "a route has no 'channel'"),
        ("name: production", "nam: production", 3, "unknown entry 'nam'"),
        ("name: production", "name: Prod!", 3, "'Prod!' is no name"),
        ("name: money", "name: production", 12, "a route 'production' is there already"),
        ("name: money", "name: fallback", 12, "a route 'fallback' is there already"),
        ("environment: prod", "enviroment: prod", 4, "unknown entry 'enviroment'"),
        ("environment: prod", "environment: production", 4, "unknown environment 'production'; there are dev, staging"),
        ("environment: prod", "environment: []", 4, "environment names no value"),
        ("environment: prod", "environment: {a: b}", 4, "environment must be a text"),
        ("[critical, warning]", "[critical, fatal]", 4, "unknown severity 'fatal'; there are critical, warning, info"),
        ("topic: [cost, budget]", "topic: money", 14, "unknown topic 'money'"),
        ("mention: S0ONCALL", "mention: '@oncall'", 6, "'@oncall' is not the id of a Slack user or user group"),
        ("window: 1h30m", "window: 90", 7, "'90' is no duration"),
        ("window: 1h30m", "window: 0m", 7, "'0m' is no duration"),
        ("window: 1h30m", "window: 40d", 7, "at most 31d"),
        ("window: 1h30m", "window: 30m1h", 7, "'30m1h' is no duration"),
        ("remind: 20m", "remind: soon", 8, "'soon' is no duration"),
        ("after: 2h, ", "", 9, "escalate has no 'after'"),
        ("channel: C0LEADS", "channel: none", 9, "'none' is not the id of a Slack channel"),
        ("mention: U0LEAD", "mentions: U0LEAD", 9, "unknown entry 'mentions'"),
        ('"22:00"', '"24:00"', 10, "'24:00' is no time of the day"),
        ('"22:00"', "2200", 10, "'2200' is no time of the day"),
        ('"22:00"', '"07:00"', 10, "begin and end at the same time"),
        ("Europe/Berlin", "Europe/Atlantis", 10, "'Europe/Atlantis' is no time zone"),
        ("Europe/Berlin", "../../etc/passwd", 10, "is no time zone"),
        ("https://wiki.example.com/prod", "javascript:alert(1)", 11, "is no http or https link"),
        ("{Owner: ml, Stage: late}", "Owner", 18, "tags must be a mapping"),
        ("    channel: none", "    channel: none\n    mention: U0LEAD", 23, "mention needs a channel"),
        ("    match:\n      topic: [cost, budget]\n", "", 15, "'team' can never match: 'money' takes all of it before"),
        (
            "topic: [cost, budget]",
            "source: aws.sagemaker",
            17,
            "'team' can never match: 'money' takes all of it before",
        ),
        (
            "match: {environment: none, severity: info}",
            "match: {environment: prod, severity: critical}",
            20,
            "never match",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    assert old in GOOD
    with pytest.raises(BadInput) as caught:
        load(written(tmp_path, GOOD.replace(old, new, 1)))
    assert words in caught.value.message
    assert f"routes.yaml, line {line}:" in caught.value.message
    assert "config/routes.yaml" in caught.value.advice


@pytest.mark.parametrize("text", ["", "[]", "fallback: C0", "routes: []", "fallback: [", "&a [*a]"])
def test_what_is_no_routes_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput, match=r"routes\.yaml"):
        RoutesFile(written(tmp_path, text))


def test_a_missing_file_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        RoutesFile(tmp_path / "nowhere.yaml")


def test_one_block_of_quiet_hours_may_serve_several_routes(tmp_path: Path) -> None:
    text = GOOD.replace("quiet: {", "quiet: &night {").replace("    window: 1d\n", "    quiet: *night\n")
    found = load(written(tmp_path, text))
    assert found.rules[0][1].quiet == found.rules[1][1].quiet is not None


def test_the_file_counts_as_it_is_now_and_a_mistake_made_later_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path, GOOD)
    file = RoutesFile(path)
    assert file.now() is file.now()
    written(tmp_path, GOOD.replace("C0PROD", "C0OTHER"))
    good = file.now()
    assert good.route(happening()).channel == "C0OTHER"
    with caplog.at_level(logging.ERROR):
        written(tmp_path, GOOD.replace("remind: 20m", "remind: never!"))
        assert [file.now(), file.now()] == [good, good]
        assert ["line 8: 'never!'" in record.message for record in caplog.records] == [True]
        caplog.clear()
        path.unlink()
        assert [file.now(), file.now()] == [good, good]
        assert ["cannot be read" in record.message for record in caplog.records] == [True]
    written(tmp_path, GOOD)
    assert file.now().route(happening()).channel == "C0PROD"


def test_the_example_of_the_page_is_good(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "alerts.md").read_text()
    assert load(written(tmp_path, page.split("```yaml\n")[1].split("```")[0])).by_tags


def test_the_project_s_own_files_are_good() -> None:
    assert load(ROOT / "config" / "routes.yaml").route(happening()).name == "production"
    sandbox = load(ROOT / "sandbox" / "config" / "routes.yaml")
    workspace = yaml.safe_load((ROOT / "sandbox" / "config" / "workspace.yaml").read_text())
    used = {route.channel for _, route in sandbox.rules} | {sandbox.fallback}
    assert used - {None} <= {channel["id"] for channel in workspace["channels"]}
    people = {route.mention for _, route in sandbox.rules} - {""}
    assert people <= {user["id"] for user in workspace["users"]}
    assert sandbox.route(happening(environment="dev", severity=Severity.WARNING)).channel == "C0ALERTS"
    assert sandbox.route(happening(environment="dev", severity=Severity.INFO)).channel is None
