"""`profile.rate`: photos a second through the look of `dataset profile`, against decoding the same JPEGs and no more.

Both sides use all cores through a pool of threads and read the files into memory beforehand. The look is all that is
done for each photo: SHA-256, decoding to the last byte, exposure, sharpness, fingerprint, its label; and, once for
all of them, what follows (near-duplicates, outliers, findings, counts). Plots are drawn once and are not counted.
Photos: drawn scenes enlarged to 1,600 × 1,200 pixels, with a sensor's grain.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from benchmarks.figures import Figure, Figures, main, say
from pipeline.profile.findings import findings
from pipeline.profile.joined import join
from pipeline.profile.numbers import count
from pipeline.profile.rows import rows
from pipeline.steps.profile import cores
from sandbox import imagery

PHOTOS, ROUNDS = 48, 7
WIDTH, HEIGHT = 1600, 1200
LABEL = b"0 0.5 0.5 0.1 0.1\n1 0.3 0.4 0.05 0.08\n"


def measure() -> Figures:
    """Medians over rounds; which side goes first alternates."""
    cv2.setNumThreads(1)
    say("drawing photos")
    files = survey()
    photos = [data for name, data in files.items() if name.startswith("images/")]
    spent: tuple[list[float], list[float]] = ([], [])
    for number in range(ROUNDS + 1):
        sides: list[tuple[int, Callable[[], None]]] = [(0, lambda: decode(photos)), (1, lambda: profile(files))]
        for side, work in sides if number % 2 else reversed(sides):
            began = time.perf_counter()
            work()
            if number:  # the first round warms up
                spent[side].append(time.perf_counter() - began)
    decoding, profiling = (len(photos) / statistics.median(side) for side in spent)
    return {"profile.rate": Figure(profiling, "1/s", decoding)}


def decode(photos: list[bytes]) -> None:
    """What whoever looks at photos has to do at least."""
    with ThreadPoolExecutor(cores()) as pool:
        for picture in pool.map(lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), photos):
            assert picture.shape == (HEIGHT, WIDTH, 3)


def profile(files: dict[str, bytes]) -> None:
    """The step's work on its photos and labels."""
    data = join(rows(files, files.__getitem__, cores()))
    assert findings(data, numbers := count(data)) is not None
    assert numbers.usable == PHOTOS


def survey() -> dict[str, bytes]:
    """A data set in memory: photos of several flights with their labels."""
    files = {"classes.txt": b"vehicle\npool\n"}
    for number in range(PHOTOS):
        drawn = cv2.resize(imagery.photo(number, 320), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        grain = np.random.default_rng(number).normal(0, 4, drawn.shape)  # a sensor's; without it a JPEG is too easy
        picture = np.clip(drawn + grain, 0, 255).astype(np.uint8)
        name = f"f{number % 6}_{number}"
        files[f"images/{name}.jpg"] = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
        files[f"labels/{name}.txt"] = LABEL
    return files


if __name__ == "__main__":
    main(__doc__ or "", measure)
