"""What an instance costs an hour, by the AWS Price List Query API. What the list does not have is unknown, not free.

On-demand prices only: managed spot training has no entry in the list, its saving is known from the job afterwards
(`BillableTimeInSeconds`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.errors import Unavailable

SERVICE = "AmazonSageMaker"

Component = Literal["Training", "Processing", "Hosting", "Batch Transform", "Notebook"]
"""What an instance is used for: each has a price of its own."""


def per_hour(pricing: Any, region: str, component: Component, instance_type: str) -> tuple[Decimal, str] | None:
    """Price of one `instance_type` for an hour in `region`, and its currency; None when the list has none.

    Raises Unavailable when the list cannot be asked.
    """
    match = {"regionCode": region, "instanceName": instance_type}
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in match.items()]
    try:
        pages = pricing.get_paginator("get_products").paginate(ServiceCode=SERVICE, Filters=filters)
        products = [json.loads(entry) for page in pages for entry in page["PriceList"]]
    except ClientError as refusal:
        words = refusal.response["Error"].get("Message", refusal)
        raise Unavailable(f"The AWS price list refuses: {words}", "`doctor` says what is missing.") from refusal
    except BotoCoreError as fault:
        raise Unavailable(f"The AWS price list does not answer: {fault}", "Try again in a minute.") from fault
    for product in products:
        if _attribute(product, "component") == component.lower():
            return next(_hourly(product), None)
    return None


def _attribute(product: Mapping[str, Any], name: str) -> str:
    return str(product["product"]["attributes"].get(name, "")).lower()


def _hourly(product: Mapping[str, Any]) -> Iterator[tuple[Decimal, str]]:
    """On-demand prices by the hour that cost something: a free tier is listed as a price of 0."""
    for term in product["terms"].get("OnDemand", {}).values():
        for dimension in term["priceDimensions"].values():
            if dimension["unit"].lower() in ("hrs", "hours", "hour"):
                for currency, amount in dimension["pricePerUnit"].items():
                    if Decimal(amount) > 0:
                        yield Decimal(amount), currency
