"""Capture files of a window from S3 to the job's disk.

A scheduled Processing job cannot name a window's folders as its input (Scheduler fills in whole times only), and the
whole prefix would grow without end; where nothing was captured, an input that matches nothing would fail the job.
Model Monitor brings the window's hours itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HOUR = timedelta(hours=1)


def hours(start: datetime, end: datetime) -> Iterator[str]:
    """`yyyy/mm/dd/hh` in UTC of the hours whose files may hold records of [start, end): also the one before."""
    hour = start.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - HOUR
    while hour < end:
        yield f"{hour:%Y/%m/%d/%H}"
        hour += HOUR


def one(s3: Any, uri: str, target: Path) -> bool:
    """Copy one object here; whether there is one."""
    place = urlsplit(uri)
    key = place.path.lstrip("/")
    found = s3.list_objects_v2(Bucket=place.netloc, Prefix=key, MaxKeys=1).get("Contents", [])
    if not found or found[0]["Key"] != key:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    s3.download_file(place.netloc, key, str(target))
    return True


def download(s3: Any, uri: str, start: datetime, end: datetime, folder: Path) -> int:
    """Copy the window's files below `uri` (`[<variant>/]yyyy/mm/dd/hh/<file>`) into `folder`; how many there were."""
    place = urlsplit(uri)
    root = place.path.strip("/") + "/"
    listing = s3.get_paginator("list_objects_v2")
    inside = (
        page.get("CommonPrefixes", []) for page in listing.paginate(Bucket=place.netloc, Prefix=root, Delimiter="/")
    )
    # Years lie beside variants where there are no variants.
    found = [each["Prefix"] for page in inside for each in page]
    parents = [root, *(prefix for prefix in found if not prefix.removeprefix(root).strip("/").isdecimal())]
    count = 0
    for prefix in (f"{parent}{hour}/" for parent in parents for hour in hours(start, end)):
        for page in listing.paginate(Bucket=place.netloc, Prefix=prefix):
            for item in page.get("Contents", []):
                target = folder / item["Key"].removeprefix(root)
                target.parent.mkdir(parents=True, exist_ok=True)
                s3.download_file(place.netloc, item["Key"], str(target))
                count += 1
    return count
