"""Reports as the monitor leaves them, for the tests of what reads them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.names import Names
from tests.unit.fake_s3 import FakeS3

NAMES = Names("123456789012", "us-east-1")
BUCKET = NAMES.bucket
ENDPOINT = "groundcrew-dev-detector"
HOME = f"s3://{BUCKET}/dev/monitoring/{ENDPOINT}"
MODEL = "9" * 64
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
HOUR = timedelta(hours=1)
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


def stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def column(name: str = "sharpness", distance: float = 0.9, limit: float = 0.3, **more: Any) -> dict[str, Any]:
    beyond = distance > limit > 0
    told = {"column": name, "distance": distance, "limit": limit, "psi": 0.1, "p": 0.001, "before": 412.0, "now": 280.0}
    return {**told, "beyond": beyond, **more}


def verdict(kind: str = "drift", end: datetime = NOW, length: timedelta = HOUR, **more: Any) -> dict[str, Any]:
    """The content of a verdict.json."""
    return {
        "version": 1,
        "verdict": kind,
        "message": "m",
        "endpoint": ENDPOINT,
        "window": {"start": stamp(end - length), "end": stamp(end)},
        "images": 400,
        "records": 402,
        "malformed": {"not JSON": 2},
        "models": {MODEL: 400},
        "columns": [column("brightness", 0.1), column()] if kind == "drift" else [column("brightness", 0.1)],
        "limits": {"at": 400, "limit": 0.3, "from": "99th percentile of the baseline's own windows", "flights": 12},
        "baseline": {"id": "b1b1b1b1b1b1", "model": MODEL, "images": 800},
        "violations": [],
        "quality": None,
        "review": {"prefix": "", "photos": 0},
        "caveats": [],
        **more,
    }


def leave(s3: FakeS3, told: dict[str, Any] | bytes, folder: str = "", **files: bytes) -> str:
    """Put a report there, called after the end of its window; returns its folder."""
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    place = folder or f"{HOME}/{json.loads(body)['window']['end']}"
    s3.hold(f"{place}/verdict.json", body)
    for name, data in files.items():
        s3.hold(f"{place}/{name.replace('__', '/').replace('_', '.')}", data)
    return place


def statistics(images: int = 900, model: str = MODEL, **more: Any) -> bytes:
    """A baseline's statistics.json, without its sketches."""
    names = ("brightness", "class_vehicle", "class_boat")
    limits = [{"images": 30, "limit": 0.61}, {"images": 200, "limit": 0.33}]
    body = {
        "version": 0,
        "dataset": {"item_count": images},
        "features": [{"name": name, "inferred_type": "Fractional"} for name in names],
        "calibration": {"limits": limits, "drawn_by": "flight", "flights": 12},
        "baseline": {"id": "c2c2c2c2c2c2", "model": model},
        **more,
    }
    return json.dumps(body).encode()
