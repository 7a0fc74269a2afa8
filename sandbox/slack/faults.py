"""Faults a test orders in advance: for a Web API method by its name, or for `delivery` to the app."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

Kind = Literal[
    "error",
    "ratelimited",
    "http_500",
    "delay",
    "drop",
    "bad_signature",
    "old_timestamp",
    "bad_timestamp",
    "duplicate",
]
FOR_METHODS = {"error", "ratelimited", "http_500", "delay", "drop"}
FOR_DELIVERY = {"delay", "drop", "bad_signature", "old_timestamp", "bad_timestamp", "duplicate"}


@dataclass
class Fault:
    """What goes wrong, `count` times.

    `error` is the code of kind `error`; `seconds` the wait of `delay` or the `Retry-After` of `ratelimited`;
    `when` of kind `drop`: the connection breaks before the call is carried out, or after (the answer is lost).
    """

    target: str
    kind: Kind
    count: int = 1
    error: str = "internal_error"
    seconds: float = 1.0
    when: Literal["before", "after"] = "before"


class Faults:
    """The faults still to happen."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def order(self, body: dict[str, Any]) -> Fault:
        """Add a fault from JSON (`method` or `target`, `kind`, ...). Raises `ValueError` when it makes no sense."""
        values = dict(body)
        values["target"] = values.pop("method", None) or values.get("target")
        unknown = values.keys() - {field.name for field in fields(Fault)}
        if unknown or not values["target"]:
            raise ValueError(f"unknown fields {sorted(unknown)}" if unknown else "which method, or delivery?")
        allowed = FOR_DELIVERY if values["target"] == "delivery" else FOR_METHODS
        if values.get("kind") not in allowed or values["kind"] not in get_args(Kind):
            raise ValueError(f"kind must be one of {', '.join(sorted(allowed))}")
        fault = Fault(**values)
        self._waiting.append(fault)
        return fault

    def take(self, target: str) -> Fault | None:
        """The next fault for a target; it is used up after `count` times."""
        for fault in self._waiting:
            if fault.target == target:
                fault.count -= 1
                if fault.count <= 0:
                    self._waiting.remove(fault)
                return fault
        return None

    def clear(self) -> None:
        """Forget all."""
        self._waiting.clear()
