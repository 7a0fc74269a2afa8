"""Which local command stands for a container image. Images are names here: nothing is pulled.

`sandbox/config/images.yaml` lists the repositories that exist:

    groundcrew:                 # the last part of an image's repository, whatever the registry and tag
      serve: [python3, ...]     # its entrypoint for each argument SageMaker gives (`serve`, `train`)
      environment: {...}        # its own ENV lines
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).parents[2] / "config" / "images.yaml"
PROJECT = Path(__file__).parents[3]
"""Working directory of an image's own commands: they are modules of this checkout."""


class ImageNotFound(LookupError):
    """No such image; the text is what SageMaker says of one it cannot pull."""


@dataclass(frozen=True)
class Image:
    """A local image: its commands by argument, and the environment it brings."""

    name: str
    commands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


class Images:
    """The images that exist on this machine."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._images = {
            name: Image(
                name,
                {key: tuple(command) for key, command in entry.items() if key != "environment"},
                {key: str(value) for key, value in (entry.get("environment") or {}).items()},
            )
            for name, entry in content.items()
        }

    @classmethod
    def load(cls) -> Images:
        """The images of the configuration file."""
        return cls(yaml.safe_load(FILE.read_text()) or {})

    def find(self, uri: str) -> Image:
        """The image of a URI such as `<account>.dkr.ecr.<region>.amazonaws.com/groundcrew:1`.

        Raises `ImageNotFound`.
        """
        repository = uri.partition("/")[2].partition("@")[0].partition(":")[0]
        image = self._images.get(repository)
        if image is None:
            raise ImageNotFound(
                f"CannotPullContainerError: cannot pull image {uri}: repository {repository or uri!r} does not exist "
                f"(known here: {', '.join(sorted(self._images))})"
            )
        return image
