"""EventBridge delivery as AWS does it: states, inputs, transformers, targets that cannot hurt each other.

moto matches patterns and keeps rules; everything after a match is here. Delivery runs on one worker thread, so
neither a job nor an API call waits for it, and events of one source arrive in the order they were sent.
"""

from __future__ import annotations

import json
import logging
import queue
import re
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.events.models import Rule, events_backends
from moto.events.utils import EventMessageType
from moto.sqs.models import sqs_backends

from sandbox.aws.authorize import resource_policies
from sandbox.aws.policy import decide
from sandbox.aws.statements import Request, Who

if TYPE_CHECKING:
    from sandbox.aws.core import Cloud

log = logging.getLogger(__name__)

Event = Mapping[str, Any]
_PLACEHOLDER = re.compile(r"<([\w.-]+)>")
_STEP = re.compile(r"\.([\w-]+)|\['([^']+)'\]|\[(\d+)\]")


class Delivery:
    """The worker that carries matched events to their targets."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._waiting: queue.Queue[tuple[Rule, dict[str, Any], Event] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="eventbridge", daemon=True)
        self._thread.start()
        cloud.on_stop(self.stop)

    def send(self, rule: Rule, raw: EventMessageType) -> None:
        """Take over from `Rule.send_to_targets`: queue the event for every target if an enabled rule matches it."""
        if rule.state != "ENABLED" or not rule.event_pattern.matches_event(raw):
            return
        event = envelope(self._cloud.account, raw)
        for target in list(rule.targets):
            self._waiting.put((rule, target, event))

    def stop(self) -> None:
        """End the worker after the deliveries that wait, which takes milliseconds."""
        self._waiting.put(None)
        self._thread.join(timeout=2)

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            rule, target, event = item
            try:
                self._put(rule.arn, target, target_input(target, event, rule.arn, rule.name))
            except Exception:
                # One bad target must not end the deliveries of all others, and a second try would only hold them up:
                # in one process nothing fails for a moment only.
                log.exception("rule %s cannot deliver to %s", rule.name, target.get("Arn"))

    def _put(self, rule_arn: str, target: Mapping[str, Any], text: str) -> None:
        arn: str = target["Arn"]
        kind = arn.split(":")[2]
        if kind == "sqs":
            self._to_queue(rule_arn, arn, (target.get("SqsParameters") or {}).get("MessageGroupId"), text)
        elif kind == "logs":
            group = arn.split(":log-group:")[1].removesuffix(":*")
            self._cloud.log_lines(group, rule_arn.rpartition("/")[2], [text])
        else:
            raise ValueError(f"the local AWS delivers to queues and log groups, not to {arn}")

    def _to_queue(self, rule_arn: str, arn: str, group: str | None, text: str) -> None:
        keys = {"aws:sourcearn": (rule_arn,), "aws:sourceaccount": (self._cloud.account,)}
        who = Who(self._cloud.account, arn, service="events.amazonaws.com")
        request = Request("sqs:SendMessage", arn, keys, who)
        if not decide(request, resource=resource_policies(self._cloud, arn)).allowed:
            raise PermissionError(f"the policy of {arn} does not let events.amazonaws.com send for {rule_arn}")
        name = arn.rpartition(":")[2]
        sqs_backends[self._cloud.account][self._cloud.region].send_message(name, text, group_id=group)


def emit(cloud: Cloud, source: str, detail_type: str, resources: list[str], detail: dict[str, Any]) -> None:
    """Publish a service's own event on the default bus. A rule that fails never fails the service."""
    entry = {
        "Source": source,
        "DetailType": detail_type,
        "Resources": resources,
        "Detail": json.dumps(detail, default=str),
        "Time": time.time(),
    }
    try:
        events_backends[cloud.account][cloud.region].put_events([entry])
    except Exception:
        log.exception("event %s of %s could not be published", detail_type, source)


def refuse_aws_sources(entries: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[int, dict[str, str]]]:
    """Split PutEvents entries into those a client may send and the refusals, by place, of those it may not."""
    refused = {
        place: {
            "ErrorCode": "NotAuthorizedForSourceException",
            "ErrorMessage": "Not authorized for the source.",
        }
        for place, entry in enumerate(entries)
        if str(entry.get("Source", "")).startswith("aws.")
    }
    return [entry for place, entry in enumerate(entries) if place not in refused], refused


def envelope(account: str, raw: Mapping[str, Any]) -> dict[str, Any]:
    """The event as targets see it."""
    moment = raw["time"]
    if isinstance(moment, int | float):
        moment = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "version": "0",
        "id": raw["id"],
        "detail-type": raw["detail-type"],
        "source": raw["source"],
        "account": account,
        "time": moment,
        "region": raw["region"],
        "resources": raw["resources"],
        "detail": raw["detail"],
    }


def target_input(target: Mapping[str, Any], event: Event, rule_arn: str, rule_name: str) -> str:
    """The text a target receives: constant Input, InputPath, InputTransformer or the whole event."""
    if target.get("Input") is not None:
        return str(target["Input"])
    if target.get("InputPath"):
        return json.dumps(at_path(event, target["InputPath"]))
    transformer = target.get("InputTransformer")
    if not transformer:
        return json.dumps(event)
    values = {name: at_path(event, path) for name, path in (transformer.get("InputPathsMap") or {}).items()}
    values |= {
        "aws.events.rule-arn": rule_arn,
        "aws.events.rule-name": rule_name,
        "aws.events.event.ingestion-time": event["time"],
        "aws.events.event": {key: value for key, value in event.items() if key != "detail"},
        "aws.events.event.json": event,
    }
    return fill(transformer["InputTemplate"], values)


def at_path(event: Any, path: str) -> Any:
    """The value at a JSON path such as `$.detail.name` or `$.resources[0]`; None where there is nothing."""
    value = event
    for name, quoted, index in _STEP.findall(path.removeprefix("$")):
        if index:
            value = value[int(index)] if isinstance(value, list) and int(index) < len(value) else None
        else:
            value = value.get(name or quoted) if isinstance(value, Mapping) else None
    return value


def fill(template: str, values: Mapping[str, Any]) -> str:
    """Put values into an input template: inside quotes as text, outside as JSON; an unknown placeholder stays."""

    def put(found: re.Match[str]) -> str:
        if found[1] not in values:
            return found[0]
        value = values[found[1]]
        quoted = len(re.findall(r'(?<!\\)"', template[: found.start()])) % 2 == 1
        if not quoted:
            return json.dumps(value)
        return json.dumps(value if isinstance(value, str) else json.dumps(value))[1:-1] if value is not None else ""

    return _PLACEHOLDER.sub(put, template)
