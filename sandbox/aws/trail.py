"""The record of calls: one CloudTrail-shaped entry for every API call, allowed or denied."""

from __future__ import annotations

import json
import uuid
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from sandbox.aws.calls import Call
from sandbox.aws.identity import Principal

KEPT = 5000
"""Calls of people, and as many of everybody else: who polls every second must not push out what a person did."""
LONGEST_TEXT = 256
# Members whose values never enter the record.
_SECRET = frozenset(
    {"Body", "Data", "Policy", "PolicyDocument", "TemplateBody", "SecretAccessKey", "SessionToken", "AuthParameters"}
)
# Calls on data: CloudTrail keeps them in a trail's files only, LookupEvents does not know them.
_DATA = {
    "s3": ("GetObject", "HeadObject", "PutObject", "DeleteObject", "CopyObject", "ListObject", "UploadPart"),
    "sagemaker-runtime": ("Invoke",),
    "sqs": ("SendMessage", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility"),
    "cloudwatch": ("PutMetricData", "GetMetricData"),
    "logs": ("PutLogEvents",),
    "events": ("PutEvents",),
}
_READS = ("Get", "List", "Describe", "Head", "Lookup", "Search", "Simulate", "Validate", "Filter", "AssumeRole")
_SOURCES = {"sagemaker-runtime": "sagemaker", "cloudwatch": "monitoring", "resourcegroupstaggingapi": "tagging"}


class Trail:
    """Keeps the last calls in memory and all of them in a file, one JSON object a line."""

    def __init__(self, path: Path, account: str, region: str) -> None:
        self.path = path
        self._file = path.open("a", encoding="utf-8")
        self._account = account
        self._region = region
        self._lock = Lock()
        self._people: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._others: deque[dict[str, Any]] = deque(maxlen=KEPT)

    def add(
        self,
        call: Call | None,
        principal: Principal | None,
        *,
        request_id: str,
        user_agent: str,
        error_code: str | None = None,
        error_message: str | None = None,
        claimed: tuple[str, str] = ("unknown", "unknown"),
    ) -> None:
        """Record one call; `claimed` (service, operation) names a request that was refused before it was understood."""
        service, operation = (call.service, call.operation) if call else claimed
        data = operation.startswith(_DATA.get(service, ()))
        record: dict[str, Any] = {
            "eventVersion": "1.11",
            "eventID": str(uuid.uuid4()),
            "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "eventSource": f"{_SOURCES.get(service, service)}.amazonaws.com",
            "eventName": operation,
            "awsRegion": self._region,
            "sourceIPAddress": "127.0.0.1",
            "userAgent": user_agent[:LONGEST_TEXT],
            "userIdentity": _identity(principal),
            "requestParameters": redact(call.params) if call else None,
            "readOnly": operation.startswith(_READS),
            "requestID": request_id,
            "eventType": "AwsApiCall",
            "managementEvent": not data,
            "eventCategory": "Data" if data else "Management",
            "recipientAccountId": self._account,
        }
        if error_code:
            record |= {"errorCode": error_code, "errorMessage": (error_message or "")[:1024]}
        line = json.dumps(record, default=str)
        with self._lock:
            (self._people if _is_person(record) else self._others).append(record)
            # A call may still be under way when the server has stopped.
            if not self._file.closed:
                self._file.write(line + "\n")
                self._file.flush()

    def find(self, *, source_identity: str | None = None, since: str | None = None, limit: int = 200) -> list[Any]:
        """The newest `limit` records in order of time; `since` is an ISO time with its zone, exclusive.

        Raises ValueError for a `since` that is no such time.
        """
        after = datetime.fromisoformat(since) if since else None
        if after is not None and after.tzinfo is None:
            raise ValueError("since needs a time zone, such as Z")
        with self._lock:
            records = sorted([*self._people, *self._others], key=lambda record: str(record["eventTime"]))
        found = [
            record
            for record in records
            if (after is None or datetime.fromisoformat(record["eventTime"]) > after)
            and (source_identity is None or source_identity == _person(record))
        ]
        return found[-limit:] if limit > 0 else []

    def close(self) -> None:
        """Close the file; nothing can be recorded afterwards."""
        with self._lock:
            self._file.close()


def _is_person(record: Mapping[str, Any]) -> bool:
    who = _person(record)
    return who is not None and not who.startswith("system.")


def _person(record: Mapping[str, Any]) -> str | None:
    context = record["userIdentity"].get("sessionContext", {})
    identity: str | None = context.get("sourceIdentity")
    return identity


def _identity(principal: Principal | None) -> dict[str, Any]:
    if principal is None:
        return {"type": "Unknown"}
    kinds = {"root": "Root", "user": "IAMUser", "role-session": "AssumedRole"}
    identity: dict[str, Any] = {
        "type": kinds[principal.kind],
        "principalId": principal.user_id,
        "arn": principal.arn,
        "accountId": principal.who.account,
        "accessKeyId": principal.access_key_id,
    }
    if principal.user_name:
        identity["userName"] = principal.user_name
    if session := principal.session:
        issuer = {
            "type": "Role",
            "principalId": session.role_id,
            "arn": session.role_arn,
            "userName": session.role_name,
        }
        issued = session.issued.strftime("%Y-%m-%dT%H:%M:%SZ")
        identity["sessionContext"] = {"sessionIssuer": issuer, "attributes": {"creationDate": issued}}
        if session.source_identity:
            identity["sessionContext"]["sourceIdentity"] = session.source_identity
        if session.tags:
            identity["sessionContext"]["sessionTags"] = dict(session.tags)
    return identity


def redact(value: Any, name: str = "", depth: int = 0) -> Any:
    """A short copy of request parameters without secrets and bodies."""
    if name in _SECRET:
        return "***"
    if isinstance(value, Mapping):
        return {key: redact(inner, str(key), depth + 1) for key, inner in value.items()} if depth < 6 else "…"
    if isinstance(value, list | tuple):
        return [redact(inner, name, depth + 1) for inner in value[:20]]
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        return value[:LONGEST_TEXT] + "…"
    return value
