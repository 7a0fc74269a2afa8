"""What a running sandbox writes down in its state folder, so that `down`, `status` and a second `up` find it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from sandbox.environment import Ports
from sandbox.processes import Child, same_process


class Record:
    """Files in one state folder: who runs it, since when it is ready, its ports, processes and settings."""

    def __init__(self, state: Path) -> None:
        self._state = state

    def begin(self, ports: Ports) -> None:
        """Write down that this process is the supervisor now."""
        self._state.mkdir(parents=True, exist_ok=True)
        self._write("sandbox.json", _identity(os.getpid()))
        self._write("ports.json", asdict(ports))
        self.file("url").write_text(f"http://127.0.0.1:{ports.page}/\n")

    def ready(self, seconds: float) -> None:
        """A command would be answered now; `seconds` since the start."""
        self._write("ready.json", {"seconds": round(seconds, 2)})

    def processes(self, children: Iterable[Child]) -> None:
        """What is running."""
        running = [child for child in children if child.running]
        self._write("processes.json", [{"name": child.name} | _identity(child.pid) for child in running])

    def settings(self, values: Mapping[str, str]) -> None:
        """The worker's environment, for `python -m bot run` and for tests; readable by its owner only."""
        self._write("settings.json", dict(values))

    def forget(self) -> None:
        """Nothing is running any more."""
        for name in ("sandbox.json", "ready.json", "processes.json", "settings.json", "url"):
            self.file(name).unlink(missing_ok=True)

    def supervisor(self) -> psutil.Process | None:
        """The process that runs this sandbox, if it is alive."""
        who = self.read("sandbox.json")
        return same_process(who["pid"], who["created"]) if who else None

    def leftovers(self) -> list[psutil.Process]:
        """Recorded processes that are still alive, and all below them."""
        rows = self.read("processes.json") or []
        alive = [process for row in rows if (process := same_process(row["pid"], row["created"]))]
        return [*alive, *(below for process in alive for below in process.children(recursive=True))]

    def url(self) -> str:
        """The page's address; empty when nothing runs."""
        return self.file("url").read_text().strip() if self.file("url").exists() else ""

    def file(self, name: str) -> Path:
        """A file of the record."""
        return self._state / name

    def read(self, name: str) -> Any:
        """Content of a JSON file of the record; None when there is none."""
        return json.loads(self.file(name).read_text()) if self.file(name).exists() else None

    def _write(self, name: str, content: Any) -> None:
        """Written aside and moved into place: a reader never sees half a file."""
        aside = self.file(f".{name}")
        aside.touch(mode=0o600)
        aside.write_text(json.dumps(content, indent=1) + "\n")
        aside.replace(self.file(name))


def _identity(pid: int) -> dict[str, Any]:
    return {"pid": pid, "created": psutil.Process(pid).create_time()}
