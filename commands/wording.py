"""How values are worded, the same in every reply: durations, scores, digests, who did it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from commands.reply import Inline, Mention

LEAST = Decimal("0.0001")
"""Amounts of money below it are only said to be."""


def duration(seconds: float) -> str:
    """`41 s`, `3 min 5 s`, `2 h 10 min`; never negative."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min" if whole % 3600 >= 60 else f"{whole // 3600} h"


def span(started: datetime, ended: datetime) -> str:
    """The time between two moments."""
    return duration((ended - started).total_seconds())


def score(value: float | str) -> str:
    """A metric between 0 and 1, e.g. `0.966`."""
    return f"{float(value):.3f}"


def size(count: int) -> str:
    """Bytes as people say them, in powers of 1024: `3.2 GB`."""
    amount, unit = float(count), "B"
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if amount < 1024 or unit == "TB":
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if amount >= 10 or unit == "B" else f"{amount:.1f} {unit}"


def short_digest(digest: str) -> str:
    """Enough of a sha256 to tell models apart: `sha256:91ce4f02`."""
    return f"sha256:{digest[:8]}" if digest else "none"


def money(amount: Decimal, currency: str = "") -> str:
    """`1,234.50 USD`; below a cent two digits that say something, `0.0034 USD`, and what is next to nothing says so."""
    if 0 < abs(amount) < LEAST:
        return f"less than {LEAST} {currency}".rstrip()
    digits = 2 if amount == 0 or abs(amount) >= Decimal("0.01") else 1 - amount.adjusted()
    return f"{amount:,.{digits}f} {currency}".rstrip()


def exact(amount: Decimal) -> str:
    """A price as the list has it: `0.115`."""
    return f"{amount.normalize():f}"


def money_range(low: Decimal, high: Decimal, currency: str = "") -> str:
    """`0.0029 to 0.0041 USD`; one amount where both read the same."""
    first, last = money(low), money(high)
    return money(high, currency) if first == last else f"{first} to {last} {currency}".rstrip()


def who(source_identity: str | None) -> Inline:
    """The person in a SourceIdentity `<team>.<user>`; `system.<job>` for the bot's own work."""
    if not source_identity or "." not in source_identity:
        return source_identity or "somebody outside Slack"
    team, _, user = source_identity.partition(".")
    return source_identity if team == "system" else Mention(user)


def day(moment: datetime) -> str:
    """A moment in a table, to the minute, in UTC."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def shorten(words: str, limit: int) -> str:
    """At most `limit` characters, with an ellipsis where something is missing."""
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"
