"""Draw detections on a photo: one colour a class, labels that stay readable on small and large pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from pipeline.colours import class_colours
from pipeline.inference import Detection

NARROWEST, WIDEST = 640, 1600
"""Pixels. Smaller pictures are enlarged so that labels can be read, larger ones reduced so that they load fast."""


def annotate(photo: Image.Image, detections: Sequence[Detection]) -> bytes:
    """The photo as JPEG with a box and a label for each detection; boxes are in pixels of `photo`."""
    scale = max(NARROWEST, min(WIDEST, photo.width)) / photo.width
    size = (round(photo.width * scale), max(1, round(photo.height * scale)))
    canvas = photo.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=max(14, canvas.width // 50))
    colours = class_colours(sorted({item.label for item in detections}))
    # The surest last: where boxes overlap, its label lies on top.
    for item in sorted(detections, key=lambda item: item.confidence):
        box = [edge * scale for edge in item.box]
        colour = colours[item.label]
        draw.rectangle(box, outline=colour, width=max(2, canvas.width // 320))
        _label(draw, font, f"{item.label} {item.confidence:.2f}", box, colour, canvas.size)
    out = io.BytesIO()
    canvas.save(out, "JPEG", quality=88)
    return out.getvalue()


def _label(
    draw: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    words: str,
    box: Sequence[float],
    colour: str,
    size: tuple[int, int],
) -> None:
    """Black words on the class's colour, above the box where there is room and inside it where there is not."""
    left, top, right, bottom = draw.textbbox((0, 0), words, font=font)
    width, height = right - left + 8, bottom - top + 6
    x = max(0.0, min(box[0], size[0] - width))
    y = box[1] - height if box[1] >= height else max(0.0, min(box[1], size[1] - height))
    draw.rectangle((x, y, x + width, y + height), fill=colour)
    draw.text((x + 4 - left, y + 3 - top), words, fill="black", font=font)
