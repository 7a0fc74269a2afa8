"""Prices that commands reckon with: from the price list, kept for a week, shown with the day they are from.

They are read with the bot's own eyes: a price is no secret, and an estimate is shown before a person's session begins.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from commands.command import Context
from pipeline import prices as price_list
from pipeline.errors import Unavailable
from pipeline.prices import Component
from state import prices
from state.prices import PriceRow

KEPT = timedelta(days=7)


def hourly(ctx: Context, component: Component, instance_type: str) -> PriceRow:
    """The price of one instance for an hour; `per_hour` is None when the list has none.

    An older price is better than none: it is used, with its date, while the list does not answer. Raises Unavailable
    when it does not answer and no price is known from before.
    """
    region = ctx.names.region
    with ctx.state.begin() as connection:
        known = prices.find(connection, region, component, instance_type)
    if known is not None and datetime.now(UTC) - known.as_of < KEPT:
        return known
    try:
        found = price_list.per_hour(ctx.eyes("pricing"), region, component, instance_type)
    except Unavailable:
        if known is None:
            raise
        return known
    amount, currency = found or (None, "USD")
    with ctx.state.begin() as connection:
        return prices.put(connection, region, component, instance_type, amount, currency)
