"""Buckets and bucket policies."""

from __future__ import annotations

from typing import Any

from .iam import document
from .kind import TAGS, Client, Kind, Properties, changed

_RULE = {
    "Id": "text",
    "Status": "text",
    "Prefix": "text",
    "ExpirationInDays": "whole",
    "NoncurrentVersionExpiration": {"NoncurrentDays": "whole", "NewerNoncurrentVersions": "whole"},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": "whole"},
}


def _create(client: Client, wanted: Properties) -> str:
    region = client.meta.region_name
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    locked = {"ObjectLockEnabledForBucket": True} if wanted.get("ObjectLockEnabled") else {}
    client.create_bucket(Bucket=wanted["BucketName"], **place, **locked)
    return str(wanted["BucketName"])


def _apply(client: Client, bucket: str, before: Properties, after: Properties) -> None:
    if changed("ObjectLockConfiguration", before, after):
        _lock(client, bucket, after.get("ObjectLockConfiguration", {"ObjectLockEnabled": "Enabled"}))
    settings = {
        "VersioningConfiguration": (_versioning, None),
        "PublicAccessBlockConfiguration": (_public_access, client.delete_public_access_block),
        "BucketEncryption": (_encryption, client.delete_bucket_encryption),
        "LifecycleConfiguration": (_lifecycle, client.delete_bucket_lifecycle),
        "Tags": (_tags, client.delete_bucket_tagging),
    }
    for name, (put, remove) in settings.items():
        if not changed(name, before, after):
            continue
        if name in after:
            put(client, bucket, after[name])
        elif remove:
            remove(Bucket=bucket)
        else:
            client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})


def _versioning(client: Client, bucket: str, value: Any) -> None:
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=value)


def _lock(client: Client, bucket: str, value: Any) -> None:
    client.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=value)


def _public_access(client: Client, bucket: str, value: Any) -> None:
    client.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=value)


def _encryption(client: Client, bucket: str, value: Any) -> None:
    renamed = {"ServerSideEncryptionByDefault": "ApplyServerSideEncryptionByDefault"}
    rules = [
        {renamed.get(name, name): item for name, item in rule.items()}
        for rule in value["ServerSideEncryptionConfiguration"]
    ]
    client.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": rules})


def _lifecycle(client: Client, bucket: str, value: Any) -> None:
    client.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": [_rule(rule) for rule in value["Rules"]]}
    )


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    kept = ("Status", "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")
    made: dict[str, Any] = {name: rule[name] for name in kept if name in rule}
    made["Filter"] = {"Prefix": rule.get("Prefix", "")}
    if "Id" in rule:
        made["ID"] = rule["Id"]
    if "ExpirationInDays" in rule:
        made["Expiration"] = {"Days": rule["ExpirationInDays"]}
    return made


def _tags(client: Client, bucket: str, value: Any) -> None:
    client.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": value})


def _apply_policy(client: Client, bucket: str, before: Properties, after: Properties) -> None:
    client.put_bucket_policy(Bucket=bucket, Policy=document(after["PolicyDocument"]))


def _create_policy(client: Client, wanted: Properties) -> str:
    return str(wanted["Bucket"])


KINDS = (
    Kind(
        type="AWS::S3::Bucket",
        service="s3",
        properties=lambda: {
            "BucketName": "text",
            "VersioningConfiguration": {"Status": "text"},
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": "flag",
                "BlockPublicPolicy": "flag",
                "IgnorePublicAcls": "flag",
                "RestrictPublicBuckets": "flag",
            },
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [
                    {
                        "ServerSideEncryptionByDefault": {"SSEAlgorithm": "text", "KMSMasterKeyID": "text"},
                        "BucketKeyEnabled": "flag",
                    }
                ]
            },
            "LifecycleConfiguration": {"Rules": [_RULE]},
            "ObjectLockEnabled": "flag",
            "ObjectLockConfiguration": {
                "ObjectLockEnabled": "text",
                "Rule": {"DefaultRetention": {"Mode": "text", "Days": "whole", "Years": "whole"}},
            },
            "Tags": TAGS,
        },
        named="BucketName",
        create=_create,
        apply=_apply,
        delete=lambda client, bucket, had: client.delete_bucket(Bucket=bucket),
        attributes=lambda client, bucket, wanted: {
            "Arn": f"arn:aws:s3:::{bucket}",
            "DomainName": f"{bucket}.s3.amazonaws.com",
            "RegionalDomainName": f"{bucket}.s3.{client.meta.region_name}.amazonaws.com",
        },
        in_place=frozenset(
            [
                "VersioningConfiguration",
                "PublicAccessBlockConfiguration",
                "BucketEncryption",
                "LifecycleConfiguration",
                "ObjectLockConfiguration",
                "Tags",
            ]
        ),
        generated=lambda name: name.lower()[-63:].strip("-"),
    ),
    Kind(
        type="AWS::S3::BucketPolicy",
        service="s3",
        properties=lambda: {"Bucket": "text", "PolicyDocument": "json"},
        create=_create_policy,
        apply=_apply_policy,
        delete=lambda client, bucket, had: client.delete_bucket_policy(Bucket=bucket),
        in_place=frozenset({"PolicyDocument"}),
    ),
)
