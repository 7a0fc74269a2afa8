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
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

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
    """The default bus: matches events with the rules, and a worker carries them to their targets."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._waiting: queue.Queue[tuple[Rule, dict[str, Any], Event] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="eventbridge", daemon=True)
        self._thread.start()
        cloud.on_stop(self.stop)

    def publish(self, event: Event) -> int:
        """Queue a service's event, in the form targets see, for all its rules; to how many targets it goes.

        What the envelope lacks (id, time, account, region, resources) is filled in. Raises ValueError for what is no
        event at all: not an object, or without source, detail-type or an object as detail.
        """
        if not isinstance(event, Mapping) or not {"source", "detail-type", "detail"} <= set(event):
            raise ValueError("an event is an object with source, detail-type and detail")
        if not isinstance(event["detail"], Mapping):
            raise ValueError("the detail of an event is an object")
        filled = {"id": str(uuid.uuid4()), "time": time.time(), "resources": [], **event}
        bus = events_backends[self._cloud.account][self._cloud.region].describe_event_bus("default")
        return sum(self.send(rule, filled) for rule in list(bus.rules.values()))

    def send(self, rule: Rule, raw: Mapping[str, Any]) -> int:
        """Take over from `Rule.send_to_targets`: queue the event for every target if an enabled rule matches it."""
        if rule.state != "ENABLED" or not rule.event_pattern.matches_event(cast("EventMessageType", raw)):
            return 0
        event, targets = envelope(self._cloud, raw), list(rule.targets)
        for target in targets:
            self._waiting.put((rule, target, event))
        return len(targets)

    def settle(self) -> None:
        """Wait until everything published before has been delivered."""
        self._waiting.join()

    def stop(self) -> None:
        """End the worker after the deliveries that wait, which takes milliseconds."""
        self._waiting.put(None)
        self._thread.join(timeout=2)

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            rule, target, event = item
            try:
                text = target_input(target, event, rule.arn, rule.name)
                try:
                    self._put(rule.arn, target, text)
                except (LookupError, PermissionError) as error:
                    self._to_dead_letters(rule.arn, target, text, error)
            except Exception:
                # One bad target must not end the deliveries of all others, and a second try would only hold them up:
                # in one process nothing fails for a moment only.
                log.exception("rule %s cannot deliver to %s", rule.name, target.get("Arn"))
            finally:
                self._waiting.task_done()

    def _put(self, rule_arn: str, target: Mapping[str, Any], text: str) -> None:
        arn: str = target["Arn"]
        kind = arn.split(":")[2]
        if kind == "sqs":
            group = (target.get("SqsParameters") or {}).get("MessageGroupId")
            to_queue(self._cloud, "events.amazonaws.com", rule_arn, arn, text, group_id=group)
        elif kind == "logs":
            group = arn.split(":log-group:")[1].removesuffix(":*")
            self._cloud.log_lines(group, rule_arn.rpartition("/")[2], [text])
        else:
            raise ValueError(f"the local AWS delivers to queues and log groups, not to {arn}")

    def _to_dead_letters(self, rule_arn: str, target: Mapping[str, Any], text: str, error: Exception) -> None:
        """What a target does not take, to the target's dead-letter queue with the reason. Raises what it came with."""
        dead = (target.get("DeadLetterConfig") or {}).get("Arn")
        if dead is None:
            raise error
        code = "NO_PERMISSIONS" if isinstance(error, PermissionError) else "NO_RESOURCE"
        reasons = {"RULE_ARN": rule_arn, "TARGET_ARN": target["Arn"], "ERROR_CODE": code, "ERROR_MESSAGE": str(error)}
        attributes = {name: {"DataType": "String", "StringValue": value} for name, value in reasons.items()}
        to_queue(self._cloud, "events.amazonaws.com", rule_arn, dead, text, message_attributes=attributes)


def to_queue(cloud: Cloud, service: str, source: str, arn: str, text: str, **more: Any) -> None:
    """Send to a queue as a service does for one of its resources (`source`: a rule, a topic).

    Raises LookupError for a queue that is not there and PermissionError when its policy does not let the service.
    """
    name, queues = arn.rpartition(":")[2], sqs_backends[cloud.account][cloud.region]
    if name not in queues.queues:
        raise LookupError(f"there is no queue {arn}")
    keys = {"aws:sourcearn": (source,), "aws:sourceaccount": (cloud.account,), "aws:securetransport": ("true",)}
    request = Request("sqs:SendMessage", arn, keys, Who(cloud.account, arn, service=service))
    if not decide(request, resource=resource_policies(cloud, arn)).allowed:
        raise PermissionError(f"the policy of {arn} does not let {service} send for {source}")
    queues.send_message(name, text, **more)


def emit(cloud: Cloud, source: str, detail_type: str, resources: list[str], detail: dict[str, Any]) -> None:
    """Publish a service's own event on the default bus. A rule that fails never fails the service."""
    plain = json.loads(json.dumps(detail, default=str))
    try:
        cloud.events.publish({"source": source, "detail-type": detail_type, "resources": resources, "detail": plain})
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


def envelope(cloud: Cloud, raw: Mapping[str, Any]) -> dict[str, Any]:
    """The event as targets see it; it is this account's and region's unless it says otherwise."""
    moment = raw["time"]
    if isinstance(moment, int | float):
        moment = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "version": "0",
        "id": raw["id"],
        "detail-type": raw["detail-type"],
        "source": raw["source"],
        "account": raw.get("account", cloud.account),
        "time": moment,
        "region": raw.get("region", cloud.region),
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
