"""profile.json: the numbers for programs, and what a message says of them as text: whoever shows it only shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pipeline.dataset import SPLITS
from pipeline.profile.findings import Finding
from pipeline.profile.joined import Joined, Seen
from pipeline.profile.numbers import AT, Numbers

SCHEMA = 1
NAMED = 200
"""Files named for one finding, groups for one kind of duplicate; photos.csv has every photo."""


def report(
    data: Joined, numbers: Numbers, found: Sequence[Finding], shown: Sequence[tuple[Seen, str]]
) -> dict[str, Any]:
    """The content of profile.json. `shown` are the photos of the contact sheet."""
    body = asdict(numbers)
    for group in ("exact", "near", "crossing", "doubled", "resized", "outliers", "sizes"):
        body[group] = body[group][:NAMED]
    return {
        "schema": SCHEMA,
        "version": data.version,
        "format": data.book.format or "none",
        "title": title(numbers),
        "facts": [list(fact) for fact in facts(data, numbers)],
        "findings": [{**asdict(each), "names": list(each.names[:NAMED]), "files": len(each.names)} for each in found],
        "classes": [[*row] for row in table(numbers)],
        "plots_alt": plots_alt(numbers),
        "sheet_alt": sheet_alt(shown),
        "numbers": body,
        "problems": Counter(each.kind for each in data.problems),
    }


def title(numbers: Numbers) -> str:
    """`56 photos, 154 objects of 5 classes`."""
    classes = len(numbers.classes)
    return f"{_count(numbers.found, 'photo')}, {_count(numbers.objects, 'object')} of {_count(classes, 'class', 'es')}"


def facts(data: Joined, numbers: Numbers) -> list[tuple[str, str]]:
    """What a person wants to know first, as label and value."""
    sizes = ", ".join(f"{width} × {height} ({times:,})" for width, height, times in numbers.sizes[:3])
    more = f" and {len(numbers.sizes) - 3} more" if len(numbers.sizes) > 3 else ""
    rows = [
        (
            "Usable",
            f"{numbers.usable:,} of {numbers.found - numbers.unlabelled:,}, {_count(numbers.flights, 'flight')}",
        ),
        (
            "Size",
            f"{_bytes(numbers.bytes)}, {', '.join(numbers.formats)}" if numbers.formats else _bytes(numbers.bytes),
        ),
        ("Pixels", sizes + more),
        ("Labels", _labels(data, numbers)),
        ("Unlabelled", f"{numbers.unlabelled:,} for the drift baseline" if numbers.unlabelled else ""),
    ]
    if numbers.objects:
        least, _, median, _, most = numbers.per_picture
        rows.append(("Objects on a photo", f"{median:g} (median), {least:g} to {most:g}"))
        _, low, middle, high, _ = numbers.side
        rows.append((f"Object side at {AT} px", f"{middle:.0f} px (median), half between {low:.0f} and {high:.0f}"))
    if numbers.splits:
        rows.append(("Split, seed 0", ", ".join(f"{numbers.splits[part]:,} {part}" for part in SPLITS)))
    twins = f"{len(numbers.exact)} exact, {len(numbers.near)} near ({len(numbers.crossing)} across flights)"
    rows.append(("Groups of duplicates", twins if numbers.exact or numbers.near else "none"))
    return [(label, value) for label, value in rows if value]


def table(numbers: Numbers) -> list[tuple[str, str, str, str, str]]:
    """Class, objects, their share, photos with one, median side: the most frequent first."""
    ordered = sorted(numbers.classes, key=lambda each: -each.objects)
    return [
        (
            each.name,
            f"{each.objects:,}",
            _share(each.objects, numbers.objects),
            f"{each.pictures:,}",
            f"{each.side:.0f}",
        )
        for each in ordered
    ]


def plots_alt(numbers: Numbers) -> str:
    """What the plots show, for whoever cannot see them."""
    counts = ", ".join(
        f"{each.name} {each.objects}" for each in sorted(numbers.classes, key=lambda each: -each.objects)
    )
    words = f"Six plots. Objects by class: {counts or 'none'}."
    if numbers.objects:
        words += (
            f" Objects on a photo: median {numbers.per_picture[2]:g}. Side at {AT} px: median {numbers.side[2]:.0f}."
        )
    return words + f" {len(numbers.outliers)} of the photos stand out by light or sharpness."


def sheet_alt(shown: Sequence[tuple[Seen, str]]) -> str:
    """What the contact sheet shows."""
    odd = [f"{seen.name.rsplit('/', 1)[-1]} ({why})" for seen, why in shown if why]
    words = f"{_count(len(shown), 'photo')} with the boxes of their labels"
    return words + (f"; to look at: {', '.join(odd)}" if odd else ", a sample")


def _labels(data: Joined, numbers: Numbers) -> str:
    if data.book.format is None:
        return "none"
    words = f"{data.book.format.upper()}, {numbers.with_objects:,} photos with objects"
    return words + (f", {numbers.without_label:,} without a label" if numbers.without_label else "")


def _count(number: int, noun: str, plural: str = "s") -> str:
    return f"{number:,} {noun}{'' if number == 1 else plural}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def _bytes(number: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number} bytes"
