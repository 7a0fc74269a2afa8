"""The sandbox's price list (`sandbox/config/prices.yaml`), read once: what an hour of an instance costs, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).parents[2] / "config" / "prices.yaml"
SERVICE_CODE = "AmazonSageMaker"


@dataclass(frozen=True)
class Price:
    """One product: USD for one `unit`. `instance` is empty where the product is disk space."""

    region: str
    component: str
    instance: str
    usage_type: str
    operation: str
    unit: str
    usd: Decimal
    attributes: Mapping[str, str]
    service: str = SERVICE_CODE


@dataclass(frozen=True)
class Prices:
    """All products, in the order of the file, and since when they are valid (ISO 8601)."""

    published: str
    products: tuple[Price, ...]

    def hour(self, region: str, component: str, instance: str) -> Price | None:
        """The price of an instance's hour; None when there is none, which is not the same as nothing."""
        wanted = (region, component, instance)
        return next((one for one in self.products if (one.region, one.component, one.instance) == wanted), None)


@cache
def load(file: Path = FILE) -> Prices:
    """The price list of a file."""
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    products = [price for region, place in content["regions"].items() for price in _of_region(content, region, place)]
    return Prices(content["published"], tuple(products))


def _of_region(content: Mapping[str, Any], region: str, place: Mapping[str, str]) -> list[Price]:
    prefix, where = place["prefix"], {"location": place["location"], "locationType": "AWS Region"}
    found = []
    for instance, entry in content["instances"].items():
        for component in entry["components"] if region in entry["usd"] else ():
            kind = content["components"][component]
            usage_type = f"{prefix}-{kind['word']}{instance}"
            usd, attributes = Decimal(entry["usd"][region]), {**where, **entry["attributes"]}
            found.append(Price(region, component, instance, usage_type, kind["operation"], "Hrs", usd, attributes))
    for component in ("Training", "Processing", "Hosting"):
        usage_type = f"{prefix}-{content['components'][component]['word']}VolumeUsage.gp2"
        usd = Decimal(content["storage"][region])
        found.append(Price(region, component, "", usage_type, "CreateVolume-Gp2", "GB-Mo", usd, where))
    for service, entry in content["kept"].items():
        # The first region has no prefix in the usage types of these services.
        usage_type = f"{prefix}-TimedStorage-ByteHrs".removeprefix("USE1-")
        usd, attributes = Decimal(entry["usd"][region]), {**where, **entry["attributes"]}
        found.append(Price(region, "", "", usage_type, "", "GB-Mo", usd, attributes, service))
    return found
