"""What may be sent to the model: one picture as it is or in base64, or several in JSON. Pure.

image/jpeg, image/png   the picture's bytes
application/base64      the same in base64
application/json        {"image": "<base64>"} or {"images": ["<base64>", ...]}, at most MOST of them
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any

from pipeline.content import BASE64, JSON
from pipeline.errors import BadInput

MOST = 32
"""Pictures of one request: a worker is busy with them one after the other, and a request may take a minute."""
_FORM = 'Send {"image": "<base64>"} or {"images": ["<base64>", ...]}.'


def pictures(kind: str, body: bytes) -> tuple[Sequence[bytes], bool]:
    """The pictures of a body of one of `pipeline.content.TYPES`, and whether they are to be answered as a list.

    Raises BadInput for what is no such body; whether the bytes are pictures is found out later.
    """
    if kind == BASE64:
        return [_decoded(body, "The body")], False
    if kind != JSON:
        return [body], False
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError):  # bytes that are not UTF-8 are a ValueError too
        raise BadInput("The body is not JSON.", _FORM) from None
    if not isinstance(found, dict) or len({"image", "images"} & set(found)) != 1:
        raise BadInput("The body holds neither an image nor images.", _FORM)
    several = "images" in found
    given = found["images"] if several else [found["image"]]
    if not isinstance(given, list) or not given or not all(isinstance(each, str) for each in given):
        raise BadInput("Images are a list of texts, and not an empty one.", _FORM)
    if len(given) > MOST:
        raise BadInput(f"{len(given)} images are too many.", f"Send at most {MOST} in one request.")
    words = [named(place, len(given)) if several else "The image" for place in range(len(given))]
    return [_decoded(text.encode(), name) for text, name in zip(given, words, strict=True)], several


def named(place: int, count: int) -> str:
    """A picture of a request as its sender counts."""
    return f"Image {place + 1} of {count}"


def _decoded(text: bytes, what: str) -> bytes:
    # A browser's data URL is base64 behind a comma.
    packed = text.partition(b",")[2] if text.startswith(b"data:") else text
    try:
        return base64.b64decode(b"".join(packed.split()), validate=True)
    except (binascii.Error, ValueError):
        raise BadInput(f"{what} is not base64.", "Encode the bytes of a JPEG or PNG.") from None
