"""What an instance costs an hour, by the AWS Price List Query API. What the list does not have is unknown, not free.

On-demand prices only: managed spot training has no entry in the list, its saving is known from the job afterwards
(`BillableTimeInSeconds`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
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
    for product in _products(pricing, SERVICE, {"regionCode": region, "instanceName": instance_type}):
        if _attribute(product, "component") == component.lower():
            return next(_prices(product, ("hrs", "hours", "hour")), None)
    return None


def storage(pricing: Any, region: str, service: Literal["AmazonS3", "AmazonCloudWatch"]) -> tuple[Decimal, str] | None:
    """Price of keeping a gigabyte for a month (S3 Standard, or logs) in its first tier, and the currency.

    None when the list has none. Raises Unavailable when it cannot be asked.
    """
    filters = {"regionCode": region} | ({"volumeType": "Standard"} if service == "AmazonS3" else {})
    for product in _products(pricing, service, filters):
        usage = str(product["product"]["attributes"].get("usagetype", ""))
        if re.fullmatch(r"([A-Z0-9]+-)?TimedStorage-ByteHrs", usage):
            return next(_prices(product, ("gb-mo", "gb-month")), None)
    return None


def _products(pricing: Any, service: str, match: Mapping[str, str]) -> list[dict[str, Any]]:
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in match.items()]
    try:
        pages = pricing.get_paginator("get_products").paginate(ServiceCode=service, Filters=filters)
        return [json.loads(entry) for page in pages for entry in page["PriceList"]]
    except ClientError as refusal:
        words = refusal.response["Error"].get("Message", refusal)
        raise Unavailable(f"The AWS price list refuses: {words}", "`doctor` says what is missing.") from refusal
    except BotoCoreError as fault:
        raise Unavailable(f"The AWS price list does not answer: {fault}", "Try again in a minute.") from fault


def _attribute(product: Mapping[str, Any], name: str) -> str:
    return str(product["product"]["attributes"].get(name, "")).lower()


def _prices(product: Mapping[str, Any], units: Sequence[str]) -> Iterator[tuple[Decimal, str]]:
    """On-demand prices in such a unit that cost something: a free tier is listed as a price of 0. First tier first."""
    for term in product["terms"].get("OnDemand", {}).values():
        tiers = sorted(term["priceDimensions"].values(), key=lambda tier: Decimal(tier.get("beginRange", "0")))
        for dimension in tiers:
            if dimension["unit"].lower() in units:
                for currency, amount in dimension["pricePerUnit"].items():
                    if Decimal(amount) > 0:
                        yield Decimal(amount), currency
