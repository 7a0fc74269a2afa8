"""What the monitor has said about an endpoint: its reports in S3, read and put together.

A report is the folder that one monitoring job left behind (`pipeline/steps/monitor.py`). What stands in one was written
by a job, not by this program: it is checked before it is shown, and never obeyed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

from botocore.exceptions import ClientError

from pipeline.errors import BadInput
from pipeline.names import Environment, Names

Kind = Literal["drift", "no drift", "warning", "no verdict", "no traffic"]
"""What a window was found to be; `pipeline.monitoring.drift` decides."""

VERDICT, CHART, EXAMPLES, PAGE = "verdict.json", "chart.png", "examples.jpg", "report.html"
LARGEST_VERDICT = 1 << 20
LARGEST_PICTURE = 4 << 20
LARGEST_PAGE = 16 << 20
MOST = 1000
"""Reports that one look reads: 41 days of hours."""
AT_ONCE = 8
EARLY = timedelta(days=1)
"""A window may be looked at later than it ended; folders are searched from that much before the time asked for."""


@dataclass(frozen=True)
class Column:
    """How far one column was from the baseline."""

    name: str
    distance: float
    """W1 in deviations of the baseline."""
    limit: float
    """0 where a test decided, not the distance."""
    before: float
    """Mean of the baseline."""
    now: float
    beyond: bool

    @property
    def ratio(self) -> float | None:
        """Distance over limit: above 1 is drift. None where there is no limit."""
        return self.distance / self.limit if self.limit > 0 else None


@dataclass(frozen=True)
class Violation:
    """One entry of Model Monitor's constraint_violations.json."""

    column: str
    check: str
    description: str


@dataclass(frozen=True)
class Report:
    """One judged window, `start` to `end` (exclusive), UTC. `columns`: the one that moved most first."""

    folder: str
    """`s3://` address without a slash at its end."""
    endpoint: str
    start: datetime
    end: datetime
    kind: Kind
    images: int
    records: int
    unreadable: int = 0
    columns: Sequence[Column] = ()
    limit: float | None = None
    limit_from: str = ""
    baseline: str = ""
    """Id of the baseline; empty where there was none."""
    baseline_images: int = 0
    models: Mapping[str, int] = field(default_factory=dict)
    """Images by digest of the model that answered."""
    violations: Sequence[Violation] = ()
    quality: Mapping[str, float] = field(default_factory=dict)
    """Against ground truth: pictures, and shares 0..1."""
    review: str = ""
    """`s3://` prefix of photos that deserve a label."""
    review_photos: int = 0
    caveats: Sequence[str] = ()
    files: frozenset[str] = frozenset()
    """Names of what lies in the folder and below it."""

    @property
    def asked(self) -> bool:
        """Somebody had that window looked at; the schedule's reports lie one folder higher (docs/monitoring.md)."""
        _, _, place = self.folder.partition(f"/monitoring/{self.endpoint}/")
        return place.count("/") == 1

    @property
    def moved(self) -> Sequence[Column]:
        """Columns beyond what is allowed."""
        return [column for column in self.columns if column.beyond]

    @property
    def ratio(self) -> float | None:
        """The largest distance over its limit; None where no column has a limit."""
        return max((column.ratio for column in self.columns if column.ratio is not None), default=None)


@dataclass(frozen=True)
class Shelf:
    """The reports of a time, the newest window first, and the folders whose verdict could not be read."""

    reports: Sequence[Report]
    unreadable: Sequence[str] = ()


def home(names: Names, env: Environment, endpoint: str) -> str:
    """Where the reports about an endpoint lie (`pipeline/deployment.yaml`)."""
    return f"s3://{names.bucket}/{env}/monitoring/{endpoint}"


def between(s3: Any, home: str, since: datetime, until: datetime) -> Shelf:
    """Reports below `home` whose window ended after `since` and not after `until`.

    Of several about the same window the newest counts. Raises BadInput when there are more than MOST to read.
    """
    # Folders of our own jobs are called after the end of their window; Model Monitor puts them below its schedule.
    native = f"{home}/{home.rpartition('/')[2]}-monitor/"
    files = listed(s3, f"{home}/20", after=f"{home}/{since - EARLY:%Y-%m-%d}")
    files |= listed(s3, native, after=f"{native}{since - EARLY:%Y/%m/%d}")
    written = {uri.removesuffix(f"/{VERDICT}"): at for uri, at in files.items() if uri.endswith(f"/{VERDICT}")}
    folders = sorted((folder for folder, at in written.items() if at > since), key=lambda folder: written[folder])
    if len(folders) > MOST:
        raise BadInput(f"{len(folders)} reports are too many to read at once.", "Ask for a shorter time.")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda folder: _read(s3, folder, _below(folder, files)), folders))
    by_window = {
        (each.start, each.end): each for each in found if isinstance(each, Report) and since < each.end <= until
    }
    newest = sorted(by_window.values(), key=lambda report: (report.end, report.start), reverse=True)
    return Shelf(newest, [each for each in found if isinstance(each, str)])


def at(s3: Any, folder: str) -> Report | None:
    """The report in a folder; None when there is none. Raises BadInput when it cannot be read."""
    files = listed(s3, f"{folder}/")
    body = body_of(s3, f"{folder}/{VERDICT}", LARGEST_VERDICT) if f"{folder}/{VERDICT}" in files else None
    return None if body is None else read(body, folder, _below(folder, files))


def side_by_side(reports: Iterable[Report]) -> list[Report]:
    """Those of some reports, newest first, that share no time: no image is counted twice.

    The schedule's own come first: a long look that somebody asked for does not hide the hours in it.
    """
    chosen: list[Report] = []
    for report in sorted(reports, key=lambda each: (not each.asked, each.end, each.start), reverse=True):
        if all(report.end <= other.start or other.end <= report.start for other in chosen):
            chosen.append(report)
    return sorted(chosen, key=lambda report: report.end, reverse=True)


def file(s3: Any, report: Report, name: str, most: int = LARGEST_PICTURE) -> bytes | None:
    """A file of a report; None when it has none of that name, or one larger than `most` bytes."""
    return body_of(s3, f"{report.folder}/{name}", most) if name in report.files else None


def read(body: bytes, folder: str, files: Collection[str] = ()) -> Report:
    """The report in a verdict.json. Raises BadInput for anything else."""
    try:
        return _report(json.loads(body), folder, files)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise BadInput(
            f"{VERDICT} of {folder} cannot be read: {type(error).__name__}.", "Run the monitor again."
        ) from error


def listed(s3: Any, prefix: str, after: str = "") -> dict[str, datetime]:
    """Addresses that begin with `prefix` and sort after `after`, and when each was written."""
    bucket, _, begins = prefix.removeprefix("s3://").partition("/")
    later = {"StartAfter": after.removeprefix(f"s3://{bucket}/")} if after else {}
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=begins, **later)
    items = (item for page in pages for item in page.get("Contents", []))
    return {f"s3://{bucket}/{item['Key']}": item["LastModified"] for item in items}


def body_of(s3: Any, uri: str, most: int) -> bytes | None:
    """A file's bytes; None when there are more than `most`, or it has gone since it was listed."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    try:
        body = bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read(most + 1))
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
            return None
        raise
    return body if len(body) <= most else None


def _report(told: Mapping[str, Any], folder: str, files: Collection[str]) -> Report:
    kind = told["verdict"]
    if kind not in get_args(Kind):
        raise ValueError("not a verdict")
    start, end = (_moment(told["window"][edge]) for edge in ("start", "end"))
    if start >= end:
        raise ValueError("the window is empty")
    baseline, limits, review = told["baseline"] or {}, told["limits"] or {}, told["review"]
    columns = [_column(each) for each in told["columns"]]
    return Report(
        folder=folder,
        endpoint=str(told["endpoint"]),
        start=start,
        end=end,
        kind=kind,
        images=_count(told["images"]),
        records=_count(told["records"]),
        unreadable=sum(_count(each) for each in told["malformed"].values()),
        columns=tuple(sorted(columns, key=lambda column: (not column.beyond, -column.distance))),
        limit=_number(limits["limit"]) if limits else None,
        limit_from=str(limits.get("from", "")),
        baseline=str(baseline.get("id", "")),
        baseline_images=_count(baseline.get("images", 0)),
        models={str(model): _count(images) for model, images in told["models"].items()},
        violations=tuple(
            Violation(str(each["feature_name"]), str(each["constraint_check_type"]), str(each["description"]))
            for each in told["violations"]
        ),
        quality=_quality(told["quality"] or {}),
        review=str(review["prefix"]),
        review_photos=_count(review["photos"]),
        caveats=tuple(str(caveat) for caveat in told["caveats"]),
        files=frozenset(files),
    )


def _column(told: Mapping[str, Any]) -> Column:
    distance, limit, before, now = (_number(told[key]) for key in ("distance", "limit", "before", "now"))
    return Column(str(told["column"]), distance, limit, before, now, told["beyond"] is True)


def _quality(told: Mapping[str, Any]) -> dict[str, float]:
    names = ("pictures", "precision", "recall", "map50")
    return {name: _number(told[name]) for name in names if told.get(name) is not None}


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError("not a number")
    return float(value)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("not a count")
    return value


def _moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def _below(folder: str, files: Iterable[str]) -> list[str]:
    return [uri.removeprefix(f"{folder}/") for uri in files if uri.startswith(f"{folder}/")]


def _read(s3: Any, folder: str, files: Collection[str]) -> Report | str:
    """A report, or the folder of one that cannot be read."""
    try:
        return read(body_of(s3, f"{folder}/{VERDICT}", LARGEST_VERDICT) or b"", folder, files)
    except BadInput:
        return folder
