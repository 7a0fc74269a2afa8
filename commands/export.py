"""Audit records as a file: JSON lines, which can be verified without Groundcrew, or CSV for a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pipeline.errors import BadInput
from state.chain import canonical

Format = Literal["jsonl", "csv"]

LARGEST = 20 * 2**20
"""Characters of a file; it is sent through Slack."""
COLUMNS = (
    "id", "at", "user_id", "role", "type", "phase", "command", "outcome", "detail", "approval", "surface", "team",
    "invocation", "session", "requests", "arguments", "previous", "hash",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_file(records: Iterable[Mapping[str, Any]], format: Format) -> tuple[str, int]:
    """The records as a file's text, and how many they are. Raises BadInput when the file would be too large."""
    text = io.StringIO()
    rows = csv.writer(text)
    if format == "csv":
        rows.writerow(COLUMNS)
    count = 0
    for record in records:
        if format == "csv":
            rows.writerow([_cell(record[name]) for name in COLUMNS])
        else:
            text.write(f'{canonical(record)[:-1]},"hash":"{record["hash"]}"}}\n')
        count += 1
        if text.tell() > LARGEST:
            raise BadInput(
                f"The file would be larger than {LARGEST // 2**20} MiB after {count:,} records.",
                "A later `--since` makes it smaller, for example `audit export --since 7d`.",
            )
    return text.getvalue(), count


def _cell(value: Any) -> str:
    """A value in CSV; what a spreadsheet would take for a formula is marked as text."""
    if value is None:
        return ""
    shown = json.dumps(value) if isinstance(value, list | dict) else str(value)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown
