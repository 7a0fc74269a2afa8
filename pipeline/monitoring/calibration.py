"""How far a window of the baseline itself lies from the rest of the baseline: the limits a verdict is held against.

Windows are drawn by flight, because pictures of one flight resemble each other: n of them are not n observations.
Every draw refits the reference to flights that the window does not contain; windows taken out of their own reference
would give limits up to a third too low.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.monitoring.features import floor
from pipeline.monitoring.sketch import Values

LEAST = 0.3
"""Baseline deviations below which a change is not worth an alarm, however sure one is of it."""
QUANTILE = 0.99
DRAWS = 400
"""A 99th percentile needs 300 draws at least."""
SIZES = (30, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
SHARE = 1 / 4
"""Of the baseline that a draw must leave for its reference."""
FLIGHTS = 10
"""Fewer flights than that say little about how flights differ."""
CELLS = 1 << 20
"""Rows times draws worked on at once (8 MiB for each array)."""
SPARSE = 10
"""Values a column needs in a drawn window to be measured in it."""


@dataclass(frozen=True)
class Limits:
    """Limits by window size, smallest first. `by` says what was drawn whole."""

    sizes: tuple[int, ...] = ()
    limits: tuple[float, ...] = ()
    by: str = "image"
    flights: int = 0
    """How many flights the baseline has; 0 when they are not known."""

    @property
    def few(self) -> bool:
        """Too few flights to know how flights differ."""
        return 0 < self.flights < FLIGHTS

    def at(self, images: int) -> float:
        """The limit for a window of that many images, never below LEAST.

        Between two sizes it is taken along 1 / sqrt(n), as sampling errors go; outside of them the nearest one holds.
        """
        if not self.sizes:
            return LEAST
        across = -1 / np.sqrt(self.sizes)  # np.interp wants them ascending
        return max(LEAST, float(np.interp(-1 / np.sqrt(max(1, images)), across, self.limits)))


def calibrate(
    columns: Mapping[str, Values], flights: Sequence[str] | None = None, seed: int = 0, draws: int = DRAWS
) -> Limits:
    """Limits from the rows of a baseline: columns of equal length (NaN is missing), and the flight of each row.

    For each size the 99th percentile, over the draws, of the largest W1 / deviation of the columns. Without flights
    every image is drawn on its own. Sizes for which the baseline is too small are left out.
    """
    rows = len(next(iter(columns.values()), ()))
    groups = np.unique(np.asarray(flights), return_inverse=True)[1] if flights is not None else np.arange(rows)
    known = len(np.unique(groups)) if flights is not None else 0
    prepared = [_Column(name, values) for name, values in columns.items()]
    found: dict[int, list[Values]] = {size: [] for size in SIZES if size <= rows / 2}
    for ranks, places in _orders(groups, draws, np.random.default_rng(seed)):
        for size in list(found):
            window = places < size
            reference = ranks > np.where(window, ranks, -1).max(0)
            if (reference.sum(0) < rows * SHARE).any():
                del found[size]  # the flights are too long for windows of this size
            else:
                found[size].append(_largest(prepared, window, reference))
    sizes = tuple(size for size, maxima in found.items() if maxima)
    limits = [float(np.quantile(np.concatenate(found[size]), QUANTILE)) for size in sizes]
    # A longer window never needs a higher limit: where it seems so, that is the luck of the draws.
    falling = tuple(round(float(limit), 4) for limit in np.minimum.accumulate(limits)) if limits else ()
    return Limits(sizes, falling, "flight" if known else "image", known)


class _Column:
    """A column's present rows in the order of their values, and the gaps between these."""

    def __init__(self, name: str, values: Values) -> None:
        self.floor = floor(name)
        self.present = ~np.isnan(values)
        order = np.argsort(values, kind="stable")[: self.present.sum()]
        self.order = order
        centred = values[order] - values[order].mean() if len(order) else values[order]
        self.values, self.squares, self.gaps = centred, centred**2, np.diff(centred)

    def distance(self, window: NDArray[np.float64], reference: NDArray[np.float64]) -> Values:
        """W1 / deviation of each draw; 0 where either side has hardly a value. Both are 0/1, rows by draws."""
        inside, outside = window[self.order], reference[self.order]
        n, m = inside.sum(0), outside.sum(0)
        usable = (n >= SPARSE) & (m >= SPARSE)
        n, m = np.maximum(n, 1), np.maximum(m, 1)
        mean = self.values @ outside / m
        deviation = np.sqrt(np.maximum(self.squares @ outside / m - mean**2, 0))
        inside /= n
        outside /= m
        inside -= outside
        np.cumsum(inside, axis=0, out=inside)
        np.abs(inside, out=inside)
        return np.asarray(np.where(usable, self.gaps @ inside[:-1] / np.maximum(deviation, self.floor), 0.0))


def _orders(
    groups: NDArray[np.intp], draws: int, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """For some draws at a time, rows by draws: the place of a row's flight among the flights, and its own place."""
    rows, flights = len(groups), int(groups.max(initial=-1)) + 1
    step = max(1, CELLS // max(1, rows))
    for start in range(0, draws, step):
        several = min(step, draws - start)
        ranks = rng.permuted(np.tile(np.arange(flights), (several, 1)), axis=1).T[groups]
        order = np.argsort(ranks + rng.random((rows, several)), axis=0)
        places = np.empty_like(order)
        np.put_along_axis(places, order, np.arange(rows)[:, None], axis=0)
        yield ranks, places


def _largest(columns: Sequence[_Column], window: NDArray[np.bool_], reference: NDArray[np.bool_]) -> Values:
    inside, outside = window.astype(np.float64), reference.astype(np.float64)
    return np.asarray(np.max([column.distance(inside, outside) for column in columns], axis=0), np.float64)
