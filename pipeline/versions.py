"""Versions of the data: what exactly runs were trained on, kept below `<env>/data/`.

    <version>/manifest.json          class names, and name and content hash of every photo with its label
    <version>/summary.json           how many photos and objects, of which classes, from which folder
    <version>/runs/<execution>.json  a run whose model was trained on it

Preprocess writes the first two, Evaluate the third, as a run may train on what an earlier one has prepared. The version
is the manifest's own hash: equal content has one version, and what lies there never changes. This module writes the
files (in a job) and reads them (for people).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.errors import BadInput, NotFound
from pipeline.names import Environment, Names
from pipeline.reports import body_of, listed

LARGEST_MANIFEST = 64 << 20
LARGEST_SUMMARY = 1 << 20
_TEXT = 200


@dataclass(frozen=True)
class Version:
    """A version of the data, and the runs that used it with the time of each, the latest first."""

    id: str
    made: datetime
    prefix: str
    photos: int
    unlabelled: int
    objects: int
    classes: Sequence[str]
    runs: Sequence[tuple[str, datetime]]


@dataclass(frozen=True)
class Difference:
    """Photos by name: those only the later version has, only the earlier, and those whose photo or label changed."""

    added: Sequence[str]
    removed: Sequence[str]
    changed: Sequence[str]
    classes: bool
    """Whether the classes differ."""


def write(folder: Path, version: str, manifest: Mapping[str, object], summary: Mapping[str, object]) -> None:
    """Write a version's files below a folder that becomes `<env>/data/`."""
    home = folder / version
    home.mkdir(parents=True, exist_ok=True)
    (home / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True), "utf-8")
    (home / "summary.json").write_text(json.dumps(summary, sort_keys=True), "utf-8")


def used(folder: Path, version: str, execution: str) -> None:
    """Write down that a run has trained on a version, below the same folder."""
    home = folder / version / "runs"
    home.mkdir(parents=True, exist_ok=True)
    (home / f"{execution}.json").write_text(json.dumps({"execution": execution}), "utf-8")


def home(names: Names, env: Environment) -> str:
    """`s3://` address below which an environment's versions lie."""
    return f"s3://{names.bucket}/{env}/data"


def recent(s3: Any, names: Names, env: Environment, most: int) -> tuple[list[Version], int]:
    """The versions that runs used last, the latest first, at most so many; and how many there are."""
    found = _found(s3, names, env)
    ordered = sorted(found, key=lambda id: max(found[id].values()), reverse=True)
    return [_version(s3, names, env, id, found[id]) for id in ordered[:most]], len(ordered)


def find(s3: Any, names: Names, env: Environment, text: str) -> tuple[Version, Version | None]:
    """The version that begins so, and the one made last before it.

    Raises NotFound, and BadInput when several begin so.
    """
    found = _found(s3, names, env)
    fitting = [id for id in found if id.startswith(text)]
    if not fitting:
        raise NotFound(f"data version in {env}", text, found)
    if len(fitting) > 1:
        raise BadInput(f"{len(fitting)} data versions begin with {text}.", "Give more of it.")
    made = {id: min(files.values()) for id, files in found.items()}
    id = fitting[0]
    before = max((each for each in found if made[each] < made[id]), key=lambda each: made[each], default=None)
    older = _version(s3, names, env, before, found[before]) if before else None
    return _version(s3, names, env, id, found[id]), older


def difference(s3: Any, names: Names, env: Environment, old: str, new: str) -> Difference:
    """What changed between two versions. Raises BadInput when a manifest cannot be read."""
    before, after = (_manifest(s3, names, env, id) for id in (old, new))
    first, second = ({**body["samples"], **body.get("unlabelled", {})} for body in (before, after))
    return Difference(
        added=sorted(set(second) - set(first)),
        removed=sorted(set(first) - set(second)),
        changed=sorted(name for name in set(first) & set(second) if first[name] != second[name]),
        classes=before["classes"] != after["classes"],
    )


def _found(s3: Any, names: Names, env: Environment) -> dict[str, dict[str, datetime]]:
    """Files with their times by version."""
    found: dict[str, dict[str, datetime]] = {}
    for uri, at in listed(s3, f"{home(names, env)}/").items():
        id, _, name = uri.removeprefix(f"{home(names, env)}/").partition("/")
        found.setdefault(id, {})[name] = at
    return {id: files for id, files in found.items() if "manifest.json" in files}


def _version(s3: Any, names: Names, env: Environment, id: str, files: Mapping[str, datetime]) -> Version:
    body = _json(s3, f"{home(names, env)}/{id}/summary.json", LARGEST_SUMMARY)
    runs = [
        (name.removeprefix("runs/").removesuffix(".json"), at)
        for name, at in files.items()
        if name.startswith("runs/") and name.endswith(".json")
    ]
    try:
        return Version(
            id=id,
            made=min(files.values()),
            prefix=str(body["prefix"])[:_TEXT],
            photos=int(body["photos"]),
            unlabelled=int(body["unlabelled"]),
            objects=int(body["objects"]),
            classes=[str(name)[:_TEXT] for name in body["classes"]],
            runs=sorted(runs, key=lambda run: run[1], reverse=True),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(
            f"The summary of data version {id} cannot be read: {error}", "Run the pipeline again."
        ) from error


def _manifest(s3: Any, names: Names, env: Environment, id: str) -> dict[str, Any]:
    body = _json(s3, f"{home(names, env)}/{id}/manifest.json", LARGEST_MANIFEST)
    if not isinstance(body.get("samples"), dict) or "classes" not in body:
        raise BadInput(f"The manifest of data version {id} is none.", "Run the pipeline again.")
    return body


def _json(s3: Any, uri: str, most: int) -> dict[str, Any]:
    data = body_of(s3, uri, most)
    try:
        body = json.loads(data or b"")
    except ValueError as error:
        raise BadInput(f"{uri} cannot be read.", "Run the pipeline again.") from error
    if not isinstance(body, dict):
        raise BadInput(f"{uri} is not what it should be.", "Run the pipeline again.")
    return body
