"""The bot's processes, its terminal and its pages: `python -m bot web | socket | worker | run | doctor | …`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence

from bot.settings import WEB_THREADS, Settings, load, read
from pipeline.errors import GroundcrewError

MISUSED = 2
"""Exit status when the environment lacks something or a variable cannot be used."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the commands; returns the exit status. What is missing or wrong is one line on stderr."""
    options = _options().parse_args(argv)
    try:
        settings = _settings(options.process)
    except GroundcrewError as error:
        print(f"{error.message} {error.advice}".strip(), file=sys.stderr)
        return MISUSED
    try:
        if options.process == "web":
            return _web(settings)
        if options.process == "socket":
            return _socket(settings)
        if options.process == "worker":
            return _worker(settings)
        if options.process == "run":
            return _run(settings, options)
        if options.process == "doctor":
            return _doctor(settings)
        if options.process == "manifest":
            print(_manifest(options.socket), end="")
            return 0
        print({"commands": _commands, "docs": _docs}[options.process](), end="")
        return 0
    except GroundcrewError as error:
        print(f"{error.message} {error.advice}".strip(), file=sys.stderr)
        return 1


def _settings(process: str) -> Settings:
    """What the process needs of the environment; the doctor takes it as it is, and pages need nothing."""
    if process in ("web", "socket", "worker", "run"):
        return load(process)
    return read() if process == "doctor" else Settings.model_construct()


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bot", description=__doc__)
    processes = parser.add_subparsers(dest="process", required=True)
    processes.add_parser("web", help="serve Slack's deliveries on HOST:PORT")
    processes.add_parser("socket", help="take Slack's deliveries by Socket Mode, instead of web")
    processes.add_parser("worker", help="migrate the database, work on commands, post to Slack")
    run = processes.add_parser("run", help="do one command here, as a person whose role you may take")
    run.add_argument("--as", dest="user", required=True, metavar="USER", help="Slack user id")
    run.add_argument("--team", help="Slack workspace id (default: where the access file names the user)")
    run.add_argument("--json", action="store_true", help="print one JSON object")
    run.add_argument("--yes", action="store_true", help="answer a confirmation with yes")
    run.add_argument("line", metavar="COMMAND", help="what would be typed after the slash command")
    processes.add_parser("doctor", help="check what the bot stands on; each failure prints its fix")
    manifest = processes.add_parser("manifest", help="print slack-manifest.yaml")
    manifest.add_argument("--socket", action="store_true", help="for Socket Mode")
    processes.add_parser("commands", help="print all commands as JSON, with the roles that may use them")
    processes.add_parser("docs", help="write the generated pages below docs/ and say which")
    return parser


def _web(settings: Settings) -> int:
    """Become gunicorn: one process less, and signals reach it directly."""
    address = f"{settings.host}:{settings.port}"
    arguments = ["--bind", address, "--worker-class", "gthread", "--threads", str(WEB_THREADS), "--keep-alive", "75"]
    arguments += ["--no-control-socket", "--preload", "--log-level", "warning", "bot.web:create()"]
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", *arguments])  # noqa: S606  # no shell is wanted


def _socket(settings: Settings) -> int:
    from bot import sockets

    settings.start_logging()
    sockets.serve(settings)
    return 0


def _worker(settings: Settings) -> int:
    from bot import app

    settings.start_logging()
    app.worker(settings)
    return 0


def _run(settings: Settings, options: argparse.Namespace) -> int:
    from bot import app, terminal

    logging.basicConfig(level=logging.ERROR)
    line = f"{options.line} --yes" if options.yes else options.line
    reply, invocation = app.terminal(settings, options.team, options.user, line)
    print(terminal.as_json(reply, invocation) if options.json else terminal.lines(reply))
    return terminal.EXIT[reply.outcome]


def _doctor(settings: Settings) -> int:
    """Print every finding; the exit status is 1 when one of them is a failure."""
    from bot import app

    logging.basicConfig(level=logging.CRITICAL)
    findings = app.checkup(settings)
    for each in findings:
        print(f"{'ok  ' if each.fine else 'FAIL'}  {each.what}: {each.said}")
        if not each.fine:
            print(f"      {each.fix}")
    wrong = sum(not each.fine for each in findings)
    print(f"{wrong} of {len(findings)} checks failed." if wrong else f"All {len(findings)} checks are fine.")
    return 1 if wrong else 0


def _manifest(socket: bool) -> str:
    from bot.manifest import manifest

    return manifest(socket=socket)


def _commands() -> str:
    from commands import all_commands
    from commands.parsing import usage
    from iam.mapping import ROLES

    found = [
        {"name": each.name, "summary": each.summary, "usage": usage(each), "example": each.example}
        | {"roles": [role for role in ROLES if each.open_to(role)]}
        for each in all_commands().values()
    ]
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def _docs() -> str:
    from bot.docs import write

    return "".join(f"{path}\n" for path in write())


if __name__ == "__main__":
    sys.exit(main())
