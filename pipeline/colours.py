"""A colour for each class, the same on every picture of the project."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

_COLOURS = (
    "#ffd60a",
    "#3ae0ff",
    "#ff7ac6",
    "#7cfc6a",
    "#ff9f1c",
    "#c19bff",
    "#ff5d5d",
    "#b8f2e6",
    "#f1f1f1",
    "#a3b8ff",
)


def class_colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each class, the same on every picture unless two classes of this one would share it."""
    free = list(_COLOURS)
    chosen: dict[str, str] = {}
    for name in names:
        free = free or list(_COLOURS)
        wanted = _COLOURS[zlib.crc32(name.encode()) % len(_COLOURS)]
        chosen[name] = wanted if wanted in free else free[0]
        free.remove(chosen[name])
    return chosen
