"""`socket.refresh_ms`: a click right after Slack has refreshed a Socket Mode connection, to its acknowledgement.

The median of twenty, one at a time: the process `python -m bot socket`, which stores before it acknowledges, and the
Slack stand-in, which spreads envelopes over all connections, the new one included.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.ack import free_ports, started
from benchmarks.figures import ROOT, Figure, Figures, main, say
from sandbox.person import Slack
from sandbox.postgres import Postgres
from sandbox.processes import Child
from state import database

SAMPLES = 20
CONNECTIONS = 2
LONGEST_S = 30.0


def measure() -> Figures:
    """One database, one workspace, one process in Socket Mode."""
    found = asyncio.run(refreshed())
    say(f"the slowest took {max(found):.0f} ms")
    return {"socket.refresh_ms": Figure(statistics.median(found), "ms")}


async def refreshed() -> list[float]:
    """Milliseconds of each acknowledgement."""
    with TemporaryDirectory(prefix="groundcrew-bench-") as folder:
        place, (port, _) = Path(folder), free_ports()
        env = {"PATH": os.environ["PATH"], "SLACK_BOT_TOKEN": "xoxb-b", "SLACK_SIGNING_SECRET": "b"}
        env |= {"SLACK_APP_TOKEN": "xapp-b"}
        postgres = Postgres(place / "postgres", env, place / "postgres.log")
        children = [await postgres.start()]
        try:
            database.migrate(database.engine(postgres.url.replace("postgresql:", "postgresql+psycopg:")))
            argv = [sys.executable, "-m", "sandbox.slack", "--port", str(port), "--state", str(place / "slack")]
            argv += ["--request-url", "http://127.0.0.1:9/", "--no-rates"]
            children.append(await started("slack", argv, env, place, port))
            settings = env | {"DATABASE_URL": postgres.url, "SLACK_API_URL": f"http://127.0.0.1:{port}/api/"}
            bot = Child("bot", [sys.executable, "-m", "bot", "socket"], settings, place / "bot.log", ROOT)
            await bot.start()
            children.append(bot)
            return await asyncio.to_thread(clicked, f"http://127.0.0.1:{port}")
        finally:
            for child in reversed(children):
                await child.stop()
            postgres.close()


def clicked(url: str) -> list[float]:
    """Refresh a connection, act at once, wait until both are there again."""
    slack = Slack(url)
    found = []
    for _ in range(SAMPLES):
        whole(slack)
        slack.act("refresh", reason="refresh_requested")
        answer = slack.act("command", user="U0DS1", channel="C0DEV", text="/mlops whoami")
        if not answer["ok"]:
            raise RuntimeError(f"not acknowledged: {answer['error']}")
        found.append(float(answer["ack_ms"]))
    slack.close()
    return found


def whole(slack: Slack) -> None:
    """Wait until all connections are open. Raises RuntimeError when they never are."""
    deadline = time.monotonic() + LONGEST_S
    while slack.act("refresh")["connections"] < CONNECTIONS:
        if time.monotonic() > deadline:
            raise RuntimeError("the connections were not opened again")
        time.sleep(0.02)


if __name__ == "__main__":
    main(__doc__ or "", measure)
