"""The access file: who is who, and every mistake in it named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from iam.mapping import ROLES, AccessFile, load
from pipeline.errors import BadInput

ROOT = Path(__file__).resolve().parents[2]
GOOD = """contact: an ML engineer
teams:
  T0AA:
    data-scientist: [U0A1, U0A2]
    ml-engineer:
      - U0B1
  T0BB:
    ml-engineer: [U0A1]
    stakeholder: []
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "access.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_person_has_the_role_of_their_own_team(tmp_path: Path) -> None:
    access = load(written(tmp_path, GOOD))
    assert access.role_of("T0AA", "U0A1") == "data-scientist"
    assert access.role_of("T0BB", "U0A1") == "ml-engineer"
    assert access.role_of("T0CC", "U0A1") is None
    assert access.role_of("T0AA", "U0NEW") is None
    assert access.members("ml-engineer") == ["U0B1", "U0A1"]
    assert access.members("ml-engineer", "T0AA") == ["U0B1"]


def test_somebody_without_a_role_is_told_whom_to_ask(tmp_path: Path) -> None:
    advice = load(written(tmp_path, GOOD)).advice("U0NEW")
    assert "an ML engineer" in advice
    assert "U0NEW" in advice


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("stakeholder", "king", 9, "unknown role 'king'"),
        ("[U0A1, U0A2]", "[U0A1, U0A1]", 4, "U0A1 is named twice"),
        ("- U0B1", "- U0A1", 6, "U0A1 is named twice"),
        ("- U0B1", "- bob", 6, "'bob' is not the id of a Slack user"),
        ("- U0B1", "- [U0B1]", 6, "must be a text"),
        ("- U0B1", "- S0GROUP1", 6, "S0GROUP1 is a user group, and a group never grants staging or prod"),
        ("- U0B1", '- "<!subteam^S0GROUP1|ml>"', 6, "is a user group, and a group never grants staging or prod"),
        ("- U0B1", '- "@ml-engineers"', 6, "is a user group, and a group never grants staging or prod"),
        ("stakeholder: []", "stakeholder: [S0GROUP1]", 9, "a group never grants staging or prod"),
        ("[U0A1, U0A2]", "[U0A1, S0GROUP1]", 4, "S0GROUP1 is a user group; name the people"),
        ("contact: an ML engineer", "contact: x\nnotify: C0PROD", 2, "notify must be a mapping"),
        ("contact: an ML engineer", "contact: x\nnotify: {king: C0PROD}", 2, "unknown role 'king'"),
        (
            "contact: an ML engineer",
            "contact: x\nnotify: {stakeholder: '#x'}",
            2,
            "'#x' is not the id of a Slack channel",
        ),
        ("[U0A1, U0A2]", "U0A1", 4, "must be a list"),
        ("T0BB", "T0AA", 7, "'T0AA' is there twice"),
        ("T0BB", "acme", 7, "'acme' is not the id of a Slack team"),
        ("contact", "kontakt", 1, "unknown entry 'kontakt'"),
        ("T0BB:\n    ml-engineer: [U0A1]\n    stakeholder: []", "T0BB: U0A1", 7, "must be a mapping"),
        ("an ML engineer", "", 1, "must be a text"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        load(written(tmp_path, GOOD.replace(old, new, 1)))
    assert f"line {line}:" in caught.value.message
    assert words in caught.value.message
    assert caught.value.advice


@pytest.mark.parametrize("text", ["", "[]", "contact: x", "teams: {}", "contact: ["])
def test_what_is_no_access_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput, match=r"access\.yaml"):
        load(written(tmp_path, text))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        load(tmp_path / "nowhere.yaml")


def test_the_project_s_own_files_are_good() -> None:
    assert set(load(ROOT / "iam" / "access.yaml").roles.values()) == set(ROLES)
    sandbox = load(ROOT / "sandbox" / "config" / "access.yaml")
    assert sandbox.members("ml-engineer") == ["U0ML1", "U0ML2", "U0GONE"]
    assert sandbox.role_of("T0GC", "U0NEW") is None


def test_whom_to_notify_is_a_list_of_its_own(tmp_path: Path) -> None:
    assert load(written(tmp_path, GOOD)).notify == {}
    access = load(written(tmp_path, GOOD + "notify:\n  ml-engineer: C0PROD\n"))
    assert access.notify == {"ml-engineer": "C0PROD"}
    assert access.members("ml-engineer", "T0AA") == ["U0B1"]


def test_the_file_counts_as_it_is_now(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    access = AccessFile(path)
    assert access.now() is access.now()
    assert access.now().of_team("T0AA") == {"U0A1": "data-scientist", "U0A2": "data-scientist", "U0B1": "ml-engineer"}
    written(tmp_path, GOOD.replace("      - U0B1", "      - U0C1"))
    assert access.now().role_of("T0AA", "U0B1") is None
    written(tmp_path, GOOD.replace("stakeholder", "king"))
    for _ in range(2):
        with pytest.raises(BadInput, match="line 9: unknown role 'king'"):
            access.now()
    path.unlink()
    with pytest.raises(BadInput, match="cannot be read"):
        access.now()
    assert "U0B1" in str(AccessFile(written(tmp_path, GOOD)).now().roles)
