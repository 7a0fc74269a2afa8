"""`tour.map50` and `tour.train_cpu_s`: what the tour's own run reports, on a fresh synthetic survey."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figures import Figure, Figures, control, main


def measure() -> Figures:
    """One tour; it fails when a step of the tour fails."""
    with TemporaryDirectory(prefix="groundcrew-bench-") as folder:
        control("tour", Path(folder))
        told = json.loads((Path(folder) / "tour.json").read_text())
    return {
        "tour.map50": Figure(told["map50"], "mAP50"),
        "tour.train_cpu_s": Figure(told["train_cpu_s"], "s"),
    }


if __name__ == "__main__":
    main(__doc__ or "", measure)
