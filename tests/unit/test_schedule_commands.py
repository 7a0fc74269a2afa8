"""What people type about schedules, and the summary that the first of them posts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from sqlalchemy import Engine, insert

from bot.slack.render import render
from bot.slack.words import plain
from commands import summary
from commands.command import Context, Person
from commands.parsing import parse
from commands.reply import Action, Channel, Menu, Moment, Outcome, Reply
from pipeline.errors import BadInput, GroundcrewError, NotFound, Refused, Unavailable
from pipeline.names import Environment, Names
from pipeline.tracking import Run, Tracking
from sandbox.slack.blocks import check_message
from state import approvals, grants, schedules, tables
from tests.unit.fake_aws import FakeClient, refusal

NAMES = Names("123456789012", "us-east-1")
ML = Person("T0GC", "U0ML1", "ml-engineer", "ml-engineer")
DS = Person("T0GC", "U0DS1", "data-scientist", "data-scientist")
SET = "schedule set summary --at 08:30"


def nobody(service: str) -> Any:
    raise AssertionError(f"{service} was asked")


def context(engine: Engine, person: Person = ML, *, zone: str = "Europe/Zurich", **more: Any) -> Context:
    given: dict[str, Any] = {"client": nobody, "tracking": Tracking("http://127.0.0.1:9"), "channel": "C0DEV"}
    return Context(person, "i1", NAMES, state=engine, zone=lambda: zone, **(given | more))


def typed(ctx: Context, line: str) -> Reply:
    command, arguments = parse(line)
    reply = command.handler(ctx, **arguments)
    message = render(reply)
    check_message(message["blocks"], message.get("attachments", []))
    return reply


def shown(reply: Reply) -> str:
    """The whole reply in words."""
    return str(render(reply)["text"])


def refused(ctx: Context, line: str) -> GroundcrewError:
    with pytest.raises(GroundcrewError) as caught:
        typed(ctx, line)
    return caught.value


def all_of(engine: Engine) -> Sequence[schedules.ScheduleRow]:
    with engine.begin() as connection:
        return schedules.every(connection)


def test_a_schedule_is_set_in_the_zone_and_the_channel_of_who_sets_it(engine: Engine) -> None:
    reply = typed(context(engine), f"{SET} --days mon-fri")
    (row,) = all_of(engine)
    assert (row.name, row.report, row.zone, row.channel) == ("summary", "summary", "Europe/Zurich", "C0DEV")
    assert (row.cron, row.late_minutes, row.user_id) == ("30 8 * * mon,tue,wed,thu,fri", 720, "U0ML1")
    assert reply.title == "Schedule summary: summary, mon-fri at 08:30, Europe/Zurich"
    (following,) = [fact.value for fact in reply.facts if fact.label == "Next"]
    assert isinstance(following[0], Moment) and following[0].at > datetime.now(UTC).timestamp()


def test_what_is_given_counts_before_what_is_known(engine: Engine) -> None:
    line = f"{SET} --zone asia/kathmandu --channel C0PROD --late 30m --name nepal --days monthly:last"
    typed(context(engine, zone=""), line)
    (row,) = all_of(engine)
    assert (row.name, row.zone, row.channel, row.late_minutes) == ("nepal", "Asia/Kathmandu", "C0PROD", 30)


@pytest.mark.parametrize(
    ("line", "error", "advice"),
    [
        ("schedule set costs --at 08:30", NotFound, "There are: summary"),
        ("schedule set summary --at 25:00", BadInput, "08:30"),
        (f"{SET} --days never", BadInput, "mon-fri"),
        (f"{SET} --zone Europe/Zurick", NotFound, "Europe/Zurich"),
        (f"{SET} --channel ml-prod", BadInput, "--channel #"),
        (f"{SET} --late soon", BadInput, "1h"),
        (f"{SET} --late 2w", BadInput, "1w"),
        (f"{SET} --name 'Big One'", BadInput, "small letters"),
        ("schedule remove sumary", NotFound, "schedule list"),
    ],
)
def test_a_mistake_is_answered_with_the_fix(
    engine: Engine, line: str, error: type[GroundcrewError], advice: str
) -> None:
    mistake = refused(context(engine), line)
    assert isinstance(mistake, error) and advice in mistake.advice
    assert not all_of(engine)


def test_without_a_known_zone_or_a_channel_they_have_to_be_named(engine: Engine) -> None:
    assert "--zone Europe/Zurich" in refused(context(engine, zone=""), SET).advice
    assert "--channel" in refused(context(engine, channel=None), SET).advice


def test_only_an_ml_engineer_sets_and_removes_and_everybody_sees(engine: Engine) -> None:
    typed(context(engine), SET)
    for line in (SET, "schedule remove summary"):
        denied = refused(context(engine, DS), line)
        assert isinstance(denied, Refused) and "ml-engineer" in denied.message
    seen = typed(context(engine, DS), "schedule list")
    assert seen.title == "One schedule" and not seen.actions
    for_a_while = replace(DS, elevations=[_elevation(engine)])
    typed(context(engine, for_a_while), "schedule remove summary")
    assert not all_of(engine)


def test_another_channel_needs_a_name_of_its_own(engine: Engine) -> None:
    typed(context(engine), SET)
    typed(context(engine), "schedule set summary --at 09:00")
    assert [row.cron for row in all_of(engine)] == ["0 9 * * *"]
    mistake = refused(context(engine, channel="C0PROD"), SET)
    assert "--name summary-2" in mistake.advice
    typed(context(engine, channel="C0PROD"), f"{SET} --name summary-2")
    typed(context(engine, channel="C0STAGING"), f"{SET} --name summary")
    assert {row.name: row.channel for row in all_of(engine)} == {"summary": "C0STAGING", "summary-2": "C0PROD"}


def test_the_list_says_when_next_and_how_it_went(engine: Engine) -> None:
    assert "schedule set" in shown(typed(context(engine), "schedule list"))
    typed(context(engine), SET)
    assert "not yet posted" in shown(typed(context(engine), "schedule list"))
    (row,) = all_of(engine)
    due = datetime.now(UTC) - timedelta(hours=1)
    with engine.begin() as connection:
        assert schedules.claim(connection, row, "p", due, schedules.POSTED)
        assert not schedules.claim(connection, row, "p", due, schedules.POSTED)
    reply = typed(context(engine), "schedule list")
    for words in ("daily at 08:30, Europe/Zurich", "next 20", "last posted late 20", "set by @U0ML1", "into #C0DEV"):
        assert words in shown(reply)
    (button,) = [action for action in reply.actions if isinstance(action, Action)]
    assert button.confirm is not None
    typed(context(engine), button.command)
    assert shown(typed(context(engine), "schedule list")).startswith("Nothing is scheduled")


def test_a_conversation_is_no_channel_to_link_to() -> None:
    assert plain([Channel("D0BOT")]) == "this conversation"
    shown = render(Reply(title="t", context=[Channel("C0DEV")], text=[Channel("C0DEV"), Channel("<!here>")]))
    assert shown["blocks"][1]["elements"][0]["text"] == "<#C0DEV>"
    elements = shown["blocks"][2]["elements"][0]["elements"]
    assert elements == [{"type": "channel", "channel_id": "C0DEV"}, {"type": "text", "text": "<!here>"}]


# The summary


class Mlflow(Tracking):
    """MLflow with one score; may be away."""

    def __init__(self, arn: str = "", *, away: bool = False) -> None:
        super().__init__("http://127.0.0.1:9")
        self._arn, self._away = arn, away

    def search_runs(self, experiments: Sequence[str], *args: Any, **kwargs: Any) -> list[Run]:
        if self._away:
            raise Unavailable("MLflow cannot be reached.")
        return [Run("r", "1", "", "FINISHED", "", 0, 1, metrics={"test/map50": 0.9664}, tags={"execution": self._arn})]


def execution(env: Environment, id: str, status: str, hours_ago: float, reason: str = "") -> dict[str, Any]:
    return {
        "PipelineExecutionArn": NAMES.arn("sagemaker", f"pipeline/{NAMES.pipeline(env)}/execution/{id}"),
        "PipelineExecutionStatus": status,
        "StartTime": datetime.now(UTC) - timedelta(hours=hours_ago),
        **({"PipelineExecutionFailureReason": reason} if reason else {}),
    }


DONE = execution("dev", "aaaa1111", "Succeeded", 2)


def sagemaker(**failures: Exception) -> FakeClient:
    """Four runs in dev, none in staging, no pipeline in prod; `failures` by environment."""
    found = {
        "dev": [
            DONE,
            execution("dev", "bbbb2222", "Failed", 3, "mAP50 is below"),
            execution("dev", "cccc3333", "Executing", 30),
            execution("dev", "dddd4444", "Succeeded", 31),
        ],
        "staging": [],
    }

    def answer(PipelineName: str, **_: Any) -> Any:
        env = PipelineName.split("-")[1]
        if env in failures:
            raise failures[env]
        if env not in found:
            raise refusal("ResourceNotFound", "no such pipeline")
        return {"PipelineExecutionSummaries": found[env]}

    return FakeClient(list_pipeline_executions=answer)


def eyes(client: FakeClient, engine: Engine, **more: Any) -> Context:
    tracking = more.pop("tracking", Mlflow(DONE["PipelineExecutionArn"]))
    return context(engine, more.pop("person", ML), client=lambda service: client, tracking=tracking, **more)


def alert(engine: Engine, id: str, env: str | None, severity: str, **more: Any) -> None:
    at = datetime.now(UTC) - timedelta(minutes=65)
    values = {"id": id, "family": id, "topic": "endpoint", "subject": id, "environment": env, "severity": severity}
    values |= {"state": "firing", "last_state": "failed", "title": f"trouble {id}", "route": "r"}
    with engine.begin() as connection:
        connection.execute(
            insert(tables.alerts).values(values | {"first_at": at, "last_at": at, "group_until": at} | more)
        )


def since_yesterday() -> datetime:
    return datetime.now(UTC) - timedelta(days=1)


def test_a_report_goes_over_all_environments(engine: Engine) -> None:
    alert(engine, "a1", "prod", "critical")
    alert(engine, "a2", "dev", "warning", acknowledged_by="U0DS1")
    alert(engine, "a3", None, "warning", acknowledged_by="U0DS1", assigned_to="U0ML2")
    alert(engine, "a4", "dev", "warning", state="resolved")
    asked = approvals.open(
        engine, team="T0GC", requester="U0DS1", command="registry request 1", role="ml-engineer", title="promote v1",
        facts=[], bound={}, invocation="i",
    )  # fmt: skip
    glass = grants.begin(
        engine, "break-glass", team="T0GC", user="U0ML1", role="ml-engineer", lasts=timedelta(minutes=1),
        reason="it was down", invocation="i", resource="groundcrew-prod-detector",
    )  # fmt: skip
    reply = summary.report(eyes(sagemaker(), engine), since_yesterday())
    message = render(reply)
    check_message(message["blocks"], message.get("attachments", []))
    assert reply.title == "Summary: 3 runs, 3 open alerts, 2 waiting for somebody"
    assert [(step.name, step.state) for step in reply.steps] == [
        ("dev aaaa", "done"), ("dev bbbb", "failed"), ("dev cccc", "running"),
    ]  # fmt: skip
    for words in (
        "done · mAP50 0.966 · started",
        "failed · mAP50 is below · started",
        "Runs in dev: 1 done, 1 failed, 1 running",
        "Runs in staging: none",
        "Runs in prod: none",
        "Open alerts: 1 critical, 2 warning",
        "a1 critical · trouble a1 · for 1 h 5 min · nobody has it",
        "a2 warning · trouble a2 · for 1 h 5 min · seen by @U0DS1",
        "with @U0ML2",
        f"{glass.id} on groundcrew-prod-detector by @U0ML1: it was down",
        f"{asked.id} promote v1 · asked by @U0DS1 · needs ml-engineer",
        "all environments · since",
    ):
        assert words in shown(reply), words
    assert "trouble a4" not in shown(reply) and "dddd" not in shown(reply)
    (menu,) = [action for action in reply.actions if isinstance(action, Menu)]
    assert menu.options[1].command == "pipeline show bbbb2222 --env dev"
    for option in [*menu.options, *(each for each in reply.actions if isinstance(each, Action))]:
        parse(option.command)


def test_a_quiet_day(engine: Engine) -> None:
    client = FakeClient(list_pipeline_executions={"PipelineExecutionSummaries": []})
    reply = summary.report(eyes(client, engine), since_yesterday())
    assert reply.title == "Summary: no runs, no open alerts"
    assert "nothing waits" in shown(reply) and not reply.actions


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (refusal("AccessDenied", "not authorized to perform"), "AWS refuses to list its runs: not authorized"),
        (EndpointConnectionError(endpoint_url="https://x"), "AWS does not answer"),
        (Unavailable("STS cannot be asked."), "STS cannot be asked"),
    ],
)
def test_what_aws_does_not_tell_is_said_and_the_rest_told(engine: Engine, failure: Exception, says: str) -> None:
    alert(engine, "a1", "prod", "critical")
    reply = summary.report(eyes(sagemaker(prod=failure), engine), since_yesterday())
    assert reply.outcome is Outcome.OK
    for words in ("Runs in prod: AWS", says, "1 done", "trouble a1"):
        assert words in shown(reply)


def test_without_mlflow_the_metrics_are_missing_and_it_says_so(engine: Engine) -> None:
    reply = summary.report(eyes(sagemaker(), engine, tracking=Mlflow(away=True)), since_yesterday())
    assert "1 done, 1 failed, 1 running · MLflow does not answer, so no metrics" in shown(reply)
    assert "0.966" not in shown(reply)


def test_a_person_sees_one_environment_with_their_own_rights(engine: Engine) -> None:
    alert(engine, "a1", "prod", "critical")
    alert(engine, "a2", "dev", "warning")
    client = sagemaker()
    reply = typed(eyes(client, engine, person=DS), "summary")
    assert {request["PipelineName"] for request in client.requests("list_pipeline_executions")} == {
        "groundcrew-dev-detector"
    }
    assert reply.environment == "dev"
    assert "trouble a2" in shown(reply) and "trouble a1" not in shown(reply)
    no = refusal("AccessDeniedException", "not authorized")
    with pytest.raises(type(no)):
        typed(eyes(sagemaker(staging=no), engine, person=DS), "summary --env staging")


def test_many_alerts_are_counted_and_the_first_named(engine: Engine) -> None:
    for number in range(14):
        alert(engine, f"a{number:02}", "dev", "warning")
    reply = summary.report(eyes(sagemaker(), engine), since_yesterday())
    assert "14 open alerts" in reply.title and "… 4 more" in shown(reply)


def _elevation(engine: Engine) -> grants.Grant:
    return grants.begin(
        engine, "elevation", team="T0GC", user="U0DS1", role="ml-engineer", lasts=timedelta(hours=1), reason="r",
        invocation="i", approval="A1",
    )  # fmt: skip
