"""The anchor of `train.overhead`: `YOLO.train` called directly in a fresh process.

`python -m benchmarks.bare_train <data.yaml> <args.yaml> <work folder>`; a Train job leaves args.yaml in its model.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

OF_THE_JOB = {"task", "mode", "model", "data", "project", "name", "save_dir", "tracker", "cfg"}


def main(data: Path, arguments: Path, work: Path) -> None:
    """Train with exactly these arguments, nothing around it."""
    from pipeline.steps import yolo

    asked = yaml.safe_load(arguments.read_text())
    settings = {key: value for key, value in asked.items() if key not in OF_THE_JOB and value is not None}
    yolo.load(work / "yolo", threads=yolo.threads())(asked["model"]).train(
        data=str(data), project=str(work), name="run", **settings
    )


if __name__ == "__main__":
    main(*(Path(argument).resolve() for argument in sys.argv[1:4]))
