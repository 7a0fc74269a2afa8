"""Trails."""

from __future__ import annotations

from .kind import TAGS, Client, Kind, Properties, changed, retag, tag_list

# Property of the resource -> parameter of CreateTrail and UpdateTrail.
_SETTINGS = {
    "S3BucketName": "S3BucketName",
    "S3KeyPrefix": "S3KeyPrefix",
    "IncludeGlobalServiceEvents": "IncludeGlobalServiceEvents",
    "IsMultiRegionTrail": "IsMultiRegionTrail",
    "EnableLogFileValidation": "EnableLogFileValidation",
    "KMSKeyId": "KmsKeyId",
}
_FIELD = {
    "Field": "text",
    **{name: ["text"] for name in ("Equals", "NotEquals", "StartsWith", "NotStartsWith", "EndsWith", "NotEndsWith")},
}


def _settings(properties: Properties) -> dict[str, object]:
    return {parameter: properties[name] for name, parameter in _SETTINGS.items() if name in properties}


def _create(client: Client, wanted: Properties) -> str:
    made = client.create_trail(Name=wanted["TrailName"], TagsList=wanted.get("Tags", []), **_settings(wanted))
    return str(made["Name"])


def _apply(client: Client, name: str, before: Properties, after: Properties) -> None:
    if before and _settings(before) != _settings(after):
        client.update_trail(Name=name, **_settings(after))
    if changed("AdvancedEventSelectors", before, after):
        client.put_event_selectors(TrailName=name, AdvancedEventSelectors=after.get("AdvancedEventSelectors", []))
    if changed("IsLogging", before, after):
        (client.start_logging if after["IsLogging"] else client.stop_logging)(Name=name)
    retag(
        before,
        after,
        lambda tags: client.add_tags(ResourceId=_arn(client, name), TagsList=tag_list(tags)),
        lambda keys: client.remove_tags(ResourceId=_arn(client, name), TagsList=[{"Key": key} for key in keys]),
    )


def _arn(client: Client, name: str) -> str:
    return str(client.get_trail(Name=name)["Trail"]["TrailARN"])


KINDS = (
    Kind(
        type="AWS::CloudTrail::Trail",
        service="cloudtrail",
        properties=lambda: {
            "TrailName": "text",
            **dict.fromkeys(("S3BucketName", "S3KeyPrefix", "KMSKeyId"), "text"),
            **dict.fromkeys(("IncludeGlobalServiceEvents", "IsMultiRegionTrail", "EnableLogFileValidation"), "flag"),
            "IsLogging": "flag",
            "AdvancedEventSelectors": [{"Name": "text", "FieldSelectors": [_FIELD]}],
            "Tags": TAGS,
        },
        named="TrailName",
        create=_create,
        apply=_apply,
        delete=lambda client, name, had: client.delete_trail(Name=name),
        attributes=lambda client, name, wanted: {"Arn": _arn(client, name)},
        in_place=frozenset({*_SETTINGS, "IsLogging", "AdvancedEventSelectors", "Tags"}),
    ),
)
