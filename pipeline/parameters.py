"""What a training run can be told: every parameter with its type, its range, and what it is where nobody says.

One table for all that needs it: the options of `pipeline run`, the parameters of the pipeline's definition (so that a
run started in AWS's console has the same defaults), the buttons that repeat a run, and the trials of `pipeline tune`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from pipeline.errors import BadInput
from pipeline.names import Environment

Network = Literal["yolo11n", "yolo11s", "yolo11m", "yolo11l", "yolo11x"]
Optimizer = Literal["AdamW", "Adam", "SGD"]
Augmentation = Literal["none", "survey", "strong"]
BadData = Literal["skip", "fail"]
Precision = Literal["fp32", "int8"]
TrainInstance = Literal[
    "ml.m5.large",
    "ml.m5.xlarge",
    "ml.c5.xlarge",
    "ml.c5.2xlarge",
    "ml.c5.4xlarge",
    "ml.g4dn.xlarge",
    "ml.g5.xlarge",
]
Value = str | int | float
LONGEST = 256
"""Characters of a text: what an environment variable of a job holds."""

GFLOPS: Mapping[str, float] = MappingProxyType(
    {"yolo11n": 6.5, "yolo11s": 21.5, "yolo11m": 68.0, "yolo11l": 86.9, "yolo11x": 194.9}
)
"""Work of a network for one picture of 640 pixels, in 10⁹ operations (Ultralytics' table of YOLO11 for detection)."""


@dataclass(frozen=True)
class Setting:
    """One parameter. `name` is the pipeline's, `option` what people type; `dev` and `staging` are its defaults.

    A number lies between `low` and `high` (both included, a multiple of `step`), a text is one of `choices` if any.
    """

    name: str
    option: str
    help: str
    dev: Value
    staging: Value
    low: float = 0
    high: float = 0
    step: int | None = None
    choices: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Its type in the pipeline's definition."""
        return {int: "Integer", float: "Float"}.get(type(self.dev), "String")

    def default(self, env: Environment) -> Value:
        """What it is where nobody says; production trains nothing."""
        return self.staging if env == "staging" else self.dev

    def written(self, value: Value) -> str:
        """As StartPipelineExecution wants it: text, without an exponent that nobody typed."""
        return f"{value:.10g}" if isinstance(value, float) else str(value)


def _same(name: str, option: str, help: str, value: Value, *span: float, choices: tuple[str, ...] = ()) -> Setting:
    """A setting with one default everywhere; `span` is low and high of a number."""
    low, high = span or (0, 0)
    return Setting(name, option, help, value, value, low, high, None, choices)


SETTINGS: tuple[Setting, ...] = (
    _same("DataPrefix", "prefix", "Folder of the data set in the data bucket", "survey/"),
    _same("DataVersion", "data-version", "Train on just this version of the data, else not at all", ""),
    _same("Classes", "classes", "Only these classes, separated by commas; all if not given", ""),
    _same("MaxImages", "max-images", "Use at most so many photos; 0 is all", 0, 0, 1_000_000),
    _same("OnBadData", "on-bad-data", "Leave broken photos and labels out, or stop", "skip", choices=get_args(BadData)),
    _same("Model", "model", "Network to train, from small and fast to large", "yolo11n", choices=get_args(Network)),
    _same("Weights", "weights", "Weights to start from, s3://….pt; they bring their network", ""),
    Setting("Epochs", "epochs", "Passes over the training photos", 4, 20, 1, 300),
    Setting("ImageSize", "image-size", "Longer side the model sees, pixels, a multiple of 32", 128, 416, 64, 1280, 32),
    Setting("BatchSize", "batch", "Photos a training step", 4, 8, 1, 256),
    _same("LearningRate", "lr", "Learning rate at the start", 0.002, 0.000001, 1),
    _same("Optimizer", "optimizer", "How weights are changed", "AdamW", choices=get_args(Optimizer)),
    Setting("Patience", "patience", "Stop after so many epochs without progress; 0 is never", 0, 8, 0, 300),
    _same("Augmentation", "augmentation", "How much photos are varied", "survey", choices=get_args(Augmentation)),
    _same("Seed", "seed", "Repeats the split and the training", 0, 0, 1_000_000),
    _same(
        "Precision",
        "precision",
        "Numbers the served model computes in; int8 only where it finds as much",
        "fp32",
        choices=get_args(Precision),
    ),
    Setting("MapThreshold", "map-threshold", "mAP50 a model needs to be registered", 0.6, 0.7, 0, 1),
    Setting(
        "TrainInstance",
        "instance-type",
        "Instance of the training",
        "ml.c5.xlarge",
        "ml.c5.2xlarge",
        choices=get_args(TrainInstance),
    ),
)
BY_OPTION: Mapping[str, Setting] = MappingProxyType({each.option: each for each in SETTINGS})
BY_NAME: Mapping[str, Setting] = MappingProxyType({each.name: each for each in SETTINGS})
SPOT: Mapping[str, bool] = MappingProxyType({"dev": False, "staging": True})
"""Whether a training runs on spot instances where nobody says: dev's takes minutes and somebody watches it."""
DATA_STATE = "DataState"
"""The parameter that says what lies in the data folder: by it a prepared data set is found again, or is stale."""


def values(env: Environment, given: Mapping[str, Value | None]) -> dict[str, Value]:
    """The value of every setting by its option's name with underscores: what was given, else the default.

    Raises BadInput for texts that cannot be used.
    """
    found = {each.option.replace("-", "_"): each for each in SETTINGS}
    chosen = {name: each.default(env) if given.get(name) is None else given[name] for name, each in found.items()}
    for name, each in found.items():
        value = chosen[name]
        if isinstance(value, str) and (
            len(value) > LONGEST or value.startswith("-") or any(ord(char) < 32 for char in value)
        ):
            raise BadInput(f"--{each.option} is longer than {LONGEST} characters or not plain text.", each.help + ".")
    weights = str(chosen["weights"])
    if weights and not (weights.startswith("s3://") and weights.endswith(".pt")):
        raise BadInput(f"--weights {weights!r} is no .pt file in S3.", "Give an address like s3://bucket/path/best.pt.")
    if weights and given.get("model") is not None:
        raise BadInput("--weights bring their own network.", "Leave --model or --weights out.")
    return {name: value for name, value in chosen.items() if value is not None}


def sent(chosen: Mapping[str, Value]) -> dict[str, str]:
    """The same as the pipeline's parameters."""
    return {each.name: each.written(chosen[each.option.replace("-", "_")]) for each in SETTINGS}


def network(name: str) -> int:
    """A network's work in whole numbers, to compare times by; 0 for one that is not known."""
    return round(10 * GFLOPS.get(name, 0))
