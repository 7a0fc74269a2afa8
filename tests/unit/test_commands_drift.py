"""What people ask about drift: the verdict and what to do, history, baseline, schedule, ground truth, rollback."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from bot.slack.render import PICTURE_BLOCK, blocks_of, render
from bot.terminal import lines as in_terminal
from commands import all_commands, drift_report
from commands.command import Context, Need, Person, Plan
from commands.drift import monitor_live
from commands.parsing import parse
from commands.reply import Action, Follow, Link, Menu, Outcome, Reply
from pipeline import monitor
from pipeline.errors import BadInput, GroundcrewError, NotFound, Refused
from pipeline.monitor import Execution, Watch
from sandbox.slack.blocks import check_message
from state import approvals
from tests.unit.drifting import (
    BUCKET,
    ENDPOINT,
    HOME,
    HOUR,
    JPEG,
    MODEL,
    NAMES,
    NOW,
    PNG,
    column,
    leave,
    stamp,
    statistics,
    verdict,
)
from tests.unit.fake_aws import FakeClient, refusal
from tests.unit.fake_s3 import FakeS3
from tests.unit.test_reports import GIVEN, HISTORY, ROWS, packages, truth_line

STACK_ID = NAMES.arn("cloudformation", f"stack/{ENDPOINT}/1")
JOB = NAMES.arn("sagemaker", f"processing-job/{ENDPOINT}-monitor-0a1b")


class Account:
    """AWS with one deployment, its reports in S3, and a person who types."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.s3 = FakeS3()
        self.parameters = {
            **GIVEN,
            "Digest": MODEL,
            "InstanceType": "ml.m5.large",
            "ModelDataUrl": "s3://b/model.tar.gz",
            "InstanceCount": "1",
            "MinInstances": "1",
            "MaxInstances": "2",
            "ScaleOn": "concurrency",
        }
        self.status = "UPDATE_COMPLETE"
        self.sagemaker = packages(*ROWS)
        self.sagemaker.answers |= {"create_processing_job": lambda **request: {"ProcessingJobArn": JOB}}
        self.cloudformation = FakeClient(
            describe_stacks=lambda **request: {"Stacks": [self._stack()]},
            update_stack={"StackId": STACK_ID},
            describe_stack_events={"StackEvents": HISTORY[::-1]},
        )
        self.logs = FakeClient(describe_log_streams={"logStreams": []})
        self.whispered: list[Link] = []

    def _stack(self) -> dict[str, Any]:
        return {
            "StackName": ENDPOINT,
            "StackId": STACK_ID,
            "StackStatus": self.status,
            "CreationTime": NOW,
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in self.parameters.items()],
        }

    def context(self, **more: Any) -> Context:
        clients = {"s3": self.s3, "sagemaker": self.sagemaker, "cloudformation": self.cloudformation, "logs": self.logs}
        return Context(
            person=Person("T0GC", "U0DS1", "somebody", "data-scientist"),
            invocation="i",
            names=NAMES,
            client={**clients, "scheduler": FakeClient()}.__getitem__,
            tracking=None,  # type: ignore[arg-type]
            state=self.engine,
            whisper=self.whispered.append,
            **more,
        )

    def ask(self, line: str, **more: Any) -> Reply:
        """What the handler answers; every answer is one that Slack takes and a terminal can show."""
        command, arguments = parse(line)
        return shown(command.handler(self.context(**more), **arguments))

    def plan(self, line: str) -> Plan:
        """What a confirmation or an approval of the line shows."""
        command, arguments = parse(line)
        assert command.plan is not None
        return command.plan(self.context(), **arguments)

    def updated(self) -> dict[str, str]:
        """The parameters of the only update of the stack."""
        (sent,) = self.cloudformation.requests("update_stack")
        return {item["ParameterKey"]: item["ParameterValue"] for item in sent["Parameters"]}


@pytest.fixture
def account(engine: Engine) -> Account:
    return Account(engine)


def shown(reply: Reply) -> Reply:
    """The reply, once Slack's rules have been checked on it and on its further messages; every button is a command."""
    for each in (reply, *reply.also):
        message = render(each)
        for block in blocks_of(message):
            if block.get("block_id") == PICTURE_BLOCK:
                block["slack_file"]["id"] = "F0PICTURE"
        check_message(message["blocks"], message.get("attachments", []))
        assert in_terminal(each)
        for action in buttons(each):
            parse(action.command)
    return reply


def buttons(reply: Reply) -> list[Action]:
    menus = [action.options if isinstance(action, Menu) else [action] for action in reply.actions]
    return [option for options in menus for option in options]


def commands_of(reply: Reply) -> list[str]:
    return [action.command for action in buttons(reply)]


def words(reply: Reply) -> str:
    return str(render(reply)["text"])


def test_drift_is_one_line_with_what_moved_pictures_and_what_to_do(account: Account) -> None:
    told = verdict(
        columns=[column("sharpness"), column("brightness", 0.5), column("class_boat", 0.1)],
        violations=[
            {"feature_name": "sharpness", "constraint_check_type": "baseline_drift_check", "description": "far"}
        ],
        review={"prefix": "s3://b/dev/review/x/2026-05-04/", "photos": 12},
        caveats=["Limits were calibrated image by image."],
    )
    leave(account.s3, told, chart_png=PNG, examples_jpg=JPEG, report_html=b"<html>")
    reply = account.ask("drift report --window 2h")
    assert reply.title == "Drift: sharpness and brightness moved"
    facts = {fact.label: fact.value for fact in reply.facts}
    assert facts["Sharpness"] == "412 → 280, 3.00 times its limit (0.90 of 0.30 σ)"
    assert "Boat per photo" in facts
    assert reply.picture is not None
    assert (reply.picture.data, "sharpness 412 → 280" in reply.picture.alt) == (PNG, True)
    assert [each.picture.data for each in reply.also if each.picture] == [JPEG]
    assert reply.table is not None
    assert "image by image" in words(reply)
    assert "12 photos" in words(reply)
    assert "no recent photo gets into it" in words(reply)
    typed = commands_of(reply)
    assert {"pipeline run --env dev", "deployment rollback --env dev"} <= set(typed)
    (accept, *_) = [line for line in typed if line.startswith("drift baseline accept")]
    assert parse(accept)[1]["at"] == stamp(NOW)
    assert parse(accept)[1]["reason"]


@pytest.mark.parametrize(
    ("told", "title"),
    [
        (verdict("no drift"), "No drift in 400 images"),
        (verdict("no drift", images=84, caveats=["Small sample (84 images)"]), "Small sample: no drift in 84 images"),
        (
            verdict("warning", images=84, columns=[column(limit=0.0, beyond=True)], caveats=["Small sample: x"]),
            "Small sample: sharpness seem to have moved",
        ),
        (
            verdict("warning", images=300, columns=[column()], caveats=["The baseline has 9 flights only."]),
            "Small baseline: sharpness seem to have moved",
        ),
        (verdict("no verdict", images=12, columns=[]), "No verdict: 12 images, too few to say anything"),
        (
            verdict("no verdict", baseline=None, limits=None, columns=[]),
            "No verdict: there is no baseline to compare with",
        ),
        (
            verdict("no traffic", images=0, records=0, malformed={}, models={}, columns=[]),
            "No traffic: nothing was recorded",
        ),
    ],
)
def test_every_verdict_is_told_as_what_it_is(account: Account, told: dict[str, Any], title: str) -> None:
    leave(account.s3, told)
    reply = account.ask("drift report --window 2h")
    assert reply.title == title
    assert reply.picture is None
    if told["verdict"] in ("no drift", "no traffic", "no verdict"):
        assert not any("rollback" in line or "accept" in line for line in commands_of(reply))


def test_a_longer_time_lists_its_windows_and_makes_up_no_verdict(account: Account) -> None:
    for hour, kind in enumerate(["drift", "drift", "no drift", "no traffic"]):
        leave(account.s3, verdict(kind, end=NOW - hour * HOUR), chart_png=PNG)
    account.s3.hold(f"{HOME}/{stamp(NOW - 5 * HOUR)}/verdict.json", b"broken")
    reply = account.ask("drift report --window 24h")
    assert reply.title == "Drift in 2 of 4 windows: sharpness moved"
    assert reply.table is not None
    assert [row[1] for row in reply.table.rows] == ["drift", "drift", "no drift", "no traffic"]
    assert "last two windows drift both" in words(reply)
    assert "1 report(s) could not be read" in words(reply)
    assert reply.picture is not None
    assert "drift report --env dev --window 24h --now" in commands_of(reply)


@pytest.mark.parametrize(
    ("kinds", "title"),
    [
        (["no drift", "no traffic"], "No drift in 1 of 2 windows"),
        (["no traffic", "no traffic"], "No traffic in 2 windows"),
        (["no verdict", "no traffic"], "No verdict in 2 windows"),
        (["warning", "no drift"], "Not sure: 1 of 2 windows may have moved"),
    ],
)
def test_silence_is_never_no_drift(account: Account, kinds: list[str], title: str) -> None:
    for hour, kind in enumerate(kinds):
        leave(account.s3, verdict(kind, end=NOW - hour * HOUR))
    assert account.ask("drift report").title == title


def test_a_report_as_long_as_asked_for_stands_for_its_hours(account: Account) -> None:
    leave(account.s3, verdict("drift", end=NOW - HOUR))
    leave(account.s3, verdict("no drift", end=NOW, length=24 * HOUR), f"{HOME}/{stamp(NOW)}/ab12")
    assert account.ask("drift report").title == "No drift in 400 images"
    assert account.ask(f"drift report --at {stamp(NOW - HOUR)}").title.startswith("Drift: ")


def test_one_window_can_be_asked_for_again_and_nobody_else_s(account: Account) -> None:
    leave(account.s3, verdict("drift"))
    leave(account.s3, verdict("no drift", length=24 * HOUR), f"{HOME}/{stamp(NOW)}/ab12")
    assert account.ask(f"drift report --at {stamp(NOW)} --window 1h").title.startswith("Drift")
    assert account.ask(f"drift report --at {stamp(NOW)} --window 24h").title.startswith("No drift")
    with pytest.raises(NotFound, match="window that ended"):
        account.ask(f"drift report --at {stamp(NOW - HOUR / 2)}")
    with pytest.raises(BadInput, match="no moment"):
        account.ask("drift report --at yesterday")


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({}, "looks every 1 h"),
        ({"MonitorState": "DISABLED"}, "drift schedule resume"),
        ({"BaselineStatistics": ""}, "no baseline either"),
        ({"CodeUri": ""}, "before there was a monitor"),
    ],
)
def test_no_report_yet_says_why_that_may_be(account: Account, parameters: dict[str, str], said: str) -> None:
    account.parameters |= parameters
    reply = account.ask("drift report --window 1h")
    assert reply.title == f"No reports about {ENDPOINT} in the last 1h"
    assert said in words(reply)
    assert "drift report --env dev --window 1h --now" in commands_of(reply)


@pytest.mark.parametrize("line", ["drift report", "drift history", "drift baseline show", "drift schedule pause"])
def test_without_a_deployment_one_is_offered(account: Account, line: str) -> None:
    account.status = "DELETE_COMPLETE"
    with pytest.raises(NotFound) as refused:
        account.ask(line)
    assert "deployment create --env dev" in refused.value.advice


def test_an_endpoint_is_known_by_its_short_and_its_full_name(account: Account) -> None:
    leave(account.s3, verdict())
    assert account.ask("drift report detector").title == account.ask(f"drift report {ENDPOINT}").title
    with pytest.raises(NotFound) as refused:
        account.ask("drift report groundcrew-prod-detector")
    assert "--env" in refused.value.advice


@pytest.mark.parametrize("window", ["0h", "40d", "a day", "30"])
def test_a_window_that_is_none_is_refused(account: Account, window: str) -> None:
    with pytest.raises(BadInput):
        account.ask(f'drift report --window "{window}"')


HOSTILE = "<!channel> <https://evil.example|click> *bold* @everyone `code`\n\x00 " + "x" * 300


def test_hostile_text_in_a_report_is_shown_and_not_obeyed(account: Account) -> None:
    told = verdict(
        endpoint=HOSTILE,
        columns=[column(HOSTILE), column("class_" + HOSTILE)],
        caveats=[HOSTILE] * 30,
        violations=[{"feature_name": HOSTILE, "constraint_check_type": HOSTILE, "description": HOSTILE}] * 200,
        baseline={"id": HOSTILE, "model": HOSTILE, "images": 800},
        limits={"limit": 0.3, "from": HOSTILE},
        review={"prefix": HOSTILE, "photos": 3},
    )
    leave(account.s3, told, chart_png=PNG, examples_jpg=JPEG)
    for reply in (account.ask("drift report --window 1h"), account.ask("drift report"), account.ask("drift history")):
        for message in (reply, *reply.also):
            sent = json.dumps(
                [block for block in blocks_of(render(message)) if block["type"] in ("section", "context")]
            )
            assert "<!channel>" not in sent
            assert "<https://evil" not in sent
        assert not any("evil" in line for line in commands_of(reply))


def test_the_whole_report_is_a_link_for_one_person_and_stands_in_no_message(account: Account) -> None:
    leave(account.s3, verdict(), report_html=b"<html>all</html>")
    reply = account.ask("drift report --full")
    assert [link.url for link in account.whispered] == [
        f"https://{BUCKET}.example/dev/monitoring/{ENDPOINT}/{stamp(NOW)}/report.html?key=secret&for=300"
    ]
    assert "secret" not in json.dumps(render(reply))

    def refuse(link: Link) -> None:
        raise Refused("in Slack only")

    context = replace(account.context(), whisper=refuse)
    command, arguments = parse("drift report --full")
    file = shown(command.handler(context, **arguments))
    assert file.document is not None
    assert (file.document.text, file.document.name.endswith(".html")) == ("<html>all</html>", True)


def test_looking_now_starts_the_monitor_and_follows_it(account: Account) -> None:
    reply = account.ask("drift report --window 24h --now")
    (sent,) = account.sagemaker.requests("create_processing_job")
    begin, end = (datetime.fromisoformat(sent["Environment"][edge]) for edge in ("start_time", "end_time"))
    assert end - begin == timedelta(days=1)
    assert datetime.now(UTC) - end < timedelta(minutes=2)
    assert reply.follow == Follow("monitor", JOB)
    assert reply.slot == f"monitor-{JOB.rsplit('/', 1)[-1]}"


def test_only_a_look_now_is_given_the_right_to_start_a_job_and_in_prod_needs_approval() -> None:
    report = all_commands()["drift report"]
    starting = [need for need in report.needs if "sagemaker:CreateProcessingJob" in need.actions]
    assert starting
    given = {"env": "prod", "now": False}
    assert not any(need.applies(given) for need in starting)
    assert all(need.applies({**given, "now": True}) for need in starting)
    assert report.approval is not None
    assert not report.approval.when(given)
    assert report.approval.when({**given, "now": True})
    assert not report.approval.when({"env": "staging", "now": True})


def job(status: str, **more: Any) -> dict[str, Any]:
    return {
        "ProcessingJobArn": JOB,
        "ProcessingJobStatus": status,
        "CreationTime": datetime.now(UTC) - timedelta(minutes=2),
        "Environment": {
            "start_time": stamp(NOW - HOUR),
            "end_time": stamp(NOW),
            "sagemaker_endpoint_name": ENDPOINT,
        },
        "ProcessingOutputConfig": {"Outputs": [{"S3Output": {"S3Uri": f"{HOME}/{stamp(NOW)}/0a1b"}}]},
        **more,
    }


def test_the_message_of_a_look_becomes_its_report(account: Account) -> None:
    account.sagemaker.answers["describe_processing_job"] = job("InProgress")
    reply, ended = monitor_live(account.context(), JOB)
    assert not ended
    assert shown(reply).steps[0].state == "running"
    slot = reply.slot

    leave(account.s3, verdict(), f"{HOME}/{stamp(NOW)}/0a1b", chart_png=PNG, examples_jpg=JPEG)
    account.sagemaker.answers["describe_processing_job"] = job("Completed")
    reply, ended = monitor_live(account.context(), JOB)
    assert ended
    assert (shown(reply).title, reply.slot) == ("Drift: sharpness moved", slot)
    assert reply.picture is not None
    assert reply.also == ()
    assert any(action.label == "Photos" for action in buttons(reply))


@pytest.mark.parametrize("found", [job("Failed", ExitMessage="BadInput: no WINDOW"), job("Stopped"), job("Completed")])
def test_a_look_without_a_report_is_no_verdict(account: Account, found: dict[str, Any]) -> None:
    account.sagemaker.answers["describe_processing_job"] = found
    reply, ended = monitor_live(account.context(), JOB)
    assert (ended, shown(reply).outcome) == (True, Outcome.ERROR)
    assert "no verdict" in words(reply)
    assert found.get("ExitMessage", "") in words(reply)


def test_a_job_that_is_gone_is_not_found(account: Account) -> None:
    account.sagemaker.answers["describe_processing_job"] = refusal(
        "ValidationException", "Could not find requested job"
    )
    with pytest.raises(NotFound):
        monitor_live(account.context(), JOB)


def test_history_is_a_picture_and_a_table_and_names_the_farthest_window(account: Account) -> None:
    for hour in range(30):
        distance = 0.9 if hour == 20 else 0.1
        told = verdict(
            "drift" if hour == 20 else "no drift", end=NOW - hour * HOUR, columns=[column(distance=distance)]
        )
        leave(account.s3, told)
    reply = account.ask("drift history --days 2")
    assert reply.title == f"{ENDPOINT}: drift in 1 of 30 windows of the last 2 days"
    assert reply.picture is not None
    assert reply.picture.data.startswith(PNG)
    assert "3.00" in reply.picture.alt
    assert reply.table is not None
    assert len(reply.table.rows) == 30
    assert f"drift report --env dev --at {stamp(NOW - 20 * HOUR)} --window 1h" in commands_of(reply)


def test_a_history_of_silence_can_be_drawn(account: Account) -> None:
    leave(account.s3, verdict("no traffic", images=0, columns=[], models={}))
    reply = account.ask("drift history --days 1")
    assert "drift in 0 of 1 window of" in reply.title
    assert reply.picture is not None


def test_a_baseline_says_where_it_comes_from_and_what_is_weak(account: Account) -> None:
    account.s3.hold(GIVEN["BaselineStatistics"], statistics(images=300))
    reply = account.ask("drift baseline show")
    assert reply.title == f"The baseline of {ENDPOINT}: 300 images"
    assert "0.33 at 200" in words(reply)
    assert "vehicle, boat" in words(reply)
    assert "Fewer than 500 images" in words(reply)
    assert "not in the registry" in words(reply)
    account.s3.hold(GIVEN["BaselineStatistics"], statistics(model="7" * 64))
    assert "another model's" in words(account.ask("drift baseline show"))


def test_an_endpoint_without_a_baseline_says_so(account: Account) -> None:
    account.parameters |= {"BaselineStatistics": "", "BaselineConstraints": ""}
    assert account.ask("drift baseline show").title == f"{ENDPOINT} has no baseline"


def candidate(account: Account, **more: Any) -> None:
    told = verdict(images=900, models={MODEL: 900}, **more)
    leave(account.s3, told, baseline__statistics_json=statistics(), baseline__constraints_json=b"{}")


ACCEPT = 'drift baseline accept --window 24h --reason "the season has changed"'


def test_accepting_a_window_is_an_update_of_the_stack_with_a_record(account: Account) -> None:
    candidate(account)
    plan = account.plan(ACCEPT)
    shown_facts = {fact.label: fact.value for fact in plan.facts}
    assert shown_facts["Why"] == "the season has changed"
    assert "Normal from now on: sharpness" in shown_facts
    assert plan.bound["content of statistics.json"]
    reply = account.ask(f"{ACCEPT} --yes")
    folder = f"s3://{BUCKET}/dev/baselines/{ENDPOINT}/c2c2c2c2c2c2"
    given = account.updated()
    assert (given["BaselineStatistics"], given["Digest"]) == (f"{folder}/statistics.json", MODEL)
    record = json.loads(account.s3.objects[f"{folder.removeprefix('s3://')}/accepted.json"])
    assert record["reason"] == "the season has changed"
    assert (record["accepted_by"], record["replaces"]) == ("T0GC.U0DS1", GIVEN["BaselineStatistics"].rpartition("/")[0])
    assert reply.follow == Follow("deployment", STACK_ID)

    account.parameters |= given
    assert "the season has changed" in words(account.ask("drift baseline show"))


def test_outside_dev_two_people_decide_and_both_are_recorded(account: Account) -> None:
    rule = all_commands()["drift baseline accept"].approval
    assert rule is not None
    assert [rule.when({"env": env}) for env in ("dev", "staging", "prod")] == [False, True, True]
    candidate(account)
    row = approvals.open(
        account.engine,
        team="T0GC",
        requester="U0ML1",
        command=ACCEPT,
        role="ml-engineer",
        title="t",
        facts=[],
        bound={},
        invocation="0" * 32,
        channel="C1",
        environment="dev",
    )
    account.ask(f"{ACCEPT} --yes", approval=row.id)
    (record,) = [json.loads(data) for name, data in account.s3.objects.items() if name.endswith("accepted.json")]
    assert (record["requested_by"], record["accepted_by"], record["approval"]) == ("T0GC.U0ML1", "T0GC.U0DS1", row.id)


def test_an_approval_is_void_when_the_window_s_statistics_change(account: Account) -> None:
    candidate(account)
    before = account.plan(ACCEPT).bound
    account.s3.hold(f"{HOME}/{stamp(NOW)}/baseline/statistics.json", statistics(images=901))
    assert account.plan(ACCEPT).bound != before


@pytest.mark.parametrize(
    ("prepare", "line", "error", "said"),
    [
        (candidate, "drift baseline accept", BadInput, "Say why"),
        (lambda account: None, ACCEPT, NotFound, "no report in the last"),
        (lambda account: leave(account.s3, verdict()), ACCEPT, Refused, "400 images; a baseline needs 500"),
        (
            lambda account: leave(account.s3, verdict(images=900, models={MODEL: 900})),
            ACCEPT,
            Refused,
            "did not keep this window",
        ),
    ],
)
def test_what_cannot_be_accepted_says_what_to_do(
    account: Account, prepare: Callable[[Account], object], line: str, error: type[GroundcrewError], said: str
) -> None:
    prepare(account)
    with pytest.raises(error, match=said) as refused:
        account.plan(line)
    assert refused.value.advice
    with pytest.raises(error):
        account.ask(f"{line} --yes")
    assert not account.cloudformation.requests("update_stack")


def test_a_window_of_another_model_is_not_accepted(account: Account) -> None:
    account.parameters["Digest"] = "7" * 64
    candidate(account)
    with pytest.raises(Refused, match="is deployed"):
        account.plan(ACCEPT)


def test_nothing_is_written_while_the_stack_is_busy(account: Account) -> None:
    candidate(account)
    account.status = "UPDATE_IN_PROGRESS"
    with pytest.raises(Refused, match="is busy"):
        account.ask(f"{ACCEPT} --yes")
    assert not any("/baselines/" in name for name in account.s3.objects)


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("drift schedule pause --yes", {"MonitorState": "DISABLED"}),
        ("drift schedule resume", {"MonitorState": "ENABLED"}),
        ("drift schedule set --every 6h", {"MonitorTimes": "cron(0 0/6 ? * * *)", "MonitorHours": "6"}),
    ],
)
def test_a_schedule_is_changed_by_the_stack_and_nothing_else_with_it(
    account: Account, line: str, changed: dict[str, str]
) -> None:
    before = dict(account.parameters)
    reply = account.ask(line)
    given = account.updated()
    assert {**before, **changed, "CodeUri": given["CodeUri"]} == given
    assert reply.follow == Follow("deployment", STACK_ID)
    assert account.plan(line).bound["stack"] == STACK_ID


def test_the_monitor_cannot_look_at_any_pace(account: Account) -> None:
    for every in ("5m", "2h", "-1h", "1d"):
        with pytest.raises(BadInput, match="cannot look every"):
            account.ask(f"drift schedule set --every={every}")


@pytest.mark.parametrize(
    ("watch", "title", "next_line"),
    [
        (
            Watch("n", "processing", "on", "cron(0 * ? * * *)", 1),
            "looked at every 1 h",
            "drift schedule pause --env dev",
        ),
        (Watch("n", "native", "paused", "", 6), "the monitor is paused", "drift schedule resume --env dev"),
        (Watch("n", "processing", "none", "", 1), "nobody watches it", "deployment create --env dev"),
    ],
)
def test_the_schedule_and_its_last_runs(
    account: Account, monkeypatch: pytest.MonkeyPatch, watch: Watch, title: str, next_line: str
) -> None:
    runs = [Execution(NOW, "CompletedWithViolations", JOB, ""), Execution(NOW, "Failed", JOB, HOSTILE)]
    monkeypatch.setattr(monitor, "watch", lambda *clients: watch)
    monkeypatch.setattr(monitor, "executions", lambda *asked: runs)
    reply = account.ask("drift schedule show")
    assert reply.title == f"{ENDPOINT}: {title}"
    assert next_line in commands_of(reply)
    assert (reply.table is None) == (watch.state == "none")


def test_ground_truth_is_looked_through_and_then_judged_by_the_monitor(account: Account) -> None:
    prefix = f"s3://{BUCKET}/dev/ground-truth/may"
    account.s3.hold(f"{prefix}/{NOW - HOUR:%Y/%m/%d/%H}/a.jsonl", truth_line() + b"\nnonsense\n")
    reply = account.ask("drift ground-truth may --window 24h")
    (sent,) = account.sagemaker.requests("create_processing_job")
    assert sent["Environment"]["GROUND_TRUTH_URI"] == prefix
    assert "1 usable records in 1 files" in words(reply)
    assert "1 lines that cannot be used" in words(reply)
    assert reply.follow == Follow("monitor", JOB)
    assert account.plan(f"drift ground-truth {prefix}").bound["ground truth"] == prefix


@pytest.mark.parametrize(
    "prefix", ["s3://other/dev/ground-truth/x", "../secrets", f"s3://{BUCKET}/prod/ground-truth/x"]
)
def test_ground_truth_lies_in_its_own_environment(account: Account, prefix: str) -> None:
    with pytest.raises(BadInput, match="Ground truth of dev lies below"):
        account.ask(f"drift ground-truth {prefix}")


def test_ground_truth_without_a_record_starts_nothing(account: Account) -> None:
    account.s3.hold(f"s3://{BUCKET}/dev/ground-truth/may/labels.csv", b"a,b")
    with pytest.raises(BadInput, match="Nothing in") as refused:
        account.ask("drift ground-truth may")
    assert "eventMetadata.eventId" in refused.value.advice
    assert not account.sagemaker.requests("create_processing_job")


def test_a_rollback_is_a_deployment_of_the_version_before(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    account.parameters |= {"Digest": "3" * 64}
    account.s3.hold("s3://b/m.tar.gz", b"model")
    monkeypatch.setattr("pipeline.registry.verify", lambda s3, package: None)  # tests/unit/test_deploying.py
    plan = account.plan("deployment rollback --env dev")
    assert plan.title == "roll dev back to detector v1"
    assert plan.bound["digest"] == "1" * 64
    assert "deployed here" in str(plan.facts[0].value)
    reply = account.ask("deployment rollback --env dev --yes")
    given = account.updated()
    assert (given["Digest"], given["InstanceType"]) == ("1" * 64, "ml.m5.large")
    assert reply.title == "Rolling dev back to detector v1"
    assert reply.follow == Follow("deployment", STACK_ID)


def test_who_may_roll_back_and_with_whom() -> None:
    found = all_commands()["deployment rollback"]
    assert found.confirm
    assert found.approval is not None
    assert [found.approval.when({"env": env}) for env in ("dev", "staging", "prod")] == [False, False, True]
    assert found.allowed == all_commands()["deployment create"].allowed


def test_a_need_with_a_condition_applies_only_then() -> None:
    assert Need("a:B").applies({})
    assert not Need("a:B", only="now").applies({})
    assert Need("a:B", only="now").applies({"now": True})


def test_columns_are_called_as_people_call_them() -> None:
    assert drift_report.label("edge_density") == "edge density"
    assert drift_report.label("class_swimming_pool") == "swimming pool per photo"
    assert drift_report.label("mean_b") == "blue"
