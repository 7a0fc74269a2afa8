"""Profiling a data set: the same however it is shared out, and what it finds."""

from __future__ import annotations

import csv
import gzip
import io
import json
import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from pipeline import dataset
from pipeline.errors import Unavailable
from pipeline.profile.findings import Finding, findings
from pipeline.profile.joined import Joined, join
from pipeline.profile.look import look
from pipeline.profile.numbers import Numbers, count
from pipeline.profile.outliers import outliers
from pipeline.profile.picks import picks
from pipeline.profile.report import report
from pipeline.profile.rows import Part, Picture, dump, load, rows, together
from pipeline.profile.sheet import Tile, printable, sheet
from pipeline.profile.twins import NEAR, near
from pipeline.steps import profile as step
from pipeline.steps.profile import write
from tests.unit.photos import encoded, names, scene, survey

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "aerial_maritime"


def whole(folder: Path) -> Part:
    return rows(names(folder), lambda name: (folder / name).read_bytes())


def told(data: Joined) -> str:
    """profile.json, which holds everything that is said."""
    numbers = count(data)
    found = findings(data, numbers)
    return json.dumps(report(data, numbers, found, picks(data, numbers, found)))


def profiled(folder: Path) -> tuple[Joined, Numbers, dict[str, Finding]]:
    data = join(whole(folder))
    numbers = count(data)
    return data, numbers, {each.kind: each for each in findings(data, numbers)}


# --- however it is shared out ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with one of everything that is found, in three machines' worth of files."""
    folder = survey(tmp_path_factory.mktemp("messy"))
    images, texts = folder / "images", folder / "labels"
    first = (images / "f0_0.jpg").read_bytes()
    (images / "f1_0.jpg").write_bytes(first)
    (images / "f2_9.jpg").write_bytes(encoded(scene(0), quality=70))
    (images / "f3_0.jpg").write_bytes(first[: len(first) // 2])
    (images / "f3_1.jpg").write_bytes(encoded(np.zeros((72, 96, 3), np.uint8)))
    (images / "scan.tif").write_bytes(b"II*\x00")
    (texts / "f0_1.txt").write_text("0 0.5 0.5 1.4 0.2\n")
    (texts / "f0_2.txt").write_text("9 0.5 0.5 0.2 0.2\n")
    (texts / "f0_3.txt").write_text("0 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.2 0.2\n")
    (texts / "lost.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (texts / "f2_3.txt").unlink()
    (folder / "unlabelled").mkdir()
    (folder / "unlabelled" / "g0_0.jpg").write_bytes(encoded(scene(900)))
    return folder


@cache
def parts(folder: Path) -> tuple[tuple[Part, ...], str]:
    """A part for each file alone, and what is told of all."""
    files = names(folder)
    alone = tuple(rows([name], lambda name: (folder / name).read_bytes()) for name in files)
    return alone, told(join(whole(folder)))


@given(data=st.data(), machines=st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_any_sharing_out_gives_the_identical_profile(messy: Path, data: st.DataObject, machines: int) -> None:
    alone, expected = parts(messy)
    owner = data.draw(st.lists(st.integers(0, machines - 1), min_size=len(alone), max_size=len(alone)))
    shares = [
        together([part for part, who in zip(alone, owner, strict=True) if who == each]) for each in range(machines)
    ]
    travelled = [load(dump(share)) for share in shares]
    order = data.draw(st.permutations(travelled))
    assert told(join(together(order))) == expected


@given(st.lists(st.integers(0, 30), max_size=12), st.integers(0, 12))
@settings(max_examples=40, deadline=None)
def test_putting_parts_together_does_not_depend_on_grouping(messy: Path, chosen: list[int], cut: int) -> None:
    alone, _ = parts(messy)
    some = [alone[index % len(alone)] for index in chosen]
    grouped = together([together(some[:cut]), together(some[cut:])])
    assert grouped == together(some) == together([*some, *some])


def test_a_part_is_the_same_after_its_way_through_json(messy: Path) -> None:
    assert load(dump(whole(messy))) == whole(messy)


def test_it_names_the_version_that_a_training_would_use(messy: Path, tmp_path: Path) -> None:
    assert join(whole(messy)).version == dataset.read(messy).version
    assert join(whole(survey(tmp_path))).version == dataset.read(tmp_path).version


class Shelf:
    """An S3 on which the second machine's part lies only at the third look."""

    def __init__(self, parts: dict[str, bytes]) -> None:
        self.parts, self.looks = parts, 0

    def list_objects_v2(self, *, Bucket: str, Prefix: str) -> dict[str, object]:
        self.looks += 1
        there = sorted(self.parts)[: None if self.looks > 2 else 1]
        return {"Contents": [{"Key": Prefix + name} for name in there]}

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, object]:
        assert self.looks > 2, "a part was read before it was there"
        return {"Body": io.BytesIO(self.parts[Key.rpartition("/")[2]])}


def test_the_first_machine_waits_for_the_others_and_says_who_is_missing(
    messy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, expected = parts(messy)
    shares = {"algo-1": together(alone[::2]), "algo-2": together(alone[1::2])}
    shelf = Shelf({f"{host}.json.gz": gzip.compress(dump(part)) for host, part in shares.items()})
    monkeypatch.setattr(step, "_s3", lambda: shelf)
    monkeypatch.setattr(step, "LOOK_S", 0.0)
    assert told(join(together(step._gathered("s3://b/parts", list(shares))))) == expected
    assert shelf.looks == 3
    monkeypatch.setattr(step, "WAIT_S", 0.0)
    with pytest.raises(Unavailable, match="No part came from algo-3"):
        step._gathered("s3://b/parts", ["algo-1", "algo-2", "algo-3"])


# --- what it finds --------------------------------------------------------------------------------------------------


def test_a_clean_data_set_has_nothing_to_tell(tmp_path: Path) -> None:
    _data, numbers, found = profiled(survey(tmp_path))
    assert found == {}
    assert (numbers.found, numbers.usable, numbers.objects, numbers.flights) == (16, 16, 32, 4)
    assert [(each.name, each.objects, each.pictures) for each in numbers.classes] == [("boat", 16, 16), ("car", 16, 16)]
    assert sum(map(sum, numbers.where)) == 32
    assert numbers.where[6][6] == 16  # row 6 of 12, column 6: the middle
    assert sum(numbers.splits.values()) == 16
    assert numbers.side[4] == round(0.2 * (96 * 72) ** 0.5 * 640 / 96, 2)


def test_everything_wrong_is_named_once(messy: Path) -> None:
    _data, numbers, found = profiled(messy)
    assert found["broken image"].names == ["images/f3_0.jpg"]
    assert found["duplicate image"].names == ["images/f1_0.jpg"]
    assert found["label out of range"].names == ["labels/f0_1.txt"]
    assert found["class id unknown"].names == ["labels/f0_2.txt"]
    assert found["duplicate box"].names == ["images/f0_3.jpg"]
    assert found["label without image"].names == ["labels/lost.txt"]
    assert found["not a JPEG or PNG"].names == ["images/scan.tif"]
    assert found["dark"].names == ["images/f3_1.jpg"]
    assert found["near-duplicates"].names == ["images/f0_0.jpg", "images/f2_9.jpg"]
    assert "1 across flights" in found["near-duplicates"].words
    assert found["photos without label"].words.startswith("2 photos")
    assert numbers.exact == [["images/f0_0.jpg", "images/f1_0.jpg"]]


def nothing(folder: Path) -> None:
    (folder / "notes.md").write_text("empty")


def one_class(folder: Path) -> None:
    survey(folder)
    (folder / "classes.txt").write_text("boat\n")
    for path in (folder / "labels").iterdir():
        path.write_text("0 0.5 0.5 0.2 0.2\n")


def no_labels(folder: Path) -> None:
    survey(folder)
    for path in (folder / "labels").iterdir():
        path.unlink()


def labels_alone(folder: Path) -> None:
    survey(folder)
    for path in (folder / "images").iterdir():
        path.unlink()


def no_names(folder: Path) -> None:
    survey(folder)
    (folder / "classes.txt").unlink()


def one_flight(folder: Path) -> None:
    survey(folder, flights=1)


def exported(folder: Path) -> None:
    survey(folder / "train")


def small(folder: Path) -> None:
    survey(folder, row="0 0.5 0.5 0.005 0.005")


@pytest.mark.parametrize(
    ("spoil", "level", "kind", "words"),
    [
        (nothing, "stop", "empty", "no photos"),
        (labels_alone, "look", "label without image", "16 label files have no photo"),
        (no_labels, "stop", "no labels", "nothing to learn"),
        (no_names, "stop", "no classes", "classes have no names"),
        (one_class, "note", "one class", "boat is the only class"),
        (one_flight, "stop", "no split", "train, validation and test need one scene each"),
        (exported, "look", "picture elsewhere", "16 photos are outside of images/ and unlabelled/"),
        (small, "look", "small objects", "50% of the objects are smaller than 8 px"),
    ],
)
def test_odd_data_sets(tmp_path: Path, spoil: Callable[[Path], None], level: str, kind: str, words: str) -> None:
    spoil(tmp_path)
    _, _, found = profiled(tmp_path)
    assert found[kind].level == level
    assert words in found[kind].words
    out = tmp_path / "out"
    out.mkdir()
    assert write(join(whole(tmp_path)), lambda name: (tmp_path / name).read_bytes(), out)


@pytest.mark.parametrize(
    ("data", "broken", "mode"),
    [
        (lambda: encoded(scene(1))[:900], True, ""),
        (lambda: b"not a picture", True, ""),
        (lambda: b"", True, ""),
        (lambda: encoded(scene(1), "PNG"), False, "RGB"),
        (lambda: encoded(scene(1)[..., 0], "PNG"), False, "L"),
        (lambda: encoded((scene(1)[..., 0].astype(np.uint16) * 257), "PNG"), False, "I;16"),
        (lambda: encoded((scene(1)[..., 0].astype(np.uint16) * 257), "TIFF"), False, "I;16"),
    ],
    ids=["truncated", "text", "empty", "png", "grey", "16-bit png", "16-bit tiff"],
)
def test_looking_at_a_picture_raises_nothing(data: Callable[[], bytes], broken: bool, mode: str) -> None:
    seen = look(data())
    assert (bool(seen.broken), seen.mode) == (broken, mode)
    if not broken:
        plain = look(encoded(scene(1)[..., 0] if mode != "RGB" else scene(1), "PNG"))
        assert abs(seen.brightness - plain.brightness) < 1


def test_a_picture_of_20_megabytes_is_looked_at_and_one_of_too_many_pixels_is_not() -> None:
    rng = np.random.default_rng(0)
    large = encoded(rng.integers(0, 256, (2900, 4400, 3), np.uint8), quality=98)
    assert 15e6 < len(large) < 25e6
    assert look(large).width == 4400
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert "decompression bomb" in look(encoded(np.zeros((14_000, 14_000), np.uint8), "PNG")).broken


# --- near-duplicates ------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 2**256 - 1), max_size=30), st.data())
@settings(max_examples=60, deadline=None)
def test_the_search_finds_what_comparing_all_pairs_finds(codes: list[int], data: st.DataObject) -> None:
    for code in codes[:6]:  # neighbours at a distance of 0 to NEAR + 3
        flips = data.draw(st.sets(st.integers(0, 255), max_size=NEAR + 3))
        codes = [*codes, code ^ sum(1 << bit for bit in flips)]
    pairs = {
        (one, other)
        for one in range(len(codes))
        for other in range(one)
        if (codes[one] ^ codes[other]).bit_count() <= NEAR
    }
    groups = [{index} for index in range(len(codes))]
    for one, other in pairs:
        mine, theirs = (next(group for group in groups if index in group) for index in (one, other))
        if mine is not theirs:
            groups.remove(theirs)
            mine |= theirs
    expected = sorted(sorted(group) for group in groups if len(group) > 1)
    assert near([f"{code:064x}" for code in codes]) == expected


def test_a_photo_is_found_again_after_what_people_do_to_photos() -> None:
    original = Image.fromarray(scene(5, 640, 480))
    changed = {
        "again": encoded(np.asarray(original), quality=50),
        "half": encoded(np.asarray(original.resize((320, 240)))),
        "blurred": encoded(np.asarray(original.filter(ImageFilter.GaussianBlur(1.5)))),
        "brighter": encoded(np.asarray(original.point(lambda value: min(255, int(value * 1.08))))),
    }
    codes = [look(encoded(np.asarray(original))).hash, *(look(data).hash for data in changed.values())]
    others = [look(encoded(scene(seed, 640, 480))).hash for seed in range(30, 60)]
    assert near([*codes, *others]) == [[0, 1, 2, 3, 4]]


def test_very_many_that_share_a_word_are_still_compared() -> None:
    rng = np.random.default_rng(3)
    rows_ = rng.integers(0, 65_536, (1500, 16), np.uint16)
    rows_[:, 0] = 7  # all in one bucket, in several blocks
    rows_[1400] = rows_[3] ^ np.array([0, 1, *[0] * 14], np.uint16)
    assert near([row.tobytes().hex() for row in rows_]) == [[3, 1400]]


# --- what stands out ------------------------------------------------------------------------------------------------


def pictures(*data: bytes) -> list[Picture]:
    return [Picture(f"images/p_{number}.jpg", len(each), "", look(each)) for number, each in enumerate(data)]


def test_blur_and_exposure_stand_out_against_the_others() -> None:
    usual = [encoded(scene(seed, 320, 240), quality=92) for seed in range(20)]
    photo = Image.fromarray(scene(99, 320, 240))
    odd = [
        encoded(np.asarray(photo.filter(ImageFilter.GaussianBlur(4)))),
        encoded((scene(98, 320, 240) * 0.08).astype(np.uint8)),
        encoded(255 - (scene(97, 320, 240) * 0.04).astype(np.uint8)),
    ]
    assert outliers(pictures(*usual)) == []
    found = {each.name: each.kind for each in outliers(pictures(*usual, *odd))}
    assert found == {"images/p_20.jpg": "blurred", "images/p_21.jpg": "dark", "images/p_22.jpg": "bright"}


def test_a_handful_of_photos_has_no_usual_but_black_is_black() -> None:
    few = pictures(encoded(scene(1)), encoded((scene(2) * 0.3).astype(np.uint8)), encoded(np.zeros((9, 9), np.uint8)))
    assert [(each.name, each.kind) for each in outliers(few)] == [("images/p_2.jpg", "dark")]


# --- what is drawn and written --------------------------------------------------------------------------------------


def test_hostile_names_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    folder = survey(tmp_path / "set")
    odd = ["=HYPERLINK(1)_1", "<!channel> $x^{_1", "tab\tand\nline_1", "‮gpj_1"]
    for number, name in enumerate(odd):
        (folder / "images" / f"{name}.jpg").write_bytes(encoded(scene(500 + number)))
        (folder / "labels" / f"{name}.txt").write_text("0 0.5 0.5 2 2")
    (folder / "classes.txt").write_text("$\\frac{\ncar\n")
    out = tmp_path / "out"
    out.mkdir()
    write(join(whole(folder)), lambda name: (folder / name).read_bytes(), out)
    with (out / "photos.csv").open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    body = json.loads((out / "profile.json").read_text())
    assert "labels/=HYPERLINK(1)_1.txt" in str(body["findings"])
    assert (out / "plots.png").read_bytes().startswith(b"\x89PNG")
    assert printable("a\tb\n\N{RIGHT-TO-LEFT OVERRIDE}c") == "a\ufffdb\ufffd\ufffdc"


def test_the_sheet_draws_boxes_in_the_classes_colours_and_survives_broken_photos() -> None:
    tile = Tile(encoded(scene(1, 400, 300)), "images/f1_1.jpg", "why", ((0, 0.5, 0.5, 0.5, 0.5),))
    data = sheet([tile, Tile(b"torn", "images/f1_2.jpg"), tile, tile], ["boat"])
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.width == 1248
        assert picture.height > 2 * 300
    with pytest.raises(ValueError, match="no photo"):
        sheet([], ["boat"])


def test_the_table_has_a_line_for_every_photo(messy: Path, tmp_path: Path) -> None:
    read = partial(lambda name: (messy / name).read_bytes())
    words = write(join(whole(messy)), read, tmp_path)
    with (tmp_path / "photos.csv").open(newline="") as file:
        lines = {row["photo"]: row for row in csv.DictReader(file)}
    assert len(lines) == 18
    assert lines["images/f1_0.jpg"]["problems"] == "same bytes as images/f0_0.jpg"
    assert lines["images/f0_0.jpg"]["usable"] == "yes"
    assert "18 photos" in words


@pytest.mark.skipif(not REAL.is_dir(), reason="shared/data/aerial_maritime is not beside the project")
def test_the_real_photos_go_through(tmp_path: Path) -> None:
    data, numbers, found = profiled(REAL)
    assert (numbers.found, numbers.usable, numbers.sizes) == (56, 56, [(800, 600, 56)])
    counts = {each.name: each.objects for each in numbers.classes}
    assert counts == {"boat": 15, "car": 16, "dock": 48, "jetski": 29, "lift": 46}
    assert not [each for each in found.values() if each.level == "stop"]
    assert numbers.near == []
    assert data.version == dataset.read(REAL).version
    write(data, lambda name: (REAL / name).read_bytes(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"profile.json", "photos.csv", "plots.png", "sheet.jpg"}
