"""EventBridge Scheduler: groups and schedules."""

from __future__ import annotations

from ..shapes import request
from .kind import TAGS, Client, Kind, Properties, retag, tag_list


def _settings(properties: Properties) -> dict[str, object]:
    return {name: value for name, value in properties.items() if name not in ("Name", "GroupName")}


def _place(properties: Properties) -> dict[str, str]:
    return {name: properties[name] for name in ("Name", "GroupName") if name in properties}


def _create(client: Client, wanted: Properties) -> str:
    client.create_schedule(**wanted)
    return str(wanted["Name"])


def _apply(client: Client, name: str, before: Properties, after: Properties) -> None:
    if before and _settings(before) != _settings(after):
        client.update_schedule(**_place(after), **_settings(after))


def _arn(client: Client, name: str, wanted: Properties) -> dict[str, str]:
    return {"Arn": str(client.get_schedule(**_place(wanted))["Arn"])}


def _create_group(client: Client, wanted: Properties) -> str:
    client.create_schedule_group(**wanted)
    return str(wanted["Name"])


def _group_arn(client: Client, name: str) -> str:
    return str(client.get_schedule_group(Name=name)["Arn"])


def _apply_group(client: Client, name: str, before: Properties, after: Properties) -> None:
    retag(
        before,
        after,
        lambda tags: client.tag_resource(ResourceArn=_group_arn(client, name), Tags=tag_list(tags)),
        lambda keys: client.untag_resource(ResourceArn=_group_arn(client, name), TagKeys=keys),
    )


KINDS = (
    Kind(
        type="AWS::Scheduler::ScheduleGroup",
        service="scheduler",
        properties=lambda: {"Name": "text", "Tags": TAGS},
        named="Name",
        create=_create_group,
        apply=_apply_group,
        delete=lambda client, name, had: client.delete_schedule_group(Name=name),
        attributes=lambda client, name, wanted: {"Arn": _group_arn(client, name)},
        in_place=frozenset({"Tags"}),
    ),
    Kind(
        type="AWS::Scheduler::Schedule",
        service="scheduler",
        properties=lambda: request("scheduler", "CreateSchedule", "ClientToken", "ActionAfterCompletion"),
        named="Name",
        create=_create,
        apply=_apply,
        delete=lambda client, name, had: client.delete_schedule(**_place(had)),
        attributes=_arn,
        in_place=frozenset(
            {
                *("Description", "EndDate", "FlexibleTimeWindow", "KmsKeyArn", "ScheduleExpression"),
                *("ScheduleExpressionTimezone", "StartDate", "State", "Target"),
            }
        ),
    ),
)
