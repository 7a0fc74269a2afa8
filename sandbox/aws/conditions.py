"""Condition blocks of IAM policies: every operator, missing keys, set qualifiers and policy variables.

Pure: values in, bool out. Context keys are lower-case; a key's values are a tuple (multi-valued keys have several).
Rules are those of the IAM user guide, "IAM JSON policy elements: Condition operators" and "Policy variables".
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

Context = Mapping[str, tuple[str, ...]]
Conditions = Mapping[str, Mapping[str, tuple[str, ...]]]

VARIABLE = re.compile(r"\$\{([^}]*)\}")


def pattern(template: str, context: Context, *, wild: bool, variables: bool) -> re.Pattern[str] | None:
    """A full-match pattern of a policy value; None when it uses a variable that has no value (it matches nothing).

    `wild` makes `*` and `?` wildcards; the value of a variable and `${*}`, `${?}`, `${$}` are always literal.
    """
    out: list[str] = []
    place = 0
    for found in VARIABLE.finditer(template) if variables else ():
        out.append(_globbed(template[place : found.start()], wild))
        value = _variable(found.group(1), context)
        if value is None:
            return None
        out.append(re.escape(value))
        place = found.end()
    out.append(_globbed(template[place:], wild))
    return re.compile("".join(out), re.DOTALL)


def _globbed(text: str, wild: bool) -> str:
    if not wild:
        return re.escape(text)
    return "".join({"*": ".*", "?": "."}.get(char) or re.escape(char) for char in text)


def _variable(expression: str, context: Context) -> str | None:
    if expression in ("*", "?", "$"):
        return expression
    key, comma, default = expression.partition(",")
    values = context.get(key.strip().lower(), ())
    if len(values) == 1:
        return values[0]
    # A multi-valued key has no single value to put in.
    return default.strip().strip("'") if comma and not values else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _moment(text: str) -> float | None:
    seconds = _number(text)
    if seconds is not None:
        return seconds
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _ordered(parse: Callable[[str], float | None], holds: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    def compare(wanted: str, actual: str) -> bool:
        left, right = parse(actual), parse(wanted)
        return left is not None and right is not None and holds(left, right)

    return compare


def _in_network(wanted: str, actual: str) -> bool:
    try:
        return ipaddress.ip_address(actual) in ipaddress.ip_network(wanted, strict=False)
    except ValueError:
        return False


def _same_bool(wanted: str, actual: str) -> bool:
    return wanted.lower() in ("true", "false") and wanted.lower() == actual.lower()


# Comparisons of two plain values (wanted by the policy, actual in the request). The string and ARN operators are
# not here: they compare with patterns.
_PLAIN: dict[str, Callable[[str, str], bool]] = {
    "Bool": _same_bool,
    "BinaryEquals": lambda wanted, actual: wanted == actual,
    "IpAddress": _in_network,
    **{
        f"{family}{name}": _ordered(parse, holds)
        for family, parse in (("Numeric", _number), ("Date", _moment))
        for name, holds in (
            ("Equals", lambda a, b: a == b),
            ("LessThan", lambda a, b: a < b),
            ("LessThanEquals", lambda a, b: a <= b),
            ("GreaterThan", lambda a, b: a > b),
            ("GreaterThanEquals", lambda a, b: a >= b),
        )
    },
}
_PATTERNS = ("StringEquals", "StringEqualsIgnoreCase", "StringLike", "ArnEquals", "ArnLike")
# negated operator -> the operator it negates
_NEGATED: dict[str, str] = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
    "NotIpAddress": "IpAddress",
}
_QUALIFIERS = ("ForAllValues", "ForAnyValue")


def known_operator(name: str) -> bool:
    """Whether AWS defines this condition operator, qualifier and `IfExists` included."""
    qualifier, _, rest = name.rpartition(":")
    base = rest.removesuffix("IfExists")
    if qualifier and qualifier not in _QUALIFIERS:
        return False
    if base == "Null":
        return rest == base
    return base in _PLAIN or base in _PATTERNS or base in _NEGATED


def hold(conditions: Conditions, context: Context, *, variables: bool, unknown: bool) -> bool:
    """Whether all conditions of a statement hold; an operator that AWS does not define counts as `unknown`."""
    for operator, keys in conditions.items():
        if not known_operator(operator):
            if not unknown:
                return False
            continue
        for key, wanted in keys.items():
            if not _holds(operator, wanted, context.get(key.lower(), ()), context, variables):
                return False
    return True


def _holds(operator: str, wanted: tuple[str, ...], actual: tuple[str, ...], context: Context, variables: bool) -> bool:
    qualifier, _, rest = operator.rpartition(":")
    base = rest.removesuffix("IfExists")
    if base == "Null":
        return any((value.lower() == "true") == (not actual) for value in wanted)
    negated = base in _NEGATED
    if not actual:
        return rest != base or qualifier == "ForAllValues" or (negated and qualifier != "ForAnyValue")
    matches = list(_matches(_NEGATED.get(base, base), wanted, actual, context, variables))
    if qualifier == "ForAllValues":
        return all(match != negated for match in matches)
    if qualifier == "ForAnyValue":
        return any(match != negated for match in matches)
    return any(matches) != negated


def _matches(
    base: str, wanted: tuple[str, ...], actual: tuple[str, ...], context: Context, variables: bool
) -> Iterator[bool]:
    """For each actual value, whether any wanted value matches it."""
    for value in actual:
        yield any(_match(base, want, value, context, variables) for want in wanted)


def _match(base: str, wanted: str, actual: str, context: Context, variables: bool) -> bool:
    if base in ("ArnEquals", "ArnLike"):
        want_parts, parts = wanted.split(":", 5), actual.split(":", 5)
        # A variable has colons of its own: such a value is compared as a whole, and so is "everything".
        if wanted == "*" or VARIABLE.search(wanted):
            want_parts, parts = [wanted], [actual]
        if len(want_parts) != len(parts):
            return False
        return all(
            (like := pattern(want, context, wild=True, variables=variables)) is not None and bool(like.fullmatch(part))
            for want, part in zip(want_parts, parts, strict=True)
        )
    if base == "StringEqualsIgnoreCase":
        wanted, actual = wanted.lower(), actual.lower()
    if base in _PATTERNS:
        like = pattern(wanted, context, wild=base == "StringLike", variables=variables)
        return like is not None and bool(like.fullmatch(actual))
    exact = pattern(wanted, context, wild=False, variables=variables)
    if exact is None:
        return False
    plain = VARIABLE.sub(lambda found: _variable(found.group(1), context) or "", wanted) if variables else wanted
    return _PLAIN[base](plain, actual)
