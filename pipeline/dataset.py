"""Reading, checking, splitting and packing a data set.

    images/*.jpg|png    one scene (flight) is what all images share whose name is equal before the last underscore
    labels/*.txt        YOLO, or COCO or VOC in their place (`pipeline.label_files`); none = a picture without objects
    classes.txt         one class name a line; the line number is the class id
    unlabelled/*.jpg|png    optional: photos nobody trains on, from which the drift baseline learns what is usual

Nothing here needs torch; pictures are decoded once, with Pillow, to find the broken ones.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import tarfile
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from PIL import Image, UnidentifiedImageError

from pipeline import label_files, labels
from pipeline.errors import BadInput
from pipeline.labels import Book, Page, Problem, Shares

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
SHARES: Mapping[Split, float] = {"train": 0.70, "validation": 0.15, "test": 0.15}
SUFFIXES = (".jpg", ".jpeg", ".png")
SHARDS = 4
"""Tar files per split: few S3 objects make a job start fast, several let a large set be read in parallel."""


@dataclass(frozen=True)
class Sample:
    """One usable picture with its boxes; `digest` is that of the picture and what its label says."""

    image: Path
    digest: str
    boxes: Sequence[Shares] = ()

    @property
    def scene(self) -> str:
        """The flight a picture belongs to: its name before the last underscore."""
        return scene(self.image)


@dataclass(frozen=True)
class Survey:
    """A data set as found: class names, usable samples in the order of their names, and what is wrong with the rest."""

    classes: Sequence[str]
    samples: Sequence[Sample]
    problems: Sequence[Problem] = field(default_factory=tuple)
    found: int = 0
    """Pictures in the folder, usable or not."""
    unlabelled: Sequence[Sample] = field(default_factory=tuple)

    @property
    def version(self) -> str:
        """First 12 hex digits of the SHA-256 over the manifest: equal content, equal version."""
        text = json.dumps(self.manifest(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def manifest(self) -> dict[str, object]:
        """What the version is made of: class names, and name and content hash (picture and labels) of every sample."""
        body: dict[str, object] = {
            "classes": list(self.classes),
            "samples": {sample.image.name: sample.digest for sample in self.samples},
        }
        if self.unlabelled:
            body["unlabelled"] = {sample.image.name: sample.digest for sample in self.unlabelled}
        return body


def scene(image: Path) -> str:
    """The flight an image file belongs to, by its name."""
    return image.stem.rpartition("_")[0] or image.stem


def read(folder: Path, limit: int = 0, seed: int = 0) -> Survey:
    """Read and check a data set.

    `limit` > 0 keeps that many of the usable pictures, drawn with `seed` from all of them (the first names would be
    the first flights), and as many of the unlabelled ones. Raises `BadInput` when the layout itself is wrong: no
    classes.txt, no images, labels in two formats.
    """
    book = label_files.read(folder)
    images = _images(folder / "images")
    if not images:
        raise BadInput("The data set has no pictures.", "Put .jpg or .png files into its images/ folder.")
    samples: list[Sample] = []
    problems = [*book.problems, *_no_pictures(folder)]
    seen: dict[str, str] = {}
    unlabelled: list[Sample] = []
    for image in images + (more := _images(folder / "unlabelled")):
        found = _sample(folder, image, book, seen)
        if isinstance(found, Sample):
            (samples if image.parent.name == "images" else unlabelled).append(found)
        else:
            problems.extend(found)
    stems = {image.stem for image in images}
    problems += [Problem(page.file, "label without image") for stem, page in book.pages.items() if stem not in stems]
    return Survey(
        book.classes, _drawn(samples, limit, seed), problems, len(images) + len(more), _drawn(unlabelled, limit, seed)
    )


def only(survey: Survey, names: str) -> Survey:
    """The data set with some of its classes (names with commas between; empty: all), in the data set's own order.

    Pictures without such objects stay: they teach what is none. Raises `BadInput` for a class that there is not.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if not wanted:
        return survey
    for name in wanted:
        if name not in survey.classes:
            raise BadInput(f"The data set has no class {name!r}.", f"Its classes: {', '.join(survey.classes)}.")
    kept = [name for name in survey.classes if name in wanted]
    ids = {survey.classes.index(name): number for number, name in enumerate(kept)}
    samples = tuple(
        replace(sample, boxes=tuple((ids[box[0]], *box[1:]) for box in sample.boxes if box[0] in ids))
        for sample in survey.samples
    )
    return replace(survey, classes=kept, samples=samples)


def split(survey: Survey, seed: int = 0) -> dict[Split, list[Sample]]:
    """Divide by scene, about 70/15/15, the same for the same seed; no scene is in two splits.

    Pictures of one flight resemble each other, so a split through a flight would test on what was trained.
    Raises `BadInput` when there are not enough scenes or a split would hold no object.
    """
    scenes: dict[str, list[Sample]] = {}
    for sample in survey.samples:
        scenes.setdefault(sample.scene, []).append(sample)
    if len(scenes) < len(SPLITS):
        raise BadInput(
            f"The data set is too small: {len(survey.samples)} usable pictures of {len(scenes)} scene(s); "
            f"train, validation and test need one scene each.",
            "Add flights: a scene is the file name before the last underscore (flight03_0012.jpg is of flight03).",
        )
    names = sorted(scenes)
    random.Random(seed).shuffle(names)  # noqa: S311 (a repeatable draw, not a secret)
    names.sort(key=lambda name: -len(scenes[name]))
    parts: dict[Split, list[Sample]] = {name: [] for name in SPLITS}
    for name in names:
        # Largest scene first, always to the split that is furthest behind: every split gets at least one.
        behind = min(SPLITS, key=lambda part: len(parts[part]) / SHARES[part])
        parts[behind].extend(scenes[name])
    for part, samples in parts.items():
        if not any(sample.boxes for sample in samples):
            raise BadInput(
                f"The data set is too small: its {part} split has {len(samples)} picture(s) and no labelled object.",
                "Add labelled flights, or try another Seed.",
            )
        samples.sort(key=lambda sample: sample.image.name)
    return parts


def report(survey: Survey, parts: Mapping[Split, Sequence[Sample]]) -> dict[str, object]:
    """What a person wants to know about the data: sizes, objects per class and split, scenes, and every problem."""
    return {
        "version": survey.version,
        "classes": list(survey.classes),
        "pictures": {"found": survey.found, "used": len(survey.samples) + len(survey.unlabelled)},
        "splits": {
            part: {
                "pictures": len(samples),
                "scenes": sorted({sample.scene for sample in samples}),
                "objects": _objects(survey.classes, samples),
            }
            for part, samples in parts.items()
        },
        "unlabelled": len(survey.unlabelled),
        "problems": [{"file": p.file, "kind": p.kind, "detail": p.detail} for p in survey.problems],
    }


def summarise(problems: Sequence[Problem], characters: int) -> str:
    """Counts first, then as many file names as fit: `3 problems (2 broken image, 1 malformed row): images/a.jpg, …`."""
    counts = Counter(problem.kind for problem in problems)
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
    text = f"{len(problems)} problem{'s' if len(problems) != 1 else ''} ({kinds}):"
    names = list(dict.fromkeys(problem.file for problem in problems))
    for index, name in enumerate(names):
        more = f" and {len(names) - index} more"
        if len(text) + len(name) + 2 + len(more) > characters:
            return text.rstrip(",") + more
        text += f" {name},"
    return text.rstrip(",")


def pack(samples: Sequence[Sample], folder: Path, shards: int = SHARDS) -> None:
    """Write samples as `shard-00.tar`, … below `folder`; the same samples give the same bytes.

    No samples make one empty shard: a job's input must hold an object.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(max(1, min(shards, len(samples)))):
        with tarfile.open(folder / f"shard-{index:02d}.tar", "w") as tar:
            for sample in samples[index::shards]:
                _add(tar, f"images/{sample.image.name}", sample.image.read_bytes())
                rows = "".join("{} {:.6f} {:.6f} {:.6f} {:.6f}\n".format(*box) for box in sample.boxes)
                _add(tar, f"labels/{sample.image.stem}.txt", rows.encode())


def unpack(folder: Path, target: Path) -> int:
    """Unpack the shards that `pack` wrote into `target/{images,labels}`; returns the number of pictures."""
    shards = sorted(folder.rglob("shard-*.tar"))
    if not shards:
        raise BadInput(f"There are no shards in the {folder.name} channel.", "Connect it to the output of Preprocess.")
    (target / "images").mkdir(parents=True, exist_ok=True)
    for shard in shards:
        with tarfile.open(shard) as tar:
            tar.extractall(target, filter="data")
    return sum(1 for _ in (target / "images").iterdir())


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)


def _drawn(samples: list[Sample], limit: int, seed: int) -> list[Sample]:
    if not 0 < limit < len(samples):
        return samples
    chosen = random.Random(seed).sample(range(len(samples)), limit)  # noqa: S311 (a repeatable draw, not a secret)
    return [samples[index] for index in sorted(chosen)]


def _no_pictures(folder: Path) -> list[Problem]:
    """Files among the pictures that are none by their name, such as TIFF: nothing reads them."""
    others = (path for part in ("images", "unlabelled") for path in (folder / part).glob("*"))
    return [
        Problem(_name(folder, path), "not a JPEG or PNG")
        for path in sorted(others)
        if path.is_file() and path.suffix.lower() not in SUFFIXES and not path.name.startswith(".")
    ]


def _sample(folder: Path, image: Path, book: Book, seen: dict[str, str]) -> Sample | list[Problem]:
    data = image.read_bytes()
    name = _name(folder, image)
    digest = hashlib.sha256(data).hexdigest()
    twin = seen.setdefault(digest, name)
    if twin != name:
        return [Problem(name, "duplicate image", f"same bytes as {twin}")]
    size, broken = look(data)
    if broken:
        return [Problem(name, "broken image", broken)]
    page = book.pages.get(image.stem)
    if page is None:
        return Sample(image, fingerprint(digest, page))
    boxes, problems = labels.resolved(page, book.classes, size)
    return problems or Sample(image, fingerprint(digest, page), tuple(boxes))


def fingerprint(picture: str, page: Page | None) -> str:
    """The digest of a sample, from the SHA-256 of its picture's bytes and what its label says."""
    return hashlib.sha256(f"{picture} {page.digest}".encode()).hexdigest() if page else picture


def look(data: bytes) -> tuple[tuple[int, int], str]:
    """Width and height of a picture, and why it cannot be read (empty when it can): it is decoded to its last row."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata does not make a picture unusable
            with Image.open(io.BytesIO(data)) as picture:
                picture.load()
                return picture.size, ""
    except UnidentifiedImageError:
        return (0, 0), "not an image"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return (0, 0), str(error)


def _objects(classes: Sequence[str], samples: Iterable[Sample]) -> dict[str, int]:
    counts = Counter(box[0] for sample in samples for box in sample.boxes)
    return {name: counts[index] for index, name in enumerate(classes)}


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()
