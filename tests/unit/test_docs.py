"""What is documented is what there is: settings, commands with their options, processes, public functions, examples."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
from collections.abc import Iterator

import pytest

from bot import docs
from bot.__main__ import _options
from bot.settings import Settings
from commands import all_commands
from commands.parsing import options, parse
from tests.unit.test_imports import PRODUCT, ROOT, sources

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
INSTALL = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
PLACEHOLDER = re.compile(r"[<\[…|{]|\.\.\.")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented(name: str) -> None:
    assert f"`{name.upper()}`" in INSTALL


def test_no_setting_is_documented_that_is_none() -> None:
    table = INSTALL.split("| variable | what |")[1].split("\n\n")[0]
    told = {name for row in table.splitlines() for name in re.findall(r"`([A-Z_]{3,})`", row.split(" | ")[0])}
    assert told == {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("name", all_commands())
def test_every_command_and_option_is_documented(name: str) -> None:
    page = (docs.ROOT / "docs/commands.md").read_text(encoding="utf-8")
    entry = page.split(f"\n### {name}\n")[1].split("\n### ")[0]
    for option in options(all_commands()[name]):
        assert option.hidden or option.label.split()[0].replace("|", "\\|") in entry
        assert option.help, f"{name}: {option.name} has no help"


def test_every_process_of_the_bot_is_documented_and_says_what_it_does() -> None:
    (processes,) = [each for each in _options()._actions if isinstance(each, argparse._SubParsersAction)]
    told = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    helped = {each.dest for each in processes._choices_actions if each.help}
    for name in processes.choices:
        assert name in helped
        assert f"python -m bot {name}" in told or f"`{name}`" in told, name


def undocumented(package: str) -> Iterator[str]:
    for path in sources(package):
        if "migrations" in path.parts:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
        for holder in (tree, *classes):
            for node in holder.body:
                # What only promises (a Protocol's property) is described by its class.
                if isinstance(node, ast.FunctionDef) and ast.unparse(node.body[-1]) == "...":
                    continue
                public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
                if public and ast.get_docstring(node) is None:
                    yield f"{path.relative_to(ROOT)}: {node.name}"


@pytest.mark.parametrize("package", PRODUCT)
def test_every_public_function_says_what_it_does(package: str) -> None:
    assert list(undocumented(package)) == []


def examples() -> list[str]:
    """Every `/mlops …` of the documents that is a whole line and no pattern."""
    found = {line for page in PAGES for line in re.findall(r"`/mlops ([^`\n]+)`", page.read_text(encoding="utf-8"))}
    return sorted(line for line in found if not PLACEHOLDER.search(line))


@pytest.mark.parametrize("line", examples())
def test_every_example_in_a_document_is_a_command(line: str) -> None:
    words = shlex.split(line)
    known = {" ".join(words[:length]).lower() for length in (1, 2, 3)}
    assert known & all_commands().keys() or words[0] in {name.split()[0] for name in all_commands()}, line
    if "alerts test" not in line and not known & {"access request"}:
        parse(line)


def test_every_link_between_documents_leads_somewhere() -> None:
    wrong = []
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
            if not (page.parent / target).exists():
                wrong.append(f"{page.relative_to(ROOT)} → {target}")
    assert wrong == []
