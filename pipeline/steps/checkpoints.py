"""What an interrupted training goes on from: /opt/ml/checkpoints, which SageMaker keeps in S3 while the job runs.

`last.pt` (weights, optimizer, epoch), `best.pt` and `results.csv` of the last whole epoch but the very last one: a
training that is interrupted while its model is uploaded repeats one epoch and has a complete end.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.steps.container import say

FILES = ("weights/last.pt", "weights/best.pt", "results.csv")


@dataclass(frozen=True)
class Checkpoints:
    """`kept` is the folder that outlives the machine, `run` the one ultralytics writes into."""

    kept: Path
    run: Path

    @property
    def last(self) -> Path:
        """Where `restore` has put the weights to go on from."""
        return self.run / "weights" / "last.pt"

    def restore(self) -> bool:
        """Lay what was kept where ultralytics looks for it; False when there is nothing whole."""
        if not all((self.kept / Path(name).name).is_file() for name in FILES):
            return False
        for name in FILES:
            target = self.run / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.kept / target.name, target)
        return True

    def keep(self, trainer: Any) -> None:
        """After ultralytics has saved an epoch (callback `on_model_save`)."""
        if trainer.epoch + 1 >= trainer.epochs:
            return
        self.kept.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            target = self.kept / Path(name).name
            partial = target.with_suffix(".partial")
            shutil.copy(self.run / name, partial)
            partial.replace(target)
        say("checkpoint", epoch=trainer.epoch + 1)
