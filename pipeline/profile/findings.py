"""What matters about a data set, in words, the worst first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.labels import Problem
from pipeline.profile.joined import Joined
from pipeline.profile.levels import LEVELS, Level
from pipeline.profile.numbers import AT, SMALL, ClassCount, Numbers

RARE = 0.02
MANY_SMALL, MANY_BARE = 0.25, 0.5

_PROBLEMS = {
    "broken image": "cannot be decoded and {is_} left out",
    "duplicate image": "{has} the same bytes as another photo and {is_} left out",
    "label out of range": "{has} boxes outside of the photo; their photos are left out",
    "zero area": "{has} boxes without area; their photos are left out",
    "class id unknown": "{has} class numbers that classes.txt does not have; their photos are left out",
    "class unknown": "{has} classes that nothing names; their photos are left out",
    "malformed row": "{has} lines that are no box; their photos are left out",
    "malformed object": "{has} objects that are no box; their photos are left out",
    "unreadable label": "cannot be read; their photos are left out",
    "label without image": "{has} no photo",
    "not a JPEG or PNG": "{is_} no JPEG or PNG: nothing reads {them}",
    "picture in a subfolder": "{is_} in subfolders, where nothing looks",
    "picture elsewhere": "{is_} outside of images/ and unlabelled/: nothing reads {them}",
    "second label format": "{is_} in a second format and not read",
}
_LABELS = {"label out of range", "zero area", "class id unknown", "class unknown", "malformed row", "malformed object"}


@dataclass(frozen=True)
class Finding:
    """One thing that matters. `names` are files it is about, all of them."""

    level: Level
    kind: str
    words: str
    names: Sequence[str] = ()


def findings(data: Joined, numbers: Numbers) -> list[Finding]:
    """Everything worth saying, by level, in a fixed order within."""
    found = [*_whole(data, numbers), *_problems(data.problems), *_photos(numbers), *_labels(numbers)]
    return sorted(found, key=lambda each: LEVELS.index(each.level))


def _whole(data: Joined, numbers: Numbers) -> Iterator[Finding]:
    if not numbers.found:
        yield Finding("stop", "empty", "There are no photos in images/ or unlabelled/.")
    elif not numbers.objects:
        yield Finding("stop", "no labels", "No object is labelled on a usable photo: there is nothing to learn.")
    elif data.unsplit:
        yield Finding("stop", "no split", data.unsplit)
    if any(each.kind in ("no classes.txt", "unreadable classes") for each in data.problems):
        yield Finding("stop", "no classes", "classes.txt is missing or cannot be read: classes have no names.")
    if numbers.objects and len(data.book.classes) == 1:
        name = data.book.classes[0]
        yield Finding("note", "one class", f"{name} is the only class: whatever else is on a photo is background.")
    never = [each.name for each in numbers.classes if not each.objects]
    if numbers.objects and never:
        yield Finding("look", "class without objects", f"No object of {_listed(never)}.")
    if data.splits:
        yield from _balance(numbers.classes, numbers.objects)


def _balance(classes: Sequence[ClassCount], objects: int) -> Iterator[Finding]:
    seen = [each for each in classes if each.objects]
    for part in ("validation", "test"):
        missing = [each.name for each in seen if not each.splits[part]]
        if missing:
            words = f"No {_listed(missing, 'or')} in the {part} split: nothing will be known of how well it is found."
            yield Finding("look", f"class missing in {part}", words)
    rare = [each for each in seen if each.objects < RARE * objects]
    if rare:
        shares = _listed([f"{each.name} ({each.objects / objects:.1%})" for each in rare])
        yield Finding("look", "rare class", f"Rare: {shares} of all objects.")


def _problems(problems: Sequence[Problem]) -> Iterator[Finding]:
    counts = Counter(each.kind for each in problems)
    for kind, words in _PROBLEMS.items():
        names = list(dict.fromkeys(each.file for each in problems if each.kind == kind))
        if not names:
            continue
        noun = "label file" if kind in _LABELS or "label" in kind else "file" if kind.startswith("not a") else "photo"
        times = f" ({counts[kind]} in all)" if counts[kind] != len(names) else ""
        one = len(names) == 1
        text = words.format(is_="is" if one else "are", has="has" if one else "have", them="it" if one else "them")
        if one and not times:
            text = text.replace("their photos are", "its photo is")
        yield Finding("look", kind, f"{_number(len(names), noun)} {text}{times}.", names)


def _photos(numbers: Numbers) -> Iterator[Finding]:
    if numbers.near:
        names = [name for group in (*numbers.crossing, *numbers.near) for name in group]
        photos = sum(map(len, numbers.near))
        words = f"{_number(len(numbers.near), 'group')} of near-duplicates ({photos} photos)"
        if numbers.crossing:
            words += f"; {len(numbers.crossing)} across flights, so one view can be in training and in test"
            words += f" ({numbers.leaking} with this seed)" if numbers.leaking else ""
        else:
            words += ", all within a flight, which is never split"
        level: Level = "look" if numbers.crossing else "note"
        yield Finding(level, "near-duplicates", words + ".", list(dict.fromkeys(names)))
    for kind, words in (
        ("dark", "much darker than the others"),
        ("bright", "much brighter than the others"),
        ("blurred", "much less sharp than the others"),
    ):
        names = [each.name for each in numbers.outliers if each.kind == kind]
        if names:
            verb = "is" if len(names) == 1 else "are"
            yield Finding("look", kind, f"{_number(len(names), 'photo')} {verb} {words}.", names)
    deep = sum(times for name, times in numbers.formats.items() if name.split()[-1][0] in "IF")
    if deep:
        yield Finding("note", "deep", f"{_number(deep, 'photo')} with 16 bits a channel: a detector sees 8 of them.")
    if len(numbers.sizes) > 1:
        yield Finding("note", "sizes", f"{len(numbers.sizes)} different photo sizes.")


def _labels(numbers: Numbers) -> Iterator[Finding]:
    if numbers.doubled:
        words = f"{_number(len(numbers.doubled), 'photo')} with a box drawn twice; training counts it once."
        yield Finding("look", "duplicate box", words, numbers.doubled)
    if numbers.resized:
        words = f"{_number(len(numbers.resized), 'photo')} with a label made for another size; boxes are scaled to it."
        yield Finding("look", "label for another size", words, numbers.resized)
    if numbers.objects and numbers.small > MANY_SMALL * numbers.objects:
        words = f"{numbers.small / numbers.objects:.0%} of the objects are smaller than {SMALL:.0f} px at {AT} px"
        yield Finding("look", "small objects", f"{words}: train with a larger --image-size.")
    if numbers.without_label and numbers.objects:
        level: Level = "look" if numbers.without_label > MANY_BARE * numbers.usable else "note"
        words = f"{_number(numbers.without_label, 'photo')} without a label count as photos without objects."
        yield Finding(level, "photos without label", words)


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _listed(words: Sequence[str], last: str = "and") -> str:
    shown = list(words) if len(words) <= 4 else [*words[:3], f"{len(words) - 3} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} {last} {shown[-1]}"
