"""What the chapters share: the people, the sandbox, and what earlier steps have found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.hours import Hours
from sandbox.operator import Nightly
from sandbox.person import NothingCame, Person, Slack
from sandbox.record import Record

TRAINING_SECONDS = 600.0
DEPLOYING_SECONDS = 120.0


@dataclass
class Tour:
    """What the steps share: the people, and what earlier steps have found."""

    slack: Slack
    state: Path
    data: Path | None
    map_threshold: float | None
    seed: int
    ds: Person = field(init=False)
    ml: Person = field(init=False)
    reader: Person = field(init=False)
    run: str = ""
    second: str = ""
    """The run that was stopped."""
    runs: int = 0
    """How many runs the data scientist has started."""
    live: dict[str, Any] = field(default_factory=dict)
    before: str = ""
    alert: dict[str, Any] = field(default_factory=dict)
    nightly: Nightly = field(init=False)
    hours: Hours = field(init=False)
    whole: bytes = b""
    card: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, float | None] = field(default_factory=lambda: {"map50": None, "train_cpu_s": None})

    def __post_init__(self) -> None:
        self.ds = self.slack.person("U0DS1")
        self.ml = self.slack.person("U0ML1")
        self.reader = self.slack.person("U0DS1", "C0ALERTS")

    @property
    def mlflow(self) -> str:
        """Address of the MLflow server."""
        return f"http://127.0.0.1:{Record(self.state).read('ports.json')['mlflow']}"

    @property
    def aws(self) -> str:
        """Address of the AWS stand-in."""
        return f"http://127.0.0.1:{Record(self.state).read('ports.json')['aws']}"


Step = Callable[[Tour], None]
"""One step: its docstring is what is said of it, an exception says that it did not work."""


def holds(fact: bool, otherwise: str) -> None:
    """Raises NothingCame, saying `otherwise`, when something is not as it should be."""
    if not fact:
        raise NothingCame(otherwise)
