"""Alarms on a metric, and dashboards."""

from __future__ import annotations

from typing import Any

from ..shapes import request
from .kind import Client, Kind, Properties, retag, tag_list


def _settings(properties: Properties) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if name != "Tags"}


def _create(client: Client, wanted: Properties) -> str:
    client.put_metric_alarm(**wanted)
    return str(wanted["AlarmName"])


def _arn(client: Client, name: str) -> str:
    return str(client.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["AlarmArn"])


def _apply(client: Client, name: str, before: Properties, after: Properties) -> None:
    if before and _settings(before) != _settings(after):
        client.put_metric_alarm(**_settings(after))
    retag(
        before,
        after,
        lambda tags: client.tag_resource(ResourceARN=_arn(client, name), Tags=tag_list(tags)),
        lambda keys: client.untag_resource(ResourceARN=_arn(client, name), TagKeys=keys),
    )


def _put_dashboard(client: Client, name: str, before: Properties, after: Properties) -> None:
    if before and before != after:
        client.put_dashboard(**after)


def _create_dashboard(client: Client, wanted: Properties) -> str:
    client.put_dashboard(**wanted)
    return str(wanted["DashboardName"])


KINDS = (
    Kind(
        type="AWS::CloudWatch::Dashboard",
        service="cloudwatch",
        properties=lambda: {"DashboardName": "text", "DashboardBody": "text"},
        named="DashboardName",
        create=_create_dashboard,
        apply=_put_dashboard,
        delete=lambda client, name, had: client.delete_dashboards(DashboardNames=[name]),
        in_place=frozenset({"DashboardBody"}),
    ),
    Kind(
        type="AWS::CloudWatch::Alarm",
        service="cloudwatch",
        properties=lambda: request("cloudwatch", "PutMetricAlarm"),
        named="AlarmName",
        create=_create,
        apply=_apply,
        delete=lambda client, name, had: client.delete_alarms(AlarmNames=[name]),
        attributes=lambda client, name, wanted: {"Arn": _arn(client, name)},
        in_place=frozenset(set(request("cloudwatch", "PutMetricAlarm")) - {"AlarmName"}),
    ),
)
