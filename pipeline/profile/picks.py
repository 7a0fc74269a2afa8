"""Which photos go on the contact sheet, and why: what the findings are about first, then a sample of all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from pipeline.profile.findings import Finding
from pipeline.profile.joined import Joined, Seen
from pipeline.profile.numbers import Numbers

MOST = 12
OF_EACH = 2
"""Photos of one finding, so that one kind does not fill the sheet."""
ODD = 8
"""Photos that stand for findings; the rest shows what the data set usually looks like."""


def picks(data: Joined, numbers: Numbers, found: Sequence[Finding]) -> list[tuple[Seen, str]]:
    """Up to MOST photos with the reason why each is shown (empty for a usual one). The same for the same data set."""
    seen = {each.name: each for each in data.seen}
    chosen: dict[str, str] = {}
    for name, why in _odd(data, numbers, found):
        if len(chosen) < ODD and name in seen:
            chosen.setdefault(name, why)
    usual = [each.name for each in data.labelled if each.name not in chosen and each.boxes]
    usual = usual or [each.name for each in (*data.labelled, *data.unlabelled) if each.name not in chosen]
    usual.sort(key=lambda name: hashlib.sha256(name.encode()).digest())
    for name in usual[: MOST - len(chosen)]:
        chosen[name] = ""
    return [(seen[name], why) for name, why in chosen.items()]


def _odd(data: Joined, numbers: Numbers, found: Sequence[Finding]) -> Iterator[tuple[str, str]]:
    for group in [*numbers.crossing, *numbers.near][:OF_EACH]:
        for name, other in zip(group[:2], reversed(group[:2]), strict=True):
            yield name, f"near-duplicate of {other.rsplit('/', 1)[-1]}"
    for kind in ("dark", "bright", "blurred"):
        for odd in [each for each in numbers.outliers if each.kind == kind][:OF_EACH]:
            what = "sharpness" if kind == "blurred" else "brightness"
            yield odd.name, f"{kind}: {what} {odd.value:.0f}, usually {odd.usual:.0f}"
    for name in numbers.doubled[:OF_EACH]:
        yield name, "a box drawn twice"
    for each in [each for each in data.seen if each.problems][: 2 * OF_EACH]:
        yield each.name, f"{each.problems[0].kind}: {each.problems[0].detail}"
    for each in [each for each in data.seen if each.picture.look.broken][:OF_EACH]:
        yield each.name, f"broken: {each.picture.look.broken}"
