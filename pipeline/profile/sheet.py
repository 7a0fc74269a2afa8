"""A contact sheet: photos with the boxes of their labels, each with its name and why it is there. Drawn with Pillow."""

from __future__ import annotations

import io
import unicodedata
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from pipeline.colours import class_colours
from pipeline.labels import Shares

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

TILE, GAP = 400, 12
"""Pixels of a tile's square, and between tiles: twice what a message shows."""
FEW = 9
"""Tiles up to which a row has three; with more it has four, or a message shows the sheet too small."""
NAME, WHY, KEY = 26, 22, 26
"""Pixels of the letters: a photo's name, why it is there, the key of the colours."""
PAPER, INK, FAINT, ALARM, GROUND = "white", "#1d2530", "#6a7280", "#c2410c", "#e8eaee"
QUALITY = 85
MOST_IN_KEY = 12


@dataclass(frozen=True)
class Tile:
    """One photo: its file's bytes, its name, why it is shown (may be empty), its boxes."""

    data: bytes
    name: str
    why: str = ""
    boxes: Sequence[Shares] = ()


def sheet(tiles: Sequence[Tile], classes: Sequence[str]) -> bytes:
    """The contact sheet as a JPEG. A photo that cannot be decoded is an empty tile that says so.

    Raises `ValueError` for no tiles.
    """
    if not tiles:
        raise ValueError("there is no photo to show")
    colours = class_colours(classes)
    used = [classes[number] for number in sorted({box[0] for tile in tiles for box in tile.boxes})]
    across = 3 if len(tiles) <= FEW else 4
    width = across * TILE + (across + 1) * GAP
    key = _key(used, colours, width)
    captions = NAME + WHY + 18 if any(tile.why for tile in tiles) else NAME + 12
    rows = -(-len(tiles) // across)
    photos = [_drawn(tile, classes, colours) for tile in tiles]
    height = max(photo.height for photo in photos)
    canvas = Image.new("RGB", (width, key.height + GAP + rows * (height + captions + GAP)), PAPER)
    canvas.paste(key, (0, 0))
    for number, (tile, photo) in enumerate(zip(tiles, photos, strict=True)):
        row, column = divmod(number, across)
        x, y = GAP + column * (TILE + GAP), key.height + GAP + row * (height + captions + GAP)
        canvas.paste(GROUND, (x, y, x + TILE, y + height))
        canvas.paste(photo, (x + (TILE - photo.width) // 2, y + (height - photo.height) // 2))
        _caption(ImageDraw.Draw(canvas), tile, (x, y + height + 4))
    out = io.BytesIO()
    canvas.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def printable(text: str) -> str:
    """A name on one line: what is invisible, or turns the direction of writing, is replaced by a visible mark."""
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(char)[0] == "C" else char for char in text)


def _drawn(tile: Tile, classes: Sequence[str], colours: dict[str, str]) -> Image.Image:
    """The photo with its boxes, as wide or as high as a tile."""
    try:
        photo = _opened(tile.data)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        empty = Image.new("RGB", (TILE, TILE * 9 // 16), GROUND)
        ImageDraw.Draw(empty).text((TILE / 2, empty.height / 2), "cannot be decoded", FAINT, _font(WHY), anchor="mm")
        return empty
    draw = ImageDraw.Draw(photo)
    line = max(2, TILE // 130)
    # The largest first: a small object inside a large one stays visible.
    for number, cx, cy, width, height in sorted(tile.boxes, key=lambda box: -box[3] * box[4]):
        edges = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
        left, top, right, bottom = (edge * size for edge, size in zip(edges, photo.size * 2, strict=True))
        draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline="black", width=line + 2)
        draw.rectangle((left, top, right, bottom), outline=colours[classes[number]], width=line)
    return photo


def _opened(data: bytes) -> Image.Image:
    """The photo in colour, as large as the tile."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data)) as file:
            picture: Image.Image = file
            scale = TILE / max(picture.size)
            size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
            file.draft("RGB", size)
            if picture.mode.startswith(("I", "F")):
                picture = picture.convert("F").point(lambda value: value / 257).convert("L")
            return picture.convert("RGB").resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)


def _caption(draw: ImageDraw.ImageDraw, tile: Tile, place: tuple[int, int]) -> None:
    name = tile.name.rsplit("/", 1)[-1]
    draw.text(place, _fitting(draw, printable(name), _font(NAME)), INK, _font(NAME))
    if tile.why:
        draw.text((place[0], place[1] + NAME + 6), _fitting(draw, printable(tile.why), _font(WHY)), ALARM, _font(WHY))


def _fitting(draw: ImageDraw.ImageDraw, words: str, font: Font) -> str:
    """The words, cut in the middle where they are wider than a tile: the ends of names tell them apart."""
    shown, keep = words, len(words)
    while keep > 8 and draw.textlength(shown, font) > TILE:
        keep -= 2
        shown = f"{words[: keep // 2]}…{words[-(keep - keep // 2) :]}"
    return shown


def _key(names: Sequence[str], colours: dict[str, str], width: int) -> Image.Image:
    """Which colour is which class, in as many rows as it takes."""
    font, square, pad = _font(KEY), KEY, 10
    shown = [*names[:MOST_IN_KEY], *([f"and {len(names) - MOST_IN_KEY} more"] if len(names) > MOST_IN_KEY else [])]
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    spots, x, y = [], GAP, pad
    for name in shown:
        label = printable(name)[:40]
        needed = square + 8 + int(measure.textlength(label, font)) + 28
        if x > GAP and x + needed > width:
            x, y = GAP, y + KEY + pad
        spots.append((x, y, name, label))
        x += needed
    strip = Image.new("RGB", (width, y + KEY + 4 if spots else 0), PAPER)
    draw = ImageDraw.Draw(strip)
    for left, top, name, label in spots:
        draw.rectangle((left, top, left + square, top + square), fill=colours.get(name, PAPER), outline=INK)
        draw.text((left + square + 8, top + square / 2), label, INK, font, anchor="lm")
    return strip


def _font(size: int) -> Font:
    return ImageFont.load_default(size)
