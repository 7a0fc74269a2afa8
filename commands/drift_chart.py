"""The trend of an endpoint's drift: for each window the largest distance over its limit, and how many images it had."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime, timedelta

from PIL import Image, ImageDraw, ImageFont

from pipeline.reports import Kind, Report

SIZE = (1200, 560)
LEFT, RIGHT, TOP, MIDDLE, GAP, BOTTOM = 90, 30, 50, 350, 50, 44
"""Pixels: margins, where the upper part ends, and what lies between the parts."""
LEAST_TOP = 1.5
"""The scale of the ratio goes at least that far, so that the limit is always seen as one."""
COLOURS: dict[Kind, str] = {
    "drift": "#c92a2a",
    "warning": "#b35c00",
    "no drift": "#2b8a3e",
    "no verdict": "#8a93a0",
    "no traffic": "#8a93a0",
}
INK, GRID, LIMIT, BAR = "#1d2530", "#dde2e8", "#c92a2a", "#8a93a0"

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def trend(reports: Sequence[Report], since: datetime, until: datetime) -> bytes:
    """A PNG over a time: one point and one bar for each report, in any order. Windows without a limit have no point.

    It begins with the first window: nothing is known of the time before.
    """
    since = max([since, *(each.start for each in sorted(reports, key=lambda report: report.start)[:1])])
    picture = Image.new("RGB", SIZE, "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=18)
    whole = (until - since).total_seconds()
    width = SIZE[0] - LEFT - RIGHT

    def across(at: datetime) -> float:
        return LEFT + width * min(1.0, max(0.0, (at - since).total_seconds() / whole))

    ordered = sorted(reports, key=lambda report: report.end)
    _ratios(draw, font, [(across(each.end), each.ratio, each.kind) for each in ordered])
    _images(draw, font, [(across(each.start), across(each.end), each.images) for each in ordered])
    _marks(draw, font, [(across(at), name) for at, name in _times(since, until)])
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()


def _ratios(draw: ImageDraw.ImageDraw, font: _Font, points: Sequence[tuple[float, float | None, Kind]]) -> None:
    highest = max([LEAST_TOP, *(ratio * 1.1 for _, ratio, _ in points if ratio is not None)])

    def up(ratio: float) -> float:
        return MIDDLE - (MIDDLE - TOP) * ratio / highest

    draw.text((LEFT, 12), "largest distance over its limit (UTC)", fill=INK, font=font)
    for mark in (0.0, 1.0, highest):
        _line(draw, font, up(mark), f"{mark:.1f}", LIMIT if mark == 1 else GRID)
    known = [(x, up(ratio), kind) for x, ratio, kind in points if ratio is not None]
    draw.line([(x, y) for x, y, _ in known], fill=BAR, width=2)
    for x, y, kind in known:
        draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill=COLOURS[kind], outline="white")


def _images(draw: ImageDraw.ImageDraw, font: _Font, bars: Sequence[tuple[float, float, int]]) -> None:
    most = max([1, *(images for _, _, images in bars)])
    floor, height = SIZE[1] - BOTTOM, SIZE[1] - BOTTOM - MIDDLE - GAP
    draw.text((LEFT, MIDDLE + 20), "images in the window", fill=INK, font=font)
    _line(draw, font, floor - height, f"{most:,}", GRID)
    _line(draw, font, floor, "0", GRID)
    for start, end, images in bars:
        if images:
            draw.rectangle((start, floor - height * images / most, max(start + 1, end - 1), floor), fill=BAR)


def _marks(draw: ImageDraw.ImageDraw, font: _Font, marks: Sequence[tuple[float, str]]) -> None:
    room = -1000.0
    for x, name in marks:
        draw.line([(x, SIZE[1] - BOTTOM), (x, SIZE[1] - BOTTOM + 6)], fill=INK)
        if x - room >= 70 and x < SIZE[0] - RIGHT - 20:
            draw.text((x, SIZE[1] - BOTTOM + 12), name, fill=INK, font=font, anchor="ma")
            room = x


def _line(draw: ImageDraw.ImageDraw, font: _Font, y: float, label: str, colour: str) -> None:
    draw.line([(LEFT, y), (SIZE[0] - RIGHT, y)], fill=colour, width=2)
    draw.text((LEFT - 12, y), label, fill=INK, font=font, anchor="rm")


def _times(since: datetime, until: datetime) -> list[tuple[datetime, str]]:
    """Midnights by their date, or hours when all of it is shorter than two days."""
    hours = until - since < timedelta(days=2)
    at = since.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    found = []
    while at <= until:
        if hours or at.hour == 0:
            found.append((at, f"{at:%H:%M}" if hours else f"{at:%m-%d}"))
        at += timedelta(hours=1)
    return found
