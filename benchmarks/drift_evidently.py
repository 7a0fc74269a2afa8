"""Evidently's DataDriftPreset, run by its own environment: `python drift_evidently.py IN.npz OUT.json`.

IN holds `reference` and `windows` (windows by rows by columns), judged one by one, and `before` and `now`, timed. OUT
gets a verdict for each window, and CPU seconds for the first 10,000 and for all rows of `now` (the best of three).
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset

ROUNDS = 3
SHORT = 10_000


def table(rows: np.ndarray) -> pd.DataFrame:
    """Named columns."""
    return pd.DataFrame(rows, columns=[f"c{index}" for index in range(rows.shape[1])])


def drifted(reference: pd.DataFrame, now: pd.DataFrame) -> bool:
    """The preset's own verdict: at least half of the columns have drifted."""
    found = Report([DataDriftPreset()]).run(now, reference).dict()["metrics"]
    share = next(metric["value"]["share"] for metric in found if "DriftedColumnsCount" in json.dumps(metric))
    return bool(share >= 0.5)


def seconds(before: pd.DataFrame, now: pd.DataFrame) -> float:
    """CPU seconds of the preset."""
    spent = []
    for _ in range(ROUNDS):
        began = time.process_time()
        drifted(before, now)
        spent.append(time.process_time() - began)
    return min(spent)


def main(source: str, target: str) -> None:
    """Judge and time."""
    warnings.simplefilter("ignore")  # numpy's about constant columns
    given = np.load(source)
    reference = table(given["reference"])
    before, now = table(given["before"]), table(given["now"])
    found = {
        "verdicts": [drifted(reference, table(rows)) for rows in given["windows"]],
        "short": seconds(before[:SHORT], now[:SHORT]),
        "long": seconds(before, now),
    }
    Path(target).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
