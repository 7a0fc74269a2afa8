"""A small language for saying what JSON may look like, with the pointer to what does not.

A check is a function of (value, pointer) that yields problems; the functions here make checks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Problem:
    """What is wrong, and where (a JSON pointer such as `/blocks/2/text/text`)."""

    message: str
    pointer: str

    def __str__(self) -> str:
        return f"{self.message} [json-pointer:{self.pointer}]"


Check = Callable[[Any, str], Iterator[Problem]]


def anything(value: Any, pointer: str) -> Iterator[Problem]:
    """Accept every value."""
    yield from ()


def string(longest: int, shortest: int = 1) -> Check:
    """Text of `shortest` to `longest` characters."""

    def check(value: Any, pointer: str) -> Iterator[Problem]:
        if not isinstance(value, str):
            yield Problem("must be a string", pointer)
        elif len(value) > longest:
            yield Problem(f"must be less than {longest + 1} characters", pointer)
        elif len(value) < shortest:
            yield Problem(f"must be more than {shortest - 1} characters", pointer)

    return check


def boolean(value: Any, pointer: str) -> Iterator[Problem]:
    """True or false."""
    if not isinstance(value, bool):
        yield Problem("must be a boolean", pointer)


def number(low: float, high: float) -> Check:
    """A number within bounds."""

    def check(value: Any, pointer: str) -> Iterator[Problem]:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            yield Problem(f"must be a number from {low} to {high}", pointer)

    return check


def one_of(*allowed: str) -> Check:
    """One of some words."""

    def check(value: Any, pointer: str) -> Iterator[Problem]:
        if value not in allowed:
            yield Problem(f"must be one of {', '.join(allowed)}", pointer)

    return check


def items(of: Check, low: int, high: int) -> Check:
    """A list of `low` to `high` things."""

    def check(value: Any, pointer: str) -> Iterator[Problem]:
        if not isinstance(value, list):
            yield Problem("must be an array", pointer)
            return
        if len(value) > high:
            yield Problem(f"no more than {high} items allowed", pointer)
        if len(value) < low:
            yield Problem(f"no fewer than {low} items required", pointer)
        for index, item in enumerate(value):
            yield from of(item, f"{pointer}/{index}")

    return check


def record(
    required: Mapping[str, Check], optional: Mapping[str, Check] | None = None, any_of: Collection[str] = ()
) -> Check:
    """An object with these fields and no others; `any_of` names fields of which at least one must be there."""
    known = {**(optional or {}), **required}

    def check(value: Any, pointer: str) -> Iterator[Problem]:
        if not isinstance(value, dict):
            yield Problem("must be an object", pointer)
            return
        for name in required:
            if name not in value:
                yield Problem(f"missing required field: {name}", pointer)
        if any_of and not any(value.get(name) for name in any_of):
            yield Problem(f"must have {' or '.join(any_of)}", pointer)
        for name, item in value.items():
            if name not in known:
                yield Problem(f"no more properties allowed: {name}", f"{pointer}/{name}")
            else:
                yield from known[name](item, f"{pointer}/{name}")

    return check


def tagged(kinds: Mapping[str, Check], what: str) -> Check:
    """An object whose `type` chooses its check."""

    def check(value: Any, pointer: str) -> Iterator[Problem]:
        kind = value.get("type") if isinstance(value, dict) else None
        if not isinstance(kind, str) or kind not in kinds:
            yield Problem(f"unsupported type of {what}: {kind}", f"{pointer}/type")
        else:
            yield from kinds[kind](value, pointer)

    return check
