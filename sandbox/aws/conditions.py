"""Condition blocks of IAM policies: every operator, missing keys, set qualifiers and policy variables.

Pure: values in, bool out. Context keys are lower-case; a key's values are a tuple (multi-valued keys have several).
Rules are those of the IAM user guide, "IAM JSON policy elements: Condition operators" and "Policy variables".
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache

Context = Mapping[str, tuple[str, ...]]
Conditions = Mapping[str, Mapping[str, tuple[str, ...]]]

VARIABLE = re.compile(r"\$\{([^}]*)\}")


class Glob(Enum):
    """What `*` and `?` of a policy value stand for."""

    NONE = "themselves"
    TEXT = "any characters"
    ARN = "any characters of one of an ARN's six segments"


def pattern(template: str, context: Context, glob: Glob, *, variables: bool) -> re.Pattern[str] | None:
    """A full-match pattern of a policy value; None when it uses a variable that has no value (it matches nothing).

    The value of a variable and `${*}`, `${?}`, `${$}` are always literal.
    """
    if not variables or "${" not in template:
        return _compiled(template, glob, None)
    values = tuple(_variable(found, context) for found in VARIABLE.findall(template))
    return None if None in values else _compiled(template, glob, values)


@lru_cache(maxsize=8192)
def _compiled(template: str, glob: Glob, values: tuple[str, ...] | None) -> re.Pattern[str]:
    """The pattern with the variables' values put in; without values, `${` is ordinary text."""
    texts = [template] if values is None else VARIABLE.split(template)[::2]
    out, colons = [_globbed(texts[0], glob, 0, template == "*")], texts[0].count(":")
    for value, text in zip(values or (), texts[1:], strict=True):
        out += [re.escape(value), _globbed(text, glob, colons + value.count(":"), False)]
        colons += value.count(":") + text.count(":")
    return re.compile("".join(out), re.DOTALL)


def _globbed(text: str, glob: Glob, colons: int, everything: bool) -> str:
    """`colons` came before the text; until there are five of them, a wildcard of an ARN stays within its segment."""
    if glob is Glob.NONE:
        return re.escape(text)
    out = []
    for char in text:
        colons += char == ":"
        any_char = "." if glob is Glob.TEXT or colons >= 5 or everything else "[^:]"
        out.append({"*": f"{any_char}*", "?": any_char}.get(char) or re.escape(char))
    return "".join(out)


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


_GLOBS = {"StringLike": Glob.TEXT, "ArnEquals": Glob.ARN, "ArnLike": Glob.ARN}


def _match(base: str, wanted: str, actual: str, context: Context, variables: bool) -> bool:
    if base in _PATTERNS:
        like = pattern(wanted, context, _GLOBS.get(base, Glob.NONE), variables=variables)
        if like is None:
            return False
        return bool(
            _ignoring_case(like).fullmatch(actual) if base == "StringEqualsIgnoreCase" else like.fullmatch(actual)
        )
    plain: str | None = wanted
    if variables and "${" in wanted:
        plain = _filled(wanted, context)
    return plain is not None and _PLAIN[base](plain, actual)


@lru_cache(maxsize=1024)
def _ignoring_case(like: re.Pattern[str]) -> re.Pattern[str]:
    return re.compile(like.pattern, like.flags | re.IGNORECASE)


def _filled(wanted: str, context: Context) -> str | None:
    """The text with its variables' values; None when one has none."""
    values = [_variable(found, context) for found in VARIABLE.findall(wanted)]
    return None if None in values else VARIABLE.sub(lambda found: _variable(found.group(1), context) or "", wanted)
