"""What carries a detection is found where it lies: a detector by colour on a scene of the synthetic survey."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.explaining.config import Settings
from pipeline.explaining.detections import Finds, explain, occupied
from pipeline.explaining.heatmaps import heat_map, sheet
from pipeline.explaining.segments import Labels
from pipeline.serving.detector import Detection, Picture
from sandbox.imagery import Flight, Scene, pool

SIDE = 160
WATER = np.array((222, 188, 64))


class Water:
    """Finds a pool by its colour, the more water the surer, and with it a ghost in the corner."""

    size = 96

    def detect(self, picture: Picture) -> list[Detection]:
        water = (np.abs(picture.astype(int) - WATER) < 45).all(2)
        if water.sum() < 10:
            return []
        y, x = np.nonzero(water)
        box = (float(x.min()), float(y.min()), float(x.max() + 1), float(y.max() + 1))
        return [Detection("pool", min(0.95, float(water.sum()) / 100), box), Detection("ghost", 0.4, (0, 0, 9, 9))]


class Blind:
    """Finds the same on every picture, whatever it shows."""

    size = 96

    def detect(self, picture: Picture) -> list[Detection]:
        return [Detection("boat", 0.8, (10, 10, 40, 40))]


def scene(at: tuple[float, float] = (0.7, 0.6), seed: int = 3) -> Picture:
    made = Scene(Flight.draw(seed, 1), np.random.default_rng(seed), SIDE)
    pool(made, np.array(at))
    return made.picture


@pytest.mark.parametrize("at", [(0.7, 0.6), (0.25, 0.3), (0.5, 0.8)])
@pytest.mark.parametrize("seed", [3, 4])
def test_a_pools_own_segments_carry_it(at: tuple[float, float], seed: int) -> None:
    photo = explain(Water(), scene(at, seed), Settings(probability_threshold=0.5))
    (found,) = photo.objects
    assert found.detection.name == "pool"
    assert found.values.sum() == pytest.approx(found.score - found.base)
    assert found.base == 0
    assert found.own is not None
    assert found.own > 0.9
    own = occupied(photo.labels, found.detection.box)
    elsewhere = np.delete(found.values, own)
    assert np.abs(elsewhere).max() < 0.1 * found.score
    # It lies where it was drawn, in the shrunk photo's pixels.
    left, top, right, bottom = found.detection.box
    assert photo.scale == Water.size / SIDE
    assert (left + right) / 2 == pytest.approx(at[0] * Water.size, abs=3)
    assert (top + bottom) / 2 == pytest.approx(at[1] * Water.size, abs=3)


def test_what_is_found_whatever_is_shown_is_carried_by_nothing() -> None:
    (found,) = explain(Blind(), scene(), Settings()).objects
    assert (found.score, found.base, found.own) == (0.8, 0.8, None)
    assert np.abs(found.values).max() < 1e-9


def test_twice_the_same() -> None:
    one, again = (explain(Water(), scene(), Settings(num_samples=60)) for _ in range(2))
    assert (one.objects[0].values == again.objects[0].values).all()


@pytest.mark.parametrize("context", [0.0, 0.5])
def test_with_less_context_the_surroundings_do_not_take_part(context: float) -> None:
    picture = scene()
    whole = explain(Water(), picture, Settings(max_objects=1))
    photo = explain(Water(), picture, Settings(max_objects=1, context=context))
    (found,), (all_of_it,) = photo.objects, whole.objects
    assert np.count_nonzero(found.values) <= np.count_nonzero(all_of_it.values)
    assert found.values[occupied(photo.labels, found.detection.box)].sum() == pytest.approx(found.score, abs=0.05)
    if context == 0:
        left, top, right, bottom = (round(edge) for edge in found.detection.box)
        outside = set(np.unique(photo.labels)) - set(np.unique(photo.labels[top:bottom, left:right]))
        assert outside
        assert not found.values[sorted(outside)].any()


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (Settings(), {"pool", "ghost"}),
        (Settings(max_objects=1), {"pool"}),
        (Settings(probability_threshold=0.5), {"pool"}),
        (Settings(probability_threshold=0.99), set()),
    ],
)
def test_only_the_surest_are_explained(settings: Settings, names: set[str]) -> None:
    found = explain(Water(), scene(), settings).objects
    assert {each.detection.name for each in found} == names
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)


def test_an_object_occupies_what_it_covers_and_what_holds_it() -> None:
    quarters: Labels = np.repeat(np.repeat(np.arange(4, dtype=np.int32).reshape(2, 2), 10, 0), 10, 1)
    assert list(occupied(quarters, (1, 1, 4, 4))) == [0]  # a small object in a large segment
    assert list(occupied(quarters, (0, 0, 20, 10))) == [0, 1]
    assert list(occupied(quarters, (2, 2, 11, 9))) == [0]  # its edge in the next one does not count
    assert list(occupied(quarters, (-5, -5, 40, 40))) == [0, 1, 2, 3]
    assert list(occupied(quarters, (30, 30, 40, 40))) == [3]  # beside the photo: the nearest corner


def test_the_sheet_has_a_row_for_each_photo_and_room_for_missing_maps() -> None:
    detectors: list[Finds] = [Water(), Blind()]
    photos = [explain(detector, scene(), Settings(num_samples=40)) for detector in detectors]
    wide = sheet(photos)
    assert wide.shape[0] == 2 * sheet(photos[:1]).shape[0]
    assert wide.shape[1] == sheet(photos[:1]).shape[1]
    warm = heat_map(photos[0], photos[0].objects[0])
    assert warm.shape == photos[0].picture.shape
    left, top, right, bottom = (round(edge) for edge in photos[0].objects[0].detection.box)
    centre = (top + bottom) // 2, (left + right) // 2
    blue, _, red = (int(value) for value in warm[centre])
    assert red > blue + 100  # water is blue, what carries it is drawn warm
