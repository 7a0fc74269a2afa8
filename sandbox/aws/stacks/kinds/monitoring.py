"""Model Monitor's schedules: properties are the Create call's parameters."""

from __future__ import annotations

from botocore.exceptions import ClientError

from ..shapes import request
from .kind import Client, Kind, Properties, changed
from .sagemaker import retag_arn


def _name(arn: str) -> str:
    return arn.rsplit("/", 1)[1]


def _apply(client: Client, arn: str, before: Properties, after: Properties) -> None:
    if before and changed("MonitoringScheduleConfig", before, after):
        client.update_monitoring_schedule(
            MonitoringScheduleName=_name(arn), MonitoringScheduleConfig=after["MonitoringScheduleConfig"]
        )
    retag_arn(client, arn, before, after)


def _gone(client: Client, arn: str) -> bool:
    try:
        client.describe_monitoring_schedule(MonitoringScheduleName=_name(arn))
    except ClientError as refusal:
        if refusal.response["Error"]["Code"] == "ResourceNotFound":
            return True
        raise
    return False


KINDS = (
    Kind(
        type="AWS::SageMaker::MonitoringSchedule",
        service="sagemaker",
        properties=lambda: request("sagemaker", "CreateMonitoringSchedule"),
        named="MonitoringScheduleName",
        create=lambda client, wanted: str(client.create_monitoring_schedule(**wanted)["MonitoringScheduleArn"]),
        apply=_apply,
        delete=lambda client, arn, had: client.delete_monitoring_schedule(MonitoringScheduleName=_name(arn)),
        attributes=lambda client, arn, wanted: {"MonitoringScheduleArn": arn},
        in_place=frozenset({"MonitoringScheduleConfig", "Tags"}),
        gone=_gone,
    ),
)
