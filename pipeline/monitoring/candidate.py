"""A window of traffic as the next baseline, for when people decide that what it shows is the new normal.

The columns are the whole window's; the limits are calibrated on a fair sample of its rows. Which flight a request
belongs to is not recorded, and images of one flight resemble each other, so limits drawn image by image are too low:
they never fall below those of the baseline before, which knows flights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.monitoring import formats, sheet
from pipeline.monitoring.calibration import Limits, calibrate
from pipeline.monitoring.drift import BASELINE, Reference
from pipeline.monitoring.features import bounds
from pipeline.monitoring.sketch import Values
from pipeline.monitoring.summary import Profile

FOLDER = "baseline"
"""Below the results of a window."""
ROWS = 2_000
"""Rows kept: windows of up to a thousand images can be drawn from them."""
ID_CHARACTERS = 12

Row = Mapping[str, float]


class Rows:
    """A fair sample of the rows of a window; memory does not grow with it."""

    def __init__(self, seed: int = 0) -> None:
        self._kept: list[Row] = []
        self._seen = 0
        self._rng = np.random.default_rng(seed)

    def consider(self, row: Row) -> None:
        """One image."""
        self._seen += 1
        if len(self._kept) < ROWS:
            self._kept.append(row)
        elif (place := int(self._rng.integers(self._seen))) < ROWS:
            self._kept[place] = row

    def columns(self, names: Sequence[str]) -> dict[str, Values]:
        """The sample by column; NaN is missing, and so is what the column cannot have."""
        return {name: _within(name, [row.get(name, np.nan) for row in self._kept]) for name in names}


def candidate(window: Profile, rows: Rows, before: Reference | None) -> Reference | None:
    """The window as a baseline; None when it has too few images for one, or several models answered."""
    models = [model for model, images in window.models.items() if images]
    if window.images < BASELINE or len(models) != 1 or not models[0]:
        return None
    usable = {name: column for name, column in window.columns.items() if column.values.count and not column.mistyped}
    profile = Profile(window.images, usable, window.models)
    limits = _at_least(calibrate(rows.columns(list(usable))), before.limits if before else None)
    bare = formats.statistics(Reference(profile, limits, model=models[0]))
    digest = hashlib.sha256(json.dumps(bare, sort_keys=True).encode()).hexdigest()
    return Reference(profile, limits, digest[:ID_CHARACTERS], models[0])


def write(folder: Path, reference: Reference, photos: Sequence[bytes]) -> None:
    """The baseline's files, in `FOLDER` of a folder that exists."""
    home = folder / FOLDER
    home.mkdir(exist_ok=True)
    formats.write_baseline(home, reference)
    if photos:
        (home / sheet.EXAMPLES).write_bytes(sheet.jpeg(sheet.sheet(photos)))


def _within(name: str, values: Sequence[float]) -> Values:
    least, largest = bounds(name)
    found = np.array(values, np.float64)
    return np.where((found >= least) & (found <= largest) & np.isfinite(found), found, np.nan)


def _at_least(own: Limits, before: Limits | None) -> Limits:
    if before is None or not before.sizes or not own.sizes:
        return own
    limits = tuple(max(limit, before.at(size)) for size, limit in zip(own.sizes, own.limits, strict=True))
    return Limits(own.sizes, limits, before.by, before.flights)
