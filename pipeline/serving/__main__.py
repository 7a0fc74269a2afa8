"""The image's entrypoint: `serve` starts the server, `train` the training step, as SageMaker asks for them."""

from __future__ import annotations

import os
import sys


def main(arguments: list[str]) -> None:
    """Become what the first argument names."""
    if arguments == ["serve"]:
        from pipeline.serving.server import serve

        serve(dict(os.environ))
    elif arguments == ["train"]:
        from pipeline.steps.container import run
        from pipeline.steps.train import train

        run(train)
    else:
        sys.exit(f"Start this image with 'serve' or 'train', not with {' '.join(arguments) or 'nothing'!r}.")


if __name__ == "__main__":
    main(sys.argv[1:])
