"""Cost Explorer's reports on what was: costs by period and group, and the values that dimensions and tags have had."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from typing import Any

from sandbox.aws.costs.filters import compiled, grouping, groupings, invalid
from sandbox.aws.costs.ledger import Ledger
from sandbox.aws.costs.lines import Line
from sandbox.aws.costs.pages import page
from sandbox.aws.costs.periods import Period, cut, past, shown

Params = Mapping[str, Any]
Row = tuple[Period, tuple[str, ...], list[Line]]
"""A period, the keys of a group (none without grouping) and the lines in it."""

COSTS = ("UnblendedCost", "AmortizedCost", "BlendedCost", "NetUnblendedCost", "NetAmortizedCost")
"""Without reservations and discounts, all of these are the same here."""
QUANTITY = "UsageQuantity"


class Explorer:
    """GetCostAndUsage, GetDimensionValues, GetTags, and the tags that cost allocation uses."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def get_cost_and_usage(self, params: Params) -> dict[str, Any]:
        """GetCostAndUsage, daily or monthly."""
        metrics, asked = params["Metrics"], params.get("GroupBy") or []
        if not metrics:
            raise invalid("Metrics can't be empty")
        if other := [name for name in metrics if name not in (*COSTS, QUANTITY)]:
            raise invalid(f"Metrics {', '.join(other)} are not available here.")
        period = past(params["TimePeriod"], self._ledger.today())
        rows = self._rows(params, period, groupings(asked, self._ledger.account))
        kept, token = page(rows, params, self._ledger.conditions.page_rows)
        results = [self._result(each, list(of), metrics, asked) for each, of in groupby(kept, key=lambda row: row[0])]
        grouped = {"GroupDefinitions": asked} if asked else {}
        following = {"NextPageToken": token} if token else {}
        return {**grouped, "ResultsByTime": results, "DimensionValueAttributes": [], **following}

    def _rows(self, params: Params, period: Period, keys: Sequence[Any]) -> list[Row]:
        wanted = compiled(params.get("Filter"), self._ledger.account)
        lines = [line for line in self._ledger.lines(*period) if wanted(line)]
        rows: list[Row] = []
        for each in cut(period, params["Granularity"]):
            inside = [line for line in lines if each[0] <= line.day < each[1]]
            groups: dict[tuple[str, ...], list[Line]] = defaultdict(list)
            for line in inside if keys else ():
                groups[tuple(of(line) for of in keys)].append(line)
            rows += [(each, group, groups[group]) for group in sorted(groups)] or [(each, (), inside)]
        return rows

    def _result(self, period: Period, rows: list[Row], metrics: Sequence[str], asked: Sequence[Any]) -> dict[str, Any]:
        estimated = any(self._ledger.estimated(day) for day, _ in cut(period, "DAILY"))
        groups = [{"Keys": list(keys), "Metrics": self._measured(lines, metrics)} for _, keys, lines in rows if keys]
        total = {} if asked else self._measured(rows[0][2], metrics)
        return {"TimePeriod": shown(period), "Total": total, "Groups": groups, "Estimated": estimated}

    def _measured(self, lines: Iterable[Line], metrics: Sequence[str]) -> dict[str, dict[str, str]]:
        lines = list(lines)
        amount = sum((line.amount for line in lines), Decimal(0))
        quantity, units = sum((line.quantity for line in lines), Decimal(0)), {line.unit for line in lines}
        measured = {name: {"Amount": text(amount), "Unit": self._ledger.conditions.currency} for name in COSTS}
        measured[QUANTITY] = {"Amount": text(quantity), "Unit": units.pop() if len(units) == 1 else "N/A"}
        return {name: measured[name] for name in metrics}

    # --- what there is ---------------------------------------------------------------------------------------------

    def get_dimension_values(self, params: Params) -> dict[str, Any]:
        """GetDimensionValues: what costs something in the period, by name."""
        of = grouping("DIMENSION", params["Dimension"], self._ledger.account)
        found = sorted({of(line) for line in self._filtered(params)})
        values = [value for value in found if params.get("SearchString", "").lower() in value.lower()]
        kept, token = page(values, params, params.get("MaxResults") or 1000)
        following = {"NextPageToken": token} if token else {}
        listed = [{"Value": value, "Attributes": {}} for value in kept]
        return {"DimensionValues": listed, "ReturnSize": len(kept), "TotalSize": len(values), **following}

    def get_tags(self, params: Params) -> dict[str, Any]:
        """GetTags: the keys in the period, or the values of one (an empty one stands for what has none)."""
        lines, key = list(self._filtered(params)), params.get("TagKey")
        found = {line.tag.get(key, "") for line in lines} if key else {name for line in lines for name in line.tag}
        values = [value for value in sorted(found) if params.get("SearchString", "").lower() in value.lower()]
        kept, token = page(values, params, params.get("MaxResults") or 1000)
        following = {"NextPageToken": token} if token else {}
        return {"Tags": kept, "ReturnSize": len(kept), "TotalSize": len(values), **following}

    def _filtered(self, params: Params) -> list[Line]:
        wanted = compiled(params.get("Filter"), self._ledger.account)
        lines = self._ledger.lines(*past(params["TimePeriod"], self._ledger.today()))
        return [line for line in lines if wanted(line)]

    # --- cost allocation tags --------------------------------------------------------------------------------------

    def list_cost_allocation_tags(self, params: Params) -> dict[str, Any]:
        """ListCostAllocationTags: the tag keys in use, and whether reports may go by them."""
        active, keys = self._ledger.active, sorted(self._ledger.tag_keys())
        rows = []
        for key in keys:
            status = "Active" if key in active else "Inactive"
            changed = f"{max(active.get(key, self._ledger.first), self._ledger.first)}T00:00:00Z"
            used = f"{self._ledger.today():%Y-%m-01}T00:00:00Z"
            row = {"TagKey": key, "Type": "UserDefined", "Status": status, "LastUpdatedDate": changed}
            rows.append({**row, "LastUsedDate": used})
        wanted = [
            row
            for row in rows
            if params.get("Status") in (None, row["Status"])
            and params.get("Type") in (None, row["Type"])
            and row["TagKey"] in (params.get("TagKeys") or keys)
        ]
        kept, token = page(wanted, params, params.get("MaxResults") or 100, "NextToken")
        return {"CostAllocationTags": kept, **({"NextToken": token} if token else {})}

    def update_cost_allocation_tags_status(self, params: Params) -> dict[str, Any]:
        """UpdateCostAllocationTagsStatus: a key that is activated counts from today on, not before."""
        errors, known = [], self._ledger.tag_keys()
        for each in params["CostAllocationTagsStatus"]:
            key = each["TagKey"]
            if key not in known:
                errors.append({"TagKey": key, "Code": "TagKeysNotFoundException", "Message": "Tag keys not found"})
            elif each["Status"] == "Active":
                self._ledger.active.setdefault(key, self._ledger.today())
            else:
                self._ledger.active.pop(key, None)
        return {"Errors": errors}


def text(amount: Decimal) -> str:
    """An amount as the API writes it: plain, without zeros at the end."""
    written = f"{amount:f}"
    return written.rstrip("0").rstrip(".") if "." in written else written
