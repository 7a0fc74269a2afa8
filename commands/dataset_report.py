"""How a data set's profile and its versions read. What a job wrote is shown as data, never as markup."""

from __future__ import annotations

from collections.abc import Sequence

from commands.reply import Action, Audience, Code, Fact, Picture, Reply, Table
from commands.wording import day, shorten
from pipeline.names import Environment
from pipeline.profile.sheet import printable
from pipeline.profiles import Profile, Said
from pipeline.versions import Difference, Version

NAMED = 3
"""Files named behind a finding."""
TOLD = 12
"""Findings told; profile.json has all."""
CLASSES = 20
RUNS = 5
_NAME, _LINE = 60, 400
_LEVELS = {"stop": "In the way of a training", "look": "Look at", "note": "Note"}


def profile(found: Profile, prefix: str, env: Environment) -> Reply:
    """A profile with its plots, and its contact sheet as a message of its own."""
    data = f"--prefix {quoted(prefix)}"
    where = f"{found.place.result}/photos.csv"
    return Reply(
        title=f"Data set {shown(prefix)}: {found.title}",
        context=["data version ", Code(found.version), f" · {env}"],
        text=["\n".join(told(found.findings)), "\nEvery photo, a line each: ", Code(where)],
        facts=[Fact(label, printable(value)) for label, value in found.facts],
        table=_classes(found.classes),
        picture=Picture(found.plots, f"profile_{found.version}.png", printable(found.plots_alt))
        if found.plots
        else None,
        actions=[
            Action("Sample of photos", f"dataset sample {data}"),
            Action("Train on it", f"pipeline run --env {env} {data}"),
            Action("Versions", f"dataset versions --env {env}"),
        ],
        environment=env,
        audience=Audience.CHANNEL,
        also=[_photos(found, prefix, env)] if found.sheet else [],
    )


def told(findings: Sequence[Said]) -> list[str]:
    """The findings, a line each: how bad, what, and some of the files."""
    lines = [f"{_LEVELS[each.level]}: {_sentence(each)}" for each in findings[:TOLD]]
    if len(findings) > TOLD:
        lines.append(f"{len(findings) - TOLD} more findings are in profile.json.")
    return lines or ["Nothing stands out: every photo and label can be used."]


def version(found: Version, older: Version | None, changes: Difference | None, env: Environment) -> Reply:
    """One version, the runs that used it, and what changed since the one before."""
    facts = [
        Fact("From", [Code(shown(found.prefix))]),
        Fact("Photos", f"{found.photos:,}" + (f" and {found.unlabelled:,} unlabelled" if found.unlabelled else "")),
        Fact("Objects", f"{found.objects:,} of {len(found.classes)} classes: {shorten(_names(found.classes), 200)}"),
        Fact("First used", day(found.made)),
    ]
    if older and changes:
        facts.append(Fact(f"Since {older.id}", _changes(changes)))
    rows = [(run, day(at)) for run, at in found.runs[: 4 * RUNS]]
    return Reply(
        title=f"Data version {found.id} in {env}",
        context=[f"used by {len(found.runs)} run{'' if len(found.runs) == 1 else 's'}"],
        facts=facts,
        table=Table(("Run", "Used"), rows, "Runs that used this version, the latest first") if rows else None,
        actions=[
            *([Action("Show the latest run", f"pipeline show {found.runs[0][0]} --env {env}")] if found.runs else []),
            *([Action("The version before", f"dataset versions {older.id} --env {env}")] if older else []),
        ],
        environment=env,
    )


def versions(found: Sequence[Version], count: int, env: Environment) -> Reply:
    """The versions used last."""
    rows = [
        (
            each.id,
            shorten(shown(each.prefix), _NAME),
            f"{each.photos:,}",
            f"{each.objects:,}",
            day(each.runs[0][1] if each.runs else each.made),
            ", ".join(run[:6] for run, _ in each.runs[:RUNS]) + (" …" if len(each.runs) > RUNS else ""),
        )
        for each in found
    ]
    columns = ("Version", "From", "Photos", "Objects", "Last used", "Runs")
    words = "one data version" if count == 1 else f"{count} data versions"
    return Reply(
        title=f"Runs in {env} have used {words}" + (f"; the latest {len(found)}" if len(found) < count else ""),
        text="A version is the hash of its manifest: photos, labels and classes. Equal content, equal version.",
        table=Table(columns, rows, f"Data versions in {env}, the one used last first"),
        actions=[
            Action(f"Show {found[0].id[:6]}", f"dataset versions {found[0].id} --env {env}"),
            Action("Profile it", f"dataset profile --prefix {quoted(found[0].prefix)}"),
        ],
        environment=env,
    )


def shown(prefix: str) -> str:
    """A folder as it is shown: visible characters only."""
    return shorten(printable(prefix), 120)


def quoted(prefix: str) -> str:
    """A folder as a command line takes it."""
    return prefix if prefix.replace("/", "").replace("-", "").replace("_", "").isalnum() else f'"{prefix}"'


def _photos(found: Profile, prefix: str, env: Environment) -> Reply:
    alt = printable(found.sheet_alt)
    sheet = Picture(found.sheet or b"", f"photos_{found.version}.jpg", alt)
    return Reply(
        title=f"Photos of {shown(prefix)} with the boxes of their labels",
        text="What the findings are about comes first, then a sample of the others.",
        picture=sheet,
        environment=env,
        audience=Audience.CHANNEL,
    )


def _sentence(said: Said) -> str:
    words = shorten(printable(said.words), _LINE)
    if not said.names:
        return words
    names = [shorten(printable(name), _NAME) for name in said.names[:NAMED]]
    more = f" and {said.files - len(names)} more" if said.files > len(names) else ""
    return f"{words.rstrip('.')} ({', '.join(names)}{more})."


def _classes(rows: Sequence[Sequence[str]]) -> Table | None:
    if not rows:
        return None
    cells = [[printable(cell) for cell in row] for row in rows[:CLASSES]]
    more = f", {CLASSES} of {len(rows)}" if len(rows) > CLASSES else ""
    return Table(
        ("Class", "Objects", "Share", "Photos", "Side at 640 (px)"), cells, f"Classes{more}, the largest first"
    )


def _changes(changes: Difference) -> str:
    parts = [
        f"{len(names)} photo{'' if len(names) == 1 else 's'} {word} ({_first(names)})"
        for names, word in ((changes.added, "added"), (changes.removed, "removed"), (changes.changed, "changed"))
        if names
    ]
    return "; ".join([*parts, *(["other classes"] if changes.classes else [])]) or "nothing but the order"


def _first(names: Sequence[str]) -> str:
    return ", ".join(shorten(printable(name), _NAME) for name in names[:2]) + (" …" if len(names) > 2 else "")


def _names(classes: Sequence[str]) -> str:
    return ", ".join(printable(name) for name in classes)
