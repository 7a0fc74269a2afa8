"""Costs by day as a picture: stacked bars, weekends shaded, what is provisional or expected told apart."""

from __future__ import annotations

import io
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal

from PIL import Image, ImageDraw, ImageFont

from commands.axes import GRID, INK, QUIET, Font, decimals, fitting, round_step

SIZE = (1200, 560)
LEFT, RIGHT, TOP, BOTTOM = 104, 24, 112, 88
"""Pixels around the bars; the legend stands above them, days and what is provisional below."""
COLOURS = ("#2457a6", "#e07b39", "#2b8a3e", "#8e5bb5", "#c2a83e", "#8a93a0")
"""Of the layers from the bottom up; apart in hue and in lightness."""
EXPECTED = "#b9c7dd"
WEEKEND, ODD = "#f1f3f6", "#c92a2a"
MOST_LAYERS = len(COLOURS)
ROWS = 4
"""Lines of the grid, at most."""
LINE, WIDEST = 36, 340
"""Pixels: from one line of the legend to the next, and the longest name in it."""

_Draw = ImageDraw.ImageDraw


@dataclass(frozen=True)
class Layer:
    """What one group cost on each day; the layers of a picture are equally long."""

    label: str
    amounts: Sequence[Decimal]
    colour: str = ""


def daily(
    start: date,
    layers: Sequence[Layer],
    heading: str,
    *,
    provisional: Collection[date] = (),
    odd: Collection[date] = (),
) -> bytes:
    """A PNG of one bar a day from `start` on, of one to MOST_LAYERS layers; credits are drawn as nothing.

    `provisional` days are underlined, `odd` ones have a mark above.
    """
    picture = Image.new("RGB", SIZE, "white")
    draw, font, small = ImageDraw.Draw(picture), ImageFont.load_default(size=26), ImageFont.load_default(size=22)
    shown = [replace(layer, colour=layer.colour or COLOURS[at]) for at, layer in enumerate(layers)]
    count = len(shown[0].amounts)
    days = [start + timedelta(days=number) for number in range(count)]
    heights = [sum(max(0.0, float(layer.amounts[at])) for layer in shown) for at in range(count)]
    lines = _legend(draw, small, shown, odd=bool(set(odd) & set(days)))
    scale = _Scale(max([*heights, 0.01]), count, TOP + LINE * (lines - 1))
    _weekends(draw, days, scale)
    _grid(draw, small, scale)
    for at, day in enumerate(days):
        _bar(draw, shown, at, scale)
        if day in odd:
            x, y = scale.middle(at), scale.up(heights[at])
            draw.polygon([(x - 9, y - 22), (x + 9, y - 22), (x, y - 8)], fill=ODD)
    _names(draw, small, days, scale)
    _provisional(draw, small, [at for at, day in enumerate(days) if day in provisional], scale)
    draw.text((LEFT, 14), heading, fill=INK, font=font)
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()


class _Scale:
    """Where a day and an amount are on the picture."""

    def __init__(self, highest: float, count: int, ceiling: int) -> None:
        self.step = round_step(highest / ROWS)
        self.top = self.step * math.ceil(highest / self.step)
        self.wide = (SIZE[0] - LEFT - RIGHT) / count
        self.ceiling, self.floor = ceiling, SIZE[1] - BOTTOM

    def up(self, amount: float) -> float:
        return self.floor - (self.floor - self.ceiling) * amount / self.top

    def left(self, at: int) -> float:
        return LEFT + self.wide * at

    def middle(self, at: int) -> float:
        return self.left(at) + self.wide / 2


def _weekends(draw: _Draw, days: Sequence[date], scale: _Scale) -> None:
    for at, day in enumerate(days):
        if day.weekday() >= 5:
            draw.rectangle((scale.left(at), scale.ceiling, scale.left(at + 1), scale.floor), fill=WEEKEND)


def _grid(draw: _Draw, font: Font, scale: _Scale) -> None:
    places = decimals(scale.step)
    for number in range(round(scale.top / scale.step) + 1):
        y = scale.up(number * scale.step)
        draw.line([(LEFT, y), (SIZE[0] - RIGHT, y)], fill=GRID, width=2)
        draw.text((LEFT - 12, y), f"{number * scale.step:,.{places}f}", fill=INK, font=font, anchor="rm")


def _bar(draw: _Draw, layers: Sequence[Layer], at: int, scale: _Scale) -> None:
    gap = min(6.0, scale.wide * 0.15)
    upto = 0.0
    for layer in layers:
        amount = float(layer.amounts[at])
        if amount > 0:
            top, bottom = scale.up(upto + amount), scale.up(upto)
            if bottom - top >= 0.5:
                right = max(scale.left(at) + gap, scale.left(at + 1) - gap)
                draw.rectangle((scale.left(at) + gap, top, right, bottom), fill=layer.colour)
            upto += amount


def _names(draw: _Draw, font: Font, days: Sequence[date], scale: _Scale) -> None:
    """The Mondays, or every day where there are few; with room between them."""
    room = -1000.0
    for at, day in enumerate(days):
        x = scale.middle(at)
        if (day.weekday() == 0 or len(days) <= 10) and x - room >= 130:
            words = f"{day:%a} {day.day} {day:%b}"
            draw.line([(x, scale.floor), (x, scale.floor + 6)], fill=INK, width=2)
            half = draw.textlength(words, font=font) / 2
            draw.text((min(x, SIZE[0] - 6 - half), scale.floor + 9), words, fill=INK, font=font, anchor="ma")
            room = x


def _provisional(draw: _Draw, font: Font, at: Sequence[int], scale: _Scale) -> None:
    if not at:
        return
    y = SIZE[1] - 40
    for each in at:
        draw.rectangle((scale.left(each), y, scale.left(each + 1), y + 3), fill=QUIET)
    words = "provisional"
    x = max(LEFT + draw.textlength(words, font=font) / 2, (scale.left(at[0]) + scale.left(at[-1] + 1)) / 2)
    x = min(x, SIZE[0] - RIGHT - draw.textlength(words, font=font) / 2)
    draw.text((x, SIZE[1] - 6), words, fill=QUIET, font=font, anchor="md")


def _legend(draw: _Draw, font: Font, layers: Sequence[Layer], *, odd: bool) -> int:
    """What the colours mean, in as many lines as it takes; how many."""
    x, line = LEFT, 0
    for label, colour in [*((each.label, each.colour) for each in layers), *([("unexpected", ODD)] if odd else [])]:
        words = fitting(draw, font, label, WIDEST)
        wide = 28 + draw.textlength(words, font=font)
        if x > LEFT and x + wide > SIZE[0] - RIGHT:
            x, line = LEFT, line + 1
        y = 62 + LINE * line
        if colour == ODD:
            draw.polygon([(x, y + 1), (x + 20, y + 1), (x + 10, y + 18)], fill=ODD)
        else:
            draw.rectangle((x, y, x + 20, y + 20), fill=colour)
        draw.text((x + 28, y + 10), words, fill=INK, font=font, anchor="lm")
        x += round(wide) + 28
    return line + 1
