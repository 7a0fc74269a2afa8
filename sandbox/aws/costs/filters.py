"""Cost Explorer's expressions: which lines a filter lets through, and what a line is grouped under."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sandbox.aws.costs.lines import DIMENSIONS, Line
from sandbox.aws.errors import AwsError

Wanted = Callable[[Line], bool]
Key = Callable[[Line], str]
_ROOTS = ("And", "Or", "Not", "Dimensions", "Tags")
_OF_BUDGETS = {"Service": "SERVICE", "Region": "REGION", "UsageType": "USAGE_TYPE", "LinkedAccount": "LINKED_ACCOUNT"}
_OPTIONS = ("EQUALS", "ABSENT", "CASE_SENSITIVE", "CASE_INSENSITIVE")


def invalid(message: str) -> AwsError:
    """Cost Explorer's answer to a request that makes no sense."""
    return AwsError("ValidationException", message)


def compiled(expression: Mapping[str, Any] | None, account: str) -> Wanted:
    """The filter of an expression; without one, everything. Raises AwsError for one that is not an expression."""
    if not expression:
        return lambda line: True
    if "CostCategories" in expression:
        raise invalid("The local AWS has no cost categories.")
    if len(expression) != 1 or next(iter(expression)) not in _ROOTS:
        raise invalid("Expression must have exactly one root operator: And, Or, Not, Dimensions or Tags.")
    root, value = next(iter(expression.items()))
    if root == "Not":
        inner = compiled(value, account)
        return lambda line: not inner(line)
    if root in ("And", "Or"):
        if len(value) < 2:
            raise invalid(f"{root} needs at least two expressions.")
        each, of = [compiled(one, account) for one in value], all if root == "And" else any
        return lambda line: of(wanted(line) for wanted in each)
    return _matched(value, grouping("DIMENSION" if root == "Dimensions" else "TAG", value.get("Key"), account), root)


def grouping(kind: str, key: str | None, account: str) -> Key:
    """What a line is grouped under: the dimension's value, or the tag's (empty without that tag). Raises AwsError."""
    if kind == "TAG":
        if not key:
            raise invalid("A tag needs a key.")
        return lambda line: line.tag.get(key, "")
    if kind != "DIMENSION" or key not in DIMENSIONS:
        raise invalid(f"Cannot group or filter by {kind} {key}: lines have the dimensions {', '.join(DIMENSIONS)}.")
    return lambda line: line.dimension(key, account)


def _matched(value: Mapping[str, Any], of: Key, root: str) -> Wanted:
    options, values = value.get("MatchOptions") or ["EQUALS"], value.get("Values") or []
    if other := [option for option in options if option not in _OPTIONS]:
        raise invalid(f"MatchOptions {', '.join(other)} are not available here.")
    if "ABSENT" in options:
        if root != "Tags" or values:
            raise invalid("ABSENT is for tags, and has no values.")
        return lambda line: not of(line)
    if not values:
        raise invalid(f"Filter by {value.get('Key')} needs values.")
    if "CASE_INSENSITIVE" in options:
        return _one_of({one.lower() for one in values}, lambda line: of(line).lower())
    return _one_of(set(values), of)


def _one_of(values: set[str], of: Key) -> Wanted:
    return lambda line: of(line) in values


def groupings(asked: Sequence[Mapping[str, Any]], account: str) -> list[Key]:
    """The keys of a GroupBy, tags as `Key$value`. Raises AwsError for more than two."""
    if len(asked) > 2:
        raise invalid("Only two group by definitions are allowed.")
    found = []
    for each in asked:
        of = grouping(each.get("Type", "DIMENSION"), each.get("Key"), account)
        found.append(_tagged(each["Key"], of) if each.get("Type") == "TAG" else of)
    return found


def _tagged(key: str, of: Key) -> Key:
    return lambda line: f"{key}${of(line)}"


def of_budget(filters: Mapping[str, list[str]]) -> dict[str, Any] | None:
    """A budget's CostFilters, all of which must match, as an expression; `user:Key$value` names a tag.

    Raises AwsError for a filter that is not known.
    """
    parts: list[dict[str, Any]] = []
    for name, values in filters.items():
        if name == "TagKeyValue":
            keys = {value.removeprefix("user:").partition("$")[0] for value in values}
            parts += [{"Tags": {"Key": key, "Values": _values(values, key)}} for key in sorted(keys)]
        elif name in _OF_BUDGETS:
            parts.append({"Dimensions": {"Key": _OF_BUDGETS[name], "Values": values}})
        else:
            raise AwsError("InvalidParameterException", f"The local AWS does not filter budgets by {name}.")
    return {"And": parts} if len(parts) > 1 else parts[0] if parts else None


def _values(values: list[str], key: str) -> list[str]:
    pairs = (value.removeprefix("user:").partition("$") for value in values)
    return [value for name, _, value in pairs if name == key]
