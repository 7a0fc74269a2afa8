"""SQS as intake uses it: messages hidden when received, shown again, given up after five receptions. Own clock."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import EndpointConnectionError

VISIBILITY_S = 60
MOST_RECEPTIONS = 5


@dataclass
class Kept:
    """One message."""

    body: str
    hidden_until: float = 0.0
    receptions: int = 0


class FakeSqs:
    """Queues by name. `away` makes every call fail; `before[call]` is called before each call of that name."""

    def __init__(self) -> None:
        self.now = 0.0
        self.away = False
        self.before: dict[str, Callable[[], None]] = {}
        self.queues: dict[str, dict[str, Kept]] = {}
        self.undelivered: list[str] = []
        self._lock = threading.Lock()
        self._numbers = itertools.count()

    def send(self, queue: str, *bodies: str) -> None:
        with self._lock:
            kept = self.queues.setdefault(queue, {})
            kept.update({f"r{next(self._numbers)}": Kept(body) for body in bodies})

    def left(self, queue: str) -> list[str]:
        return [kept.body for kept in self.queues.get(queue, {}).values()]

    def _call(self, name: str) -> None:
        if self.away:
            raise EndpointConnectionError(endpoint_url="http://sqs")
        self.before.get(name, lambda: None)()

    def get_queue_url(self, QueueName: str) -> dict[str, str]:
        self._call("url")
        return {"QueueUrl": QueueName}

    def receive_message(
        self, QueueUrl: str, MaxNumberOfMessages: int, WaitTimeSeconds: int, VisibilityTimeout: int = VISIBILITY_S
    ) -> dict[str, Any]:
        self._call("receive")
        with self._lock:
            queue = self.queues.setdefault(QueueUrl, {})
            shown = [handle for handle, kept in queue.items() if kept.hidden_until <= self.now]
            found = []
            for handle in shown[:MaxNumberOfMessages]:
                queue[handle].receptions += 1
                if queue[handle].receptions > MOST_RECEPTIONS:
                    self.undelivered.append(queue.pop(handle).body)
                    continue
                queue[handle].hidden_until = self.now + VisibilityTimeout
                found.append({"ReceiptHandle": handle, "Body": queue[handle].body})
        if not found and WaitTimeSeconds:
            time.sleep(0.005)  # a long poll in small
        return {"Messages": found} if found else {}

    def delete_message_batch(self, QueueUrl: str, Entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
        self._call("delete")
        with self._lock:
            for entry in Entries:
                self.queues[QueueUrl].pop(entry["ReceiptHandle"], None)
        return {}

    def change_message_visibility_batch(self, QueueUrl: str, Entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
        self._call("hide")
        with self._lock:
            for entry in Entries:
                self.queues[QueueUrl][entry["ReceiptHandle"]].hidden_until = self.now + entry["VisibilityTimeout"]
        return {}

    def get_queue_attributes(self, QueueUrl: str, AttributeNames: Sequence[str]) -> dict[str, Any]:
        self._call("attributes")
        return {"Attributes": {"ApproximateNumberOfMessages": str(len(self.undelivered))}}
