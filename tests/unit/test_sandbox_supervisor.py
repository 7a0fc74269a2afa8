"""The supervisor as the product's platform: what dies is started again, and what dies too often is said."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sandbox import supervisor
from sandbox.environment import Ports
from sandbox.processes import Child, ChildFailed
from sandbox.supervisor import Choices, Supervisor


def in_a_thread(work: Any) -> Any:
    """Run a coroutine where no other loop runs: the browser's own holds the main thread in the whole suite."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def watched(state: Path, name: str, program: str) -> tuple[list[str], Child]:
    """Watch one child until the supervisor gives up; what was said, and the child."""
    said: list[str] = []
    child = Child(name, [sys.executable, "-c", program], {}, state / "log" / name, state)

    async def run() -> None:
        # Made inside the loop, as its events belong to it.
        sandbox = Supervisor(Choices(state, Ports(1, 2, 3, 4), None, 1, said.append))
        await sandbox._spawn(child)
        await sandbox._watch()

    with pytest.raises(ChildFailed, match=f"{name} ended with status 3"):
        in_a_thread(run())
    return said, child


def test_a_worker_that_dies_is_started_again_a_few_times_and_then_the_sandbox_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 0.001)
    said, child = watched(tmp_path, "worker", "print('up', flush=True); raise SystemExit(3)")
    assert child.log.read_text().count("up") == 1 + supervisor.RESTARTS
    assert [line.split("again in ")[1] for line in said] == ["0.001 s", "0.002 s", "0.004 s", "0.008 s", "0.016 s"]


def test_what_is_not_of_the_product_ends_the_sandbox(tmp_path: Path) -> None:
    said, child = watched(tmp_path, "aws", "print('up', flush=True); raise SystemExit(3)")
    assert child.log.read_text().count("up") == 1
    assert said == []
