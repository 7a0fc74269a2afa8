"""The confusion matrix of a model, or of two side by side: what was predicted for what was labelled."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from commands.axes import GRID, INK, QUIET, Font, fitting
from pipeline.registry import Confusion

CELL, LEAST_CELL, NAMES, TOP, FOOT, GAP = 84, 26, 190, 222, 30, 60
"""Pixels: a cell and the smallest one, room for the rows' names and above the columns, below, between two matrices."""
WIDEST = 760
"""Pixels of one matrix without its names; with many classes cells get smaller."""
FULL, EMPTY = (36, 87, 166), (244, 247, 251)
MISS = (224, 123, 57)
MOST = 24
"""Classes drawn; the report has all."""


def confusions(found: Sequence[tuple[str, Confusion]]) -> bytes:
    """A PNG of one or two matrices with a heading each. A cell's tone is its share of the labelled objects."""
    cells = [_cell(len(shown(each).labels)) for _, each in found]
    widths = [NAMES + cell * len(shown(each).labels) for cell, (_, each) in zip(cells, found, strict=True)]
    heights = [TOP + cell * len(shown(each).labels) + FOOT for cell, (_, each) in zip(cells, found, strict=True)]
    picture = Image.new("RGB", (sum(widths) + GAP * (len(found) + 1), max(heights)), "white")
    left = GAP
    for width, cell, (heading, each) in zip(widths, cells, found, strict=True):
        _matrix(picture, left, cell, heading, shown(each))
        left += width + GAP
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()


def shown(found: Confusion) -> Confusion:
    """The matrix as far as it is drawn: the first classes and the background."""
    if len(found.labels) <= MOST + 1:
        return found
    kept = [*range(MOST), len(found.labels) - 1]
    return Confusion([found.labels[at] for at in kept], [[found.counts[row][at] for at in kept] for row in kept])


def _cell(count: int) -> int:
    return max(LEAST_CELL, min(CELL, WIDEST // count))


def _matrix(picture: Image.Image, left: int, cell: int, heading: str, found: Confusion) -> None:
    draw = ImageDraw.Draw(picture)
    font, small = ImageFont.load_default(size=26), ImageFont.load_default(size=max(12, min(20, cell // 2)))
    count = len(found.labels)
    start = left + NAMES
    draw.text((left, 14), heading, fill=INK, font=font)
    draw.text((left, 52), "rows: predicted · columns: labelled", fill=QUIET, font=ImageFont.load_default(size=20))
    totals = [sum(row[at] for row in found.counts) for at in range(count)]
    for at, label in enumerate(found.labels):
        middle = TOP + cell * at + cell / 2
        name = fitting(draw, small, label, NAMES - 20)
        draw.text((start - 10, middle), name, fill=INK, font=small, anchor="rm")
        _upright(picture, small, label, start + cell * at + cell / 2)
    for row in range(count):
        for column in range(count):
            number = found.counts[row][column]
            share = number / totals[column] if totals[column] else 0.0
            tone = _tone(share, FULL if row == column else MISS)
            box = (start + cell * column, TOP + cell * row, start + cell * (column + 1), TOP + cell * (row + 1))
            draw.rectangle(box, fill=tone if number else "white", outline=GRID)
            if number:
                ink = "white" if share > 0.55 else INK
                draw.text(
                    ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), str(number), fill=ink, font=small, anchor="mm"
                )


def _upright(picture: Image.Image, font: Font, label: str, middle: float) -> None:
    """A column's name, from below upwards."""
    room = TOP - 88
    strip = Image.new("RGB", (room, 30), "white")
    draw = ImageDraw.Draw(strip)
    draw.text((0, 15), fitting(draw, font, label, room), fill=INK, font=font, anchor="lm")
    picture.paste(strip.rotate(90, expand=True), (round(middle) - 15, TOP - room - 6))


def _tone(share: float, full: tuple[int, int, int]) -> tuple[int, int, int]:
    """Between nearly white and the full colour; what is there at all is seen."""
    part = 0.15 + 0.85 * share
    return tuple(round(low + (high - low) * part) for low, high in zip(EMPTY, full, strict=True))  # type: ignore[return-value]
