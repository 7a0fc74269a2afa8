"""SageMaker's data capture: JSON Lines, one object a request, read once and in bounded memory.

What the server answered lies as text inside of the capture's JSON: `features` of the image, `prediction`, and the
digest of the model. Records of anything else are counted as malformed, with the reason; nothing is dropped silently.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO

from pipeline.monitoring.summary import BATCH, Profile, Summary

LONGEST = 1 << 24
"""Bytes of a line: a captured picture has at most 6 MiB, which base64 makes 8."""


@dataclass(frozen=True)
class Record:
    """One answered request."""

    at: datetime
    event_id: str
    inference_id: str
    """What the caller named it (ground truth is joined by it); the event's id when he did not."""
    row: Mapping[str, object]
    """Columns of the image and of the prediction, unchecked."""
    model: str
    answer: Mapping[str, Any]
    """Everything the server said."""


@dataclass(frozen=True)
class Malformed:
    """A line that is not a record of ours, and why."""

    reason: str


def lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file. Of one longer than LONGEST only the beginning is given, which no reader will accept."""
    while line := file.readline(LONGEST):
        rest = line
        while rest and not rest.endswith(b"\n") and len(rest) == LONGEST:
            rest = file.readline(LONGEST)
        if line.strip():
            yield line


def records(lines: Iterable[bytes]) -> Iterator[Record | Malformed]:
    """What each line says: a record for each picture that was answered."""
    for line in lines:
        try:
            yield from _records(line)
        except _Unreadable as error:
            yield Malformed(str(error))


def window(found: Iterable[Record | Malformed], start: datetime, end: datetime) -> Profile:
    """The profile of the records with `start` <= time < `end`, in one pass; malformed ones are counted as they come.

    The folder of an hour may hold more than the window, and a malformed record has no time that could be trusted.
    """
    summary = Summary()
    waiting: dict[str, list[Mapping[str, object]]] = {}
    for record in found:
        if isinstance(record, Malformed):
            summary.malformed(record.reason)
        elif start <= record.at < end:
            rows = waiting.setdefault(record.model, [])
            rows.append(record.row)
            if len(rows) == BATCH or len(waiting) > 1:
                summary.add(waiting.pop(record.model), record.model)
    for model, rows in waiting.items():
        summary.add(rows, model)
    return summary.profile()


def moment(text: object) -> datetime:
    """A time as ISO 8601 in UTC; one without a zone is UTC, as AWS writes them. Raises ValueError."""
    if not isinstance(text, str):
        raise ValueError("not text")
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


class _Unreadable(Exception):
    """Why a line is no record."""


def _records(line: bytes) -> list[Record]:
    whole = _object(line, "a line is not JSON")
    data, about = whole.get("captureData"), whole.get("eventMetadata")
    if not isinstance(data, dict) or not isinstance(about, dict):
        raise _Unreadable("a line is not a capture record")
    try:
        at = moment(about.get("inferenceTime"))
    except (ValueError, OverflowError):
        raise _Unreadable("inferenceTime is not a time") from None
    answer = _answer(data.get("endpointOutput"))
    event = str(about.get("eventId", ""))
    inference = str(about.get("inferenceId") or event)
    several = answer.get("answers")
    if not isinstance(several, list):
        return [_record(answer, at, event, inference)]
    # Of several pictures each is named after its place, from 1 on.
    return [
        _record(each, at, f"{event}#{place}", f"{inference}#{place}") for place, each in enumerate(several, start=1)
    ]


def _record(answer: Any, at: datetime, event: str, inference: str) -> Record:
    image, prediction = (answer.get(name) if isinstance(answer, dict) else None for name in ("features", "prediction"))
    if not isinstance(image, dict) or not isinstance(prediction, dict):
        raise _Unreadable("the answer has no features")
    model = answer.get("model")
    digest = model.get("digest") if isinstance(model, dict) else None
    return Record(at, event, inference, image | prediction, digest if isinstance(digest, str) else "", answer)


def _answer(output: object) -> dict[str, Any]:
    """The server's JSON, as text or as base64."""
    if not isinstance(output, dict) or not isinstance(output.get("data"), str):
        raise _Unreadable("no output was captured")
    match output.get("encoding"):
        case "JSON":
            return _object(output["data"], "the captured output is not JSON")
        case "BASE64":
            try:
                text = base64.b64decode(output["data"], validate=True)
            except ValueError:
                raise _Unreadable("the captured output is not base64") from None
            return _object(text, "the captured output is not JSON")
    raise _Unreadable("the captured output is neither JSON nor base64")


def _object(text: bytes | str, otherwise: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):  # bytes that are not UTF-8 are a ValueError too
        raise _Unreadable(otherwise) from None
    if not isinstance(found, dict):
        raise _Unreadable(otherwise)
    return found
