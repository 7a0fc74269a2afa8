"""Prices from the AWS Price List: what it has, what it lacks, and when it does not answer."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber

from pipeline import prices
from pipeline.errors import Unavailable


def listed(component: str, *amounts: str, unit: str = "Hrs", currency: str = "USD") -> str:
    """One entry of the list, as AWS writes it: JSON in a string, amounts as strings, ids as keys."""
    dimensions = {f"T.{index}": {"unit": unit, "pricePerUnit": {currency: each}} for index, each in enumerate(amounts)}
    attributes = {"instanceName": "ml.m5.large", "component": component, "regionCode": "eu-west-1"}
    terms = {"OnDemand": {"S.T": {"priceDimensions": dimensions}}} if amounts else {}
    return json.dumps({"product": {"productFamily": "ML Instance", "attributes": attributes}, "terms": terms})


def asked(*entries: str) -> Any:
    """The price of Training when the list has these entries."""
    client = boto3.client("pricing", "us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    wanted = {"regionCode": "eu-west-1", "instanceName": "ml.m5.large"}
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]
    with Stubber(client) as stub:
        expected = {"ServiceCode": "AmazonSageMaker", "Filters": filters}
        stub.add_response("get_products", {"FormatVersion": "aws_v1", "PriceList": list(entries)}, expected)
        return prices.per_hour(client, "eu-west-1", "Training", "ml.m5.large")


def test_the_price_is_that_of_the_component() -> None:
    found = asked(listed("Hosting", "0.1290000000"), listed("Training", "0.1350000000"))
    assert found == (Decimal("0.135"), "USD")


def test_a_free_tier_is_not_the_price() -> None:
    assert asked(listed("Training", "0.0000000000", "0.1350000000")) == (Decimal("0.135"), "USD")


def test_another_currency_is_named() -> None:
    assert asked(listed("Training", "0.9", currency="CNY")) == (Decimal("0.9"), "CNY")


@pytest.mark.parametrize(
    "entries",
    [(), (listed("Hosting", "0.129"),), (listed("Training"),), (listed("Training", "0.1", unit="GB-Mo"),)],
    ids=["nothing", "another component", "reserved only", "not by the hour"],
)
def test_what_the_list_lacks_is_unknown(entries: tuple[str, ...]) -> None:
    assert asked(*entries) is None


def test_a_list_that_refuses_is_unavailable() -> None:
    client = boto3.client("pricing", "us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    with Stubber(client) as stub:
        stub.add_client_error("get_products", "AccessDeniedException", "not authorized to perform pricing:GetProducts")
        with pytest.raises(Unavailable, match="not authorized"):
            prices.per_hour(client, "eu-west-1", "Training", "ml.m5.large")


def test_a_list_that_does_not_answer_is_unavailable() -> None:
    client = boto3.client(
        "pricing",
        "us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        endpoint_url="http://127.0.0.1:9",
        config=Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(Unavailable, match="does not answer"):
        prices.per_hour(client, "eu-west-1", "Training", "ml.m5.large")


def kept(*entries: tuple[str, str, str]) -> str:
    """What keeping data costs: usage type, begin of the tier and price of each entry."""
    dimensions = {
        str(index): {"unit": "GB-Mo", "beginRange": begin, "pricePerUnit": {"USD": price}}
        for index, (_, begin, price) in enumerate(entries)
    }
    terms = {"OnDemand": {"S.T": {"priceDimensions": dimensions}}}
    return json.dumps({"product": {"attributes": {"usagetype": entries[0][0]}}, "terms": terms})


def test_storage_costs_what_its_first_tier_costs() -> None:
    client = boto3.client("pricing", "us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    rows = [
        kept(("EUW1-TimedStorage-GlacierByteHrs", "0", "0.004")),
        kept(("EUW1-TimedStorage-ByteHrs", "512000", "0.0210"), ("EUW1-TimedStorage-ByteHrs", "0", "0.0230")),
    ]
    with Stubber(client) as stub:
        for entries in (rows, rows[:1]):
            stub.add_response("get_products", {"FormatVersion": "aws_v1", "PriceList": entries})
        assert prices.storage(client, "eu-west-1", "AmazonS3") == (Decimal("0.0230"), "USD")
        assert prices.storage(client, "eu-west-1", "AmazonCloudWatch") is None
