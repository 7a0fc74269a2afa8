"""How many instances a deployment has: between two bounds, by what one instance is to carry (`deployment.yaml`).

The stack's scalable target keeps the number between the bounds; AWS changes it by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from pipeline.errors import BadInput
from pipeline.names import Environment

ScaleOn = Literal["concurrency", "invocations"]
"""Requests at once (seen every ten seconds), or requests a minute where SageMaker does not tell that."""

PARAMETERS = ("MinInstances", "MaxInstances", "ScaleOn")


@dataclass(frozen=True)
class Bounds:
    """The fewest and the most instances."""

    least: int
    most: int

    def words(self) -> str:
        """As a sentence has it."""
        return f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"


DEFAULT: Mapping[Environment, Bounds] = MappingProxyType(
    {"dev": Bounds(1, 2), "staging": Bounds(1, 2), "prod": Bounds(2, 4)}
)
"""What a deployment begins with. Production has two, so that one may fail and a canary is a part of something."""
WIDEST: Mapping[Environment, Bounds] = MappingProxyType(
    {"dev": Bounds(1, 2), "staging": Bounds(1, 4), "prod": Bounds(1, 10)}
)
"""How far the bounds may be moved."""
CARRIES: Mapping[str, str] = MappingProxyType(
    {"concurrency": "requests at once for each instance", "invocations": "requests a minute for each instance"}
)


def now(parameters: Mapping[str, str], env: Environment) -> Bounds:
    """The bounds of a stack with these parameters; the environment's own for one made before there were any."""
    own = DEFAULT[env]
    return Bounds(
        int(parameters.get("MinInstances") or own.least),
        int(parameters.get("MaxInstances") or own.most),
    )


def moved(before: Bounds, env: Environment, least: int | None, most: int | None) -> Bounds:
    """The bounds with one or both changed; moving one takes the other along. Raises BadInput for what may not be."""
    if least is None and most is None:
        raise BadInput("Nothing to change.", "Give --min, --max, or both.")
    widest = WIDEST[env]
    new = Bounds(
        least if least is not None else min(before.least, most or before.least),
        most if most is not None else max(before.most, least or before.most),
    )
    if new.least > new.most:
        raise BadInput(f"--min {new.least} is more than --max {new.most}.", "Give the smaller number to --min.")
    if new.least < widest.least or new.most > widest.most:
        raise BadInput(
            f"{env} has {widest.least} to {widest.most} instances at most, not {new.words()}.",
            "Whoever needs more changes the limit in pipeline/scaling.py, where others see it.",
        )
    return new


def parameters(bounds: Bounds) -> dict[str, str]:
    """The template's parameters for these bounds."""
    return {"MinInstances": str(bounds.least), "MaxInstances": str(bounds.most)}


def for_deployment(
    env: Environment, before: Mapping[str, str], given: Mapping[str, str], *, same_model: bool
) -> dict[str, str]:
    """The scaling of a deployment: as it was, else the environment's own.

    A model that serves already keeps the number of instances that it began with, which cannot be changed in place.
    """
    own = {**parameters(now(before, env)), "ScaleOn": before.get("ScaleOn") or "concurrency"}
    wanted = {**own, **{name: given[name] for name in PARAMETERS if name in given}}
    begun = before.get("InstanceCount") or "1"
    return {**wanted, "InstanceCount": begun if same_model else wanted["MinInstances"]}
