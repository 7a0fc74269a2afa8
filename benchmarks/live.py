"""`alerts.channel_rate`: the most posts one channel received in any second of a burst into three, while Slack limits,
delays and loses calls; `live.gap_s`: the longest silence of a live message while one job trains.

Both are read from the receiver's own record of what came when.
"""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from benchmarks.figures import Figure, Figures, main, sandbox, say
from sandbox.person import Slack
from sandbox.record import Record
from state import database, outbox
from state.outbox import Priority

CHANNELS = ("C0DEV", "C0STAGING", "C0ALERTS")
EACH = 70
"""Messages a channel: at one a second a good minute."""
TROUBLE: Sequence[dict[str, Any]] = (
    {"kind": "ratelimited", "seconds": 1},
    {"kind": "delay", "seconds": 0.8, "count": 3},
    {"kind": "drop", "when": "after"},
    {"kind": "ratelimited", "seconds": 2},
    {"kind": "delay", "seconds": 0.3, "count": 2},
    {"kind": "http_500"},
)
EVERY_S = 4.0
"""Seconds between two troubles."""
LONGEST_S = 600.0


def measure() -> Figures:
    """One sandbox: first the training, then the burst."""
    with sandbox() as state:
        slack = Slack(Record(state).url())
        gap = longest_silence(slack)
        rate = busiest_second(slack, state)
        slack.close()
    return {
        "alerts.channel_rate": Figure(rate, "posts/s"),
        "live.gap_s": Figure(gap, "s"),
    }


def longest_silence(slack: Slack) -> float:
    """Seconds between two changes of the message of a training run, from its first word to its last state."""
    began = time.time()
    person = slack.person("U0DS1")
    live = person.asks("pipeline run", "Training run", "in dev")
    deadline = time.monotonic() + LONGEST_S
    while "Took" not in live["words"]:
        left = max(1.0, deadline - time.monotonic())
        live = person.sees(ts=live["ts"], min_changes=live["changes"] + 1, seconds=left)
    if "in dev: done" not in live["words"]:
        raise RuntimeError(f"the run did not end well:\n{live['words']}")
    edits = [call for call in calls(slack, "chat.update", began) if call["answer"]["ts"] == live["ts"]]
    times = [float(live["ts"]), *(call["at"] for call in edits)]
    silences = [later - earlier for earlier, later in itertools.pairwise(times)]
    say(f"{len(edits)} edits in {times[-1] - times[0]:.0f} s; longest silences {sorted(silences)[-3:]}")
    return max(silences)


def busiest_second(slack: Slack, state: Path) -> float:
    """The most posts one channel got in any second. Raises RuntimeError when a message is missing or came twice."""
    began = time.time()
    engine = database.engine(Record(state).read("settings.json")["DATABASE_URL"])
    slack.act("rules", channel_burst=1)
    said = [f"burst {channel} {number}" for number in range(EACH) for channel in CHANNELS]
    with engine.begin() as connection:
        for words in said:
            channel = words.split()[1]
            outbox.put(connection, "message", {"text": words}, priority=Priority.POST, channel=channel)
    for trouble in itertools.cycle(TROUBLE):
        if not queued(engine):
            break
        slack.act("fault", method="chat.postMessage", **trouble)
        time.sleep(EVERY_S)
    slack.act("fault", kind="clear")
    engine.dispose()
    posts = calls(slack, "chat.postMessage", began)
    got: dict[str, list[float]] = defaultdict(list)
    for call in posts:
        got[call["answer"]["channel"]].append(float(call["answer"]["ts"]))
    words = [call["arguments"]["text"] for call in posts]
    if sorted(words) != sorted(said):
        raise RuntimeError(f"{len(said)} messages were to be posted, {len(set(words))} were, {len(words)} times")
    limited = sum(call["status"] == 429 for call in slack.ask("journal", kind="api", since=began))
    say(f"{len(posts)} posts in {time.time() - began:.0f} s; {limited} calls were limited")
    return float(max(most_within_a_second(times) for times in got.values()))


def queued(engine: Engine) -> int:
    """Messages still to be sent."""
    with engine.begin() as connection:
        query = text("SELECT count(*) FROM outbox WHERE state IN ('queued', 'sending')")
        return connection.scalar(query) or 0


def calls(slack: Slack, method: str, since: float) -> list[dict[str, Any]]:
    """The calls of a method that were carried out, in the order they ended."""
    rows = slack.ask("journal", kind="api", since=since)
    return [row for row in rows if row["method"] == method and row["answer"].get("ok")]


def most_within_a_second(times: Sequence[float]) -> int:
    """The most of them in any stretch of one second."""
    return max(sum(start <= at < start + 1.0 for at in times) for start in times)


if __name__ == "__main__":
    main(__doc__ or "", measure)
