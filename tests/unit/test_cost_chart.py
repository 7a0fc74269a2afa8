"""The picture of costs: drawn for whatever the bill has in it, and readable."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from io import BytesIO

import pytest
from PIL import Image

from commands.cost_chart import COLOURS, MOST_LAYERS, ODD, SIZE, Layer, daily

FIRST = date(2026, 5, 1)


def drawn(*layers: Layer, odd: tuple[date, ...] = (), provisional: tuple[date, ...] = ()) -> Image.Image:
    data = daily(FIRST, layers, "Cost a day in USD, by service", odd=odd, provisional=provisional)
    with Image.open(BytesIO(data)) as picture:
        assert picture.size == SIZE
        return picture.convert("RGB")


def share(picture: Image.Image, colour: str) -> float:
    """How much of the picture has a colour."""
    wanted = tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))
    counts = picture.getcolors(1 << 24) or []
    return sum(count for count, found in counts if found == wanted) / (SIZE[0] * SIZE[1])


@pytest.mark.parametrize("amount", ["0", "-3.5", "0.0000000001", "0.0123", "25", "99999999.99"])
@pytest.mark.parametrize("days", [1, 9, 200])
def test_any_amount_and_any_number_of_days_can_be_drawn(amount: str, days: int) -> None:
    drawn(Layer("Amazon SageMaker", [Decimal(amount)] * days), provisional=(FIRST,), odd=(FIRST,))


def test_twice_the_cost_is_twice_the_area() -> None:
    picture = drawn(Layer("a", [Decimal(20)] * 7), Layer("b", [Decimal(10)] * 7))
    assert share(picture, COLOURS[0]) == pytest.approx(2 * share(picture, COLOURS[1]), rel=0.05)


def test_a_credit_takes_no_room() -> None:
    alone = drawn(Layer("a", [Decimal(20)] * 7))
    assert share(drawn(Layer("a", [Decimal(20)] * 7), Layer("b", [Decimal(-5)] * 7)), COLOURS[0]) == share(
        alone, COLOURS[0]
    )


def test_every_layer_is_in_the_legend_however_long_its_name() -> None:
    layers = [Layer(f"Amazon Something Very Long Indeed Number {at}", [Decimal(0)] * 30) for at in range(MOST_LAYERS)]
    picture = drawn(*layers, odd=(FIRST + timedelta(days=3),))
    assert all(share(picture, colour) > 0.0003 for colour in (*COLOURS, ODD))
