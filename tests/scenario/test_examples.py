"""Every example of the documents is typed, by somebody who may, in a sandbox where nothing has been trained yet.

The things they name are made up, so many answers are that there is no such thing; none may be AWS's refusal, a command
that nobody understands, or a defect.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bot.wording import unforeseen
from commands import all_commands
from commands.command import Command
from iam.mapping import ROLES
from pipeline.names import ENVIRONMENTS
from sandbox.person import Person, Slack
from sandbox.record import Record
from tests.conftest import start, stop
from tests.scenario.test_wire import wait_until
from tests.unit.test_docs import examples

PEOPLE = {"data-scientist": "U0DS1", "ml-engineer": "U0ML1", "stakeholder": "U0STK"}
UNREADABLE = "alerts test"
"""Its example is an event that is cut short."""

REFUSED = "AWS refused"
"""How an answer begins that says AWS did not take a request."""


class Typing:
    """People who type one line after the other, and what the audit log says of each."""

    def __init__(self, state: Path) -> None:
        self._slack = Slack(Record(state).url())
        self._database = psycopg.connect(Record(state).read("settings.json")["DATABASE_URL"], autocommit=True)
        self._closed = 0

    def close(self) -> None:
        self._database.close()
        self._slack.close()

    def outcome(self, role: str, line: str) -> tuple[str, str]:
        """How it ended and what was said first."""
        person: Person = self._slack.person(PEOPLE[role])
        person.types(line)
        self._closed += 1
        wait_until(lambda: len(self._endings()) >= self._closed)
        return self._endings()[-1]

    def _endings(self) -> list[tuple[str, str]]:
        rows = self._database.execute("SELECT outcome, detail FROM audit WHERE phase = 'closed' ORDER BY id")
        return [(str(outcome), str(detail)) for outcome, detail in rows.fetchall()]


@pytest.fixture(scope="module")
def typing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Typing]:
    state = tmp_path_factory.mktemp("examples")
    state.chmod(0o755)
    said = start(state, "--seed", "7")
    assert said.returncode == 0, said.stderr
    typed = Typing(state)
    try:
        yield typed
    finally:
        typed.close()
        stop(state)


def named(line: str) -> Command:
    """The command of a line; of a noun alone, help."""
    words = line.split()
    names = (" ".join(words[:length]) for length in (3, 2, 1))
    return all_commands()[next((name for name in names if name in all_commands()), "help")]


def role_for(command: Command, line: str) -> str:
    """Somebody who may do this where the line says, or may ask for it."""
    env = next((name for name in ENVIRONMENTS if re.search(rf"\b{name}\b", line)), None)
    able = [role for role in ROLES if command.may(role, env)]
    return (able or [role for role in ROLES if command.open_to(role)])[0]


def lines() -> list[str]:
    """What is an example in a document, or of a command in its own words; neither words alone nor what is cut short."""
    found = {*examples(), *(each.example for each in all_commands().values())}
    return sorted(line for line in found if not line.startswith(UNREADABLE))


@pytest.mark.parametrize("line", lines())
def test_an_example_works(typing: Typing, line: str) -> None:
    outcome, said = typing.outcome(role_for(named(line), line), line)
    assert outcome != "denied", said
    assert not said.startswith((unforeseen("").title, REFUSED)), said
