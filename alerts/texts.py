"""Texts and times as events hold them, made safe to keep: one tolerant reader for each."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

NAME = 200
TITLE = 150
TEXT = 2000
ARN = 1024
"""Most characters of a name or fact, a title, a text, an ARN. AWS cuts reasons to 1,024; Slack headings to 150."""

_NUMBER = re.compile(r"[+-]?\d{1,17}(\.\d+)?")
_WORD_ENDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[_\s]+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def clean(value: object, limit: int = NAME) -> str:
    """A text or number as one that can be stored and shown: no control, invisible or direction-changing characters.

    What is neither text nor number is the empty text. Line breaks stay; longer texts end in "…".
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    text = str(value)
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isprintable():
        return text.strip()
    return "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text).strip()


def words(status: str) -> str:
    """A status in lower-case words, however it is spelt: `InService` and `IN_SERVICE` are both "in service"."""
    return " ".join(part for part in _WORD_ENDS.split(status) if part).lower()


def moment(value: object) -> datetime | None:
    """A point in time, in UTC, from any form that events use; None for what is no time.

    ISO 8601 (also with `+0000`; without zone: UTC), RFC 1123, and epoch milliseconds as number, float or text.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _milliseconds(value)
    if not isinstance(value, str) or len(value) > 64:
        return None
    text = value.strip()
    if _NUMBER.fullmatch(text):
        return _milliseconds(float(text) if "." in text else int(text))
    for form in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            found = form(text)
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError, IndexError, TypeError):
            continue
    return None


def _milliseconds(value: float) -> datetime | None:
    if not math.isfinite(value):
        return None
    try:
        return _EPOCH + timedelta(milliseconds=value)
    except OverflowError:
        return None
