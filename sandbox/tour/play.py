"""Plays the chapters in a fresh sandbox, says how each step went, and stops it."""

from __future__ import annotations

import argparse
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox import evidence
from sandbox.environment import ROOT
from sandbox.person import Slack
from sandbox.record import Record
from sandbox.tour import drift, ending, failing, first_walk, records
from sandbox.tour.story import Step, Tour, holds

CHAPTERS: tuple[tuple[Step, ...], ...] = (first_walk.STEPS, drift.STEPS, failing.STEPS, records.STEPS, ending.STEPS)
"""In the order in which they are played. A chapter may use what those before it have left in the tour."""
SYNTHETIC = (drift.STEPS,)
"""Chapters that need more photos of the same ground, which only the synthetic survey has."""


@dataclass
class Results:
    """How every step went."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    def do(self, name: str, words: str, act: Callable[[], None], *, always: bool = False) -> bool:
        """Do one step, say how it went; after a failure the later ones are not tried and count as failed."""
        if not self.passed and not always:
            self.rows.append({"name": name, "ok": False, "seconds": 0.0})
            return False
        began = time.monotonic()
        why = ""
        try:
            act()
        except (AssertionError, KeyError, OSError, subprocess.CalledProcessError, evidence.Unanswered) as error:
            why = f"{type(error).__name__}: {error}"
        seconds = round(time.monotonic() - began, 2)
        self.rows.append({"name": name, "ok": not why, "seconds": seconds})
        print(f"  {'ok ' if not why else 'NO '} {seconds:6.1f} s  {words}", flush=True)
        if why:
            print("\n".join(f"      {line}" for line in why.splitlines()), flush=True)
        return not why

    @property
    def passed(self) -> bool:
        """Whether nothing has failed so far."""
        return all(row["ok"] for row in self.rows)

    def last_line(self) -> str:
        """What the tour ends with."""
        good = sum(row["ok"] for row in self.rows)
        return f"tour: {len(self.rows)} steps, {good} passed, {len(self.rows) - good} failed"


def main(options: argparse.Namespace) -> int:
    """Play it; exit status 0 only when every step passed. Writes `tour.json` beside the tour's own state folder."""
    folder = (options.state or ROOT / "var").resolve()
    state = folder / "tour"
    seed = options.seed if options.seed is not None else secrets.randbelow(1_000_000)
    data = options.data.expanduser().resolve() if options.data else None
    print(f"The tour, with {data or f'a synthetic survey, seed {seed}'}", flush=True)
    if data:
        print("Its chapter on drift is left out: it needs more photos of the same ground.", flush=True)
    results, tour = Results(), None
    try:
        if results.do("start", "Everything starts.", lambda: _sandbox("up", state, seed, data)):
            tour = Tour(Slack(Record(state).url()), state, data, options.map_threshold, seed)
        for step in (step for chapter in CHAPTERS if not data or chapter not in SYNTHETIC for step in chapter):
            results.do(step.__name__, step.__doc__ or "", lambda step=step: step(tour))  # type: ignore[misc]
    finally:
        left = Record(state).read("processes.json") or []
        results.do("stop", "Everything stops, and leaves no process.", lambda: _stop(state, left), always=True)
        figures = tour.figures if tour else {"map50": None, "train_cpu_s": None}
        report = {"seed": None if data else seed, "steps": results.rows, **figures}
        (folder / "tour.json").write_text(json.dumps(report, indent=1) + "\n")
    print(results.last_line(), flush=True)
    return 0 if results.passed else 1


def _stop(state: Path, processes: list[dict[str, Any]]) -> None:
    _sandbox("down", state)
    alive = [row["name"] for row in processes if evidence.alive(row["pid"], row["created"])]
    holds(not alive, f"still running: {', '.join(alive)}")


def _sandbox(command: str, state: Path, seed: int | None = None, data: Path | None = None) -> None:
    argv = [sys.executable, "-m", "sandbox", command, "--state", str(state)]
    argv += ["--port", "0", "--seed", str(seed)] if command == "up" else []
    argv += ["--data", str(data)] if data else []
    subprocess.run(argv, check=True, cwd=ROOT)
