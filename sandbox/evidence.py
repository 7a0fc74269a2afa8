"""What the tour checks answers against: MLflow, AWS's record of calls, the audit table, and the labels of photos."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from PIL import Image, ImageChops

from sandbox.aws.trail import KEPT
from sandbox.environment import ROOT
from sandbox.person import blocks, rows
from sandbox.processes import same_process
from sandbox.record import Record

Box = tuple[float, float, float, float]
MATCH_IOU = 0.5
Unanswered = httpx.HTTPError


@dataclass(frozen=True)
class TrackedRun:
    """One MLflow run; `history` holds the values of per-epoch metrics."""

    status: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    history: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Photo:
    """A photo and its true objects: class name and box in pixels."""

    path: Path
    objects: Sequence[tuple[str, Box]]


def mlflow_run(url: str, execution: str) -> TrackedRun:
    """The MLflow run of a pipeline execution, read over MLflow's REST API. Raises KeyError when there is none."""
    with httpx.Client(base_url=f"{url}/api/2.0/mlflow", trust_env=False, timeout=30) as api:
        found = api.post("/experiments/search", json={"max_results": 100}).raise_for_status().json()
        ids = [row["experiment_id"] for row in found["experiments"]]
        asked = {"experiment_ids": ids, "filter": f"tags.execution LIKE '%{execution}%'"}
        run = api.post("/runs/search", json=asked).raise_for_status().json()["runs"][0]
        question = {"run_id": run["info"]["run_id"], "metric_key": "val/map50"}
        points = api.get("/metrics/get-history", params=question).raise_for_status().json()["metrics"]
    return TrackedRun(
        status=run["info"]["status"],
        params={row["key"]: row["value"] for row in run["data"]["params"]},
        metrics={row["key"]: row["value"] for row in run["data"]["metrics"]},
        history={"val/map50": [row["value"] for row in sorted(points, key=lambda row: row["step"])]},
    )


def calls(aws: str, source_identity: str, *, errors: bool = False) -> list[dict[str, Any]]:
    """AWS's record of one person's calls, oldest first; `errors`: only those that were refused."""
    question = {"source_identity": source_identity, "limit": str(KEPT)}
    answer = httpx.get(f"{aws}/_sandbox/calls", params=question, trust_env=False).raise_for_status()
    return [record for record in answer.json() if not errors or record.get("errorCode")]


def audit(state: Path) -> tuple[int, int]:
    """How many audit records were opened and closed, read from the bot's database."""
    import psycopg

    with psycopg.connect(Record(state).read("settings.json")["DATABASE_URL"]) as connection:
        counted = dict(connection.execute("SELECT phase, count(*) FROM audit GROUP BY phase").fetchall())
    return counted.get("opened", 0), counted.get("closed", 0)


@contextmanager
def edited_record(state: Path, record: int) -> Iterator[None]:
    """An audit record changed by somebody with all rights in the database, and as it was afterwards."""
    import psycopg

    with psycopg.connect(Record(state).read("settings.json")["DATABASE_URL"], autocommit=True) as connection:
        was = connection.execute("SELECT user_id FROM audit WHERE id = %s", [record]).fetchone()
        connection.execute("UPDATE audit SET user_id = 'U0ML2' WHERE id = %s", [record])
        try:
            yield
        finally:
            connection.execute("UPDATE audit SET user_id = %s WHERE id = %s", [*(was or ()), record])


def labelled_photo(folder: Path, skip: int = 0) -> Photo:
    """The photo of a data set with the most objects, or the next ones after it."""
    by_objects = {path: len(path.read_text().splitlines()) for path in (folder / "labels").glob("*.txt")}
    labels = sorted(by_objects, key=lambda path: (-by_objects[path], path.name))
    stem = labels[skip].stem
    image = next(path for path in sorted((folder / "images").iterdir()) if path.stem == stem)
    names = (folder / "classes.txt").read_text().split()
    with Image.open(image) as opened:
        width, height = opened.size
    return Photo(image, [_object(line, names, width, height) for line in labels[skip].read_text().splitlines()])


def new_photo(state: Path, seed: int) -> Photo:
    """A photo of another synthetic survey: nothing of it was ever trained on."""
    folder = state / "tmp" / "another-survey"
    argv = [sys.executable, "-m", "sandbox.imagery", "--out", str(folder), "--seed", str(seed), "--images", "16"]
    subprocess.run(argv, check=True, cwd=ROOT)
    return labelled_photo(folder)


def picture(message: Mapping[str, Any]) -> dict[str, Any]:
    """The file behind a message's image block."""
    for block in blocks(dict(message)):
        if block["type"] == "image":
            return {"url_private": f"/files/{block['slack_file']['id']}/picture"}
    raise KeyError(f"no picture in: {message['words']}")


def changed(data: bytes, photo: Photo) -> float:
    """Share of a photo's pixels that look different on a picture; 1.0 when it has another shape."""
    with Image.open(io.BytesIO(data)) as answer, Image.open(photo.path) as asked:
        drawn, original = answer.convert("RGB"), asked.convert("RGB")
    shown = original.resize(drawn.size)
    if abs(drawn.width / drawn.height - original.width / original.height) >= 0.02:
        return 1.0
    different = ImageChops.difference(drawn, shown).convert("L").point(lambda value: 255 if value > 60 else 0)
    return different.histogram()[255] / (drawn.width * drawn.height)


def recall(message: dict[str, Any], photo: Photo) -> float:
    """Share of a photo's true objects that a prediction's table holds: same class, overlapping by half or more."""
    found = [(name, _box(edges)) for name, _, edges in rows(message)[1:]]
    matched = sum(
        any(name == true and iou(box, place) >= MATCH_IOU for name, box in found) for true, place in photo.objects
    )
    return matched / len(photo.objects)


def iou(one: Box, other: Box) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1)."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (_area(one) + _area(other) - shared) if shared else 0.0


def alive(pid: int, created: float) -> bool:
    """Whether a recorded process still runs."""
    return same_process(pid, created) is not None


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _box(text: str) -> Box:
    x0, y0, x1, y1 = (float(edge) for edge in text.split())
    return x0, y0, x1, y1


def _object(line: str, names: Sequence[str], width: int, height: int) -> tuple[str, Box]:
    number, x, y, w, h = line.split()
    centre, size = (float(x) * width, float(y) * height), (float(w) * width, float(h) * height)
    box = (centre[0] - size[0] / 2, centre[1] - size[1] / 2, centre[0] + size[0] / 2, centre[1] + size[1] / 2)
    return names[int(number)], box
