"""S3's table: its operations rarely have the name of their IAM action."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

# Operation -> IAM action on the bucket.
_BUCKET = {
    "CreateBucket": "CreateBucket",
    "DeleteBucket": "DeleteBucket",
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "GetBucketLocation": "GetBucketLocation",
    "GetBucketVersioning": "GetBucketVersioning",
    "PutBucketVersioning": "PutBucketVersioning",
    "GetBucketPolicy": "GetBucketPolicy",
    "PutBucketPolicy": "PutBucketPolicy",
    "DeleteBucketPolicy": "DeleteBucketPolicy",
    "GetBucketTagging": "GetBucketTagging",
    "PutBucketTagging": "PutBucketTagging",
    "DeleteBucketTagging": "PutBucketTagging",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketOwnershipControls": "GetBucketOwnershipControls",
    "PutBucketOwnershipControls": "PutBucketOwnershipControls",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
}
# Operation -> IAM action on the object, and on a version of it where that is another one.
_OBJECT = {
    "GetObject": ("GetObject", "GetObjectVersion"),
    "HeadObject": ("GetObject", "GetObjectVersion"),
    "GetObjectAttributes": ("GetObjectAttributes", "GetObjectVersionAttributes"),
    "PutObject": ("PutObject", "PutObject"),
    "CreateMultipartUpload": ("PutObject", "PutObject"),
    "UploadPart": ("PutObject", "PutObject"),
    "CompleteMultipartUpload": ("PutObject", "PutObject"),
    "AbortMultipartUpload": ("AbortMultipartUpload", "AbortMultipartUpload"),
    "ListParts": ("ListMultipartUploadParts", "ListMultipartUploadParts"),
    "CopyObject": ("PutObject", "PutObject"),
    "UploadPartCopy": ("PutObject", "PutObject"),
    "DeleteObject": ("DeleteObject", "DeleteObjectVersion"),
    "GetObjectTagging": ("GetObjectTagging", "GetObjectVersionTagging"),
    "PutObjectTagging": ("PutObjectTagging", "PutObjectVersionTagging"),
    "DeleteObjectTagging": ("DeleteObjectTagging", "DeleteObjectVersionTagging"),
    "PutObjectRetention": ("PutObjectRetention", "PutObjectRetention"),
}
# What a new object may bring along -> the action that it needs besides.
_ALONG = {
    "Tagging": "PutObjectTagging",
    "ObjectLockMode": "PutObjectRetention",
    "ObjectLockRetainUntilDate": "PutObjectRetention",
    "ObjectLockLegalHoldStatus": "PutObjectLegalHold",
}


def s3_needs(operation: str, params: Mapping[str, Any]) -> list[tuple[str, str]] | None:
    """(action, ARN) pairs of an S3 call; None for an operation that is not listed. Copies read their source too."""
    bucket = f"arn:aws:s3:::{params.get('Bucket', '')}"
    if operation == "ListBuckets":
        return [("s3:ListAllMyBuckets", "*")]
    if operation in _BUCKET:
        locked = operation == "CreateBucket" and params.get("ObjectLockEnabledForBucket")
        actions = [_BUCKET[operation], *(("PutBucketObjectLockConfiguration", "PutBucketVersioning") if locked else ())]
        return [(f"s3:{action}", bucket) for action in actions]
    # moto takes the header for a yes whatever it says, so whoever sends it needs the permission.
    bypass = ["s3:BypassGovernanceRetention"] if params.get("BypassGovernanceRetention") is not None else []
    if operation == "DeleteObjects":
        return [
            (action, f"{bucket}/{item['Key']}")
            for item in params["Delete"]["Objects"]
            for action in ("s3:DeleteObjectVersion" if item.get("VersionId") else "s3:DeleteObject", *bypass)
        ]
    if operation not in _OBJECT:
        return None
    plain, versioned = _OBJECT[operation]
    key = f"{bucket}/{params['Key']}"
    found = [(f"s3:{versioned if params.get('VersionId') else plain}", key), *((action, key) for action in bypass)]
    if operation in ("PutObject", "CopyObject", "CreateMultipartUpload"):
        found += [(f"s3:{action}", key) for name, action in _ALONG.items() if params.get(name)]
    if operation in ("CopyObject", "UploadPartCopy"):
        path, _, version = unquote(params["CopySource"]).removeprefix("/").partition("?versionId=")
        found.append(("s3:GetObjectVersion" if version else "s3:GetObject", f"arn:aws:s3:::{path}"))
    return found
