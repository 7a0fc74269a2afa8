"""`python -m sandbox.slack`: run the workspace on loopback until it is stopped."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from sandbox.slack.app import Around, build
from sandbox.slack.config import DEFAULT_FILE, Secrets, load

HOST = "127.0.0.1"


class Server(uvicorn.Server):
    """Ends the open event streams first, so that stopping does not wait for browsers."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop serving."""
        app = self.config.app
        if isinstance(app, Starlette):
            app.state.feed.close()
        await super().shutdown(sockets)


def arguments(argv: list[str]) -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.slack", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="port of page and Web API")
    parser.add_argument("--state", type=Path, required=True, help="folder for uploaded files and the journal")
    parser.add_argument("--request-url", required=True, help="where the app takes deliveries")
    parser.add_argument("--aws", help="address of the AWS stand-in, for the inspector")
    parser.add_argument("--mlflow", help="address of the MLflow page")
    parser.add_argument("--commands", type=Path, help="JSON file with the commands to suggest")
    parser.add_argument("--workspace", type=Path, default=DEFAULT_FILE, help="workspace file")
    parser.add_argument("--no-rates", action="store_true", help="do not limit how often the app may call")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Serve until a signal. Returns the exit code."""
    asked = arguments(argv)
    missing = [name for name in ("SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET") if not os.environ.get(name)]
    if missing:
        print(f"set {' and '.join(missing)}: the app and the workspace share them", file=sys.stderr)
        return 2
    config = load(asked.workspace)
    if asked.no_rates:
        config.rules.rates = False
    around = Around(
        base_url=f"http://{HOST}:{asked.port}",
        state=asked.state.resolve(),
        request_url=asked.request_url,
        aws_url=asked.aws,
        mlflow_url=asked.mlflow,
        commands=asked.commands,
    )
    app_token = os.environ.get("SLACK_APP_TOKEN", "")
    secrets = Secrets(os.environ["SLACK_BOT_TOKEN"], os.environ["SLACK_SIGNING_SECRET"], app_token)
    served = uvicorn.Config(
        build(config, secrets, around),
        host=HOST,
        port=asked.port,
        ws="websockets-sansio" if app_token else "none",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=3,
    )
    server = Server(served)
    server.run()
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
