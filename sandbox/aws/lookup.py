"""CloudTrail's LookupEvents over the record of calls: management events only, newest first, as on AWS."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sandbox.aws.errors import AwsError

PAGE = 50
KEPT = timedelta(days=90)
BLOCK = 1 << 16
# Attribute of a look-up -> the member of a row it is compared with.
_MEMBERS = {
    "EventId": "EventId",
    "EventName": "EventName",
    "EventSource": "EventSource",
    "ReadOnly": "ReadOnly",
    "Username": "Username",
    "AccessKeyId": "AccessKeyId",
}
_OF_RESOURCES = ("ResourceName", "ResourceType")
_TITLES = {"iam": "IAM", "s3": "S3", "sqs": "SQS", "sagemaker": "SageMaker", "cloudformation": "CloudFormation"}


def lookup(record: Path, params: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The answer of LookupEvents from the file `record`. Raises AwsError with CloudTrail's codes."""
    attributes = params.get("LookupAttributes") or []
    if len(attributes) > 1:
        raise AwsError("InvalidLookupAttributesException", "You can only specify one lookup attribute at a time.")
    if any(one["AttributeKey"] not in (*_MEMBERS, *_OF_RESOURCES) for one in attributes):
        raise AwsError("InvalidLookupAttributesException", f"Unknown attribute {attributes[0]['AttributeKey']}.")
    if params.get("EventCategory"):
        raise AwsError("InvalidEventCategoryException", "The local AWS records no insight events.")
    size = int(params.get("MaxResults") or PAGE)
    if not 1 <= size <= PAGE:
        raise AwsError("InvalidMaxResultsException", f"MaxResults must be from 1 to {PAGE}.")
    first, last = _window(params, now)
    # Looking for the text first spares reading most lines; two attributes are not in a line as they are asked for.
    needles = [
        json.dumps(one["AttributeValue"])[1:-1].encode()
        for one in attributes
        if one["AttributeKey"] not in ("ReadOnly", "ResourceType")
    ]
    rows: list[dict[str, Any]] = []
    for place, line in _backwards(record, _place(params.get("NextToken"), record)):
        if any(text not in line for text in needles):
            continue
        event = json.loads(line)
        when = datetime.fromisoformat(event["eventTime"])
        if when < first:
            break
        if when > last or event["eventCategory"] != "Management" or "arn" not in event["userIdentity"]:
            continue
        row = _row(event, when)
        if all(_has(row, one["AttributeKey"], one["AttributeValue"]) for one in attributes):
            if len(rows) == size:
                return {"Events": rows, "NextToken": base64.b64encode(str(place + len(line)).encode()).decode()}
            rows.append(row)
    return {"Events": rows}


def _window(params: Mapping[str, Any], now: datetime) -> tuple[datetime, datetime]:
    first, last = params.get("StartTime") or now - KEPT, params.get("EndTime") or now
    first, last = (each if each.tzinfo else each.replace(tzinfo=UTC) for each in (first, last))
    if first > last:
        raise AwsError("InvalidTimeRangeException", "The start time must be before the end time.")
    # Both ends are whole seconds on AWS, and both belong to the range.
    return max(first, now - KEPT).replace(microsecond=0), last.replace(microsecond=0) + timedelta(seconds=1)


def _place(token: str | None, record: Path) -> int:
    size = record.stat().st_size
    if token is None:
        return size
    try:
        place = int(base64.b64decode(token, validate=True))
    except ValueError:
        place = -1
    if not 0 <= place <= size:
        raise AwsError("InvalidNextTokenException", "The NextToken is not one of this account's.")
    return place


def _backwards(record: Path, end: int) -> Iterator[tuple[int, bytes]]:
    """(place, line) of the file's whole lines that end at or before `end`, the last one first, in constant memory."""
    with record.open("rb") as file:
        block, begin, stop = b"", end, 0
        while begin or stop:
            before = block.rfind(b"\n", 0, max(stop - 1, 0))
            if before < 0 and begin:
                step = min(BLOCK, begin)
                begin -= step
                file.seek(begin)
                block = file.read(step) + block[:stop]
                stop = len(block)
                continue
            line, stop = block[before + 1 : stop], before + 1
            # The last line may still be on its way into the file.
            if line.endswith(b"\n"):
                yield begin + stop, line


def _row(event: Mapping[str, Any], when: datetime) -> dict[str, Any]:
    return {
        "EventId": event["eventID"],
        "EventName": event["eventName"],
        "ReadOnly": str(event["readOnly"]).lower(),
        "AccessKeyId": event["userIdentity"]["accessKeyId"],
        "EventTime": when.replace(microsecond=0),
        "EventSource": event["eventSource"],
        "Username": _user(event["userIdentity"]),
        "Resources": list(_resources(event)),
        "CloudTrailEvent": json.dumps(event),
    }


def _user(identity: Mapping[str, Any]) -> str:
    """A user's name, the session's name of an assumed role, or root."""
    if identity["type"] == "Root":
        return "root"
    return str(identity.get("userName") or identity["arn"].rsplit("/", 1)[1])


def _resources(event: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """What the request names: `PipelineName` is an AWS::SageMaker::Pipeline, `RoleArn` an AWS::IAM::Role."""
    service = event["eventSource"].partition(".")[0]
    for name, value in (event["requestParameters"] or {}).items():
        stem = next((name.removesuffix(end) for end in ("Name", "Arn", "ARN") if name.endswith(end)), "")
        if name == "Bucket":
            yield {"ResourceType": "AWS::S3::Bucket", "ResourceName": str(value)}
        elif stem and isinstance(value, str) and not stem.endswith("Session"):
            owner = "IAM" if stem in ("Role", "ExecutionRole") else _TITLES.get(service, service.title())
            yield {"ResourceType": f"AWS::{owner}::{stem.removeprefix('Execution')}", "ResourceName": value}


def _has(row: Mapping[str, Any], key: str, value: str) -> bool:
    if key in _OF_RESOURCES:
        return any(resource[key] == value for resource in row["Resources"])
    return bool(row[_MEMBERS[key]] == value)
