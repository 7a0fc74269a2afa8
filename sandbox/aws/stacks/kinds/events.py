"""EventBridge rules with their targets."""

from __future__ import annotations

import json

from ..shapes import request
from .kind import TAGS, Client, Kind, Properties, changed, retag, tag_list


def _rule(properties: Properties) -> dict[str, object]:
    plain = ("Name", "Description", "ScheduleExpression", "State", "RoleArn", "EventBusName")
    made = {name: properties[name] for name in plain if name in properties}
    if "EventPattern" in properties:
        made["EventPattern"] = json.dumps(properties["EventPattern"])
    return made


def _create(client: Client, wanted: Properties) -> str:
    client.put_rule(**_rule(wanted), Tags=wanted.get("Tags", []))
    return str(wanted["Name"])


def _apply(client: Client, name: str, before: Properties, after: Properties) -> None:
    if before and _rule(before) != _rule(after):
        client.put_rule(**_rule(after))
    if changed("Targets", before, after):
        if "Targets" in after:
            client.put_targets(Rule=name, Targets=after["Targets"])
        kept = {target["Id"] for target in after.get("Targets", [])}
        if gone := [target["Id"] for target in before.get("Targets", []) if target["Id"] not in kept]:
            client.remove_targets(Rule=name, Ids=gone)
    if before and changed("Tags", before, after):
        arn = client.describe_rule(Name=name)["Arn"]
        retag(
            before,
            after,
            lambda tags: client.tag_resource(ResourceARN=arn, Tags=tag_list(tags)),
            lambda keys: client.untag_resource(ResourceARN=arn, TagKeys=keys),
        )


def _delete(client: Client, name: str, had: Properties) -> None:
    if ids := [target["Id"] for target in client.list_targets_by_rule(Rule=name)["Targets"]]:
        client.remove_targets(Rule=name, Ids=ids)
    client.delete_rule(Name=name)


KINDS = (
    Kind(
        type="AWS::Events::Rule",
        service="events",
        properties=lambda: {
            "Name": "text",
            "Description": "text",
            "EventBusName": "text",
            "EventPattern": "json",
            "RoleArn": "text",
            "ScheduleExpression": "text",
            "State": "text",
            "Tags": TAGS,
            "Targets": request("events", "PutTargets")["Targets"],
        },
        named="Name",
        create=_create,
        apply=_apply,
        delete=_delete,
        attributes=lambda client, name, wanted: {"Arn": client.describe_rule(Name=name)["Arn"]},
        in_place=frozenset(
            ["Description", "EventPattern", "RoleArn", "ScheduleExpression", "State", "Tags", "Targets"]
        ),
    ),
)
