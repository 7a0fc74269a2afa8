"""What a training run uses: its jobs with their typical times, and the endpoint it may leave behind."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from commands import deployment as deploying
from commands.command import Context, Spend, Use
from pipeline import definition, deployment, parameters
from pipeline.names import Environment
from pipeline.parameters import Value
from pipeline.prices import Component

GROWS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "Preprocess": ("photos",),
        "Train": ("epochs", "photos", "image_size", "network"),
        "Evaluate": ("photos", "image_size", "network"),
        "Baseline": ("photos", "image_size", "network"),
        "Explain": ("image_size", "network"),
    }
)
"""What a step's time grows with; that of the others with nothing."""
START_S, MEGAPIXEL_S = 60.0, 1.5
"""Typical seconds to start a step, and for YOLO11n to pass once over a million pixels on ml.c5.xlarge."""
TYPICAL_PHOTOS = 1_000
"""Thought of where nobody has run a pipeline yet."""
SMALLEST = parameters.network("yolo11n")


def run(ctx: Context, env: Environment, chosen: Mapping[str, Value], spot: bool) -> Spend:
    """All steps of a run with these settings, and in dev the endpoint, where none serves yet."""
    known = asked(chosen)
    uses = steps(env, known, str(chosen["instance_type"]), spot)
    if env == "dev":
        # Its instance type is not this line's to choose: nothing smaller is offered.
        uses += [replace(use, instead=()) for use in deploying.additional(ctx, env, deployment.INSTANCE_TYPE)]
    half = known["epochs"] // 2
    return Spend(uses, known, less=(f"--epochs {half}", {"epochs": half}) if half else None)


def asked(chosen: Mapping[str, Value]) -> dict[str, int]:
    """How much a run with these settings does, as far as they say."""
    network = 0 if chosen["weights"] else parameters.network(str(chosen["model"]))
    work = {"epochs": int(chosen["epochs"]), "image_size": int(chosen["image_size"]), "network": network}
    work["photos"] = int(chosen["max_images"])
    return {name: amount for name, amount in work.items() if amount}


def again(env: Environment, given: Mapping[str, str], done: Collection[str], spot: bool) -> Spend:
    """The steps of a run that are not done. `given` are the parameters that it was started with."""
    work = work_of(given)
    work |= {"photos": int(given["MaxImages"])} if int(given.get("MaxImages", 0)) else {}
    instance = given.get("TrainInstance", definition.JOBS["Train"][0])
    return Spend([use for use in steps(env, work, instance, spot) if use.step not in done], work)


def work_of(given: Mapping[str, str]) -> dict[str, int]:
    """How much a run does, by the parameters it was started with: epochs, image size, network; what is known."""
    numbers = {"epochs": "Epochs", "image_size": "ImageSize"}
    work = {name: int(given[key]) for name, key in numbers.items() if int(given.get(key) or 0)}
    network = 0 if given.get("Weights") else parameters.network(given.get("Model", ""))
    return work | ({"network": network} if network else {})


def steps(env: Environment, work: Mapping[str, int], instance_type: str, spot: bool) -> list[Use]:
    """The jobs of a run; the training's instance type is what it was asked for."""
    found = [use(step, work) for step in definition.JOBS if step != "Deploy" or env == "dev"]
    return [replace(each, instance_type=instance_type, spot=spot) if each.step == "Train" else each for each in found]


def use(step: str, work: Mapping[str, int]) -> Use:
    """One step on its usual instance, with its typical time."""
    instance_type, most = definition.JOBS[step]
    component: Component = "Training" if step == "Train" else "Processing"
    passes = work.get("epochs", 1) * work.get("network", SMALLEST) / SMALLEST if step == "Train" else 1
    pixels = work.get("photos", TYPICAL_PHOTOS) * work.get("image_size", 0) ** 2 / 1e6
    seconds = START_S + MEGAPIXEL_S * passes * pixels * ("image_size" in GROWS.get(step, ()))
    return Use(step, component, instance_type, seconds, most, GROWS.get(step, ()))
