"""A few photos of the data bucket with the boxes of their labels, drawn here and now: a handful, not a data set."""

from __future__ import annotations

import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any

from PIL import Image

from pipeline import label_files, labels
from pipeline.errors import BadInput, NotFound
from pipeline.labels import Book, LabelFile
from pipeline.profile.sheet import Tile, printable, sheet
from pipeline.profiles import PICTURES, Folder

MOST = 12
LARGEST_PHOTO, TOGETHER = 32 << 20, 64 << 20
"""Bytes of one photo, and of all of a sample: they are held in memory at once."""
LARGEST_LABELS = 16 << 20
"""Bytes of a COCO file that is read for a sample; the profile's job reads larger ones."""
CLASSES = "classes.txt"


@dataclass(frozen=True)
class Drawn:
    """The photos, the sheet of them (JPEG), of how many they were drawn, and what had to be left out."""

    tiles: Sequence[Tile]
    picture: bytes
    of: int
    remarks: Sequence[str]


def draw(s3: Any, bucket: str, what: Folder, count: int, seed: int) -> Drawn:
    """Draw `count` photos of images/ by `seed`. Raises NotFound when there are none."""
    photos = sorted(name for name in what.photos if name.startswith("images/") and len(PurePosixPath(name).parts) == 2)
    if not photos:
        raise NotFound(
            "photo below", f"s3://{bucket}/{what.prefix}images/", advice=f"Put {', '.join(PICTURES)} files there."
        )
    chosen = sorted(random.Random(seed).sample(photos, min(count, len(photos))))  # noqa: S311 (no secret)
    remarks = [] if what.whole else [f"Drawn from the first {len(photos):,} photos: the folder has more."]
    kept = _fitting(chosen, what.objects)
    large = [name for name in chosen if name not in kept]
    if large:
        remarks.append(f"Too large to show here: {', '.join(map(printable, large))}.")
    if not kept:
        raise BadInput("Every photo that was drawn is too large to show.", "`dataset profile` looks at all of them.")

    def read(name: str) -> bytes:
        return bytes(s3.get_object(Bucket=bucket, Key=what.prefix + name)["Body"].read())

    book, said = _book(read, what.objects, kept)
    tiles = [_tile(name, read(name), book) for name in kept]
    return Drawn(tiles, sheet(tiles, book.classes), len(photos), [*remarks, *said])


def _fitting(names: Sequence[str], objects: Mapping[str, tuple[int, str]]) -> list[str]:
    """Those that can be held together, in their order."""
    kept: list[str] = []
    left = TOGETHER
    for name in names:
        if objects[name][0] <= min(left, LARGEST_PHOTO):
            kept.append(name)
            left -= objects[name][0]
    return kept


def _book(read: Any, objects: Mapping[str, tuple[int, str]], photos: Sequence[str]) -> tuple[Book, list[str]]:
    """The labels of these photos alone; and what cannot be said about them."""
    remarks: list[str] = []
    classes: tuple[str, ...] | None = None
    if CLASSES in objects and objects[CLASSES][0] <= label_files.LARGEST:
        try:
            classes = label_files.class_names(read(CLASSES))
        except BadInput as error:
            remarks.append(error.message)
    stems = {PurePosixPath(name).stem for name in photos}
    files: list[LabelFile] = []
    for name in sorted(objects):
        kind = label_files.kind(name)
        if kind is None or (kind != "coco" and PurePosixPath(name).stem not in stems):
            continue
        if objects[name][0] > LARGEST_LABELS:
            remarks.append(
                f"{printable(name)} is too large to read here: no boxes of it. `dataset profile` draws them."
            )
            continue
        files.append(label_files.parse(name, read(name)))
    book = labels.bind(files, classes)
    if book.format == "yolo" and classes is None:
        remarks.append("There is no classes.txt: classes have numbers in place of names.")
    if not files:
        remarks.append("None of these photos has a label.")
    return book, remarks


def _tile(name: str, data: bytes, book: Book) -> Tile:
    page = book.pages.get(PurePosixPath(name).stem)
    boxes, problems = labels.resolved(page, book.classes, _size(data)) if page else ([], [])
    why = "" if page else "no label"
    return Tile(data, name, problems[0].kind if problems else why, boxes)


def _size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels; zeros for what is no picture, which its tile says."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(BytesIO(data)) as picture:
                return picture.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return 0, 0
