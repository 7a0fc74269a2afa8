"""Prices as the AWS Price List told them, with the day on which it did. A row without a price: the list has none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from state.tables import prices


@dataclass(frozen=True)
class PriceRow:
    """What one instance costs an hour; `per_hour` is None when the price list does not have it."""

    region: str
    component: str
    instance_type: str
    per_hour: Decimal | None
    currency: str
    as_of: datetime


def find(connection: Connection, region: str, component: str, instance_type: str) -> PriceRow | None:
    """The price as it was last looked up, None when it never was."""
    same = (prices.c.region == region) & (prices.c.component == component) & (prices.c.instance_type == instance_type)
    row = connection.execute(select(prices).where(same)).one_or_none()
    return PriceRow(**row._mapping) if row else None


def put(
    connection: Connection, region: str, component: str, instance_type: str, per_hour: Decimal | None, currency: str
) -> PriceRow:
    """Write a price that was looked up just now."""
    new = insert(prices).values(
        region=region, component=component, instance_type=instance_type, per_hour=per_hour, currency=currency
    )
    values = {"per_hour": per_hour, "currency": currency, "as_of": func.now()}
    upsert = new.on_conflict_do_update(index_elements=["region", "component", "instance_type"], set_=values)
    return PriceRow(**connection.execute(upsert.returning(prices)).one()._mapping)
