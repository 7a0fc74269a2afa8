"""AWS and Slack on this machine: `python -m sandbox demo | up | down | status | tour`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import time
import webbrowser
from pathlib import Path

import psutil

from sandbox import survey
from sandbox.environment import ROOT, PortTaken, choose_ports
from sandbox.processes import ChildFailed
from sandbox.record import Record
from sandbox.supervisor import Choices, Supervisor

DEFAULT_PORT = 8420
STOP_SECONDS = 30.0
FIRST_WORDS = """
  The page: {url}
  Choose who you are on the left, open #ml-dev and type:

    /mlops whoami          who AWS thinks you are
    /mlops pipeline run    train a real YOLO11 and watch it
    /mlops help            everything else
"""


def main(argv: list[str] | None = None) -> int:
    """Run one of the commands; returns the exit status."""
    options = _options().parse_args(argv)
    try:
        return {"demo": _demo, "up": _up, "down": _down, "status": _status, "tour": _tour}[options.command](options)
    except (PortTaken, survey.NotADataSet, ChildFailed) as error:
        print(error, file=sys.stderr)
        return 1


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, words in (
        ("demo", "start in the foreground and open the page; Ctrl-C stops it"),
        ("up", "start in the background; returns when a command would be answered"),
        ("tour", "start afresh, play the whole story, stop"),
        ("down", "stop what `up` started"),
        ("status", "what runs, and where"),
    ):
        command = commands.add_parser(name, help=words)
        command.add_argument("--state", type=Path, help="folder for everything a run writes (default: var)")
        if name in ("demo", "up"):
            command.add_argument("--port", type=int, default=DEFAULT_PORT, help="the page's port; 0: any free one")
        if name in ("demo", "up", "tour"):
            command.add_argument("--data", type=Path, help="a YOLO data set instead of the synthetic survey")
            command.add_argument("--seed", type=int, help="seed of the synthetic survey (default: a fresh one)")
        if name == "tour":
            command.add_argument("--map-threshold", type=float, help="mAP50 gate of the run (default: the pipeline's)")
        if name == "up":
            command.add_argument("--attached", action="store_true", help=argparse.SUPPRESS)
    return parser


def _state(options: argparse.Namespace) -> Path:
    return (options.state or ROOT / "var").resolve()


def _demo(options: argparse.Namespace) -> int:
    if (running := _running(_state(options))) is not None:
        return running
    if options.data:
        survey.check(options.data)
    choose_ports(options.port or None)
    _clear(_state(options))
    return _serve(options, opened=True)


def _serve(options: argparse.Namespace, *, opened: bool) -> int:
    """Be the supervisor until told to stop."""
    began = time.monotonic()
    data = survey.check(options.data) if options.data else None
    ports = choose_ports(options.port or None)
    state, record = _state(options), Record(_state(options))
    record.begin(ports)
    seed = options.seed if options.seed is not None else secrets.randbelow(1_000_000)
    what = f"the photos in {data}" if data else f"a synthetic survey, seed {seed}"
    print(f"Starting Groundcrew with {what}. State and logs: {state}", flush=True)

    def ready() -> None:
        record.ready(time.monotonic() - began)
        url = record.url()
        print(f"Ready after {time.monotonic() - began:.1f} s.")
        print(FIRST_WORDS.format(url=url), flush=True)
        if opened and _display():
            webbrowser.open(url)

    def say(line: str) -> None:
        print(line, flush=True)

    asyncio.run(Supervisor(Choices(state, ports, data, seed, say)).run(ready))
    print("Stopped.", flush=True)
    return 0


def _up(options: argparse.Namespace) -> int:
    state = _state(options)
    if options.attached:
        return _serve(options, opened=False)
    if (running := _running(state)) is not None:
        return running
    if options.data:
        survey.check(options.data)
    choose_ports(options.port or None)  # refuse before anything is started or removed
    log = state / "log" / "sandbox.log"
    _clear(state)
    log.parent.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "sandbox", "up", "--attached", "--state", str(state), "--port", str(options.port)]
    argv += ["--data", str(options.data.expanduser().resolve())] if options.data else []
    argv += ["--seed", str(options.seed)] if options.seed is not None else []
    with log.open("wb") as output:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=ROOT, start_new_session=True
        )
    return _follow(child, log, Record(state))


def _follow(child: subprocess.Popen[bytes], log: Path, record: Record) -> int:
    """Show what the new supervisor says until it is ready (0) or has given up (1). Ctrl-C stops it."""
    try:
        with log.open(errors="replace") as said:
            while True:
                ended, ready = child.poll() is not None, record.file("ready.json").exists()
                print(said.read(), end="", flush=True)
                if ended:
                    return 1
                if ready:
                    return 0
                time.sleep(0.05)
    except KeyboardInterrupt:
        child.terminate()
        child.wait(STOP_SECONDS)
        return 130


def _running(state: Path) -> int | None:
    record = Record(state)
    if record.supervisor() is None:
        return None
    print(f"Groundcrew is already running: {record.url()} (`make down` stops it)")
    return 0


def _down(options: argparse.Namespace) -> int:
    record = Record(_state(options))
    supervisor = record.supervisor()
    if supervisor is not None:
        supervisor.terminate()
        with contextlib.suppress(psutil.TimeoutExpired):
            supervisor.wait(STOP_SECONDS)
    left = ([supervisor] if supervisor is not None and supervisor.is_running() else []) + record.leftovers()
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=STOP_SECONDS)
    record.forget()
    print("Stopped." if supervisor or left else "Nothing is running.")
    return 0


def _status(options: argparse.Namespace) -> int:
    record = Record(_state(options))
    if record.supervisor() is None:
        print("Nothing is running. `make up` starts it.")
        return 3
    print(f"Groundcrew is {'ready' if record.file('ready.json').exists() else 'starting'}: {record.url()}")
    for row in record.read("processes.json") or []:
        print(f"  {row['name']:10} pid {row['pid']}")
    return 0


def _tour(options: argparse.Namespace) -> int:
    from sandbox.tour import play

    return play.main(options)


def _clear(state: Path) -> None:
    """Every start is a new world: the stand-ins remember nothing, so the database must not either."""
    for name in ("aws", "slack", "postgres", "mlflow", "survey", "log", "home", "tmp"):
        shutil.rmtree(state / name, ignore_errors=True)
    Record(state).forget()


def _display() -> bool:
    return sys.platform == "darwin" or any(name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY"))


if __name__ == "__main__":
    sys.exit(main())
