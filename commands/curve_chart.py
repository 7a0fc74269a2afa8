"""A metric over the epochs of several runs: a line each, told apart by colour and by the shape of its marks."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from commands.axes import GRID, INK, QUIET, Font, decimals, fitting, round_step

SIZE = (1200, 600)
LEFT, RIGHT, TOP, BOTTOM = 104, 36, 112, 84
"""Pixels around the lines; the legend stands above them, the epochs below."""
COLOURS = ("#2457a6", "#e07b39", "#2b8a3e", "#8e5bb5", "#c2a83e", "#c92a2a", "#0f8b8d", "#6b7683")
MOST = len(COLOURS)
ROWS, COLUMNS = 5, 8
"""Lines of the grid, at most."""
LINE, WIDEST, MARK = 34, 250, 8
"""Pixels: from one line of the legend to the next, the longest name in it, half a mark."""


@dataclass(frozen=True)
class Curve:
    """Values by epoch, in the order of the epochs. Values that are no numbers are gaps."""

    label: str
    points: Sequence[tuple[int, float]]


def curves(found: Sequence[Curve], heading: str) -> bytes:
    """A PNG of one to MOST curves, with at least one finite value among them."""
    picture = Image.new("RGB", SIZE, "white")
    draw, font, small = ImageDraw.Draw(picture), ImageFont.load_default(size=26), ImageFont.load_default(size=22)
    draw.text((LEFT, 14), heading, fill=INK, font=font)
    lines = _legend(draw, small, [curve.label for curve in found])
    known = [(step, value) for curve in found for step, value in curve.points if math.isfinite(value)]
    scale = _Scale(known, TOP + LINE * (lines - 1))
    _grid(draw, small, scale)
    # The first run is drawn last: it is the one that the others are compared with.
    for at in reversed(range(len(found))):
        _curve(draw, found[at].points, at, scale)
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()


class _Scale:
    """Where an epoch and a value are on the picture. Zero is on it, unless all values are high above it."""

    def __init__(self, points: Sequence[tuple[int, float]], ceiling: int) -> None:
        steps, values = [step for step, _ in points], [value for _, value in points]
        low, high = min(0.0, *values) if min(values) < 0.5 * max(values) else min(values), max(values)
        room = high - low or abs(high) or 1.0  # what never changes is drawn too
        self.step = round_step(room / ROWS)
        self.low = self.step * math.floor(low / self.step + 1e-9)
        steps_up = 1 if high > low else ROWS
        self.high = max(self.step * math.ceil(high / self.step - 1e-9), self.low + steps_up * self.step)
        self.first, self.last = min(steps), max(steps)
        self.ceiling, self.floor = ceiling, SIZE[1] - BOTTOM

    def up(self, value: float) -> float:
        return self.floor - (self.floor - self.ceiling) * (value - self.low) / (self.high - self.low)

    def across(self, epoch: float) -> float:
        whole = max(1, self.last - self.first)
        middle = 0.5 if self.last == self.first else 0.0
        return LEFT + 24 + (SIZE[0] - LEFT - RIGHT - 48) * ((epoch - self.first) / whole + middle)


def _grid(draw: ImageDraw.ImageDraw, font: Font, scale: _Scale) -> None:
    places = decimals(scale.step)
    for number in range(round((scale.high - scale.low) / scale.step) + 1):
        value = scale.low + number * scale.step
        draw.line([(LEFT, scale.up(value)), (SIZE[0] - RIGHT, scale.up(value))], fill=GRID, width=2)
        draw.text((LEFT - 12, scale.up(value)), f"{value:,.{places}f}", fill=INK, font=font, anchor="rm")
    every = max(1, math.ceil((scale.last - scale.first + 1) / COLUMNS))
    for epoch in range(scale.first, scale.last + 1, every):
        x = scale.across(epoch)
        draw.line([(x, scale.floor), (x, scale.floor + 6)], fill=INK, width=2)
        draw.text((x, scale.floor + 10), str(epoch), fill=INK, font=font, anchor="ma")
    draw.text((SIZE[0] - RIGHT, SIZE[1] - 10), "epoch", fill=QUIET, font=font, anchor="rd")


def _curve(draw: ImageDraw.ImageDraw, points: Sequence[tuple[int, float]], at: int, scale: _Scale) -> None:
    colour = COLOURS[at]
    before: tuple[float, float] | None = None
    for step, value in points:
        here = (scale.across(step), scale.up(value)) if math.isfinite(value) else None
        if before and here:
            draw.line([before, here], fill=colour, width=4)
        before = here
    # Marks on every epoch of a long training would be one thick line.
    for step, value in points[:: max(1, math.ceil(len(points) / 40))]:
        if math.isfinite(value):
            _mark(draw, scale.across(step), scale.up(value), at)


def _mark(draw: ImageDraw.ImageDraw, x: float, y: float, at: int) -> None:
    """A circle, a square, a triangle or a diamond."""
    size, colour = MARK, COLOURS[at]
    shapes = (
        None,
        [(x - size, y - size), (x + size, y - size), (x + size, y + size), (x - size, y + size)],
        [(x, y - size - 2), (x + size + 1, y + size - 1), (x - size - 1, y + size - 1)],
        [(x, y - size - 2), (x + size + 2, y), (x, y + size + 2), (x - size - 2, y)],
    )
    shape = shapes[at % len(shapes)]
    if shape is None:
        draw.ellipse((x - size, y - size, x + size, y + size), fill=colour, outline="white")
    else:
        draw.polygon(shape, fill=colour, outline="white")


def _legend(draw: ImageDraw.ImageDraw, font: Font, labels: Sequence[str]) -> int:
    """The mark and the name of each run, in as many lines as it takes; how many."""
    x, line = LEFT, 0
    for at, label in enumerate(labels):
        words = fitting(draw, font, label, WIDEST)
        wide = 28 + draw.textlength(words, font=font)
        if x > LEFT and x + wide > SIZE[0] - RIGHT:
            x, line = LEFT, line + 1
        y = 72 + LINE * line
        _mark(draw, x + 10, y, at)
        draw.text((x + 28, y), words, fill=INK, font=font, anchor="lm")
        x += round(wide) + 30
    return line + 1
