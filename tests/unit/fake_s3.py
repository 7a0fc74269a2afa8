"""A bucket in memory with what the tests of reports and baselines need of boto3's client."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from tests.unit.fake_aws import refusal


class FakeS3:
    """Objects by `bucket/key`. Everything written is remembered with its time."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.written: dict[str, datetime] = {}

    def hold(self, uri: str, data: bytes, at: datetime | None = None) -> None:
        """Put an object there, as if it had been written at a time."""
        place = uri.removeprefix("s3://")
        self.objects[place], self.written[place] = data, at or datetime.now(UTC)

    def keys(self, uri: str) -> list[str]:
        """Names below a prefix."""
        place = uri.removeprefix("s3://").rstrip("/") + "/"
        return sorted(name.removeprefix(place) for name in self.objects if name.startswith(place))

    def get_paginator(self, operation: str) -> FakeS3:
        assert operation == "list_objects_v2"
        return self

    def paginate(self, *, Bucket: str, Prefix: str, StartAfter: str = "") -> Iterator[dict[str, Any]]:
        names = sorted(name.removeprefix(f"{Bucket}/") for name in self.objects if name.startswith(f"{Bucket}/"))
        found = [name for name in names if name.startswith(Prefix) and name > StartAfter]
        for start in range(0, len(found), 100):
            page = found[start : start + 100]
            yield {"Contents": [{"Key": key, "LastModified": self.written[f"{Bucket}/{key}"]} for key in page]}

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(self._data(Bucket, Key)), "ETag": self._tag(Bucket, Key)}

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        return {"ETag": self._tag(Bucket, Key)}

    def copy_object(self, *, Bucket: str, Key: str, CopySource: dict[str, str], CopySourceIfMatch: str) -> None:
        if self._tag(**CopySource) != CopySourceIfMatch:
            raise refusal("PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
        self.hold(f"{Bucket}/{Key}", self._data(**CopySource))

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, IfNoneMatch: str = "") -> None:
        self.hold(f"{Bucket}/{Key}", Body)

    def generate_presigned_url(self, operation: str, *, Params: dict[str, str], ExpiresIn: int) -> str:
        return f"https://{Params['Bucket']}.example/{Params['Key']}?key=secret&for={ExpiresIn}"

    def _data(self, Bucket: str, Key: str) -> bytes:
        if f"{Bucket}/{Key}" not in self.objects:
            raise refusal("NoSuchKey", "The specified key does not exist.")
        return self.objects[f"{Bucket}/{Key}"]

    def _tag(self, Bucket: str, Key: str) -> str:
        return hashlib.sha256(self._data(Bucket, Key)).hexdigest()[:16]
