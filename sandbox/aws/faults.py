"""Faults that a test or a person on this machine orders in advance: the next calls of an operation are refused.

POST /_sandbox/faults: `{"service": "ce", "operation": "GetCostAndUsage", "code": "LimitExceededException"}`, with
`message`, `status` and `count` (how many calls; 1) where they matter; without `operation`, any of the service.
`{"clear": true}` forgets all. A fault comes after signature and policies: what is denied is denied without it.
"""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from sandbox.aws.errors import AwsError

if TYPE_CHECKING:
    from sandbox.aws.calls import Call


@dataclass
class Fault:
    """What goes wrong, `count` times more."""

    service: str
    code: str
    operation: str = ""
    message: str = "Ordered in the local AWS."
    status: int = 400
    count: int = 1

    def concerns(self, call: Call) -> bool:
        """Whether the call is one of those that fail."""
        return self.service == call.service and self.operation in ("", call.operation)


class Faults:
    """The faults still to happen, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []

    def control(self, body: Any) -> list[dict[str, Any]]:
        """Order a fault or clear all; what still waits. Raises ValueError for a body that makes no sense."""
        if not isinstance(body, dict):
            raise ValueError("a fault is an object")
        with self._lock:
            if body == {"clear": True}:
                self._waiting.clear()
            else:
                known = {field.name: str(field.type) for field in fields(Fault)}
                wrong = [name for name, value in body.items() if type(value).__name__ != known.get(name)]
                if wrong or not {"service", "code"} <= set(body):
                    raise ValueError(f"a fault has service and code, and may have {', '.join(known)}")
                self._waiting.append(Fault(**body))
            return [asdict(fault) for fault in self._waiting]

    def happen(self, call: Call) -> None:
        """Raises AwsError when a fault was ordered for this call."""
        with self._lock:
            fault = next((each for each in self._waiting if each.concerns(call)), None)
            if fault is None:
                return
            fault.count -= 1
            if fault.count <= 0:
                self._waiting.remove(fault)
        raise AwsError(fault.code, fault.message, fault.status)
