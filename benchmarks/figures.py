"""A figure, how a module prints its figures, and a sandbox to measure."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Figure:
    """A measured value, and what it was measured against in the same run (None where there is nothing)."""

    value: float
    unit: str
    anchor: float | None = None

    def json(self) -> dict[str, float | str | None]:
        """What is printed: `ratio` is value ÷ anchor."""
        ratio = None if self.anchor is None else round(self.value / self.anchor, 4)
        anchor = None if self.anchor is None else round(self.anchor, 4)
        return {"value": round(self.value, 4), "anchor": anchor, "ratio": ratio, "unit": self.unit}


Figures = Mapping[str, Figure]


def main(words: str, measure: Callable[[], Figures]) -> None:
    """`--json` prints one object and nothing else on stdout; without it, a line per figure."""
    options = argparse.ArgumentParser(description=words)
    options.add_argument("--json", action="store_true", help="print one JSON object")
    asked = options.parse_args()
    found = {name: figure.json() for name, figure in measure().items()}
    if asked.json:
        print(json.dumps(found))
    else:
        print("\n".join(line(name, row) for name, row in found.items()))


def line(name: str, row: Mapping[str, float | str | None]) -> str:
    """One row of the table."""
    shown = f"{name:18} {row['value']:>10} {row['unit']:6}"
    return shown if row["anchor"] is None else f"{shown} against {row['anchor']:>9}: ratio {row['ratio']}"


def say(words: str) -> None:
    """Progress, beside the figures."""
    print(words, file=sys.stderr, flush=True)


@contextmanager
def sandbox(seed: int = 7) -> Iterator[Path]:
    """A fresh sandbox; its state folder. Stopped and removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="groundcrew-bench-") as folder:
        state = Path(folder)
        try:
            control("up", state, "--port", "0", "--seed", str(seed))
            yield state
        finally:
            control("down", state)


def control(command: str, state: Path, *options: str) -> None:
    """`python -m sandbox …`; what it prints goes beside the figures. Raises CalledProcessError."""
    argv = [sys.executable, "-m", "sandbox", command, "--state", str(state), *options]
    subprocess.run(argv, cwd=ROOT, check=True, stdout=sys.stderr)
