"""What a picture looks like in a few numbers: exposure, sharpness, and a fingerprint of its coarse structure.

Decoding is most of the work, so a JPEG is decoded in grey and no larger than needed; it is still read to its last
byte, which is how a truncated one is found.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

Grey = NDArray[np.uint8]

SIDE = 320
"""Pixels of the longer side that is measured: sharpness depends on scale, so all pictures are brought to one."""
CLIP = 5
"""Grey levels at each end that count as clipped."""
HASHED, KEPT = 64, 16
"""The fingerprint: signs of the KEPT × KEPT lowest frequencies of the picture at HASHED × HASHED pixels."""


@dataclass(frozen=True)
class Look:
    """Format and mode as Pillow names them, size in pixels, grey levels and shares, 256 bits in hex.

    Sharpness is the variance of the Laplacian. `broken` says why there is nothing else.
    """

    broken: str = ""
    format: str = ""
    mode: str = ""
    width: int = 0
    height: int = 0
    brightness: float = 0.0
    contrast: float = 0.0
    sharpness: float = 0.0
    dark: float = 0.0
    bright: float = 0.0
    hash: str = ""


def look(data: bytes) -> Look:
    """Look at a picture's bytes. What cannot be decoded to its end is `broken`; nothing is raised for it."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            about = (picture.format or "", picture.mode, *picture.size)
            grey = _grey(picture)
    except UnidentifiedImageError:
        return Look("not an image")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return Look(str(error))
    return Look("", *about, *_exposure(grey), fingerprint(grey))


def fingerprint(grey: Grey) -> str:
    """256 bits, in hex: which of the low frequencies of the picture's cosine transform lie above their median.

    They stay nearly the same when a picture is saved again, resized or brightened, and half of them differ between
    two that have nothing to do with each other.
    """
    small = cv2.resize(grey, (HASHED, HASHED), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:KEPT, :KEPT].ravel()
    return np.packbits(low > np.median(low)).tobytes().hex()


def _grey(picture: Image.Image) -> Grey:
    """The picture in grey, its longer side at most SIDE."""
    width, height = picture.size
    scale = min(1.0, SIDE / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture.draft("L", size)  # JPEG decodes to half, a quarter or an eighth by itself, never below this size
    if picture.mode.startswith(("I", "F")):  # 16 bits a channel and more
        deep = np.asarray(picture, np.float32)
        grey: Any = np.clip(deep / 257, 0, 255).astype(np.uint8)
    else:
        grey = np.asarray(picture.convert("L"))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


def _exposure(grey: Grey) -> tuple[float, float, float, float, float]:
    mean, deviation = cv2.meanStdDev(grey)
    _, roughness = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))
    histogram = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel() / grey.size
    dark, bright = min(1.0, histogram[:CLIP].sum()), min(1.0, histogram[-CLIP:].sum())
    values = (mean[0, 0], deviation[0, 0], roughness[0, 0] ** 2, dark, bright)
    one, two, three, four, five = (round(float(value), 4) for value in values)
    return one, two, three, four, five
