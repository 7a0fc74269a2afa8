"""Child processes that do not outlive the supervisor.

Each runs in its own session, writes to its own log, and is stopped with everything it started.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

STOP_SECONDS = 8.0
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


class ChildFailed(Exception):
    """A process that was needed has ended; the message names it and shows the last lines it wrote."""


@dataclass
class Child:
    """A program the sandbox runs. `stop_signal` asks it to end; after `STOP_SECONDS` it is killed."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log: Path
    cwd: Path
    nice: int = 0
    stop_signal: signal.Signals = signal.SIGTERM
    user: int | None = None
    process: asyncio.subprocess.Process | None = field(default=None, init=False)

    async def start(self) -> None:
        """Start it. On Linux it is told to end when the supervisor dies, whatever killed that.

        Must be called from the main thread: the kernel ties the promise to the thread that forks.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *self.argv,
                env=dict(self.env),
                cwd=self.cwd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_leash(self.stop_signal, self.nice),
                **({} if self.user is None else {"user": self.user, "group": self.user, "extra_groups": []}),
            )

    @property
    def pid(self) -> int:
        """Process id; only after `start`."""
        assert self.process is not None  # noqa: S101 (a programming error, not a state a person can reach)
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self.process is not None and self.process.returncode is None

    async def wait(self) -> int:
        """Wait until it ends; its exit status (negative: the signal that ended it)."""
        assert self.process is not None  # noqa: S101
        return await self.process.wait()

    async def run(self) -> None:
        """Start it, wait, and raise `ChildFailed` unless it exits with 0."""
        await self.start()
        if status := await self.wait():
            raise self.failed(status)

    def failed(self, status: int) -> ChildFailed:
        """An error that says how it ended and what it said last."""
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return ChildFailed(f"{self.name} {how}. Its last lines ({self.log}):\n{tail(self.log)}")

    async def stop(self) -> None:
        """Ask it to end, and kill it and its session when it does not."""
        if not self.running:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, self.stop_signal)
        try:
            await asyncio.wait_for(self.wait(), STOP_SECONDS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            await self.wait()


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies (Linux), so that `kill_descendants` finds it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_descendants(of: psutil.Process) -> None:
    """Kill whatever is still running below a process, and collect the dead."""
    left = of.children(recursive=True)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=STOP_SECONDS)


def same_process(pid: int, created: float) -> psutil.Process | None:
    """The running process with this id and creation time (epoch seconds); None when it is gone or is another one."""
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - created) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if same else None


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log file, indented for the screen."""
    text = log.read_text(errors="replace").splitlines()[-lines:] if log.exists() else []
    return "\n".join(f"    {line}" for line in text) or "    (it wrote nothing)"


async def stop_all(children: Iterable[Child]) -> None:
    """Stop several at once."""
    await asyncio.gather(*(child.stop() for child in children))


def _leash(stop_signal: signal.Signals, nice: int) -> Callable[[], None]:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def between_fork_and_exec() -> None:
        if nice:
            os.nice(nice)
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, int(stop_signal), 0, 0, 0)

    return between_fork_and_exec
