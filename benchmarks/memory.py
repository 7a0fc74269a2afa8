"""`web.rss_mib` and `worker.rss_mib`: proportional memory of the process trees after 100 commands by five people."""

from __future__ import annotations

import itertools
from pathlib import Path

import psutil

from benchmarks.figures import Figure, Figures, main, sandbox
from sandbox.person import Slack
from sandbox.record import Record

PEOPLE = ("U0DS1", "U0DS2", "U0ML1", "U0ML2", "U0STK")
LINES = ("whoami", "help", "pipeline list", "registry list", "approvals list")
COMMANDS = 100


def measure() -> Figures:
    """What honcho starts for a line of the Procfile: the shell's child and all below it."""
    with sandbox() as state:
        work(state)
        trees = {row["name"]: psutil.Process(row["pid"]) for row in Record(state).read("processes.json")}
        return {f"{name}.rss_mib": Figure(pss_mib(trees[name]), "MiB") for name in ("web", "worker")}


def work(state: Path) -> None:
    """A hundred commands, five people taking turns in five channels of their own."""
    slack = Slack(Record(state).url())
    for number, user in zip(range(COMMANDS), itertools.cycle(PEOPLE), strict=False):
        person = slack.person(user)
        after = person.types(LINES[number // len(PEOPLE) % len(LINES)])
        person.sees(after=after, seconds=60)
    slack.close()


def pss_mib(honcho: psutil.Process) -> float:
    """PSS (shared pages divided among their sharers) of everything of ours below honcho, MiB."""
    ours = [process for process in honcho.children(recursive=True) if "honcho" not in " ".join(process.cmdline())]
    return sum(process.memory_full_info().pss for process in ours) / 2**20


if __name__ == "__main__":
    main(__doc__ or "", measure)
