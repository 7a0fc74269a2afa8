"""A line of the bill, and what reports may ask it for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property

CENT = Decimal("0.0000000001")
"""What amounts and quantities are rounded to: Cost Explorer's ten decimals."""
SAGEMAKER = "Amazon SageMaker"


@dataclass(frozen=True)
class Line:
    """What one usage of one service cost on one day (UTC). `tags` are those of the resource behind it."""

    day: date
    service: str
    usage_type: str
    operation: str
    region: str
    unit: str
    quantity: Decimal
    amount: Decimal
    tags: tuple[tuple[str, str], ...] = ()

    @cached_property
    def tag(self) -> Mapping[str, str]:
        """The tags as a mapping."""
        return dict(self.tags)

    def dimension(self, key: str, account: str) -> str:
        """The value of a Cost Explorer dimension. Raises KeyError for one that lines do not have."""
        return {
            "SERVICE": self.service,
            "USAGE_TYPE": self.usage_type,
            "OPERATION": self.operation,
            "REGION": self.region,
            "INSTANCE_TYPE": self._instance or "NoInstanceType",
            "LINKED_ACCOUNT": account,
            "RECORD_TYPE": "Usage",
        }[key]

    @property
    def _instance(self) -> str:
        last = self.usage_type.replace("JupyterLab-", "").rpartition(":")[2]
        return last if last.startswith(("ml.", "db.", "t3.", "m5.")) else ""


DIMENSIONS = ("SERVICE", "USAGE_TYPE", "OPERATION", "REGION", "INSTANCE_TYPE", "LINKED_ACCOUNT", "RECORD_TYPE")


def cost(quantity: Decimal, usd: Decimal) -> Decimal:
    """The amount for a quantity, to ten decimals."""
    return (quantity * usd).quantize(CENT)


def pairs(tags: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Tags as lines hold them."""
    return tuple(sorted(tags.items()))
