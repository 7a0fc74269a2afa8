"""S3 Object Lock where moto is laxer than S3: retention that cannot be shortened, for every way an object comes in.

moto refuses to delete a locked version; `sandbox.aws.actions_s3` asks for the permission to bypass governance mode.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sandbox.aws.errors import AwsError

Retention = tuple[str | None, str | None]


def retain(key: Any, retention: Retention, params: Mapping[str, Any], now: datetime) -> None:
    """PutObjectRetention on a version. Raises AwsError when it would weaken what protects it."""
    mode, until = retention
    if until is not None and _moment(until) <= now:
        raise AwsError("InvalidArgument", "The retain until date must be in the future!")
    protected = key.lock_mode and key.lock_until and _moment(key.lock_until) > now
    weaker = until is None or (protected and _moment(until) < _moment(key.lock_until))
    weaker = weaker or (key.lock_mode == "COMPLIANCE" and mode != "COMPLIANCE")
    bypassed = key.lock_mode == "GOVERNANCE" and params.get("BypassGovernanceRetention")
    if protected and weaker and not bypassed:
        raise AwsError("AccessDenied", "Access Denied because object protected by object lock.", 403)
    key.lock_mode, key.lock_until = mode, until


def by_default(bucket: Any, key: Any) -> None:
    """Give a new version its bucket's default retention; moto forgets it for multipart uploads."""
    if bucket.has_default_lock and not key.lock_mode:
        key.lock_mode, key.lock_until = bucket.default_lock_mode, bucket.default_retention()


def set_versioning(bucket: Any, status: str) -> None:
    """PutBucketVersioning. Raises AwsError for a bucket with Object Lock, whose versions are what is locked."""
    if bucket.object_lock_enabled and status != "Enabled":
        words = "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."
        raise AwsError("InvalidBucketState", words, 409)
    bucket.versioning_status = status


def configure(bucket: Any, enabled: bool, mode: str | None, days: int | None, years: int | None) -> None:
    """PutObjectLockConfiguration: new objects get the new default, old ones keep what they have. Raises AwsError."""
    if not enabled:
        raise AwsError("MalformedXML", "Object Lock cannot be taken off a bucket again.")
    if not bucket.is_versioned:
        words = "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"
        raise AwsError("InvalidBucketState", words, 409)
    bucket.object_lock_enabled = True
    bucket.default_lock_mode, bucket.default_lock_days, bucket.default_lock_years = mode, days, years


def replacements(put_object: Callable[..., Any], params: Callable[[], Mapping[str, Any]]) -> tuple[Any, ...]:
    """Methods for moto's S3Backend: put_object, put_object_retention, put_bucket_versioning and the lock's settings.

    `put_object` is moto's own, `params` gives the parameters of the call being answered.
    """

    def put(self: Any, bucket_name: str, *args: Any, **kwargs: Any) -> Any:
        key = put_object(self, bucket_name, *args, **kwargs)
        by_default(self.get_bucket(bucket_name), key)
        return key

    def put_retention(self: Any, bucket_name: str, key_name: str, version_id: str | None, retention: Retention) -> None:
        retain(self.get_object(bucket_name, key_name, version_id=version_id), retention, params(), datetime.now(UTC))

    def put_versioning(self: Any, bucket_name: str, status: str) -> None:
        set_versioning(self.get_bucket(bucket_name), status)

    def put_lock(
        self: Any,
        bucket_name: str,
        lock_enabled: bool,
        mode: str | None = None,
        days: int | None = None,
        years: int | None = None,
    ) -> None:
        configure(self.get_bucket(bucket_name), lock_enabled, mode, days, years)

    return put, put_retention, put_versioning, put_lock


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
