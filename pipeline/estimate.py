"""How long something will probably take, and so what it will cost: from runs like it, or from a typical time. Pure.

From history. Of the last runs i of the same step on the same instance type, with times t_i and works w_i (the product
of what the time grows with: epochs × photos × image size² for a training), and r_i = w / w_i:

    expected = median( a_i + (t_i - a_i) r_i ),  a_i = min(30 s, t_i / 2)      a start costs the same, whatever the work
    low      = median( t_i min(r_i, (1 + r_i) / 2) ) / (1 + m)                 nothing, or half of a run, is start
    high     = median( t_i max(r_i, (1 + r_i) / 2) ) × (1 + m)
    m        = 0.1 + 0.5 / n + 3 × 1.4826 MAD                                  of the expected times for one same work

So one odd run moves nothing much, few runs give a wide range, and so does a work unlike any before. All three never
fall when the work grows (the law that `tests/unit/test_estimate.py` keeps). Without history: the typical time, a third
of it to three times as long. SageMaker stops a job at its time limit: nothing is expected to take longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import median

START_S = 30.0
"""What a job needs before its work begins: unpacking, starting Python, loading a model."""
NARROWEST = 0.1
FEW = 0.5
MAD_TO_SIGMA = 1.4826
"""For a normal distribution (Rousseeuw and Croux, 1993)."""
SIGMAS = 3
BLIND = 3.0
"""How much longer or shorter than typical it may take where nothing like it was ever seen."""
HOUR_S = Decimal(3600)


@dataclass(frozen=True)
class Past:
    """A job that completed: its billable seconds, and its work in any unit (more than 0)."""

    seconds: float
    work: float


@dataclass(frozen=True)
class Seconds:
    """A range of time, low ≤ expected ≤ high."""

    low: float
    expected: float
    high: float

    def at_most(self, limit: float) -> Seconds:
        """As far as a time limit allows."""
        return Seconds(min(self.low, limit), min(self.expected, limit), min(self.high, limit))


@dataclass(frozen=True)
class Money:
    """A range of money, low ≤ expected ≤ high."""

    low: Decimal
    expected: Decimal
    high: Decimal

    def __add__(self, other: Money) -> Money:
        return Money(self.low + other.low, self.expected + other.expected, self.high + other.high)


NOTHING = Money(Decimal(0), Decimal(0), Decimal(0))


def from_history(history: Sequence[Past], work: float) -> Seconds:
    """From at least one job like it; see the module's words for the rule."""
    ratios = [(past.seconds, work / past.work) for past in history]
    margin = 1 + NARROWEST + FEW / len(history) + SIGMAS * _spread(history)
    return Seconds(
        median(seconds * min(ratio, (1 + ratio) / 2) for seconds, ratio in ratios) / margin,
        _expected(history, work),
        median(seconds * max(ratio, (1 + ratio) / 2) for seconds, ratio in ratios) * margin,
    )


def typical(seconds: float) -> Seconds:
    """Where nothing like it was ever seen."""
    return Seconds(seconds / BLIND, seconds, seconds * BLIND)


def at_best(time: Seconds, saves: float) -> Seconds:
    """Where up to this share of the time may not be billed, but nobody knows: only the low end believes in it."""
    return Seconds(time.low * (1 - saves), time.expected, time.high)


def cost(time: Seconds, per_hour: Decimal, instances: int = 1) -> Money:
    """What instances cost for a time, at the price of one for an hour."""
    rate = per_hour * instances / HOUR_S
    low, expected, high = (Decimal(str(round(each, 3))) * rate for each in (time.low, time.expected, time.high))
    return Money(low, expected, high)


def _expected(history: Sequence[Past], work: float) -> float:
    starts = [min(START_S, past.seconds / 2) for past in history]
    pairs = zip(history, starts, strict=True)
    return median(start + (past.seconds - start) * work / past.work for past, start in pairs)


def _spread(history: Sequence[Past]) -> float:
    """How far the runs lie apart when each is thought to have done the work of the middle one, as a share of it."""
    same = median(past.work for past in history)
    told = [_expected([past], same) for past in history]
    middle = median(told)
    return MAD_TO_SIGMA * median(abs(each - middle) for each in told) / middle if middle > 0 else 0.0
