"""`python -m sandbox.aws --port N --state DIR [--region us-east-1]`: the local AWS, until it is told to stop."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from sandbox.aws.server import serve


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.aws", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="TCP port on 127.0.0.1; 0 picks a free one")
    parser.add_argument("--state", type=Path, required=True, help="folder for keys, the record of calls and jobs")
    parser.add_argument("--region", default="us-east-1")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    serve(options.port, options.state, options.region)


if __name__ == "__main__":
    main()
