"""The chain through the audit log: every record carries a hash over itself and over the hash of the one before it.

The recipe, for whoever wants to check without this program: write a record as JSON with all its fields but `hash`,
leave out what is null, sort the fields by name, put no space between, escape what is not ASCII, and take the SHA-256.
`previous` is the hash of the record before; the first record has 64 zeros there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Literal

GENESIS = "0" * 64

Fault = Literal["edited", "replaced", "deleted"]


@dataclass(frozen=True)
class Link:
    """A place in the chain: the record's number and its hash."""

    record: int
    hash: str


@dataclass(frozen=True)
class Break:
    """The first thing that is wrong. `last` differs from `record` where several records in a row are gone.

    *edited*: the record's fields do not give its hash. *replaced*: they do, but the record after it knew another hash.
    *deleted*: the numbers from `record` to `last` are missing.
    """

    fault: Fault
    record: int
    last: int


@dataclass(frozen=True)
class Walk:
    """What a walk along the chain found: how many records, the last one of them, the first break if there is one."""

    records: int
    head: Link | None
    broken: Break | None = None


def canonical(record: Mapping[str, Any]) -> str:
    """A record as the text that is hashed. Columns added in later versions must be null in earlier records."""
    known = {name: value for name, value in record.items() if value is not None and name != "hash"}
    known["at"] = record["at"].astimezone(UTC).isoformat()
    return json.dumps(known, sort_keys=True, separators=(",", ":"))


def digest(record: Mapping[str, Any]) -> str:
    """SHA-256 of `canonical(record)`, in hexadecimal."""
    return hashlib.sha256(canonical(record).encode()).hexdigest()


def walk(records: Iterable[Mapping[str, Any]]) -> Walk:
    """Follow the chain from its first record; `records` in the order of their numbers. Stops at the first break."""
    seen, number, hash = 0, 0, GENESIS
    for record in records:
        here: int = record["id"]
        intact = digest(record) == record["hash"]
        if record["previous"] != hash:
            head = Link(number, hash) if seen else None
            if here > number + 1:
                return Walk(seen, head, Break("deleted", number + 1, here - 1))
            if not intact:
                return Walk(seen, head, Break("edited", here, here))
            # A record that agrees with itself but not with the one before it: then that one is not the original.
            return Walk(seen, head, Break("replaced", number or here, number or here))
        if not intact:
            return Walk(seen, Link(number, hash) if seen else None, Break("edited", here, here))
        seen, number, hash = seen + 1, here, record["hash"]
    return Walk(seen, Link(number, hash) if seen else None)
