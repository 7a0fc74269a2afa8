"""CloudWatch log groups."""

from __future__ import annotations

from .kind import TAGS, Client, Kind, Properties, changed, retag, tag_map


def _create(client: Client, wanted: Properties) -> str:
    request = {"tags": tag_map(wanted)} if wanted.get("Tags") else {}
    client.create_log_group(logGroupName=wanted["LogGroupName"], **request)
    return str(wanted["LogGroupName"])


def _apply(client: Client, name: str, before: Properties, after: Properties) -> None:
    if changed("RetentionInDays", before, after):
        if "RetentionInDays" in after:
            client.put_retention_policy(logGroupName=name, retentionInDays=after["RetentionInDays"])
        else:
            client.delete_retention_policy(logGroupName=name)
    retag(
        before,
        after,
        lambda tags: client.tag_resource(resourceArn=_arn(client, name), tags=tags),
        lambda keys: client.untag_resource(resourceArn=_arn(client, name), tagKeys=keys),
    )


def _arn(client: Client, name: str) -> str:
    groups = client.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    arn = next(group["arn"] for group in groups if group["logGroupName"] == name)
    return str(arn).removesuffix(":*")


KINDS = (
    Kind(
        type="AWS::Logs::LogGroup",
        service="logs",
        properties=lambda: {"LogGroupName": "text", "RetentionInDays": "whole", "Tags": TAGS},
        named="LogGroupName",
        create=_create,
        apply=_apply,
        delete=lambda client, name, had: client.delete_log_group(logGroupName=name),
        attributes=lambda client, name, wanted: {"Arn": f"{_arn(client, name)}:*"},
        in_place=frozenset({"RetentionInDays", "Tags"}),
    ),
)
