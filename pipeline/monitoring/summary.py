"""What is kept of many images: a distribution for each column, and how many values could not be used.

A row is what the server said about one image, column by column, as it came out of JSON. Memory does not grow with the
number of rows.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.monitoring.features import bounds
from pipeline.monitoring.sketch import Distribution, Sketch, Values

BATCH = 1024
COLUMNS = 300
"""Most columns that are kept: a foreign record with names of its own must not fill the memory."""
KINDS = 16
"""Most model versions and most kinds of malformed records that are counted apart."""
OTHERS = "others"


@dataclass(frozen=True)
class Column:
    """One column over all images: values that can be used, and counts of those that cannot."""

    values: Distribution
    missing: int
    mistyped: int = 0
    """Not a number: text, a list, true."""
    outside: int = 0
    """Not finite, or a value the column cannot have (`features.bounds`)."""
    whole: bool = False
    """Every value is a whole number."""


@dataclass(frozen=True)
class Profile:
    """A set of images in numbers: a baseline, or a window of traffic."""

    images: int
    columns: Mapping[str, Column]
    models: Mapping[str, int] = field(default_factory=dict)
    """Images by the digest of the model that answered; "" is unknown."""
    malformed: Mapping[str, int] = field(default_factory=dict)
    """Records that could not be read, by reason."""

    @property
    def records(self) -> int:
        """Everything that was there, readable or not."""
        return self.images + sum(self.malformed.values())


class Summary:
    """Takes rows and gives their `Profile`."""

    def __init__(self) -> None:
        self._images = 0
        self._tallies: dict[str, _Tally] = {}
        self._models: Counter[str] = Counter()
        self._malformed: Counter[str] = Counter()

    def add(self, rows: Sequence[Mapping[str, object]], model: str = "") -> None:
        """Rows of one model; best a thousand at a time."""
        self._images += len(rows)
        _count(self._models, model, len(rows))
        for name in dict.fromkeys(itertools.chain.from_iterable(rows)):
            if (tally := self._tally(name)) is not None:
                tally.add([row[name] for row in rows if name in row])

    def add_arrays(self, columns: Mapping[str, Values], model: str = "") -> None:
        """Rows as columns of equal length; NaN is missing."""
        images = {len(values) for values in columns.values()}
        if len(images) != 1:
            raise ValueError(f"the columns are not equally long: {sorted(images)}")
        self._images += (count := images.pop())
        _count(self._models, model, count)
        for name, values in columns.items():
            if (tally := self._tally(name)) is not None:
                missing = np.isnan(values)
                tally.take(values[~missing] if missing.any() else values)

    def malformed(self, reason: str) -> None:
        """Count a record that could not be read."""
        _count(self._malformed, reason, 1)

    def profile(self) -> Profile:
        """Everything so far."""
        columns = {name: tally.column(self._images) for name, tally in self._tallies.items()}
        return Profile(self._images, columns, dict(self._models), dict(self._malformed))

    def _tally(self, name: str) -> _Tally | None:
        if name not in self._tallies:
            if len(self._tallies) == COLUMNS:
                return None
            self._tallies[name] = _Tally(*bounds(name))
        return self._tallies[name]


class _Tally:
    """One column in the making."""

    def __init__(self, least: float, largest: float) -> None:
        self.least, self.largest = least, largest
        self.sketch = Sketch()
        self.present = self.mistyped = self.outside = 0
        self.whole = True

    def add(self, values: Sequence[object]) -> None:
        """Values as JSON gives them."""
        numbers = []
        for value in values:
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                numbers.append(_finite(value))
            elif value is not None:
                self.mistyped += 1
        self.take(np.array(numbers, np.float64))

    def take(self, values: Values) -> None:
        """Numbers, none of them missing."""
        good = values
        # Nearly always all are good, and two reductions are cheaper than a mask; NaN compares as false.
        if len(values) and not (self.least <= values.min() and values.max() <= self.largest):
            good = values[(values >= self.least) & (values <= self.largest)]
        self.outside += len(values) - len(good)
        self.present += len(values)
        self.whole = self.whole and bool((good == np.floor(good)).all())
        self.sketch.add(good)

    def column(self, images: int) -> Column:
        missing = images - self.present - self.mistyped
        return Column(self.sketch.distribution(), missing, self.mistyped, self.outside, self.whole)


def profile(rows: Iterable[Mapping[str, object]], model: str = "") -> Profile:
    """The profile of rows of one model."""
    summary = Summary()
    rest = iter(rows)
    while batch := list(itertools.islice(rest, BATCH)):
        summary.add(batch, model)
    return summary.profile()


def _finite(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number with hundreds of digits
        return math.inf


def _count(counter: Counter[str], key: str, times: int) -> None:
    counter[key if key in counter or len(counter) < KINDS else OTHERS] += times
