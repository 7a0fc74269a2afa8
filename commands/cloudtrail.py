"""CloudTrail's side of an invocation: the events of its session, found by the request ids that the audit log kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

CLOCKS = timedelta(seconds=5)
"""AWS's clock and the database's may differ by so much."""


@dataclass(frozen=True)
class Event:
    """One API call as CloudTrail has it. `error` is empty for what was allowed and worked."""

    at: datetime
    name: str
    resource: str
    error: str
    request: str


def events(cloudtrail: Any, session: str, requests: Sequence[str], start: datetime, end: datetime) -> Sequence[Event]:
    """The management events of these requests, oldest first. A session that reads may serve several invocations."""
    pages = cloudtrail.get_paginator("lookup_events").paginate(
        LookupAttributes=[{"AttributeKey": "Username", "AttributeValue": session}],
        StartTime=start - CLOCKS,
        EndTime=end + CLOCKS,
    )
    wanted = frozenset(requests)
    found = (_event(item) for page in pages for item in page["Events"])
    return sorted((event for event in found if event.request in wanted), key=lambda event: event.at)


def _event(item: Mapping[str, Any]) -> Event:
    told = json.loads(item["CloudTrailEvent"])
    resources = [str(each["ResourceName"]) for each in item.get("Resources", []) if each.get("ResourceName")]
    return Event(
        at=item["EventTime"],
        name=f"{told['eventSource'].partition('.')[0]}:{item['EventName']}",
        resource=", ".join(name.rsplit(":", 1)[-1] for name in resources),
        error=str(told.get("errorCode") or ""),
        request=str(told.get("requestID") or ""),
    )
