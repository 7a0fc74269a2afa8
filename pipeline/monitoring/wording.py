"""Columns as people call them: the same words in the message, the chart and the report."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CLASS = "class_"
"""Prefix of the columns that count the objects of a class (`features.class_column`)."""
_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "clipped_low": "share of black",
        "clipped_high": "share of white",
        "mean_b": "blue",
        "mean_g": "green",
        "mean_r": "red",
        "objects": "objects per photo",
        "box_area": "size of objects",
    }
)


def label(column: str) -> str:
    """A column in words: `edge density`, `vehicle per photo`. Its name may be anything and is only rewritten."""
    name = " ".join(column.split())
    if name.startswith(CLASS):
        return f"{name.removeprefix(CLASS).replace('_', ' ')} per photo"
    return _WORDS.get(name, name.replace("_", " "))
