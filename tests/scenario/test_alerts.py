"""Alerts as people meet them: an event of the account, the message it becomes, and what is done about it there."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from benchmarks import burst
from bot.alerts.queue import EVENTS, UNDELIVERED
from sandbox.person import Json, Person, blocks, buttons, moment
from tests.conftest import Sandbox
from tests.scenario.test_burst import visible_again_after

HOSTILE = "<!channel> *now* <https://evil.example|the runbook> `rm` :fire: <@U0ML1>"


@pytest.fixture
def team(sandbox: Sandbox) -> Person:
    """A data scientist in #ml-alerts, where what fails in dev is said."""
    return sandbox.slack.person("U0DS1", "C0ALERTS")


def happens(sandbox: Sandbox, *events: Json) -> str:
    """Let AWS's services say something; returns the moment before."""
    before, url = moment(), f"http://127.0.0.1:{sandbox.port('aws')}/_sandbox/events"
    httpx.post(url, json=list(events), headers={"X-Sandbox": "1"}, trust_env=False, timeout=30).raise_for_status()
    return before


def alarm(name: str, value: str, reason: str = "Threshold Crossed") -> Json:
    """What CloudWatch says about an alarm of ours."""
    event: Json = json.loads(burst.alarm_event(name, datetime.now(UTC)))
    event["detail"]["state"] |= {"value": value, "reason": reason}
    return event


def fires(sandbox: Sandbox, team: Person, name: str, reason: str = "Threshold Crossed") -> Json:
    """An alarm goes off; its message."""
    return team.sees("Warning:", name, after=happens(sandbox, alarm(name, "ALARM", reason)))


def obeyed(part: Any) -> list[Any]:
    """What in blocks calls somebody, leads elsewhere or is a picture of a word: nothing an event says may."""
    if isinstance(part, list):
        return [found for each in part for found in obeyed(each)]
    if not isinstance(part, dict):
        return []
    markup = part.get("type") == "mrkdwn" and any(mark in part["text"] for mark in ("<!", "<@", "<http"))
    calls = part.get("type") in ("broadcast", "user", "usergroup", "link", "emoji")
    return [*([part] if markup or calls else []), *obeyed([*part.values()])]


def test_an_alert_is_acknowledged_muted_assigned_and_resolved_in_its_message(sandbox: Sandbox, team: Person) -> None:
    name = "groundcrew-dev-detector-latency"
    message = fires(sandbox, team, name)
    assert {"Acknowledge", "Assign to me", "Resolve", "for 1 hour", "until Monday 08:00"} <= buttons(message).keys()

    team.presses(message, "Acknowledge")
    seen = team.sees("Acknowledged by", ts=message["ts"])
    assert "Acknowledge" not in buttons(seen)
    other = sandbox.slack.person("U0DS2", "C0ALERTS")
    other.presses(message, "Assign to me")
    other.sees("Assigned to", ts=message["ts"])
    team.asks(f"alerts assign {buttons(message)['Resolve'].split()[-1]}", "is already with", "--to")

    team.presses(message, "for 1 hour")
    muted = team.sees("Muted until", ts=message["ts"])
    assert "Unmute" in buttons(muted)
    team.presses(message, "Unmute")
    team.sees(ts=message["ts"], min_changes=muted["changes"] + 1)

    before = team.presses(message, "Resolve")
    resolved = team.sees("Resolved:", "Resolved by", ts=message["ts"])
    assert not {"Acknowledge", "Resolve"} & buttons(resolved).keys()
    told = team.sees("History of", "newest first", "resolved", "muted", "assigned")
    assert told["thread_ts"] == message["ts"]
    # Nobody is called by the end of what they were called for: it is an edit, and beside it whoever resolved is told.
    posted = [row["words"] for row in team.reads(before) if not row["ephemeral"]]
    assert not [words for words in posted if "Resolved" in words], posted


def test_what_comes_back_is_the_same_message_and_the_event_that_clears_it_ends_it(
    sandbox: Sandbox, team: Person
) -> None:
    name = "groundcrew-dev-detector-errors"
    message = fires(sandbox, team, name)
    happens(sandbox, alarm(name, "OK"))
    team.sees("Resolved:", "by itself", ts=message["ts"])
    happens(sandbox, alarm(name, "ALARM"))
    again = team.sees("Warning:", "2 times", ts=message["ts"])
    assert "Acknowledge" in buttons(again)
    happens(sandbox, alarm(name, "OK"))
    team.sees("Resolved:", ts=message["ts"])


def test_hostile_text_is_shown_and_not_obeyed(sandbox: Sandbox, team: Person) -> None:
    name = "groundcrew-dev-detector-hostile"
    message = fires(sandbox, team, name, HOSTILE)
    assert HOSTILE in message["words"]
    assert obeyed(blocks(message)) == []
    happens(sandbox, alarm(name, "OK"))
    team.sees("Resolved:", ts=message["ts"])


def test_what_is_not_understood_is_shown_readably(sandbox: Sandbox, team: Person) -> None:
    event = alarm("groundcrew-dev-detector-odd", "ALARM")
    event["detail"] = {"shape": "of next year", "because": "AWS changed it"}
    shown = team.sees("Event not understood", "CloudWatch Alarm State Change", after=happens(sandbox, event))
    assert "of next year" in shown["words"] and "alarmName is missing" in shown["words"]
    assert "Resolve" not in buttons(shown)


def test_a_pasted_event_is_tried_without_doing_anything(sandbox: Sandbox, team: Person) -> None:
    name = "groundcrew-staging-detector-tried"
    pasted = json.dumps(alarm(name, "ALARM", "5 of 5 datapoints > 300"))
    ml = sandbox.slack.person("U0ML1", "C0ALERTS")
    told = ml.asks(f"alerts test {pasted}", "Test: it would open an alert", "nothing was recorded")
    assert told["ephemeral"]
    assert "staging" in told["words"] and "C0STAGING" in told["words"]
    ml.sees("Preview:", name, "5 of 5 datapoints > 300", after=told["ts"])
    empty = ml.asks("alerts test {}", "Test: it would post a message")
    ml.sees("Preview: Event not understood", after=empty["ts"])
    ml.asks("alerts test {broken", "That is no event", "from { to }")
    assert name not in ml.asks("alerts list --all", "State", "Severity")["words"]


@pytest.mark.parametrize(
    ("closed", "opened", "why"),
    [
        ({"is_archived": True}, {"is_archived": False}, "it is archived. Unarchive it"),
        ({"member": False}, {"member": True}, "Groundcrew is not a member. Type `/invite @groundcrew` there"),
    ],
)
def test_what_is_for_a_channel_that_cannot_be_reached_comes_to_the_fallback_channel_which_is_told_once(
    sandbox: Sandbox, team: Person, closed: Json, opened: Json, why: str
) -> None:
    name = f"groundcrew-staging-detector-{next(iter(closed)).replace('_', '-')}"
    sandbox.slack.act("channel", channel="C0STAGING", **closed)
    try:
        before = happens(sandbox, alarm(name, "ALARM"))
        message = team.sees("Warning:", name, "Meant for <#C0STAGING>", after=before)
        report = team.sees("Nothing can be posted in <#C0STAGING>:", why, after=before)
    finally:
        sandbox.slack.act("channel", channel="C0STAGING", **opened)
    happens(sandbox, alarm(name, "OK"))
    team.sees("Resolved:", ts=message["ts"])
    happens(sandbox, alarm(f"{name}-2", "ALARM"))
    staging = sandbox.slack.person("U0ML1", "C0STAGING")
    there = staging.sees("Warning:", f"{name}-2", after=before)
    team.sees("can be reached again", ts=report["ts"])
    happens(sandbox, alarm(f"{name}-2", "OK"))
    staging.sees("Resolved:", ts=there["ts"])


def test_a_message_nobody_can_read_is_set_aside_after_five_tries_and_announced(sandbox: Sandbox, team: Person) -> None:
    with burst.operator(sandbox.state) as sqs, visible_again_after(sqs, 1):
        # A poll that waits already knows the old time: another event ends it.
        name = "groundcrew-dev-detector-before"
        fires(sandbox, team, name)
        before, url = happens(sandbox, alarm(name, "OK")), sqs.get_queue_url(QueueName=EVENTS)["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody="{ this is no event")
        told = team.sees("1 event was not understood", UNDELIVERED, after=before, seconds=60)
        kept = sqs.get_queue_url(QueueName=UNDELIVERED)["QueueUrl"]
        (message,) = sqs.receive_message(QueueUrl=kept)["Messages"]
        assert message["Body"] == "{ this is no event"
        sqs.delete_message(QueueUrl=kept, ReceiptHandle=message["ReceiptHandle"])
        team.sees("Resolved:", ts=told["ts"], seconds=60)


def test_who_may_not_handle_an_alert_is_told_who_may(sandbox: Sandbox, team: Person) -> None:
    name = "groundcrew-dev-detector-shared"
    message = fires(sandbox, team, name)
    reader = sandbox.slack.person("U0STK", "C0ALERTS")
    refused = reader.sees("handled by", after=reader.presses(message, "Acknowledge"))
    assert refused["ephemeral"]
    happens(sandbox, alarm(name, "OK"))
    team.sees("Resolved:", ts=message["ts"])
