"""What people type about alerts: who sees and handles which, what the card says and offers, what a test event tells."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from alerts.route import Match
from alerts.routes import Route, Routes
from bot.slack import limits
from bot.slack.render import blocks_of, render
from bot.wording import typed
from commands.alert_card import card, history_card
from commands.command import Context, Person, no_file
from commands.evidence import of_execution
from commands.moments import length, moment
from commands.parsing import parse
from commands.reply import Action, Menu, Reply
from pipeline import definition
from pipeline.errors import BadInput, NotFound, Refused
from pipeline.names import Names
from pipeline.tracking import Tracking
from state import alerts, happenings, live
from state.alerts import AlertRow, Entry, History, Mute
from state.grouping import News, Place
from tests.unit.fake_aws import FakeClient

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
NAMES = Names("123456789012", "us-east-1")
RUN = NAMES.arn("sagemaker", "pipeline/groundcrew-dev-detector/execution/abc123def456")
ROLES = {"U0DS1": "data-scientist", "U0ML1": "ml-engineer", "U0ML2": "ml-engineer", "U0SH1": "stakeholder"}
PROD = Route("production", "C0PROD", "S0ONCALL", remind=timedelta(hours=1), runbook="https://wiki.example.com/prod")
ROUTES = Routes("C0FALL", [(Match({"environment": frozenset({"prod"})}), PROD)])
EVENT = {
    "source": "aws.sagemaker",
    "detail-type": "SageMaker Model Building Pipeline Execution Status Change",
    "account": NAMES.account,
    "region": NAMES.region,
    "time": "2026-05-04T12:00:00Z",
    "resources": [RUN],
    "detail": {
        "pipelineExecutionArn": RUN,
        "pipelineExecutionDescription": 'epochs > 3, "it\'s quoted"',
        "currentPipelineExecutionStatus": "Failed",
    },
}


def context(engine: Engine, user: str = "U0ML1", **more: Any) -> Context:
    return Context(
        person=Person("T0GC", user, user, ROLES[user]),
        invocation="i",
        names=NAMES,
        client=lambda service: pytest.fail(f"alerts need no {service}"),
        tracking=Tracking(""),
        state=engine,
        people=ROLES,
        holders=lambda role: [user for user, each in ROLES.items() if each == role],
        routes=lambda: ROUTES,
        **more,
    )


def do(ctx: Context, line: str) -> Reply:
    command, arguments = parse(line)
    return command.handler(ctx, **arguments)


def record(engine: Engine, env: str | None = "dev", **more: Any) -> AlertRow:
    given_ = {
        "fingerprint": f"{env}{more}", "kind": "k", "topic": "execution", "subject": RUN.replace("dev", env or "x"),
        "family": f"family-{env}", "environment": env, "severity": "warning", "effect": "fires", "state": "failed",
        "at": NOON, "title": "Pipeline detector failed", "text": "", "facts": {}, "ended": True, "reopens": True,
        "followed": "", "place": Place("fallback", "C0FALL", "", timedelta(hours=1)),
    }  # fmt: skip
    with engine.begin() as connection:
        happenings.record(connection, [News(**given_ | more)])  # type: ignore[arg-type]
        row = alerts.of_family(connection, str(more.get("family", f"family-{env}")))
    assert row is not None
    return row


def row_like(**more: Any) -> AlertRow:
    bare: dict[str, Any] = dict.fromkeys(AlertRow.__dataclass_fields__)
    bare |= {
        "id": "3f9a1c000000", "family": "f", "topic": "execution", "subject": RUN, "environment": "dev", "count": 1,
        "severity": "warning", "state": "firing", "last_state": "failed", "title": "Pipeline failed", "text": "",
        "facts": {}, "route": "r", "channel": "C0", "mention": "S0ONCALL", "first_at": NOON, "last_at": NOON,
    }  # fmt: skip
    return AlertRow(**bare | more)


def labels(reply: Reply) -> list[str]:
    return [action.label for action in reply.actions]


def lines(reply: Reply) -> list[str]:
    options = [each for action in reply.actions for each in (action.options if isinstance(action, Menu) else [action])]
    return [option.command for option in options if isinstance(option, Action) and not option.url]


# Who


@pytest.mark.parametrize(
    ("user", "env", "sees", "handles"),
    [
        ("U0DS1", "dev", True, True),
        ("U0DS1", None, True, False),
        ("U0DS1", "staging", False, False),
        ("U0DS1", "prod", False, False),
        ("U0ML1", "prod", True, True),
        ("U0ML1", None, True, True),
        ("U0SH1", "prod", True, False),
        ("U0SH1", "dev", True, False),
    ],
)
def test_who_sees_and_who_handles(engine: Engine, user: str, env: str | None, sees: bool, handles: bool) -> None:
    row, ctx = record(engine, env), context(engine, user)
    listed = do(ctx, "alerts list").table
    assert ((listed is not None) and any(line[0] == row.id[:8] for line in listed.rows)) is sees
    if not sees:
        with pytest.raises(Refused, match=f"Alerts of {env} are seen by ml-engineer and stakeholder"):
            do(ctx, f"alerts show {row.id}")
    for line in (f"alerts ack {row.id}", f"alerts mute {row.id} --for 1h", f"alerts resolve {row.id}"):
        if handles:
            do(ctx, line)
            continue
        with pytest.raises(Refused, match=r"Alerts of .* (seen|handled) by .*ml-engineer") as refused:
            do(ctx, line)
        assert "<@U0ML1>" in refused.value.advice


def test_a_role_held_for_a_while_counts(engine: Engine) -> None:
    from tests.unit.test_commands_approvals import GRANT

    row, ctx = record(engine, "prod"), context(engine, "U0DS1")
    ctx = replace(ctx, person=replace(ctx.person, elevations=[GRANT]))
    do(ctx, f"alerts ack {row.id}")


# What


def test_the_second_of_two_learns_who_was_first(engine: Engine) -> None:
    row = record(engine)
    do(context(engine), f"alerts ack {row.id[:6]}")
    with pytest.raises(Refused, match="already acknowledged by <@U0ML1>"):
        do(context(engine, "U0ML2"), f"alerts ack {row.id}")
    do(context(engine, "U0ML2"), f"alerts assign {row.id}")
    with pytest.raises(Refused, match="already with <@U0ML2>"):
        do(context(engine), f"alerts assign {row.id}")
    given_away = do(context(engine), f"alerts assign {row.id} --to U0DS1")
    assert [told.to for told in given_away.also] == ["U0DS1"]
    do(context(engine), f'alerts resolve {row.id} --reason "disk was full"')
    with pytest.raises(Refused, match="already resolved by <@U0ML1>"):
        do(context(engine, "U0ML2"), f"alerts resolve {row.id}")
    shown = do(context(engine), f"alerts show {row.id}")
    assert "disk was full" in render(shown)["text"]
    assert "Nothing" not in shown.title


def test_it_is_given_only_to_who_can_handle_it(engine: Engine) -> None:
    row = record(engine, "prod")
    with pytest.raises(Refused, match="could not handle it"):
        do(context(engine), f"alerts assign {row.id} --to U0DS1")
    with pytest.raises(NotFound, match="person in the access file"):
        do(context(engine), f"alerts assign {row.id} --to U0NOBODY")


def test_mute_and_unmute(engine: Engine) -> None:
    row = record(engine)
    ctx = context(engine, zone=lambda: "Europe/Berlin")
    for line in lines(card(row)):
        if line.startswith("alerts mute"):
            do(ctx, line)
    with engine.begin() as connection:
        mute = alerts.muted(connection, row.family)
    assert mute is not None
    until = mute.until.astimezone(ZoneInfo("Europe/Berlin"))
    assert (until.hour, until.minute, until.weekday()) == (8, 0, 0)
    table = do(ctx, "alerts list").table
    assert table is not None and table.rows[0][1] == "firing, muted"
    do(ctx, f"alerts unmute {row.id}")
    with pytest.raises(Refused, match="is not muted"):
        do(ctx, f"alerts unmute {row.id}")


@pytest.mark.parametrize(
    "end", ["", "--for 1h --until 08:00", "--for 31d", "--for 0h", "--until yesterday", "--for soon"]
)
def test_a_mute_without_a_sensible_end_is_refused(engine: Engine, end: str) -> None:
    row = record(engine)
    with pytest.raises(BadInput):
        do(context(engine), f"alerts mute {row.id} {end}")


def test_lists_say_when_there_is_nothing(engine: Engine) -> None:
    assert do(context(engine), "alerts list").title == "No alert is firing"
    row = record(engine, severity="critical")
    assert do(context(engine), "alerts list --env dev").title == "1 alert is firing, 1 critical"
    do(context(engine), f"alerts resolve {row.id}")
    assert do(context(engine), "alerts list").table is None
    assert do(context(engine), "alerts list --all").table is not None


# The card


LIFE = ["Acknowledge", "Assign to me", "Resolve", "Mute…"]
PACKAGE = NAMES.arn("sagemaker", "model-package/groundcrew-dev-detector/7")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, [*LIFE, "Retry the run", "Logs", "Runbook"]),
        ({"acknowledged_by": "U1", "acknowledged_at": NOON}, [*LIFE[1:], "Retry the run", "Logs", "Runbook"]),
        ({"state": "resolved", "resolved_at": NOON}, ["Logs", "Runbook"]),
        ({"topic": "endpoint"}, [*LIFE, "Look at the deployment", "Runbook"]),
        ({"topic": "package", "state": "info", "subject": PACKAGE}, ["Mute…", "Show the model", "Runbook"]),
        ({"topic": "unknown", "environment": None}, [*LIFE, "Runbook"]),
    ],
)
def test_buttons_by_topic_and_state(more: dict[str, Any], expected: list[str]) -> None:
    shown = card(row_like(**more), runbook="https://wiki.example.com/x")
    assert labels(shown) == expected
    for line in lines(shown):
        parse(line)


def test_a_muted_alert_offers_its_end() -> None:
    shown = card(row_like(), mute=Mute("M", "f", "U0ML1", "we know", NOON, NOON + timedelta(hours=1), None))
    assert "Unmute" in labels(shown)
    assert "Mute…" not in labels(shown)
    assert "we know" in render(shown)["text"]


HOSTILE = "<!channel> <@U0ML1> <https://evil.example|click> *bold* `code` \x00\x1b[31m \u202e&lt;!here&gt;"


@given(
    st.text(max_size=3000),
    st.text(max_size=3000),
    st.dictionaries(st.text(max_size=80), st.text(max_size=400), max_size=20),
)
def test_whatever_an_event_says_is_shown_within_limits_and_not_obeyed(
    title: str, said: str, facts: dict[str, str]
) -> None:
    found = {"count": 1, "step": said, "reason": title + HOSTILE, "lines": [said, HOSTILE] * 8, "note": title}
    row = row_like(
        title=HOSTILE + title, text=HOSTILE * 3 + said, facts={**facts, HOSTILE: HOSTILE}, subject=HOSTILE + said,
        environment="prod", evidence=found, count=7,
    )  # fmt: skip
    past = History([Entry(NOON, said, HOSTILE + title, None)] * 25, 100)
    for reply in (card(row, mention=True, runbook="https://wiki.example.com/x"), history_card(row, past)):
        content = render(reply)
        whole = json.dumps(content)
        assert not [each for each in marked(content) if "<!channel>" in each or "<@U0ML1>" in each or "|click>" in each]
        assert len(blocks_of(content)) <= limits.BLOCKS
        assert len(content["text"]) <= limits.MESSAGE_TEXT
        assert sum(map(len, texts(content))) <= limits.BLOCK_TEXT_SUM
        assert "\x00" not in whole and "\\u0000" not in whole


def marked(node: Any) -> list[str]:
    """The texts that Slack would read markup in."""
    if isinstance(node, dict):
        own = [node["text"]] if node.get("type") == "mrkdwn" else []
        return own + [each for value in node.values() for each in marked(value)]
    return [each for value in node for each in marked(value)] if isinstance(node, list) else []


def texts(content: dict[str, Any]) -> list[str]:
    def walk(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["text"]] if isinstance(node.get("text"), str) else []
            return own + [each for value in node.values() for each in walk(value)]
        return [each for value in node for each in walk(value)] if isinstance(node, list) else []

    return walk(blocks_of(content))


# A test event


def paste(engine: Engine, event: Any = EVENT, user: str = "U0ML1") -> Reply:
    return do(context(engine, user), f"alerts test {json.dumps(event)}")


def facts(reply: Reply) -> dict[str, str]:
    from bot.slack.words import plain

    return {fact.label: plain(fact.value) for fact in reply.facts}


def dump(engine: Engine) -> list[Any]:
    with engine.begin() as connection:
        return [
            list(connection.execute(text(f"SELECT * FROM {table}")))
            for table in ("events", "subjects", "alerts", "live", "outbox")
        ]


def test_a_test_tells_what_would_happen_and_does_nothing(engine: Engine) -> None:
    before = dump(engine)
    reply = paste(engine)
    assert reply.title == "Test: it would open an alert"
    assert dump(engine) == before
    told = facts(reply)
    assert (told["State"], told["Severity"], told["Route"], told["Channel"]) == (
        "failed (ended)",
        "warning",
        "fallback",
        "#C0FALL",
    )
    assert "environment is dev, not prod" in render(reply)["text"]
    (preview,) = reply.also
    assert preview.slot is None and preview.to is None
    assert "Buttons: Acknowledge" in render(preview)["text"]


def test_a_test_knows_what_was_recorded_is_followed_or_joins(engine: Engine) -> None:
    from alerts.events import Home, read
    from commands.rehearsal import news_of

    happening = read(json.dumps(EVENT), Home(NAMES.account, NAMES.region))
    record(engine, family=happening.family, fingerprint="other", at=NOON - timedelta(minutes=1))
    assert "it would join" in paste(engine).title
    with engine.begin() as connection:
        happenings.record(connection, [news_of(happening, ROUTES.route(happening))])
    assert "was recorded before" in paste(engine).title
    later = json.loads(json.dumps(EVENT).replace("abc123def456", "zzz123def456"))
    with engine.begin() as connection:
        live.follow(connection, kind="execution", arn=later["resources"][0], slot="s", invocation="i")
    assert "a live message shows it" in paste(engine, later).title


def test_a_recorded_alert_can_be_tested(engine: Engine) -> None:
    row = record(engine, "prod")
    told = facts(do(context(engine), f"alerts test {row.id}"))
    assert (told["Route"], told["Mentions"]) == ("production", "S0ONCALL")
    with pytest.raises(Refused, match="are seen by"):
        do(context(engine, "U0DS1"), f"alerts test {row.id}")


def test_json_from_slack_arrives_intact(engine: Engine) -> None:
    """Slack escapes three signs, and a keyboard makes quotes smart."""
    line = f"/mlops alerts test {json.dumps(EVENT, indent=1)}"
    sent = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    smart = sent.replace('"source"', "“source”")
    for text_ in (sent, smart, sent.replace("test {", "test ```{") + "```"):
        assert facts(do(context(engine), typed(text_)))["State"] == "failed (ended)"


def test_a_file_is_read_in_a_terminal_and_nowhere_else(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_text(json.dumps(EVENT))
    ctx = context(engine)
    assert ctx.local_file is no_file
    with pytest.raises(BadInput, match="neither an event nor"):
        do(ctx, f"alerts test {file}")
    at_home = replace(ctx, local_file=lambda path: Path(path).read_bytes())
    assert do(at_home, f"alerts test {file}").title == "Test: it would open an alert"


@pytest.mark.parametrize("body", ["{", '{"a": }', "{}x"])
def test_what_is_no_event_is_refused_in_words(engine: Engine, body: str) -> None:
    with pytest.raises(BadInput, match="no event"):
        do(context(engine), f"alerts test {body}")


def test_an_event_of_elsewhere_is_shown_and_acts_on_nothing(engine: Engine) -> None:
    reply = paste(engine, EVENT | {"account": "999999999999"})
    assert facts(reply)["Read as"].endswith("unknown")
    assert reply.title == "Test: it would post a message"
    assert all("Retry" not in render(each)["text"] for each in reply.also)


# Evidence


@pytest.mark.parametrize(
    ("log", "shown"),
    [
        (['{"event": "epoch"}', "CUDA out of memory", '{"event": "failed"}'], ["CUDA out of memory"]),
        (['{"event": "begun"}', '{"event": "failed"}'], ['{"event": "begun"}', '{"event": "failed"}']),
        ([f"line {number}" for number in range(20)], [f"line {number}" for number in range(12, 20)]),
        ([], []),
    ],
)
def test_evidence_is_the_failed_step_its_reason_and_the_last_lines(log: list[str], shown: list[str]) -> None:
    job = NAMES.arn("sagemaker", "training-job/groundcrew-dev-train-x1")
    words = definition.definition("dev", NAMES, "image", "s3://b/code", "https://t", "http://mlflow", "rev")
    failed: dict[str, Any] = {"StepName": "Train", "StepStatus": "Failed", "FailureReason": "out of\x00 memory"}
    failed |= {"StartTime": NOON, "Metadata": {"TrainingJob": {"Arn": job}}}
    sagemaker = FakeClient(
        describe_pipeline_execution={
            "PipelineExecutionStatus": "Failed", "CreationTime": NOON, "LastModifiedTime": NOON,
        },
        describe_pipeline_definition_for_execution={"PipelineDefinition": words},
        list_pipeline_execution_steps={"PipelineExecutionSteps": [failed]},
        list_pipeline_parameters_for_execution={"PipelineParameters": []},
    )  # fmt: skip
    logs = FakeClient(
        describe_log_streams={"logStreams": [{"logStreamName": "x1/1"}]},
        get_log_events={"events": [{"message": line} for line in log]},
    )
    found = of_execution({"sagemaker": sagemaker, "logs": logs}.__getitem__, RUN)
    assert found == {"step": "Train", "reason": "out of memory", "lines": shown}


# Moments


@pytest.mark.parametrize(
    ("words", "now", "expected"),
    [
        ("08:00", NOON, "2026-05-05T08:00+00:00"),
        ("13:00", NOON, "2026-05-04T13:00+00:00"),
        ("tomorrow 08:00 Europe/Berlin", NOON, "2026-05-05T06:00+00:00"),
        ("monday 08:00", NOON, "2026-05-11T08:00+00:00"),
        ("2026-05-06 08:00", NOON, "2026-05-06T08:00+00:00"),
        ("2026-05-06T08:00+02:00", NOON, "2026-05-06T06:00+00:00"),
        ("tomorrow 02:30 Europe/Berlin", datetime(2026, 3, 28, 12, tzinfo=UTC), "2026-03-29T01:30+00:00"),
        ("tomorrow 02:30 Europe/Berlin", datetime(2026, 10, 24, 12, tzinfo=UTC), "2026-10-25T00:30+00:00"),
    ],
)
def test_moments(words: str, now: datetime, expected: str) -> None:
    assert moment(words, now) == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    "words", ["", "soon", "25:00", "2026-02-30 08:00", "2026-05-01 08:00", "08:00 Nowhere/At", "today 08:00"]
)
def test_what_is_no_moment_or_has_passed_is_refused(words: str) -> None:
    with pytest.raises(BadInput):
        moment(words, NOON)


@given(
    st.text(max_size=40)
    | st.from_regex(r"(20\d\d-\d\d-\d\d |monday |today )?\d\d:\d\d( Europe/Berlin)?", fullmatch=True)
)
def test_a_moment_is_in_the_future_or_refused(words: str) -> None:
    try:
        assert moment(words, NOON) > NOON
    except BadInput as error:
        assert error.advice


def test_lengths() -> None:
    assert [length(each) for each in ("30m", "1h", "1d", "2w", " 1 H ")] == [
        timedelta(minutes=30), timedelta(hours=1), timedelta(days=1), timedelta(weeks=2), timedelta(hours=1),
    ]  # fmt: skip
