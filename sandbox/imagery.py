"""A synthetic drone survey in YOLO layout: `python -m sandbox.imagery --out DIR --seed N`.

Every flight has a light, a tint and a shadow of its own and crosses several soils, so that a split by flight is a
real test. Drawn with numpy and OpenCV; picture i of a flight depends on the seed, the flight and i alone. Real photos
vary more and their objects hide each other: what is learned here says that the machinery works, not how well a model
does outside.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Color = tuple[float, float, float]
Box = tuple[int, float, float, float, float]

CLASSES = ("solar_panel", "vehicle", "building", "pool")
SHARES = (0.25, 0.35, 0.20, 0.20)
FLIGHTS = 20
UNLABELLED = 380
"""Photos of as many flights again that nobody has labelled. With the held-out flights they make 500 which a model has
not been trained on: what its drift baseline needs."""
QUALITY = 92
PHOTO_SCALE = 2
PHOTO_CUT = 1 / 8
"""The survey photo is drawn at twice the size of a picture and enlarged by as much again (a lens is not perfectly
sharp either); the share cut off above and below makes it wider than high."""

SOILS: tuple[Color, ...] = ((78, 128, 88), (66, 112, 118), (98, 146, 134), (84, 104, 136), (70, 96, 84))
CARS: tuple[Color, ...] = ((45, 42, 205), (232, 232, 228), (38, 36, 36), (35, 185, 225), (196, 78, 44), (150, 150, 152))
ROOFS: tuple[Color, ...] = ((62, 78, 160), (148, 150, 154), (74, 98, 142), (96, 88, 92))


@dataclass(frozen=True)
class Flight:
    """What all pictures of one flight share."""

    number: int
    tint: NDArray[np.int64]
    light: float
    shadow: NDArray[np.float64]

    @classmethod
    def draw(cls, seed: int, number: int) -> Flight:
        """A flight's conditions, from the seed and its number."""
        rng = np.random.default_rng((seed, number))
        angle = rng.uniform(0, 2 * np.pi)
        direction = np.array([np.cos(angle), np.sin(angle)])
        return cls(number, rng.integers(-8, 9, 3), float(rng.uniform(0.88, 1.1)), direction)


class Scene:
    """One picture in the making; lengths are shares of its side."""

    def __init__(self, flight: Flight, rng: np.random.Generator, side: int, shares: tuple[float, ...] = SHARES) -> None:
        self.flight, self.rng, self.side, self.shares = flight, rng, side, shares
        self.picture = self._ground()
        self.boxes: list[Box] = []
        self._taken: list[tuple[float, float, float]] = []

    def populate(self, least: int = 2, most: int = 7, cut: float = 0.0) -> None:
        """Put objects down where there is room (but `cut` above and below), then the light of the day over all."""
        for _ in range(int(self.rng.integers(least, most + 1))):
            kind = int(self.rng.choice(len(CLASSES), p=self.shares))
            drawing, radius = OBJECTS[kind]
            if (place := self._place(radius, cut)) is not None:
                self._label(kind, drawing(self, place))
        self.picture = cv2.convertScaleAbs(self.picture, alpha=self.flight.light, beta=0)

    def quad(self, centre: NDArray[np.float64], width: float, height: float, angle: float) -> NDArray[np.float32]:
        """Corners, in pixels, of a turned rectangle (sizes in shares, angle in degrees)."""
        box = ((centre[0] * self.side, centre[1] * self.side), (width * self.side, height * self.side), angle)
        return np.asarray(cv2.boxPoints(box), np.float32)

    def fill(self, points: NDArray[np.float32], color: Color) -> None:
        """Fill a polygon."""
        cv2.fillPoly(self.picture, [np.round(points).astype(np.int32)], color, cv2.LINE_AA)

    def line(self, start: NDArray[np.float32], end: NDArray[np.float32], color: Color, width: int = 1) -> None:
        """Draw a line between two points in pixels."""
        cv2.line(self.picture, _pixel(start), _pixel(end), color, width, cv2.LINE_AA)

    def cast(self, points: NDArray[np.float32], height: float) -> None:
        """Darken the ground beside something `height` tall."""
        offset = (self.flight.shadow * height * self.side).astype(np.float32)
        shade = np.zeros(self.picture.shape[:2], np.uint8)
        cv2.fillPoly(shade, [np.round(points + offset).astype(np.int32)], 255, cv2.LINE_AA)
        self.picture = np.where(shade[..., None] > 127, (self.picture * 0.5).astype(np.uint8), self.picture)

    def _ground(self) -> Picture:
        rng, side = self.rng, self.side
        relief = np.zeros((side, side), np.float32)
        for cells, height in ((3, 14), (7, 10), (20, 6)):
            rough = rng.standard_normal((cells, cells)).astype(np.float32)
            relief += height * cv2.resize(rough, (side, side), interpolation=cv2.INTER_CUBIC)
        grain = rng.normal(0, 5, (side, side)).astype(np.float32)
        soil = np.array(SOILS[rng.integers(len(SOILS))], np.float32) + self.flight.tint
        ground = soil.astype(np.float32) + (relief + grain)[..., None] * np.float32([0.8, 1.0, 0.9])
        self.picture = np.clip(ground, 0, 255).astype(np.uint8)
        if rng.random() < 0.6:
            self._road()
        for _ in range(int(rng.integers(3, 11))):
            self._tree()
        return self.picture

    def _road(self) -> None:
        rng, side = self.rng, self.side
        angle, middle = rng.uniform(0, np.pi), rng.uniform(0.1, 0.9, 2) * side
        reach = np.array([np.cos(angle), np.sin(angle)]) * 2 * side
        width = max(4, int(side * rng.uniform(0.07, 0.12)))
        start, end = (middle - reach).astype(np.float32), (middle + reach).astype(np.float32)
        self.line(start, end, (98, 96, 95), width)
        self.line(start, end, (188, 198, 204), max(1, width // 14))

    def _tree(self) -> None:
        rng, side = self.rng, self.side
        centre, radius = rng.integers(0, side, 2), int(side * rng.uniform(0.015, 0.04))
        green = (28 + float(rng.integers(22)), 66 + float(rng.integers(34)), 34 + float(rng.integers(10)))
        cv2.circle(self.picture, _pixel(centre), radius, green, -1, cv2.LINE_AA)

    def _place(self, radius: float, cut: float) -> NDArray[np.float64] | None:
        edge = np.array([radius * 0.6, radius * 0.6 + cut])
        for _ in range(12):
            x, y = self.rng.uniform(edge, 1 - edge)
            if all((x - u) ** 2 + (y - v) ** 2 > (radius + other) ** 2 for u, v, other in self._taken):
                self._taken.append((x, y, radius))
                return np.array([x, y])
        return None

    def _label(self, kind: int, outline: NDArray[np.float32]) -> None:
        left, top = np.clip(outline.min(0) / self.side, 0, 1)
        right, bottom = np.clip(outline.max(0) / self.side, 0, 1)
        box = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
        self.boxes.append((kind, *(float(value) for value in box)))


def solar_panel(scene: Scene, centre: NDArray[np.float64]) -> NDArray[np.float32]:
    """A dark blue array with a pale grid; returns its outline."""
    rng = scene.rng
    corners = scene.quad(centre, rng.uniform(0.16, 0.28), rng.uniform(0.09, 0.15), rng.uniform(-25, 25))
    scene.fill(corners, (104 + float(rng.integers(30)), 50, 24))
    (a, b, c, d), thin = corners, max(1, scene.side // 160)
    for across in np.linspace(0, 1, 6, dtype=np.float32):
        scene.line(a + (d - a) * across, b + (c - b) * across, (202, 198, 194), thin)
    for along in np.linspace(0, 1, 4, dtype=np.float32):
        scene.line(a + (b - a) * along, d + (c - d) * along, (202, 198, 194), thin)
    return corners


def vehicle(scene: Scene, centre: NDArray[np.float64]) -> NDArray[np.float32]:
    """A car from above: body and windows; returns its outline."""
    rng = scene.rng
    width, height, angle = rng.uniform(0.095, 0.13), rng.uniform(0.05, 0.066), rng.uniform(0, 180)
    body = scene.quad(centre, width, height, angle)
    scene.fill(body, CARS[rng.integers(len(CARS))])
    scene.fill(scene.quad(centre, width * 0.45, height * 0.7, angle), (62, 52, 46))
    return body


def building(scene: Scene, centre: NDArray[np.float64]) -> NDArray[np.float32]:
    """A gabled roof, one half brighter, with its shadow; returns the roof's outline."""
    rng = scene.rng
    roof = scene.quad(centre, rng.uniform(0.18, 0.30), rng.uniform(0.15, 0.24), rng.uniform(0, 180))
    scene.cast(roof, 0.03)
    color = np.array(ROOFS[rng.integers(len(ROOFS))]) + rng.integers(-12, 13, 3)
    scene.fill(roof, _color(color))
    ridge = np.array([roof[0], (roof[0] + roof[1]) / 2, (roof[2] + roof[3]) / 2, roof[3]], np.float32)
    scene.fill(ridge, _color(color * 1.25))
    return roof


def pool(scene: Scene, centre: NDArray[np.float64]) -> NDArray[np.float32]:
    """Water within a pale rim; returns the rim's outline."""
    rng = scene.rng
    width, height, angle = rng.uniform(0.08, 0.15), rng.uniform(0.06, 0.10), rng.uniform(0, 180)
    rim = scene.quad(centre, width * 1.2, height * 1.25, angle)
    scene.fill(rim, (198, 204, 209))
    middle, side = centre * scene.side, scene.side
    water = ((float(middle[0]), float(middle[1])), (width * side, height * side), angle)
    cv2.ellipse(scene.picture, water, (222, 188, 64), -1, cv2.LINE_AA)
    return rim


Drawing = Callable[[Scene, NDArray[np.float64]], NDArray[np.float32]]
OBJECTS: tuple[tuple[Drawing, float], ...] = ((solar_panel, 0.15), (vehicle, 0.06), (building, 0.18), (pool, 0.10))
"""How to draw each class, and the radius to keep free around it."""


def survey(
    seed: int, images: int, side: int, first: int = 0, shares: tuple[float, ...] = SHARES
) -> Iterator[tuple[str, Picture, list[Box]]]:
    """Name, picture and boxes of every image; flights take turns, so they are equally long.

    `first` is the number of the first flight, `shares` how often each class is put down.
    """
    flights = [Flight.draw(seed, first + number) for number in range(min(FLIGHTS, images))]
    for index in range(images):
        flight, shot = flights[index % len(flights)], index // len(flights)
        scene = Scene(flight, np.random.default_rng((seed, flight.number, shot, 1)), side, shares)
        scene.populate()
        yield f"flight{flight.number:02d}_{shot:04d}", scene.picture, scene.boxes


def photo(seed: int, side: int) -> Picture:
    """A larger, wider picture of a flight nobody has trained on.

    Its objects fill the same shares of it as in the set: a detector sees it shrunk to the size it was trained at.
    """
    scene = Scene(Flight.draw(seed, FLIGHTS), np.random.default_rng((seed, FLIGHTS, 2)), side * PHOTO_SCALE)
    scene.populate(least=9, most=12, cut=PHOTO_CUT)
    above = round(scene.side * PHOTO_CUT)
    wide = scene.picture[above : scene.side - above]
    larger = cv2.resize(wide, None, fx=PHOTO_SCALE, fy=PHOTO_SCALE, interpolation=cv2.INTER_CUBIC)
    return np.asarray(larger, np.uint8)


def write(
    folder: Path, seed: int, images: int = 430, side: int = 160, broken: bool = False, unlabelled: int = 0
) -> None:
    """Write the data set and photo.jpg into a fresh `folder`; with `broken`, also six files that cannot be used."""
    for name in ("images", "labels", "unlabelled"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    for name, picture, boxes in survey(seed, images, side):
        _save(folder / "images" / f"{name}.jpg", picture)
        (folder / "labels" / f"{name}.txt").write_text(rows(boxes))
    for name, picture, _ in survey(seed, unlabelled, side, first=FLIGHTS + 1):  # between them lies the photo's flight
        _save(folder / "unlabelled" / f"{name}.jpg", picture)
    _save(folder / "photo.jpg", photo(seed, side))
    if broken:
        spoil(folder)


def rows(boxes: list[Box]) -> str:
    """A picture's objects as YOLO writes them."""
    return "".join("{} {:.6f} {:.6f} {:.6f} {:.6f}\n".format(*box) for box in boxes)


def spoil(folder: Path) -> None:
    """Break six files in six ways, the ones a real survey comes with."""
    images, labels = sorted((folder / "images").iterdir()), sorted((folder / "labels").iterdir())
    images[0].write_bytes(images[0].read_bytes()[:900])
    images[1].write_bytes(b"this was never a picture")
    images[2].write_bytes(images[3].read_bytes())
    labels[4].write_text("0 0.5 0.5 1.4 0.2\n")
    labels[5].write_text("9 0.5 0.5 0.2 0.2\n")
    labels[6].write_text("0 0.5 half\n")


def jpeg(picture: Picture) -> bytes:
    """The picture as the survey's cameras store it."""
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise ValueError(f"a picture of shape {picture.shape} could not be encoded")
    return data.tobytes()


def _save(path: Path, picture: Picture) -> None:
    path.write_bytes(jpeg(picture))


def _color(values: NDArray[np.float64]) -> Color:
    blue, green, red = (float(min(255, max(0, value))) for value in values)
    return blue, green, red


def _pixel(point: NDArray[np.float32] | NDArray[np.int64]) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))


def main() -> None:
    """Read the command line and write a survey."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.imagery", description="Draw a synthetic drone survey.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, required=True, help="same seed, same survey")
    parser.add_argument("--images", type=int, default=430)
    parser.add_argument("--unlabelled", type=int, default=UNLABELLED, help="photos without labels, of further flights")
    parser.add_argument("--size", type=int, default=160, help="side of a picture in pixels")
    parser.add_argument("--broken", action="store_true", help="spoil six files")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    write(options.out, options.seed, options.images, options.size, options.broken, options.unlabelled)


if __name__ == "__main__":
    main()
