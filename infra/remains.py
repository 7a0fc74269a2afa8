"""What still costs when the stacks are down: what `down` leaves on purpose, and what it never made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from infra import stacks
from pipeline import prices
from pipeline.errors import Unavailable
from pipeline.names import Names

GIGABYTE = 1024**3
PRICE_REGION = "us-east-1"
"""Where the price list answers, for all regions."""
LOGS = "/aws/sagemaker/"


def remains(client: Callable[..., Any], names: Names) -> Iterator[str]:
    """A line for each thing, with what it costs a month where the price list has it."""
    s3 = client("s3")
    pricing = client("pricing", region_name=PRICE_REGION)
    for bucket, why in (
        (names.audit_bucket, "the evidence; --audit-too ends it"),
        (names.bucket, "not empty yet"),
        (names.data_bucket, "your photos: `infra` did not make them"),
    ):
        if _reachable(s3, bucket):
            yield f"bucket {bucket}: {_month(pricing, names, 'AmazonS3', _bytes(s3, bucket))}. {why}"
    size = sum(
        int(group.get("storedBytes", 0))
        for page in client("logs").get_paginator("describe_log_groups").paginate(logGroupNamePrefix=LOGS)
        for group in page["logGroups"]
    )
    if size:
        cost = _month(pricing, names, "AmazonCloudWatch", size)
        yield f"log groups {LOGS}*: {cost}. All jobs of the account share them"
    yield "the image in the registry, an MLflow server or app, the bot's database and machine: see docs/cleanup.md"


def _reachable(s3: Any, bucket: str) -> bool:
    """Whether it is there and may be looked into: a data bucket may be somebody else's."""
    try:
        return stacks.exists(s3, bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] == "403":
            return False
        raise


def _bytes(s3: Any, bucket: str) -> int:
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket)
    return sum(int(row["Size"]) for page in pages for row in page.get("Versions", ()))


def _month(pricing: Any, names: Names, service: Literal["AmazonS3", "AmazonCloudWatch"], size: int) -> str:
    """A size with its price a month; the first tier's price for all of it."""
    shown = f"{size / GIGABYTE:.2f} GB"
    try:
        found = prices.storage(pricing, names.region, service)
    except (Unavailable, BotoCoreError):
        return f"{shown}, at a price that the price list does not tell now"
    if found is None:
        return f"{shown}, at a price that the price list does not have"
    return f"{shown}, about {Decimal(size) / GIGABYTE * found[0]:.2f} {found[1]} a month"
