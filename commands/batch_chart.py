"""What a batch found, as a picture: objects of each class, and how many photos have how many of them."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from pipeline.batches import Summary
from pipeline.colours import class_colours

WIDTH, LEFT, ROW, TOP = 1200, 260, 44, 70
"""Pixels: the picture, where bars begin, from one bar to the next, and above the first."""
INK, QUIET, BAR = "#1d2530", "#6b7683", "#2457a6"
MOST_CLASSES, MOST_BINS = 8, 11


def draw(found: Summary) -> bytes:
    """A PNG of two groups of bars, each bar with its number."""
    colours = class_colours(sorted(found.classes))
    classes = [(name, count, colours[name]) for name, count in list(found.classes.items())[:MOST_CLASSES]]
    bins = [(label, count, BAR) for label, count in histogram(found.per_photo)]
    height = TOP * 2 + ROW * (len(classes) + len(bins)) + 40
    picture = Image.new("RGB", (WIDTH, height), "white")
    canvas, font = ImageDraw.Draw(picture), ImageFont.load_default(size=26)
    top = 0
    for heading, rows in (("Objects by class", classes), ("Photos by number of objects", bins)):
        canvas.text((24, top + 20), heading, fill=INK, font=font)
        top = _bars(canvas, font, rows, top + TOP)
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()


def histogram(per_photo: Sequence[int]) -> list[tuple[str, int]]:
    """Photos by how many objects they have, the last row for all that have more."""
    counts = Counter(min(count, MOST_BINS - 1) for count in per_photo)
    last = max(counts, default=0)
    return [(f"{MOST_BINS - 1} or more" if at == MOST_BINS - 1 else str(at), counts[at]) for at in range(last + 1)]


def alt(found: Summary) -> str:
    """The same in words."""
    classes = ", ".join(f"{count} {name}" for name, count in found.classes.items()) or "nothing"
    photos = ", ".join(f"{count} with {label}" for label, count in histogram(found.per_photo) if count)
    return f"Found {classes} on {found.photos} photos: {photos}"


def _bars(
    canvas: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    rows: Sequence[tuple[str, int, str]],
    top: int,
) -> int:
    """Draw one group; where the next may begin."""
    most = max((count for _, count, _ in rows), default=0) or 1
    for at, (label, count, colour) in enumerate(rows):
        y = top + at * ROW
        length = round((WIDTH - LEFT - 120) * count / most)
        canvas.text((24, y), label[:18], fill=QUIET, font=font)
        canvas.rectangle((LEFT, y + 4, LEFT + max(length, 1), y + 30), fill=colour)
        canvas.text((LEFT + length + 12, y), f"{count:,}", fill=INK, font=font)
    return top + ROW * len(rows) + 20
