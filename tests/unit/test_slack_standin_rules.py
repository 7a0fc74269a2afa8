"""Budgets, triggers, faults and message words of the Slack stand-in."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from sandbox.slack.config import Rules, load
from sandbox.slack.delivery import encode, signature
from sandbox.slack.errors import SlackError
from sandbox.slack.faults import Faults
from sandbox.slack.inspector import aws_call, counted, readable
from sandbox.slack.messages import Message
from sandbox.slack.rates import Rates
from sandbox.slack.triggers import Triggers
from sandbox.slack.views import input_state


class Clock:
    """A clock a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_channel_takes_a_burst_and_then_one_a_second() -> None:
    clock = Clock()
    rates = Rates(Rules(channel_per_second=1, channel_burst=3), clock)
    assert [rates.channel("C") for _ in range(4)] == [0, 0, 0, 1]
    assert rates.channel("other") == 0
    clock.now += 1
    assert [rates.channel("C"), rates.channel("C")] == [0, 1]


def test_a_method_budget_says_how_long_to_wait() -> None:
    clock = Clock()
    rates = Rates(Rules(), clock)
    assert all(rates.method("users.list", 20) == 0 for _ in range(20))
    assert rates.method("users.list", 20) == 3
    clock.now += 3
    assert rates.method("users.list", 20) == 0


def test_budgets_can_be_switched_off() -> None:
    rates = Rates(Rules(rates=False, channel_burst=1), Clock())
    assert all(rates.channel("C") == 0 for _ in range(50))


def test_a_trigger_is_exchanged_once_and_in_time() -> None:
    triggers = Triggers(Rules(trigger_seconds=60))
    trigger = triggers.issue("U1")
    assert triggers.exchange(trigger) == "U1"
    late = Triggers(Rules(trigger_seconds=-1))
    codes = []
    for holder, value in [(triggers, trigger), (triggers, "made.up"), (late, late.issue("U1"))]:
        with pytest.raises(SlackError) as caught:
            holder.exchange(value)
        codes.append(caught.value.code)
    assert codes == ["exchanged_trigger_id", "invalid_trigger_id", "expired_trigger_id"]


def test_faults_are_used_up_and_checked() -> None:
    faults = Faults()
    faults.order({"method": "chat.update", "kind": "ratelimited", "count": 2})
    assert [bool(faults.take("chat.update")) for _ in range(3)] == [True, True, False]
    assert faults.take("delivery") is None
    for wrong in [
        {"method": "chat.update", "kind": "bad_signature"},
        {"kind": "delay"},
        {"method": "x", "kind": "error", "why": 1},
    ]:
        with pytest.raises(ValueError, match=r"kind|which|unknown"):
            faults.order(wrong)


def test_the_signature_is_slacks() -> None:
    raw = encode("command", {"text": "a b&c"})
    assert raw == b"text=a+b%26c"
    expected = hmac.new(b"secret", b"v0:17:" + raw, hashlib.sha256).hexdigest()
    assert signature("secret", "17", raw) == f"v0={expected}"


def test_the_words_of_a_message_are_those_a_person_reads() -> None:
    button = {
        "type": "button",
        "action_id": "a",
        "value": "secret value",
        "text": {"type": "plain_text", "text": "Stop"},
    }
    message = Message(
        "C",
        "1.0",
        "U",
        "fallback",
        blocks=[
            {"type": "section", "text": {"type": "mrkdwn", "text": "a &lt; b"}},
            {"type": "actions", "elements": [button]},
        ],
        attachments=[
            {"color": "#fff", "blocks": [{"type": "table", "rows": [[{"type": "raw_text", "text": "cell"}]]}]}
        ],
    )
    assert message.words().split("\n") == ["a < b", "Stop", "cell"]
    assert Message("C", "1.0", "U", "only text").words() == "only text"


def test_input_states_use_slacks_fields() -> None:
    option = {"text": {"type": "plain_text", "text": "Dev"}, "value": "dev"}
    assert input_state({"type": "static_select", "options": [option]}, "dev")["selected_option"] == option
    assert input_state({"type": "static_select", "options": [option]}, None)["selected_option"] is None
    assert input_state({"type": "checkboxes", "options": [option]}, ["dev"])["selected_options"] == [option]
    assert input_state({"type": "plain_text_input"}, "") == {"type": "plain_text_input", "value": None}
    assert input_state({"type": "datepicker"}, "2026-01-02")["selected_date"] == "2026-01-02"


def test_a_cloudtrail_record_in_a_line() -> None:
    record = {
        "eventName": "CreateStack",
        "eventSource": "cloudformation.amazonaws.com",
        "errorCode": "AccessDenied",
        "userIdentity": {"arn": "arn:aws:sts::1:assumed-role/groundcrew-data-scientist/U0DS1-7f3a"},
    }
    call = aws_call(record)
    assert (call["service"], call["name"], call["error"]) == ("cloudformation", "CreateStack", "AccessDenied")
    assert call["role"] == "groundcrew-data-scientist"


def test_calls_that_went_alike_are_one_line() -> None:
    calls = [{"method": "chat.update", "ok": True, "error": None, "ms": float(n)} for n in range(3)]
    calls.append({"method": "chat.update", "ok": False, "error": "ratelimited", "ms": 9.0})
    assert [(line["error"], line["times"], line["ms"]) for line in counted(calls)] == [
        (None, 3, 2.0),
        ("ratelimited", 1, 9.0),
    ]


def test_payloads_are_readable() -> None:
    assert readable("command=%2Fmlops&text=a+b") == "command=/mlops\ntext=a b"
    assert readable("payload=%7B%22type%22%3A%22x%22%7D") == 'payload={\n "type": "x"\n}'


def test_the_workspace_file_is_the_one_the_project_agreed_on() -> None:
    config = load()
    assert config.team["id"] == "T0GC"
    assert config.app.user == "U0BOT"
    assert [user.id for user in config.people] == ["U0DS1", "U0DS2", "U0ML1", "U0ML2", "U0STK", "U0GUEST", "U0NEW"]
    assert [seed.id for seed in config.channels] == ["C0DEV", "C0STAGING", "C0PROD", "C0ALERTS", "C0PHOTOS"]
