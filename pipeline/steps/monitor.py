"""Whether an endpoint still sees what its model was made for: one window of captured traffic against the baseline.

Runs as a Processing job of ours or under Model Monitor's bring-your-own-container contract; the lower-case settings are
that contract's. `dataset_source` capture files (it may hold more than the window), `output_path` where results go,
`end_time` with `start_time` or WINDOW_HOURS (end exclusive, any zone), `baseline_statistics` and `baseline_constraints`
when there is a baseline, `publish_cloudwatch_metrics` Enabled or Disabled (for a look at another time, of which no
alarm should hear), `sagemaker_endpoint_name`, `sagemaker_monitoring_schedule_name`; REVIEW_URI, an `s3://` prefix for
photos that deserve a label. Input `ground_truth`, if there is one: what the pictures really showed. CAPTURE_URI and
GROUND_TRUTH_URI, `s3://` prefixes: the window's files are brought from there first (a schedule cannot name them).
BASELINE_URI, where the baseline's statistics.json came from: its photos lie beside it.

Out: statistics.json, constraint_violations.json, verdict.json, report.html, chart.png, examples.jpg, and the window as
a possible `baseline/` when it has images enough. Drift is a result, not a failure: the job completes, and its exit
message begins with `CompletedWithViolations: `.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeGuard, TypeVar
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from pipeline.errors import BadInput, Denied, Unavailable
from pipeline.monitoring import candidate, capture, fetch, metrics, review, sheet
from pipeline.monitoring.drift import Reference, unusual
from pipeline.monitoring.results import Baseline, Results
from pipeline.monitoring.truth import Agreement, Quality, Truth
from pipeline.serving.detector import Detection
from pipeline.steps.container import Container, run, say

Answer = TypeVar("Answer")

ML = PurePosixPath("/opt/ml")
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Job:
    """What the job was asked; see the module's words."""

    source: Path
    output: Path
    start: datetime
    end: datetime
    endpoint: str
    schedule: str
    statistics: Path | None
    constraints: Path | None
    publish: bool
    review: str

    @classmethod
    def read(cls, container: Container) -> Job:
        """The job's settings. Raises `BadInput` for what is missing or cannot be read."""
        given = container.environment

        def path(name: str) -> Path | None:
            return _local(container.root, given[name]) if given.get(name) else None

        end = _moment("end_time", container.setting("end_time"))
        if given.get("start_time"):
            start = _moment("start_time", given["start_time"])
        else:
            start = end - timedelta(hours=_hours(container.setting("WINDOW_HOURS")))
        if start >= end:
            raise BadInput(f"The window {start.isoformat()} to {end.isoformat()} is empty.", "Start before the end.")
        return cls(
            source=_local(container.root, container.setting("dataset_source")),
            output=_local(container.root, container.setting("output_path")),
            start=start,
            end=end,
            endpoint=container.setting("sagemaker_endpoint_name"),
            schedule=given.get("sagemaker_monitoring_schedule_name", ""),
            statistics=path("baseline_statistics"),
            constraints=path("baseline_constraints"),
            publish=given.get("publish_cloudwatch_metrics") == "Enabled",
            review=given.get("REVIEW_URI", "").rstrip("/"),
        )

    def files(self) -> Iterator[Path]:
        """Capture files that may hold records of the window, in the order of their hours."""
        for path in sorted(self.source.rglob("*.jsonl")):
            endpoint, hour = _place(path.relative_to(self.source))
            if endpoint not in ("", self.endpoint):
                continue
            if hour is None or self.start - HOUR < hour < self.end:
                yield path


class Reading:
    """One pass over the capture: what is looked at besides the statistics, picture by picture."""

    def __init__(self, job: Job, reference: Reference | None, truth: Truth) -> None:
        self.chosen = review.Chosen()
        self.rows = candidate.Rows()
        self._job, self._reference, self._truth = job, reference, truth
        self._agreement = Agreement()
        self._matched: set[str] = set()
        self._offset = 0

    def records(self) -> Iterator[capture.Record | capture.Malformed]:
        """Every line of the files; those inside of the window are looked at on their way."""
        for path in self._job.files():
            with path.open("rb") as file:
                for record in capture.records(self._lines(file)):
                    if isinstance(record, capture.Record) and self._job.start <= record.at < self._job.end:
                        self._look(record, path)
                    yield record

    @property
    def matched(self) -> int:
        """Pictures whose truth is known."""
        return len(self._matched)

    def quality(self) -> Quality | None:
        """How good the model was on them; None when there are none."""
        return self._agreement.quality() if self._matched else None

    def _lines(self, file: BinaryIO) -> Iterator[bytes]:
        for line in capture.lines(file):
            self._offset = file.tell() - len(line)
            yield line

    def _look(self, record: capture.Record, path: Path) -> None:
        objects = self._truth.pictures.get(record.inference_id)
        if objects is not None and record.inference_id not in self._matched:
            self._matched.add(record.inference_id)
            self._agreement.add(_found(record.answer), objects)
        row = {name: float(value) for name, value in record.row.items() if _is_number(value)}
        apart = unusual(self._reference, row) if self._reference else 0.0
        seen = (record.at, record.event_id, path, self._offset, record.inference_id, record.answer)
        photo = review.Candidate(0.0, *seen)
        self.chosen.consider(photo, row.get("confidence"), apart)
        self.rows.consider(row)


def monitor(container: Container) -> str:
    """Run the step; see the module's words."""
    job = Job.read(container)
    _bring(container, job)
    truth = _truth(container.input("ground_truth"))
    baseline = Baseline.read(job.statistics, job.constraints)
    reading = Reading(job, baseline.reference, truth)
    window = capture.window(reading.records(), job.start, job.end)
    results = baseline.judge(window, reading.quality(), _of_truth(truth, reading.matched))
    say("judged", kind=results.verdict.kind, images=window.images, malformed=sum(window.malformed.values()))

    photos = reading.chosen.photos(drifting=bool(results.verdict.moved))
    copied = _aws(lambda: _keep(photos, job)) if job.review else 0
    facts = {
        "endpoint": job.endpoint,
        "start": f"{job.start:%Y-%m-%dT%H:%M:%SZ}",
        "end": f"{job.end:%Y-%m-%dT%H:%M:%SZ}",
        "review": f"{job.review}/{job.end:%Y-%m-%d}/" if copied else "",
    }
    examples = reading.chosen.examples()
    results.write(job.output, facts, examples, copied)
    if (usual := candidate.candidate(window, reading.rows, baseline.reference)) is not None:
        candidate.write(job.output, usual, examples)
    if job.publish:
        file = container.root / "output" / "metrics" / "cloudwatch"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(metrics.lines(results.verdict, window, job.endpoint, job.schedule, job.end), "utf-8")
        _aws(lambda: _publish(results, job))
    return results.message


def _bring(container: Container, job: Job) -> None:
    """Copy the window's files here where SageMaker has not: below CAPTURE_URI and GROUND_TRUTH_URI."""
    for name, folder in (("CAPTURE_URI", job.source), ("GROUND_TRUTH_URI", container.input("ground_truth"))):
        if uri := container.environment.get(name):
            count = _aws(partial(fetch.download, boto3.client("s3"), uri, job.start, job.end, folder))
            say("fetched", uri=uri, files=count)
    if job.statistics and (uri := container.environment.get("BASELINE_URI")):
        photos = f"{uri.rpartition('/')[0]}/{sheet.EXAMPLES}"
        _aws(partial(fetch.one, boto3.client("s3"), photos, job.statistics.with_name(sheet.EXAMPLES)))


def _publish(results: Results, job: Job) -> None:
    values = metrics.figures(results.verdict, results.window, len(results.violations), results.quality)
    boto3.client("cloudwatch").put_metric_data(
        Namespace=metrics.NAMESPACE, MetricData=metrics.data(values, job.endpoint, job.end)
    )


def _keep(photos: Iterator[review.Photo], job: Job) -> int:
    """Copy photos and a manifest to the review prefix; returns how many. A repeated run writes the same keys again."""
    s3, place = boto3.client("s3"), urlsplit(job.review)
    prefix = f"{place.path.lstrip('/')}/{job.end:%Y-%m-%d}"
    lines = []
    for photo in photos:
        s3.put_object(Bucket=place.netloc, Key=f"{prefix}/{photo.name}", Body=photo.data)
        lines.append(photo.line() + "\n")
    if lines:
        body = "".join(lines).encode()
        s3.put_object(Bucket=place.netloc, Key=f"{prefix}/manifest-{job.end:%H%M%S}.jsonl", Body=body)
    return len(lines)


def _aws(work: Callable[[], Answer]) -> Answer:
    """Raise what AWS says against it in our words: a monitor that cannot speak must fail aloud."""
    try:
        return work()
    except ClientError as error:
        raise Denied(f"AWS refused: {error}", "Check the rights of the job's role.") from error
    except BotoCoreError as error:
        raise Unavailable(f"AWS cannot be reached: {error}", "Run the monitor again.") from error


def _truth(folder: Path) -> Truth:
    """What lies in the input; nothing when there is none."""
    truth = Truth()
    for path in sorted(folder.rglob("*.jsonl")):
        with path.open("rb") as file:
            truth.take(capture.lines(file))
    return truth


def _of_truth(truth: Truth, matched: int) -> tuple[str, ...]:
    """In words, what is weak about the ground truth."""
    caveats = []
    if truth.pictures and not matched:
        caveats.append(
            f"None of {len(truth.pictures)} ground-truth records belongs to a captured record of this window: "
            "they are joined by inference id."
        )
    if truth.malformed:
        caveats.append(f"{truth.malformed} ground-truth line(s) could not be read.")
    if truth.beyond:
        caveats.append(f"{truth.beyond} ground-truth record(s) were too many and not used.")
    return tuple(caveats)


def _found(answer: Mapping[str, object]) -> list[Detection]:
    """The detections of an answer; one that is not of our shape counts as not found."""
    rows = answer.get("detections")
    found = []
    for row in rows if isinstance(rows, list) else []:
        try:
            x0, y0, x1, y1 = row["box"]
            if all(map(_is_number, (x0, y0, x1, y1, row["confidence"]))):
                found.append(Detection(str(row["class"]), row["confidence"], (x0, y0, x1, y1)))
        except (KeyError, TypeError, ValueError):
            continue
    return found


def _is_number(value: object) -> TypeGuard[float]:
    """Whether one can count with it: JSON may hold NaN, and whole numbers without end."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _place(path: Path) -> tuple[str, datetime | None]:
    """Endpoint and UTC hour that a capture file's folders tell: `[<endpoint>/]<variant>/yyyy/mm/dd/hh/<file>`."""
    *before, year, month, day, hour = ("", "", "", "", *path.parent.parts)
    try:
        at = capture.moment(f"{year}-{month}-{day}T{hour}:00:00")
    except ValueError:
        return "", None
    return (before[-2] if len(before) > 1 else ""), at


def _local(root: Path, path: str) -> Path:
    """A path of the contract below the root folder."""
    given = PurePosixPath(path)
    return root / given.relative_to(ML) if given.is_relative_to(ML) else Path(path)


def _moment(name: str, text: str) -> datetime:
    try:
        return capture.moment(text)
    except ValueError as error:
        raise BadInput(f"{name} {text!r} is not a time.", "Write it like 2026-02-14T17:00:00Z.") from error


def _hours(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise BadInput(f"WINDOW_HOURS {text!r} is not a number.", "Write it like 24.") from error


if __name__ == "__main__":
    run(monitor)
