"""A whole data set from its parts: labels beside their pictures, and which pictures a training would use.

The rules are those of `pipeline.dataset.read`, so that a profile speaks of what Preprocess does, and names the same
data version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline import labels
from pipeline.dataset import SUFFIXES, Sample, Split, Survey, fingerprint, split
from pipeline.errors import BadInput
from pipeline.labels import Book, Page, Problem, Shares
from pipeline.profile.rows import PICTURES, Part, Picture


@dataclass(frozen=True)
class Seen:
    """A picture with its label. `boxes` are those that can be used; `page` is None without a label."""

    picture: Picture
    page: Page | None
    boxes: Sequence[Shares]
    problems: Sequence[Problem]
    twin: str = ""
    """An earlier picture with the same bytes."""

    @property
    def name(self) -> str:
        """Name relative to the data set."""
        return self.picture.name

    @property
    def usable(self) -> bool:
        """Whether Preprocess would take it."""
        return not (self.picture.look.broken or self.twin or self.problems)

    @property
    def sample(self) -> Sample:
        """What Preprocess would make of it."""
        return Sample(Path(self.name), fingerprint(self.picture.sha, self.page), tuple(self.boxes))


@dataclass(frozen=True)
class Joined:
    """A data set: every picture in the order of names, those of images/ first. `unsplit` is why there are no splits."""

    book: Book
    seen: Sequence[Seen]
    problems: Sequence[Problem]
    splits: Mapping[str, Split]
    unsplit: str
    version: str

    @property
    def labelled(self) -> list[Seen]:
        """Pictures in images/ that a training can use."""
        return [each for each in self.seen if each.usable and each.name.startswith("images/")]

    @property
    def unlabelled(self) -> list[Seen]:
        """Usable pictures nobody trains on."""
        return [each for each in self.seen if each.usable and not each.name.startswith("images/")]


def join(part: Part, seed: int = 0) -> Joined:
    """Set labels beside their pictures; `seed` is that of the split."""
    book = labels.bind(part.labels.values(), part.classes)
    seen: list[Seen] = []
    first: dict[str, str] = {}
    for name in sorted(part.pictures):  # images/ comes before unlabelled/
        picture = part.pictures[name]
        page, look = book.pages.get(PurePosixPath(name).stem), picture.look
        twin = first.setdefault(picture.sha, name)
        boxes, problems = labels.resolved(page, book.classes, (look.width, look.height)) if page else ([], [])
        seen.append(Seen(picture, page, tuple(boxes), tuple(problems), "" if twin == name else twin))
    samples = [each.sample for each in seen if each.usable and each.name.startswith("images/")]
    unlabelled = [each.sample for each in seen if each.usable and not each.name.startswith("images/")]
    survey = Survey(book.classes, samples, unlabelled=unlabelled)
    splits, unsplit = _split(survey, seed)
    return Joined(book, seen, _problems(part, book, seen), splits, unsplit, survey.version)


def _split(survey: Survey, seed: int) -> tuple[dict[str, Split], str]:
    try:
        parts = split(survey, seed)
    except BadInput as error:
        return {}, error.message
    return {sample.image.as_posix(): part for part, samples in parts.items() for sample in samples}, ""


def _problems(part: Part, book: Book, seen: Sequence[Seen]) -> list[Problem]:
    stems = {PurePosixPath(each.name).stem for each in seen if each.name.startswith("images/")}
    found = [*part.problems, *book.problems]
    if book.format == "yolo" and part.classes is None and not part.problems:
        found.append(Problem("classes.txt", "no classes.txt", "classes have numbers in place of names"))
    for each in seen:
        if each.picture.look.broken:
            found.append(Problem(each.name, "broken image", each.picture.look.broken))
        elif each.twin:
            found.append(Problem(each.name, "duplicate image", f"same bytes as {each.twin}"))
        found += each.problems
    found += [Problem(page.file, "label without image") for stem, page in book.pages.items() if stem not in stems]
    found += [Problem(name, kind) for name in part.others if (kind := _misplaced(name))]
    return sorted(set(found), key=lambda each: (each.kind, each.file, each.detail))


def _misplaced(name: str) -> str:
    """Why a file that nobody reads looks like a mistake; empty when it does not."""
    path = PurePosixPath(name)
    inside, picture = path.parts[0] in PICTURES and len(path.parts) > 1, path.suffix.lower() in SUFFIXES
    if not inside:
        return "picture elsewhere" if picture else ""
    return "picture in a subfolder" if len(path.parts) > 2 else "not a JPEG or PNG"
