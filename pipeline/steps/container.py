"""The SageMaker container contract as a step sees it: folders, settings, the words left behind, signals, exit status.

All paths hang under `ML_ROOT` (default `/opt/ml`). A step is `main(container) -> str`: it returns one line about what
it did and raises `GroundcrewError` when it cannot. Our lines on stdout are JSON objects; the rest is library noise.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from pipeline.errors import BadInput, GroundcrewError

MESSAGE_BYTES = 1024
"""SageMaker keeps the first 1,024 characters of `failure` and the first 1 KB of `message`."""


class Stopped(BaseException):
    """The job was asked to stop (SIGTERM or SIGINT). Not an `Exception`, so no handler for errors swallows it."""


@dataclass(frozen=True)
class Container:
    """One job's surroundings: `root` is ML_ROOT, `environment` the variables of the request."""

    root: Path
    environment: Mapping[str, str]

    def input(self, name: str) -> Path:
        """Folder of a processing input."""
        return self.root / "processing" / "input" / name

    def output(self, name: str) -> Path:
        """Folder of a processing output, created."""
        folder = self.root / "processing" / "output" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def channel(self, name: str) -> Path:
        """Folder of a training channel."""
        return self.root / "input" / "data" / name

    @property
    def model(self) -> Path:
        """Folder whose content becomes a training job's model.tar.gz, created."""
        folder = self.root / "model"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def checkpoints(self) -> Path:
        """Folder of a training job that SageMaker keeps in S3 while it runs, and brings back when it starts again."""
        return self.root / "checkpoints"

    def scratch(self, name: str) -> Path:
        """A writable folder that is not uploaded, created."""
        folder = self.root / "work" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def hyperparameters(self) -> dict[str, str]:
        """The training job's hyperparameters; every value is text."""
        path = self.root / "input" / "config" / "hyperparameters.json"
        return {key: str(value) for key, value in json.loads(path.read_text("utf-8")).items()}

    def instance(self) -> str:
        """Type of the instance that a training job runs on; empty where nobody says."""
        path = self.root / "input" / "config" / "resourceconfig.json"
        config = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        return str(config.get("current_instance_type", ""))

    def hosts(self) -> tuple[str, Sequence[str]]:
        """Name of this machine, and of all that run the job, itself included, in an order all agree on."""
        path = self.root / "config" / "resourceconfig.json"
        if not path.is_file():
            return "algo-1", ["algo-1"]
        config = json.loads(path.read_text("utf-8"))
        return str(config["current_host"]), sorted(map(str, config["hosts"]))

    def setting(self, name: str) -> str:
        """A required environment variable of the job. Raises `BadInput` naming it when it is missing."""
        value = self.environment.get(name, "")
        if not value:
            raise BadInput(f"The job has no environment variable {name}.", "Publish the pipeline again.")
        return value

    def leave(self, text: str, *, failed: bool) -> None:
        """Leave the words that SageMaker shows: `message` (processing) always, `failure` (training) when it failed."""
        words = text.encode()[:MESSAGE_BYTES].decode("utf-8", "ignore")
        folder = self.root / "output"
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("message", "failure") if failed else ("message",):
            (folder / name).write_text(words, "utf-8")


def say(event: str, **fields: object) -> None:
    """Print one JSON line: what happened, for whoever reads the log, person or program."""
    print(json.dumps({"event": event, **fields}), flush=True)


def run(step: Callable[[Container], str]) -> NoReturn:
    """Run a step under the contract and exit: 0 done, 1 failed (words left behind), 143 stopped on request."""
    container = Container(Path(os.environ.get("ML_ROOT", "/opt/ml")), dict(os.environ))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    began = time.monotonic()
    try:
        words = step(container)
    except Stopped:
        container.leave("Stopped on request.", failed=True)
        say("stopped", seconds=round(time.monotonic() - began, 1))
        sys.exit(128 + signal.SIGTERM)
    except GroundcrewError as error:
        _fail(container, f"{error.message} {error.advice}".strip())
    except Exception as error:  # noqa: BLE001 (the last word of a process: leave it where SageMaker looks for it)
        traceback.print_exc()
        _fail(container, f"{type(error).__name__}: {error}{_place(error)}")
    container.leave(words, failed=False)
    say("done", message=words, seconds=round(time.monotonic() - began, 1))
    sys.exit(0)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped


def _fail(container: Container, words: str) -> NoReturn:
    container.leave(words, failed=True)
    say("failed", message=words)
    sys.exit(1)


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "pipeline" in Path(frame.filename).parts]
    return f" ({Path(ours[-1].filename).name}, line {ours[-1].lineno})" if ours else ""
