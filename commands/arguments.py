"""The kinds of argument that several commands share, with their ranges and their line of help."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from pipeline.errors import BadInput
from pipeline.names import Environment


@dataclass(frozen=True)
class Between:
    """A number from `low` to `high`, both included; with `step`, a multiple of it. Not-a-number never passes."""

    low: float
    high: float
    step: int | None = None

    def __call__(self, type_: Any, value: Any) -> None:
        """Cyclopts' validator protocol: raise ValueError with words for the person who typed `value`."""
        if value is None:
            return
        if math.isnan(value) or not self.low <= value <= self.high or (self.step and value % self.step):
            raise ValueError(f"Must be {self.words()}.")

    def words(self) -> str:
        """The range as a sentence needs it, e.g. `between 64 and 1280, a multiple of 32`."""
        return f"between {_number(self.low)} and {_number(self.high)}" + (
            f", a multiple of {self.step}" if self.step else ""
        )

    def short(self) -> str:
        """The range as a usage line needs it, e.g. `64..1280`."""
        return f"{_number(self.low)}..{_number(self.high)}"


class Verbatim:
    """Marks the one argument of a command that is all the rest of its line, with its quotes: pasted JSON."""


@dataclass(frozen=True)
class Known:
    """Marks an argument that names a thing of the catalog, so that a form can offer what there is.

    `kind` is `run`, `version` or `endpoint`, or `alert` for one that is open.
    """

    kind: str


def data_folder(bucket: str, text: str) -> str:
    """The prefix meant by a folder of the data bucket, with a slash at its end. Raises BadInput for one elsewhere."""
    example = f"Give a folder in s3://{bucket}/, such as survey/."
    inside = text.strip().removeprefix(f"s3://{bucket}/")
    if "://" in inside or inside.startswith("/"):
        raise BadInput(f"{text[:100]!r} is not in the data bucket.", example)
    pieces = inside.strip("/").split("/")
    odd = any(ord(char) < 32 or char in '\\"' for char in inside)
    if not all(pieces) or {".", ".."} & set(pieces) or odd or len(inside) > LONGEST_FOLDER:
        raise BadInput(f"{text[:100]!r} is no folder of photos.", example)
    return "/".join(pieces) + "/"


def _number(value: float) -> str:
    """Without an exponent and without zeros nobody typed."""
    return str(value) if isinstance(value, int) else f"{value:.9f}".rstrip("0").rstrip(".")


LONGEST_FOLDER = 150
"""Characters: a job is told the folder in an environment variable, which holds 256."""

Env = Annotated[Environment, Parameter(help="Environment")]
Version = Annotated[
    int, Parameter(help="Version of the model package", validator=Between(1, 1_000_000)), Known("version")
]
Execution = Annotated[str, Parameter(help="Id of the run, or the first characters of it"), Known("run")]
DataFolder = Annotated[str, Parameter(help="Folder of the data set in the data bucket")]
Reason = Annotated[str, Parameter(help="Why, in quotes")]
Yes = Annotated[bool, Parameter(help="Do not ask first", show=False)]
