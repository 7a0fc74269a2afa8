"""The example notebooks: stored without outputs, and every cell of them works on a survey in a folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import notebooks
from tests.notebooks import FOLDER, ROOT, cells, run

FIGURE_BYTES = 5_000
"""An empty figure is smaller."""


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("survey")
    argv = [sys.executable, "-m", "sandbox.imagery", "--out", str(folder), "--seed", "3"]
    subprocess.run(argv, cwd=ROOT, check=True, capture_output=True)
    return folder


def test_every_notebook_is_known_to_the_tests() -> None:
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(notebooks.ALL)


@pytest.mark.parametrize("name", notebooks.ALL)
def test_a_notebook_is_stored_clean(name: str) -> None:
    found = cells(name)
    assert found[0]["cell_type"] == "markdown"
    assert found[0]["source"][0].startswith("# ")
    assert len({cell["id"] for cell in found}) == len(found)
    code = [cell for cell in found if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert [cell["metadata"].get("tags") for cell in found].count(["parameters"]) == 1


def test_the_survey_is_explored_as_it_is(survey: Path, tmp_path: Path) -> None:
    labels = sorted((survey / "labels").glob("*.txt"))
    rows = [line.split() for label in labels for line in label.read_text().splitlines() if line.strip()]
    classes = (survey / "classes.txt").read_text().split()
    ran = run("explore_dataset", tmp_path, DATA=str(survey), SHOWN=5)
    photos = list((survey / "images").iterdir())
    assert ran.summary["photos"] == len(photos)
    assert ran.summary["flights"] == len({photo.stem.rpartition("_")[0] for photo in photos})
    assert ran.summary["unlabelled"] == len(photos) - len(labels)
    assert ran.summary["objects"] == {name: sum(row[0] == str(n) for row in rows) for n, name in enumerate(classes)}
    assert all(0 < size < 160 for size in ran.summary["median_size"].values())
    assert len(ran.figures) == 3
    assert all(figure.stat().st_size > FIGURE_BYTES for figure in ran.figures)


def test_a_survey_without_photos_is_no_survey(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("car\n")
    with pytest.raises(AssertionError, match="explore_dataset failed"):
        run("explore_dataset", tmp_path, DATA=str(tmp_path))


def test_a_prototype_is_really_trained(survey: Path, tmp_path: Path) -> None:
    ran = run("prototype_model", tmp_path, DATA=str(survey), PHOTOS=8, EPOCHS=1, IMAGE_SIZE=64)
    assert sum(ran.summary["photos"].values()) == 8
    assert ran.summary["photos"]["val"] >= 1
    assert ran.summary["classes"] == (survey / "classes.txt").read_text().split()
    assert 0 <= ran.summary["map50_95"] <= ran.summary["map50"] <= 1
    assert ran.summary["weights"] > 1_000_000
    assert len(ran.figures) == 1


def test_the_example_s_drift_is_read(tmp_path: Path) -> None:
    ran = run("read_drift_report", tmp_path)
    stated = json.loads((FOLDER / "example_drift_report" / "constraint_violations.json").read_text())["violations"]
    assert ran.summary["broken"] == sorted(violation["feature_name"] for violation in stated)
    assert ran.summary["broken"] == ["brightness", "mean_confidence"]
    for name, distance in ran.summary["distances"].items():
        assert (distance > ran.summary["limit"]) == (name in ran.summary["broken"]), name
    assert all(violation["description"] in ran.said for violation in stated)
    assert len(ran.figures) == 2


def test_a_report_with_the_other_spelling_and_no_drift(tmp_path: Path) -> None:
    """The baseline compared with itself; the violations file by the name that one page of AWS's guide gives it."""
    report, out = tmp_path / "report", tmp_path / "out"
    report.mkdir()
    out.mkdir()
    example = FOLDER / "example_drift_report"
    (report / "statistics.json").write_bytes((example / "baseline" / "statistics.json").read_bytes())
    (report / "constraints.json").write_bytes((example / "constraints.json").read_bytes())
    (report / "constraints_violations.json").write_text('{"violations": []}')
    ran = run("read_drift_report", out, REPORT=f"{report}/")
    assert ran.summary["broken"] == []
    assert set(ran.summary["distances"].values()) == {0.0}
