"""The image's entrypoint: `serve` starts the server, `train` the training step that lies in the channel `code`."""

from __future__ import annotations

import os
import sys


def main(arguments: list[str]) -> None:
    """Become what the first argument names."""
    if arguments == ["serve"]:
        from pipeline.serving.server import serve

        serve(dict(os.environ))
    elif arguments == ["train"]:
        # The trials of a tuning job cannot bring an entrypoint; the code they run, they bring like any step.
        from pipeline.definition import entrypoint

        os.execv("/bin/sh", entrypoint("train", "input/data/code"))  # noqa: S606
    else:
        sys.exit(f"Start this image with 'serve' or 'train', not with {' '.join(arguments) or 'nothing'!r}.")


if __name__ == "__main__":
    main(sys.argv[1:])
