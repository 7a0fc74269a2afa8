"""What happens beside Slack while people type: photos that arrive, a run that a timer starts. As profile `ab`."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from sandbox.environment import ROOT, Environments, Ports
from sandbox.record import Record

SMALL = 32
"""Photos of a nightly data set: enough for every split, little to train on."""


@dataclass(frozen=True)
class Nightly:
    """A small data set in a folder. `photo` is the one that gets broken."""

    state: Path
    folder: Path

    @classmethod
    def draw(cls, state: Path, seed: int) -> Nightly:
        """A synthetic survey of its own."""
        folder = state / "tmp" / "nightly"
        run(state, "sandbox.imagery", "--out", folder, "--seed", seed, "--images", SMALL, "--unlabelled", 0)
        return cls(state, folder)

    @property
    def photo(self) -> Path:
        """The first photo."""
        return sorted((self.folder / "images").iterdir())[0]

    def break_photo(self) -> bytes:
        """Cut the photo short, as a flat battery does; returns it as it was."""
        whole = self.photo.read_bytes()
        self.photo.write_bytes(whole[: len(whole) // 3])
        return whole

    def load(self) -> None:
        """Bring the data bucket up to date with the folder, as the loader."""
        run(self.state, "sandbox.survey", self.folder, "--prefix", self.folder.name)

    def start(self) -> str:
        """Start a run on it that nobody follows; returns the execution's id."""
        return run(self.state, "sandbox.nightly", "--prefix", self.folder.name).strip().rsplit("/", 1)[1]


def run(state: Path, module: str, *arguments: object) -> str:
    """A program beside Slack, as the operator; what it prints. Raises CalledProcessError."""
    env = Environments(state, Ports(**Record(state).read("ports.json"))).aws("ab")
    argv = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(argv, check=True, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True).stdout
