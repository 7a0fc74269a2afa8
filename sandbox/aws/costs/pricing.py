"""The Price List Query API over the sandbox's price list: products as JSON in texts, spelled as AWS does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sandbox.aws.costs.pages import page
from sandbox.aws.costs.prices import SERVICE_CODE, Price, Prices
from sandbox.aws.errors import AwsError

NAMES = {
    SERVICE_CODE: "Amazon SageMaker",
    "AmazonS3": "Amazon Simple Storage Service",
    "AmazonCloudWatch": "AmazonCloudWatch",
}
_ON_DEMAND, _RATE = "JRTCKXETXF", "6YS6EN2CT7"
"""AWS's codes of the on-demand offer and of its only rate."""


class PriceList:
    """DescribeServices, GetAttributeValues, GetProducts for Amazon SageMaker, and for what S3 and logs keep."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._products = [(attributes(price), price) for price in prices.products]

    def describe_services(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """DescribeServices."""
        wanted = [params["ServiceCode"]] if params.get("ServiceCode") else [*NAMES]
        services = [{"ServiceCode": code, "AttributeNames": sorted(self._attributes(code))} for code in wanted]
        return {"Services": services, "FormatVersion": "aws_v1"}

    def get_attribute_values(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """GetAttributeValues."""
        code, name = params["ServiceCode"], params["AttributeName"]
        values = sorted({found[name] for found, _ in self._of(code) if name in found})
        if not values:
            raise _invalid(f"The attribute {name} does not exist for {code}.")
        kept, token = _page(values, params)
        return {"AttributeValues": [{"Value": value} for value in kept], **token}

    def get_products(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """GetProducts: those that all filters match; none is no error."""
        filters = params.get("Filters") or []
        if other := sorted({each["Type"] for each in filters} - {"TERM_MATCH", "EQUALS"}):
            raise _invalid(f"Filters of type {', '.join(other)} are not available here.")
        found = [
            document(price, self._prices.published)
            for known, price in self._of(params["ServiceCode"])
            if all(known.get(each["Field"], "").lower() == each["Value"].lower() for each in filters)
        ]
        kept, token = _page(found, params)
        return {"FormatVersion": "aws_v1", "PriceList": [json.dumps(each) for each in kept], **token}

    def _attributes(self, code: str) -> set[str]:
        return {name for found, _ in self._of(code) for name in found} | {"productFamily"}

    def _of(self, code: str) -> list[tuple[dict[str, str], Price]]:
        if code not in NAMES:
            raise _invalid(f"The service code {code} does not exist here.")
        return [(found, price) for found, price in self._products if price.service == code]


def attributes(price: Price) -> dict[str, str]:
    """A product's attributes as AWS names them; `instanceType` carries the component, `instanceName` does not."""
    common = {
        "servicecode": price.service,
        "servicename": NAMES[price.service],
        "regionCode": price.region,
        "component": price.component,
        "usagetype": price.usage_type,
        "operation": price.operation,
        "productFamily": "ML Instance" if price.instance else "ML Storage" if price.component else "Storage",
        **price.attributes,
    }
    if price.instance:
        suffix = price.component.replace(" ", "")
        common |= {"instanceName": price.instance, "instanceType": f"{price.instance}-{suffix}"}
        common |= {"platoinstancename": price.instance.split(".")[1], "platoinstancetype": price.component}
    return common


def document(price: Price, published: str) -> dict[str, Any]:
    """A product with its on-demand terms, as an entry of PriceList holds it."""
    sku = hashlib.sha256(f"{price.service} {price.usage_type}".encode()).hexdigest()[:16].upper()
    term, rate = f"{sku}.{_ON_DEMAND}", f"{sku}.{_ON_DEMAND}.{_RATE}"
    where, what = price.attributes["location"], price.instance or "storage"
    per = "Hour" if price.instance else price.unit
    words = " ".join(f"${price.usd} per {per} for {what} {price.component} in {where}".split())
    shown = attributes(price)
    family = shown.pop("productFamily")
    dimension = {
        "unit": price.unit,
        "endRange": "Inf",
        "description": words,
        "appliesTo": [],
        "rateCode": rate,
        "beginRange": "0",
        "pricePerUnit": {"USD": f"{price.usd:.10f}"},
    }
    offer = {
        "priceDimensions": {rate: dimension},
        "sku": sku,
        "effectiveDate": published,
        "offerTermCode": _ON_DEMAND,
        "termAttributes": {},
    }
    return {
        "product": {"productFamily": family, "attributes": shown, "sku": sku},
        "serviceCode": price.service,
        "terms": {"OnDemand": {term: offer}},
        "version": f"{datetime.fromisoformat(published):%Y%m%d%H%M%S}",
        "publicationDate": published,
    }


def _page(items: list[Any], params: Mapping[str, Any]) -> tuple[list[Any], dict[str, str]]:
    kept, token = page(items, params, params.get("MaxResults") or 100, "NextToken")
    return kept, {"NextToken": token} if token else {}


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterException", message)
