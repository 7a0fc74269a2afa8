"""The one process that owns all others: starts them in overlapping order, watches them, and stops them.

    tracking (MLflow) ......................................................... nobody waits for it
    database ─────────────┬─ worker (brings the schema up to date) ─┐
    AWS ── infra ─┬───────┘                                         ├─ ready
                  ├─ publish dev, staging ──────────────────────────┤
    survey ───────┴─ load ──────────────────────────────────────────┤
    web ── Slack, the page ─────────────────────────────────────────┘

The product is started by its own commands and settings, as an operator would start it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from sandbox.environment import BUCKET, ROOT, Environments, Ports
from sandbox.postgres import Postgres
from sandbox.processes import Child, adopt_orphans, kill_descendants, stop_all
from sandbox.record import Record

START_SECONDS = 120.0
KEPT_UP = ("web", "worker")
"""What is started again when it ends, as the platform would that runs it elsewhere."""
RESTARTS = 5
RESTARTS_WITHIN = 60.0
"""So often in so many seconds; what ends more often than that is broken, and the sandbox says so and ends."""
FIRST_PAUSE = 0.25
"""Seconds before the first of them; each further one waits twice as long."""


@dataclass(frozen=True)
class Choices:
    """What a person chose: the data set (None: a synthetic survey), its seed, where state lies, how to say progress."""

    state: Path
    ports: Ports
    data: Path | None
    seed: int
    say: Callable[[str], None] = print


class Supervisor:
    """One sandbox. `run` starts everything, calls `ready`, and returns when told to stop; raises `ChildFailed`."""

    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        self._state = choices.state
        self._ports = choices.ports
        self._environments = Environments(choices.state, choices.ports)
        self._record = Record(choices.state)
        self._token, self._secret = f"xoxb-{secrets.token_hex(16)}", secrets.token_hex(16)
        self._children: list[Child] = []
        self._database = Postgres(self._state / "postgres", self._environments.base(), self._log("database"))
        self._stopping = asyncio.Event()
        self._began = time.monotonic()

    async def run(self, ready: Callable[[], None]) -> None:
        """Start, say that it is ready, and watch until SIGINT or SIGTERM; everything is stopped on every way out."""
        adopt_orphans()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        try:
            await self._unless_stopped(self._start())
            if not self._stopping.is_set():
                ready()
                suggesting = asyncio.ensure_future(self._suggest())
                await self._watch()
                suggesting.cancel()
        finally:
            await self._stop()

    # --- starting --------------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        async with asyncio.timeout(START_SECONDS), asyncio.TaskGroup() as parts:
            await self._tracking()
            survey = parts.create_task(self._part("survey", self._survey()))
            database = parts.create_task(self._part("database", self._start_database()))
            aws = parts.create_task(self._part("AWS", self._start_aws()))
            infra = parts.create_task(self._after([aws], "roles, buckets and queue", self._infra))
            parts.create_task(self._after([infra, survey], "photos in the bucket", self._load))
            parts.create_task(self._after([infra], "pipelines published", self._publish))
            slack = parts.create_task(self._part("Slack and the page", self._start_slack()))
            parts.create_task(self._after([database, infra, slack], "the bot", self._start_bot))

    async def _after(self, needed: list[asyncio.Task[None]], name: str, part: Callable[[], Awaitable[None]]) -> None:
        await asyncio.gather(*needed)
        await self._part(name, part())

    async def _part(self, name: str, work: Awaitable[None]) -> None:
        began = time.monotonic()
        await work
        now = time.monotonic()
        self._choices.say(f"  {now - self._began:5.1f} s  {name} ({now - began:.1f} s)")

    async def _tracking(self) -> None:
        argv = [*self._python("sandbox.tracking"), "--port", str(self._ports.mlflow), "--state"]
        argv += [str(self._state / "mlflow"), "--artifacts", f"s3://{BUCKET}/dev/mlflow"]
        await self._spawn(Child("mlflow", argv, self._environments.aws("mlflow"), self._log("mlflow"), ROOT, nice=19))

    async def _survey(self) -> None:
        if self._choices.data is None:
            folder = self._state / "survey"
            argv = [*self._python("sandbox.imagery"), "--out", str(folder), "--seed", str(self._choices.seed)]
            await self._once("survey", argv, self._environments.base())

    async def _start_database(self) -> None:
        self._children.append(await self._database.start())

    async def _start_aws(self) -> None:
        argv = [*self._python("sandbox.aws"), "--port", str(self._ports.aws), "--state", str(self._state / "aws")]
        aws = await self._spawn(Child("aws", argv, self._environments.base(), self._log("aws"), ROOT))
        await self._healthy(aws, f"http://127.0.0.1:{self._ports.aws}/_sandbox/health")

    async def _infra(self) -> None:
        await self._once(
            "infra", [*self._python("infra"), "up", "--profile", "ab", "--yes"], self._environments.aws("ab")
        )

    async def _load(self) -> None:
        folder = self._choices.data or self._state / "survey"
        await self._once("load", [*self._python("sandbox.survey"), str(folder)], self._environments.aws("ab"))

    async def _publish(self) -> None:
        argv = [*self._python("pipeline.publish"), "--env", "dev", "staging", "--profile", "ab"]
        argv += ["--mlflow", f"http://127.0.0.1:{self._ports.mlflow}"]
        await self._once("publish", argv, self._environments.aws("ab"))

    async def _start_slack(self) -> None:
        argv = [*self._python("sandbox.slack"), "--port", str(self._ports.page), "--state", str(self._state / "slack")]
        argv += ["--request-url", f"http://127.0.0.1:{self._ports.web}/slack/events"]
        argv += ["--aws", f"http://127.0.0.1:{self._ports.aws}", "--mlflow", f"http://127.0.0.1:{self._ports.mlflow}"]
        argv += ["--commands", str(self._state / "commands.json")]
        env = self._environments.base() | {"SLACK_BOT_TOKEN": self._token, "SLACK_SIGNING_SECRET": self._secret}
        slack = await self._spawn(Child("slack", argv, env, self._log("slack"), ROOT))
        await self._healthy(slack, f"http://127.0.0.1:{self._ports.page}/_sandbox/health")

    async def _start_bot(self) -> None:
        settings = self._environments.bot(self._database.url, self._token, self._secret)
        self._record.settings(settings | self._environments.aws("ab"))
        worker = await self._spawn(self._honcho("worker", self._environments.aws("ab") | settings))
        web = await self._spawn(self._honcho("web", self._environments.base() | settings))
        await self._healthy(web, f"http://127.0.0.1:{self._ports.web}/health")
        await self._said(worker, "ready")

    async def _suggest(self) -> None:
        """What the page's command box suggests, as the bot itself describes it; nobody waits for it."""
        bot = await asyncio.create_subprocess_exec(
            *self._python("bot"), "commands", env=self._environments.base(), cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        described, _ = await bot.communicate()
        if bot.returncode:
            self._choices.say(f"  the page suggests no commands: `python -m bot commands` gave status {bot.returncode}")
            return
        aside = self._state / ".commands.json"
        aside.write_bytes(described)
        aside.replace(self._state / "commands.json")

    def _honcho(self, name: str, env: dict[str, str]) -> Child:
        argv = [*self._python("honcho"), "-e", str(self._state / "no.env"), "start", "--no-colour"]
        return Child(name, [*argv, "-p", str(self._ports.web), name], env, self._log(name), ROOT)

    # --- watching and stopping -------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Wait for the order to stop. Raises `ChildFailed` for a part that has ended and is not started again."""
        stopping = asyncio.ensure_future(self._stopping.wait())
        keeping = [asyncio.ensure_future(self._keep(child)) for child in self._children]
        try:
            done, _ = await asyncio.wait({stopping, *keeping}, return_when=asyncio.FIRST_COMPLETED)
            for ended in done - {stopping}:
                ended.result()
        finally:
            for task in (stopping, *keeping):
                task.cancel()
            await asyncio.gather(stopping, *keeping, return_exceptions=True)

    async def _keep(self, child: Child) -> None:
        """Wait for a part to end, and start it again if it is of the product. Raises `ChildFailed` when it is not."""
        died: list[float] = []
        while True:
            status = await child.wait()
            now = time.monotonic()
            died = [when for when in died if now - when < RESTARTS_WITHIN] + [now]
            if child.name not in KEPT_UP or len(died) > RESTARTS:
                raise child.failed(status)
            pause = FIRST_PAUSE * 2 ** (len(died) - 1)
            self._choices.say(f"  {child.name} ended with status {status}; it is started again in {pause:g} s")
            await asyncio.sleep(pause)
            await child.start()
            self._record.processes(self._children)

    async def _stop(self) -> None:
        database = self._database.server
        await stop_all(child for child in self._children if child is not database)
        if database is not None:
            await database.stop()
        self._database.close()
        kill_descendants(psutil.Process())
        self._record.forget()

    async def _unless_stopped(self, work: Awaitable[None]) -> None:
        """Do some work, or give it up when told to stop. Raises the first failure inside it."""
        working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not working.done():
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await working
            return
        try:
            working.result()
        except BaseExceptionGroup as failures:
            raise _first(failures) from None

    # --- small parts -----------------------------------------------------------------------------------------------

    def _python(self, module: str) -> list[str]:
        return [sys.executable, "-m", module]

    def _log(self, name: str) -> Path:
        return self._state / "log" / f"{name}.log"

    async def _spawn(self, child: Child) -> Child:
        await child.start()
        self._children.append(child)
        self._record.processes(self._children)
        return child

    async def _once(self, name: str, argv: list[str], env: dict[str, str]) -> None:
        await Child(name, argv, env, self._log(name), ROOT).run()

    async def _healthy(self, child: Child, url: str) -> None:
        """Wait until it answers 200. Raises `ChildFailed` when it ends first."""
        async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
            while child.running:
                with contextlib.suppress(httpx.HTTPError):
                    if (await client.get(url)).status_code == 200:
                        return
                await asyncio.sleep(0.05)
        raise child.failed(await child.wait())

    async def _said(self, child: Child, word: str) -> None:
        """Wait until a line of its log ends in a word. Raises `ChildFailed` when it ends first."""
        while child.running:
            if any(line.rstrip().endswith(word) for line in child.log.read_text(errors="replace").splitlines()):
                return
            await asyncio.sleep(0.05)
        raise child.failed(await child.wait())


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one failure to show: parts that waited for the broken one have failed with it."""
    failure: BaseException = failures
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
