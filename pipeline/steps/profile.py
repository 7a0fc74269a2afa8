"""Profiles a data set: counts, findings, plots and a contact sheet. On one machine, or shared out over several.

In: input `raw`, the data set or this machine's share of it (S3 gives each object to one machine, a photo and its label
perhaps to two). Out: `profile` (profile.json, plots.png, sheet.jpg, photos.csv), from the first machine alone.
Settings: DATA_URI, where the data set lies (`s3://…/`); PARTS_URI, where machines put their parts for the first one to
fetch. With one machine neither is read unless a photo for the sheet is missing.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2

from pipeline.errors import Unavailable
from pipeline.profile.findings import Finding, findings
from pipeline.profile.joined import Joined, Seen, join
from pipeline.profile.numbers import Numbers, count
from pipeline.profile.picks import picks
from pipeline.profile.plots import plots
from pipeline.profile.report import report
from pipeline.profile.rows import Part, dump, load, rows, together
from pipeline.profile.sheet import Tile, sheet
from pipeline.steps.container import Container, run, say

WAIT_S = 2700.0
"""Seconds the first machine waits for the others; a machine that fails ends the whole job before that."""
LOOK_S = 1.0
COLUMNS = (
    *("photo", "flight", "split", "usable", "width", "height", "bytes", "sha256", "objects", "brightness", "contrast"),
    *("sharpness", "dark", "bright", "fingerprint", "problems"),
)


def main(container: Container) -> str:
    """Run the step; see the module's words."""
    me, hosts = container.hosts()
    raw = container.input("raw")
    part = rows(_names(raw), lambda name: (raw / name).read_bytes(), cores())
    say("looked", host=me, photos=len(part.pictures), labels=len(part.labels))
    if len(hosts) > 1:
        home = container.setting("PARTS_URI")
        _put(home, me, part)
        if me != hosts[0]:
            return f"{me} looked at {len(part.pictures)} photos."
        part = together(_gathered(home, hosts))
    folder = container.output("profile")

    def photo(name: str) -> bytes:
        path = raw / name
        return path.read_bytes() if path.is_file() else _s3_read(container.setting("DATA_URI") + name)

    return write(join(part), photo, folder)


def write(data: Joined, photo: Callable[[str], bytes], folder: Path) -> str:
    """Write a data set's profile into a folder; returns the step's words. `photo` gives a photo's bytes by its name."""
    numbers = count(data)
    found = findings(data, numbers)
    chosen = picks(data, numbers, found)
    (folder / "profile.json").write_text(json.dumps(report(data, numbers, found, chosen)), "utf-8")
    (folder / "photos.csv").write_text(_table(data), "utf-8")
    if numbers.usable or numbers.unlabelled:
        (folder / "plots.png").write_bytes(plots(data, numbers))
    if chosen:
        tiles = [Tile(photo(seen.name), seen.name, why, seen.boxes) for seen, why in chosen]
        (folder / "sheet.jpg").write_bytes(sheet(tiles, data.book.classes))
    return _words(numbers, found)


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def _words(numbers: Numbers, found: Sequence[Finding]) -> str:
    stops = sum(each.level == "stop" for each in found)
    looks = sum(each.level == "look" for each in found)
    words = f"{numbers.found} photos, {numbers.objects} objects of {len(numbers.classes)} classes; {looks} to look at"
    return words + (f", {stops} in the way of a training." if stops else ".")


def _table(data: Joined) -> str:
    """One line for each photo. What a spreadsheet would take for a formula is quoted as text."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(COLUMNS)
    for seen in data.seen:
        table.writerow([_cell(value) for value in _line(seen, data.splits.get(seen.name, ""))])
    return out.getvalue()


def _line(seen: Seen, part: str) -> list[object]:
    look, picture = seen.picture.look, seen.picture
    problems = [look.broken, f"same bytes as {seen.twin}" if seen.twin else "", *(each.kind for each in seen.problems)]
    return [
        *(seen.name, seen.sample.scene, part, "yes" if seen.usable else "no", look.width, look.height, picture.bytes),
        *(picture.sha, len(seen.boxes), look.brightness, look.contrast, look.sharpness, look.dark, look.bright),
        *(look.hash, "; ".join(problem for problem in problems if problem)),
    ]


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _put(home: str, host: str, part: Part) -> None:
    bucket, key = _place(f"{home}/{host}.json.gz")
    _s3().put_object(Bucket=bucket, Key=key, Body=gzip.compress(dump(part), mtime=0))


def _gathered(home: str, hosts: Sequence[str]) -> list[Part]:
    """The parts of all machines, once they are there. Raises `Unavailable` when one does not come.

    Listed, not simply read: to who may not list a whole bucket, S3 says of a missing object that it is forbidden.
    """
    deadline = time.monotonic() + WAIT_S
    bucket, prefix = _place(f"{home}/")
    while True:
        found = _s3().list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", ())
        missing = {f"{prefix}{host}.json.gz" for host in hosts} - {row["Key"] for row in found}
        if not missing:
            return [load(gzip.decompress(_s3_read(f"{home}/{host}.json.gz"))) for host in hosts]
        if time.monotonic() > deadline:
            late = ", ".join(host for host in hosts if f"{prefix}{host}.json.gz" in missing)
            raise Unavailable(f"No part came from {late} in {WAIT_S / 60:.0f} min.", "Profile it again.")
        time.sleep(LOOK_S)


def _s3_read(uri: str) -> bytes:
    bucket, key = _place(uri)
    return bytes(_s3().get_object(Bucket=bucket, Key=key)["Body"].read())


def _place(uri: str) -> tuple[str, str]:
    """Bucket and key. Not `urlsplit` alone: a key may hold `?` and `#`."""
    bucket = urlsplit(uri).netloc
    return bucket, uri.removeprefix(f"s3://{bucket}/")


def _s3() -> Any:
    import boto3

    return boto3.client("s3")


if __name__ == "__main__":
    cv2.setNumThreads(1)  # the pool has a thread for each core already
    run(main)
