"""Topics, their policies and their subscriptions."""

from __future__ import annotations

import json

from .iam import document
from .kind import TAGS, Client, Kind, Properties, changed, retag, tag_list


def _create_topic(client: Client, wanted: Properties) -> str:
    settings = {name: wanted[name] for name in ("DisplayName", "KmsMasterKeyId") if name in wanted}
    made = client.create_topic(Name=wanted["TopicName"], Attributes=settings, Tags=wanted.get("Tags", []))
    return str(made["TopicArn"])


def _apply_topic(client: Client, arn: str, before: Properties, after: Properties) -> None:
    for name in ("DisplayName", "KmsMasterKeyId"):
        if before and changed(name, before, after):
            client.set_topic_attributes(TopicArn=arn, AttributeName=name, AttributeValue=after.get(name, ""))
    retag(
        before,
        after,
        lambda tags: client.tag_resource(ResourceArn=arn, Tags=tag_list(tags)),
        lambda keys: client.untag_resource(ResourceArn=arn, TagKeys=keys),
    )


def _apply_policy(client: Client, physical: str, before: Properties, after: Properties) -> None:
    for topic in after["Topics"]:
        _set_policy(client, topic, document(after["PolicyDocument"]))
    _forget_policy(client, physical, {"Topics": set(before.get("Topics", [])) - set(after["Topics"])})


def _forget_policy(client: Client, physical: str, had: Properties) -> None:
    """A topic always has a policy: what is left lets only the account itself publish."""
    for topic in had["Topics"]:
        owner = {"AWS": topic.split(":")[4]}
        left = {"Effect": "Allow", "Principal": owner, "Action": "sns:Publish", "Resource": topic}
        _set_policy(client, topic, document({"Version": "2012-10-17", "Statement": [left]}))


def _set_policy(client: Client, topic: str, policy: str) -> None:
    client.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)


def _settings(properties: Properties) -> dict[str, str]:
    """A subscription's attributes as the API wants them."""
    given = {name: properties[name] for name in ("RawMessageDelivery", "RedrivePolicy") if name in properties}
    return {name: json.dumps(value) for name, value in given.items()}


def _subscribe(client: Client, wanted: Properties) -> str:
    made = client.subscribe(
        TopicArn=wanted["TopicArn"],
        Protocol=wanted["Protocol"],
        Endpoint=wanted["Endpoint"],
        Attributes=_settings(wanted),
        ReturnSubscriptionArn=True,
    )
    return str(made["SubscriptionArn"])


def _apply_subscription(client: Client, arn: str, before: Properties, after: Properties) -> None:
    old, new = _settings(before), _settings(after)
    for name in sorted({*old, *new}) if before else ():
        if old.get(name) != new.get(name):
            client.set_subscription_attributes(
                SubscriptionArn=arn, AttributeName=name, AttributeValue=new.get(name, "{}")
            )


KINDS = (
    Kind(
        type="AWS::SNS::Topic",
        service="sns",
        properties=lambda: {**dict.fromkeys(("TopicName", "DisplayName", "KmsMasterKeyId"), "text"), "Tags": TAGS},
        named="TopicName",
        create=_create_topic,
        apply=_apply_topic,
        delete=lambda client, arn, had: client.delete_topic(TopicArn=arn),
        attributes=lambda client, arn, wanted: {"TopicArn": arn, "TopicName": wanted["TopicName"]},
        in_place=frozenset({"DisplayName", "KmsMasterKeyId", "Tags"}),
    ),
    Kind(
        type="AWS::SNS::TopicPolicy",
        service="sns",
        properties=lambda: {"Topics": ["text"], "PolicyDocument": "json"},
        create=lambda client, wanted: "topic-policy",
        apply=_apply_policy,
        delete=_forget_policy,
        in_place=frozenset({"Topics", "PolicyDocument"}),
    ),
    Kind(
        type="AWS::SNS::Subscription",
        service="sns",
        properties=lambda: {
            **dict.fromkeys(("TopicArn", "Protocol", "Endpoint"), "text"),
            "RawMessageDelivery": "flag",
            "RedrivePolicy": "json",
        },
        create=_subscribe,
        apply=_apply_subscription,
        delete=lambda client, arn, had: client.unsubscribe(SubscriptionArn=arn),
        attributes=lambda client, arn, wanted: {"Arn": arn},
        in_place=frozenset({"RawMessageDelivery", "RedrivePolicy"}),
    ),
)
