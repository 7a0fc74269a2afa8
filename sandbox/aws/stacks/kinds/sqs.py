"""Queues and queue policies."""

from __future__ import annotations

import json
from typing import Any

from .iam import document
from .kind import TAGS, Client, Kind, Properties, retag, tag_map

_ATTRIBUTES = {
    "FifoQueue": "flag",
    "ContentBasedDeduplication": "flag",
    "DelaySeconds": "whole",
    "KmsMasterKeyId": "text",
    "KmsDataKeyReusePeriodSeconds": "whole",
    "MaximumMessageSize": "whole",
    "MessageRetentionPeriod": "whole",
    "ReceiveMessageWaitTimeSeconds": "whole",
    "RedriveAllowPolicy": "json",
    "RedrivePolicy": "json",
    "SqsManagedSseEnabled": "flag",
    "VisibilityTimeout": "whole",
}


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, (dict, bool)) else str(value)


def _settings(properties: Properties) -> dict[str, str]:
    return {name: _text(properties[name]) for name in _ATTRIBUTES if name in properties}


def _create(client: Client, wanted: Properties) -> str:
    made = client.create_queue(QueueName=wanted["QueueName"], Attributes=_settings(wanted), tags=tag_map(wanted))
    return str(made["QueueUrl"])


def _apply(client: Client, url: str, before: Properties, after: Properties) -> None:
    if not before:
        return
    old, new = _settings(before), _settings(after)
    difference = {name: value for name, value in new.items() if old.get(name) != value}
    removed = {name: "" for name in old if name not in new}
    if difference or removed:
        client.set_queue_attributes(QueueUrl=url, Attributes={**difference, **removed})
    retag(
        before,
        after,
        lambda tags: client.tag_queue(QueueUrl=url, Tags=tags),
        lambda keys: client.untag_queue(QueueUrl=url, TagKeys=keys),
    )


def _attributes(client: Client, url: str, wanted: Properties) -> dict[str, str]:
    arn = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return {"Arn": arn, "QueueName": wanted["QueueName"], "QueueUrl": url}


def _apply_policy(client: Client, physical: str, before: Properties, after: Properties) -> None:
    for url in after["Queues"]:
        client.set_queue_attributes(QueueUrl=url, Attributes={"Policy": document(after["PolicyDocument"])})
    for url in set(before.get("Queues", [])) - set(after["Queues"]):
        client.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})


def _delete_policy(client: Client, physical: str, had: Properties) -> None:
    for url in had["Queues"]:
        client.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})


KINDS = (
    Kind(
        type="AWS::SQS::Queue",
        service="sqs",
        properties=lambda: {"QueueName": "text", "Tags": TAGS, **_ATTRIBUTES},
        named="QueueName",
        create=_create,
        apply=_apply,
        delete=lambda client, url, had: client.delete_queue(QueueUrl=url),
        attributes=_attributes,
        in_place=frozenset({"Tags", *_ATTRIBUTES}) - {"FifoQueue"},
    ),
    Kind(
        type="AWS::SQS::QueuePolicy",
        service="sqs",
        properties=lambda: {"Queues": ["text"], "PolicyDocument": "json"},
        create=lambda client, wanted: "queue-policy",
        apply=_apply_policy,
        delete=_delete_policy,
        in_place=frozenset({"Queues", "PolicyDocument"}),
    ),
)
