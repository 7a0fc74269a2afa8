"""What the charts have in common: ink, colours that are told apart, a round scale, names that fit."""

from __future__ import annotations

import math

from PIL import ImageDraw, ImageFont

INK, QUIET, GRID = "#1d2530", "#6b7683", "#dde2e8"
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def round_step(least: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * times for times in (1, 2, 2.5, 5, 10) if power * times >= least * 0.999)


def decimals(step: float) -> int:
    """How many digits after the point a scale with this step needs."""
    return next((places for places in range(9) if math.isclose(round(step, places), step)), 9)


def fitting(draw: ImageDraw.ImageDraw, font: Font, words: str, room: float) -> str:
    """As much of `words` as fits into `room` pixels, dots where something is missing."""
    if draw.textlength(words, font=font) <= room:
        return words
    while words and draw.textlength(words + "...", font=font) > room:
        words = words[:-1]
    return words.rstrip() + "..."
