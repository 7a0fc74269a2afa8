"""A stream of numbers in bounded memory: its moments exactly, its quantiles within a known error.

A binary counter of sorted buffers (Manku, Rajagopalan and Lindsay, SIGMOD 1998; KLL without its coin): CAPACITY
values are kept as they are; a full buffer is sorted and every other value goes on, counting twice; two such halves
merge to the next level in the same way, and so on. Keeping the first and the second of each pair by turns makes the
errors of neighbours cancel. Up to CAPACITY values nothing is lost. The result depends on the order of the values but
never on how the stream was cut into chunks.

Error: thinning values of weight w moves a rank by at most w, and by at most w over two turns. Level i is thinned
n / (CAPACITY 2^i) times with w = 2^i, so a rank is wrong by at most the share L / (2 CAPACITY) of n, with L levels:
0.11 % for a million values. `Distribution.error` gives the bound, and W1 is wrong by at most that times the range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

CAPACITY = 4096


@dataclass(frozen=True, eq=False)
class Distribution:
    """What is kept of a stream. `levels[i]` holds sorted values that count 2^i times each."""

    count: int
    mean: float
    deviation: float
    """Of the population (divided by n)."""
    low: float
    high: float
    levels: tuple[Values, ...]

    @cached_property
    def values(self) -> Values:
        """All values kept, sorted."""
        return self._sorted[0]

    @cached_property
    def cumulative(self) -> Values:
        """Share of the stream up to and including each of `values`."""
        return self._sorted[1]

    @cached_property
    def _sorted(self) -> tuple[Values, Values]:
        values = np.concatenate([np.empty(0), *self.levels])
        weights = np.repeat(0.5 ** -np.arange(len(self.levels)), [len(level) for level in self.levels])
        order = np.argsort(values, kind="stable")  # runs that are sorted already are only merged
        return values[order], np.cumsum(weights[order]) / max(1, self.count)

    @property
    def total(self) -> float:
        """Sum of all values."""
        return self.mean * self.count

    @property
    def error(self) -> float:
        """By what share of the stream a rank can be wrong at most; 0 up to CAPACITY values."""
        thinned = max(0, self.count - 1) // CAPACITY
        wrong, weight = 0, 1
        while thinned:
            wrong += math.ceil(thinned / 2) * weight
            thinned, weight = thinned // 2, weight * 2
        return wrong / max(1, self.count)

    def share_below(self, edges: Values) -> Values:
        """Share of the stream at or below each edge."""
        return np.concatenate([[0.0], self.cumulative])[np.searchsorted(self.values, edges, side="right")]

    def quantile(self, shares: Values) -> Values:
        """The smallest value that at least so great a share does not exceed. Needs a value."""
        # Cumulative shares are sums of floats: a share that is met exactly must not miss by a rounding.
        at = np.searchsorted(self.cumulative, shares - 1e-12)
        return np.asarray(self.values[np.minimum(at, len(self.values) - 1)], np.float64)


class Sketch:
    """Takes numbers (finite ones) and gives their `Distribution`."""

    def __init__(self) -> None:
        self._buffer = np.empty(CAPACITY)
        self._filled = 0
        self._halves: list[Values | None] = []
        self._turns: list[int] = []
        self._count, self._mean, self._squares = 0, 0.0, 0.0
        self._low, self._high = math.inf, -math.inf

    def add(self, values: Values) -> None:
        """Take them in, in this order."""
        done = 0
        while done < len(values):
            if self._filled == CAPACITY:
                self._empty()
            take = min(CAPACITY - self._filled, len(values) - done)
            self._buffer[self._filled : self._filled + take] = values[done : done + take]
            self._filled += take
            done += take

    def distribution(self) -> Distribution:
        """Everything so far; the sketch can go on."""
        rest = np.sort(self._buffer[: self._filled])
        count, mean, squares = self._moments(rest)
        levels = [rest, *(np.empty(0) if half is None else half for half in self._halves)]
        low, high = (min(self._low, rest[0]), max(self._high, rest[-1])) if self._filled else (math.nan, math.nan)
        deviation = math.sqrt(squares / count) if count else math.nan
        return Distribution(count, mean if count else math.nan, deviation, float(low), float(high), tuple(levels))

    def _empty(self) -> None:
        """Sort the full buffer and carry one half of it up."""
        full = np.sort(self._buffer)
        self._count, self._mean, self._squares = self._moments(full)
        self._low, self._high = min(self._low, full[0]), max(self._high, full[-1])
        self._filled, level = 0, 0
        while True:
            if level == len(self._halves):
                self._halves.append(None)
                self._turns.append(0)
            half = full[self._turns[level] :: 2]
            self._turns[level] ^= 1
            waiting = self._halves[level]
            if waiting is None:
                self._halves[level] = half
                return
            self._halves[level] = None
            full = np.sort(np.concatenate([waiting, half]), kind="stable")
            level += 1

    def _moments(self, values: Values) -> tuple[int, float, float]:
        """Count, mean and sum of squared distances with these values (Chan, Golub and LeVeque 1979)."""
        if not len(values):
            return self._count, self._mean, self._squares
        count, mean = self._count + len(values), float(values.mean())
        apart = mean - self._mean
        squares = float(((values - mean) ** 2).sum()) + apart**2 * self._count * len(values) / count
        return count, self._mean + apart * len(values) / count, self._squares + squares


def sketched(values: Values) -> Distribution:
    """The distribution of an array; missing values (NaN) are left out."""
    sketch = Sketch()
    sketch.add(values[~np.isnan(values)])
    return sketch.distribution()
