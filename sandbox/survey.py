"""The photos in the data bucket, put there by the loader role (`python -m sandbox.survey <folder>`, as profile `ab`).

They are the synthetic survey or a person's own data set, with labels in YOLO, COCO or VOC.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sandbox.environment import ACCOUNT, DATA_BUCKET

PREFIX = "survey"
IMAGES = {".jpg", ".jpeg", ".png"}
UPLOADERS = 4
LAYOUT = (
    "A data set is a folder with images/*.jpg, labels/*.txt (YOLO rows) and classes.txt (a name per line), or with "
    "annotations/ (COCO or VOC) in their place; photos in unlabelled/ are for its drift baseline."
)


class NotADataSet(Exception):
    """The folder a person named does not hold a data set; the message says what is missing."""


def check(folder: Path) -> Path:
    """The absolute folder of a data set. Raises `NotADataSet`."""
    absolute = folder.expanduser().resolve()
    if not absolute.is_dir():
        raise NotADataSet(f"DATA={folder}: there is no folder {absolute}. {LAYOUT}")
    yolo = not (absolute / "annotations").is_dir()
    wanted = ("images", "labels", "classes.txt") if yolo else ("images",)
    missing = [name for name in wanted if not (absolute / name).exists()]
    if missing:
        raise NotADataSet(f"DATA={folder}: {' and '.join(missing)} missing in {absolute}. {LAYOUT}")
    if not any(path.suffix.lower() in IMAGES for path in (absolute / "images").iterdir()):
        raise NotADataSet(f"DATA={folder}: {absolute / 'images'} holds no .jpg or .png. {LAYOUT}")
    if yolo and not (absolute / "classes.txt").read_text().split():
        raise NotADataSet(f"DATA={folder}: {absolute / 'classes.txt'} names no class. {LAYOUT}")
    return absolute


def files(folder: Path, prefix: str) -> list[tuple[Path, str]]:
    """Every file of a data set with its key below `prefix` in the bucket, in a fixed order."""
    found = [path for path in [folder / "classes.txt"] if path.exists()]
    parts = [folder / part for part in ("images", "labels", "annotations", "unlabelled") if (folder / part).is_dir()]
    found += [path for part in parts for path in sorted(part.iterdir()) if path.is_file()]
    return [(path, f"{prefix}/{path.relative_to(folder).as_posix()}") for path in found]


def put(s3: Any, pairs: Iterable[tuple[Path, str]]) -> int:
    """Upload several at a time; returns how many. The first failure is raised."""

    def one(pair: tuple[Path, str]) -> None:
        s3.put_object(Bucket=DATA_BUCKET, Key=pair[1], Body=pair[0].read_bytes())

    with ThreadPoolExecutor(UPLOADERS) as uploaders:
        return sum(1 for _ in uploaders.map(one, pairs))


def main() -> None:
    """Assume the loader role and load a folder."""
    options = argparse.ArgumentParser(description="Put a data set into the data bucket.")
    options.add_argument("folder", type=Path)
    options.add_argument("--prefix", default=PREFIX, help="folder in the bucket (%(default)s)")
    asked = options.parse_args()
    folder = check(asked.folder)
    import boto3

    role = f"arn:aws:iam::{ACCOUNT}:role/groundcrew-loader"
    assumed = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName="survey")["Credentials"]
    s3 = boto3.client(
        "s3",
        aws_access_key_id=assumed["AccessKeyId"],
        aws_secret_access_key=assumed["SecretAccessKey"],
        aws_session_token=assumed["SessionToken"],
    )
    print(f"{put(s3, files(folder, asked.prefix))} files are in s3://{DATA_BUCKET}/{asked.prefix}/")


if __name__ == "__main__":
    main()
