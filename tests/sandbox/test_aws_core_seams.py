"""moto is pinned because its insides are changed: a moto that differs fails here, naming what differs."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from sandbox.aws.seams import ADDED, MOTO, REPLACED, USED, Seam


def test_the_pinned_version() -> None:
    assert version("moto") == MOTO


@pytest.mark.parametrize("seam", [*REPLACED, *ADDED, *USED], ids=lambda seam: f"{seam.module}.{seam.name}")
def test_seam(seam: Seam) -> None:
    assert seam.mismatch() is None


def test_a_changed_seam_is_noticed() -> None:
    changed = Seam("moto.core.utils", "get_service_model", ("name",))
    assert changed.mismatch() == "moto.core.utils.get_service_model('service_name',) is not ('name',)"
    with pytest.raises(AttributeError):
        Seam("moto.core.utils", "gone").mismatch()
