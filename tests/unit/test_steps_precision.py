"""int8: what is left of a plain network's answer, who may be served, and the step that decides."""

import contextlib
import hashlib
import json
import os
import socket
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import dataset
from pipeline.serving.detector import Detector
from pipeline.serving.networks import MOST, ONNX, suppress
from pipeline.steps import evaluate, precision, yolo
from pipeline.steps.bench import Score
from pipeline.steps.container import Container
from pipeline.steps.evaluate import Served
from pipeline.steps.runlog import Facts, write_data
from sandbox import imagery
from tests.unit.tiny import model, quantised

SIDE = 64


def score(overall: float, **by_class: float | None) -> Score:
    rows = {name: None if value is None else {"map50": value, "map50_95": value} for name, value in by_class.items()}
    return Score(overall, overall, rows, [])


# ---------------------------------------------------------------- the server's side


def test_a_network_for_openvino_answers_like_any_other(tmp_path: Path) -> None:
    found = Detector(quantised(tmp_path)).detect(np.zeros((64, 128, 3), np.uint8))  # scale 0.5, 16 pixels above
    assert [(item.name, round(item.confidence, 2)) for item in found] == [("boat", 0.9), ("car", 0.5)]
    assert found[0].box == found[1].box == (32.0, 8.0, 96.0, 56.0)


def test_it_may_be_asked_from_several_threads(tmp_path: Path) -> None:
    detector, picture = Detector(quantised(tmp_path)), np.zeros((64, 64, 3), np.uint8)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: detector.detect(picture), range(64)))
    assert all(each == answers[0] for each in answers)


def overlap(one: Any, other: Any) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return float(shared / (sum(areas) - shared))


anchors = st.lists(
    st.tuples(
        st.integers(0, 60), st.integers(0, 60), st.integers(4, 40), st.integers(4, 40),
        st.floats(0, 1, width=32), st.floats(0, 1, width=32),
    ),
    max_size=40,
)  # fmt: skip


@given(anchors)
def test_what_is_left_overlaps_no_better_one_and_nothing_else_is_dropped(given: list[tuple[float, ...]]) -> None:
    plain = np.array(given, np.float32).reshape(-1, 6).T
    rows = suppress(plain, 0.25, 0.7)
    assert len(rows) <= MOST
    assert list(rows[:, 4]) == sorted(rows[:, 4], reverse=True)
    for place, row in enumerate(rows):
        assert row[4] > 0.25
        assert all(overlap(row, better) <= 0.701 for better in rows[:place] if better[5] == row[5])
    for x, y, width, height, *scores in given:
        best = int(np.argmax(np.array(scores, np.float32)))
        if np.float32(scores[best]) > 0.25:
            box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            better = [row for row in rows if row[5] == best and row[4] >= np.float32(scores[best])]
            assert any(overlap(row, box) > 0.699 for row in better)


def test_no_more_objects_than_the_other_graph_holds() -> None:
    places = np.arange(400, dtype=np.float32) * 10
    plain = np.stack([places, places, *np.full((2, 400), 5, np.float32), np.linspace(0.3, 0.9, 400, dtype=np.float32)])
    rows = suppress(plain, 0.25, 0.7)
    assert (len(rows), round(float(rows[0, 4]), 2)) == (MOST, 0.9)


# ---------------------------------------------------------------- who may be served


@pytest.mark.parametrize(
    ("small", "refused"),
    [
        (score(0.690, car=0.70, boat=0.60), ""),
        (score(0.720, car=0.72, boat=0.62), ""),
        (score(0.689, car=0.70, boat=0.60), "overall mAP50-95 falls by 0.011, of 0.010 allowed"),
        (score(0.700, car=0.76, boat=0.57), "boat mAP50-95 falls by 0.030, of 0.020 allowed"),
        (score(0.700, car=0.76, boat=None), "boat mAP50-95 falls by 0.600, of 0.020 allowed"),
    ],
)
def test_the_gate(small: Score, refused: str) -> None:
    assert precision.refusal(score(0.700, car=0.70, boat=0.60, pool=None), small) == refused


class Measured:
    """A bench whose int8 network is this good."""

    def __init__(self, folder: Path, small: Score) -> None:
        self.folder, self.small = folder, small
        for name in ("n.xml", "n.bin"):
            (folder / name).write_text(name)

    def quantise(self, weights: Path, size: int, photos: Path) -> Path:
        return self.folder

    def measure(self, network: Path, size: int, name: str, *, plots: bool) -> tuple[Score, Path]:
        return self.small, self.folder / name


def test_the_one_that_loses_too_much_is_not_packed_and_the_reason_is_kept(tmp_path: Path) -> None:
    whole = Served(ONNX, {"model.onnx": tmp_path}, score(0.7, car=0.7), tmp_path, "", {})
    kept = evaluate.smaller(Measured(tmp_path, score(0.6, car=0.6)), tmp_path, SIDE, tmp_path, whole)  # type: ignore[arg-type]
    assert (kept.precision, kept.files, kept.score) == ("fp32", whole.files, whole.score)
    assert kept.others["int8"]["map50_95"] == 0.6
    assert kept.others["reason"].startswith("overall mAP50-95 falls by 0.100")
    taken = evaluate.smaller(Measured(tmp_path, score(0.695, car=0.69)), tmp_path, SIDE, tmp_path, whole)  # type: ignore[arg-type]
    assert (taken.precision, sorted(taken.files)) == ("int8", ["model.bin", "model.xml"])
    assert taken.score.map50_95 == 0.695
    assert taken.others == {"fp32": {"map50": 0.7, "map50_95": 0.7, "per_class": whole.score.per_class}}


def test_a_run_that_asks_for_int8_gets_a_package_the_server_can_load(tmp_path: Path) -> None:
    """The whole step with an untrained network: it finds nothing, so int8 finds as much and passes."""
    imagery.write(tmp_path / "survey", 7, images=40, side=SIDE)
    survey = dataset.read(tmp_path / "survey")
    container = Container(tmp_path / "ml", {})
    parts = dataset.split(survey)
    dataset.pack(parts["test"], container.input("test"))
    dataset.pack(parts["train"], container.input("calibration"), shards=1)
    for name in ("run", "report", "model"):
        container.input(name).mkdir(parents=True)
    Facts("arn:x/y", "rev", "e").write(container.input("run") / "run.json")
    write_data(container.input("report") / "data.json", survey.version, {"test": len(parts["test"])}, survey.classes)
    trained(container, tmp_path / "trained", len(survey.classes))

    told = {"PRECISION": "int8", "MAP_THRESHOLD": "0", "ENDPOINT_NAME": "none", "ML_ROOT": str(container.root)}
    told |= {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
    ran, asked = watched([sys.executable, "-m", "pipeline.steps.evaluate"], told)
    assert asked == []
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    assert "in int8; in fp32 mAP50-95 0.000" in (container.root / "output" / "message").read_text()
    report = json.loads((container.output("evaluation") / "evaluation.json").read_text())
    assert report["precision"]["served"] == report["package"]["precision"] == "int8"
    package = container.output("model") / "model.tar.gz"
    assert report["model"]["digest"] == hashlib.sha256(package.read_bytes()).hexdigest()
    with tarfile.open(package) as tar:
        assert sorted(tar.getnames()) == ["best.pt", "model.bin", "model.json", "model.xml"]
        tar.extractall(tmp_path / "served", filter="data")
    assert Detector(tmp_path / "served").detect(np.zeros((SIDE, SIDE, 3), np.uint8)) == []


def watched(argv: list[str], told: dict[str, str]) -> tuple[subprocess.CompletedProcess[str], list[bytes]]:
    """Run something, and see whom it asks for beyond this machine: everything would go through this proxy."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        env = {"PATH": os.environ["PATH"], "HTTPS_PROXY": address, "HTTP_PROXY": address, **told}
        ran = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=300, check=False)
        proxy.settimeout(0)
        asked: list[bytes] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                asked.append(proxy.accept()[0].recv(200))
    return ran, asked


def test_serving_tells_no_vendor_about_it(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from pipeline.serving.detector import Detector\n"
        "for folder in sys.argv[1:]: Detector(Path(folder)).detect(np.zeros((64, 64, 3), np.uint8))\n"
    )
    for name in ("whole", "small"):
        (tmp_path / name).mkdir()
    folders = [str(model(tmp_path / "whole")), str(quantised(tmp_path / "small"))]
    ran, asked = watched([sys.executable, "-c", program, *folders], {"HOME": str(tmp_path)})
    assert (ran.returncode, asked) == (0, []), ran.stderr
    assert not (tmp_path / "intel").exists()


def trained(container: Container, folder: Path, classes: int) -> None:
    """What Train leaves, of a network that has learnt nothing."""
    network = yolo.load(container.scratch("yolo"))("yolo11n.yaml")
    folder.mkdir()
    network.save(folder / "best.pt")
    (folder / "training.json").write_text(json.dumps({"image_size": SIDE, "network": "yolo11n", "parameters": 1}))
    (folder / "args.yaml").write_text("epochs: 0\n")
    (folder / "results.csv").write_text("epoch\n")
    with tarfile.open(container.input("model") / "model.tar.gz", "w:gz") as tar:
        for each in folder.iterdir():
            tar.add(each, each.name)
