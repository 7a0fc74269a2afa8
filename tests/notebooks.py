"""Runs a notebook without Jupyter: its code cells, one after the other, in a fresh Python of its own.

As papermill does, values are set after the cell tagged `parameters`. Every figure is drawn into a file, and what the
notebook leaves in `summary` comes back.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "examples" / "notebooks"
ALL = ("explore_dataset", "prototype_model", "read_drift_report")

_PROGRAM = """
import json, sys, warnings
from pathlib import Path
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
warnings.filterwarnings("error", module="__main__")
warnings.filterwarnings("ignore", "FigureCanvasAgg is non-interactive")  # there is nobody to show a figure to
job = json.loads(sys.stdin.read())
place = {"__name__": "__main__"}
for number, source in job["cells"]:
    exec(compile(source, f"cell {number}", "exec"), place)
for figure in plt.get_fignums():
    plt.figure(figure).savefig(Path(job["out"]) / f"{figure}.png")
(Path(job["out"]) / "summary.json").write_text(json.dumps(place["summary"]))
"""


@dataclass(frozen=True)
class Ran:
    """What a notebook left: its summary, the files of its figures, and what it printed."""

    summary: dict[str, Any]
    figures: list[Path]
    said: str


def cells(name: str) -> list[dict[str, Any]]:
    """The cells of a notebook as they are stored."""
    found: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    return found


def run(name: str, out: Path, env: Mapping[str, str] | None = None, seconds: int = 120, **parameters: Any) -> Ran:
    """Execute a notebook beside its files. `env` is added to an environment without any AWS variable.

    Raises AssertionError with what the notebook wrote when a cell fails.
    """
    code = []
    for number, cell in enumerate(cells(name)):
        if cell["cell_type"] == "code":
            code.append((number, "".join(cell["source"])))
            if "parameters" in cell["metadata"].get("tags", []):
                code.append((number, "\n".join(f"{key} = {value!r}" for key, value in parameters.items())))
    base = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    mine = {"TMPDIR": str(out), "HOME": str(out), "AWS_EC2_METADATA_DISABLED": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        input=json.dumps({"cells": code, "out": str(out)}),
        env=base | mine | dict(env or {}),
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    assert done.returncode == 0, f"{name} failed:\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return Ran(json.loads((out / "summary.json").read_text()), sorted(out.glob("*.png")), done.stdout)
