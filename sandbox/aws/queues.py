"""What a queue does with its messages: kept, handed out, hidden, given up, in time that does not grow with the backlog.

moto's own way counts the whole queue for every message it sends and receives, a message that is sent while another is
deleted can be lost, and whoever changes one attribute of a queue takes its policy away. FIFO queues, of which the
product has none, stay with moto.
"""

from __future__ import annotations

import copy
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from moto.sqs.exceptions import InvalidParameterValue, ReceiptHandleIsInvalid
from moto.sqs.models import Message, _filter_message_attributes

LOOK_AGAIN = 0.2
"""Seconds: how often a waiting reader looks whether hidden messages are due again."""
LONGEST_DELAY = 900
LONGEST_HIDDEN = 43_200
"""Seconds (SQS developer guide, "Amazon SQS message quotas")."""


def send(queue: Any, message: Message, delay: int) -> None:
    """Add a message; it is handed out after `delay` seconds. Raises InvalidParameterValue for more than 15 minutes."""
    if not 0 <= delay <= LONGEST_DELAY:
        raise InvalidParameterValue(
            f"Value {delay} for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900."
        )
    message.mark_sent(delay_seconds=delay)
    with queue._messages_lock:
        queue._messages.append(message)
        queue._messages_lock.notify()


def receive(queue: Any, count: int, wait: float, hidden: int, attributes: Sequence[str]) -> list[Message]:
    """Up to `count` messages, hidden from others for `hidden` seconds; waits for the first at most `wait` seconds."""
    until = time.monotonic() + wait
    with queue._messages_lock:
        while not (taken := _take(queue, count, hidden)) and (left := until - time.monotonic()) > 0:
            queue._messages_lock.wait(min(left, LOOK_AGAIN))
        copies = [copy.copy(message) for message in taken]
    for each in copies:
        _filter_message_attributes(each, list(attributes))
    return copies


def delete(queue: Any, handle: str) -> None:
    """Take a message off for good; twice is no error. Raises ReceiptHandleIsInvalid for a handle nobody was given."""
    with queue._messages_lock:
        message = _given(queue).get(handle)
        if message is not None:
            _forget(queue, message)
        elif handle not in queue.deleted_messages:
            raise ReceiptHandleIsInvalid


def hide(queue: Any, handle: str, seconds: int) -> None:
    """Hide a message for so long from now; 0 shows it again. Raises ReceiptHandleIsInvalid, InvalidParameterValue."""
    with queue._messages_lock:
        message = _given(queue).get(handle)
        if message is None:
            raise ReceiptHandleIsInvalid
        first = message.approximate_first_receive_timestamp or 0
        if time.time() * 1000 + seconds * 1000 - first > LONGEST_HIDDEN * 1000:
            raise InvalidParameterValue(
                f"Value {seconds} for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the "
                f"message is beyond the limit [{LONGEST_HIDDEN} seconds]"
            )
        message.change_visibility(seconds)
        queue._messages_lock.notify()


def _take(queue: Any, count: int, hidden: int) -> list[Message]:
    now, taken = time.time() * 1000, []
    oldest = now - 1000 * int(queue.message_retention_period)
    most = (queue.redrive_policy or {}).get("maxReceiveCount") if queue.dead_letter_queue is not None else None
    finished = []
    for message in queue._messages:
        if message.visible_at > now or message.delayed_until > now:
            continue
        if message.sent_timestamp < oldest or (most is not None and message.approximate_receive_count >= int(most)):
            finished.append(message)
            continue
        message.mark_received(visibility_timeout=hidden)
        _given(queue)[message.receipt_handle] = message
        taken.append(message)
        if len(taken) == count:
            break
    for message in finished:
        _forget(queue, message)
        if message.sent_timestamp >= oldest:
            with queue.dead_letter_queue._messages_lock:
                queue.dead_letter_queue._messages.append(message)
                queue.dead_letter_queue._messages_lock.notify()
    return taken


def _given(queue: Any) -> dict[str, Message]:
    """Receipt handle -> message, for all that were ever handed out and are still there."""
    found: dict[str, Message] = queue.__dict__.setdefault("given_out", {})
    return found


def _forget(queue: Any, message: Message) -> None:
    handles = [handle for handle in message.all_receipt_handles if handle]
    for handle in handles:
        _given(queue).pop(handle, None)
    queue.deleted_messages.update(handles)
    if message in queue._messages:  # not when the queue was purged meanwhile
        queue._messages.remove(message)


def replacements(
    own_send: Callable[..., Any],
    own_receive: Callable[..., Any],
    own_delete: Callable[..., Any],
    own_hide: Callable[..., Any],
    own_change: Callable[..., Any],
) -> tuple[Any, ...]:
    """Methods for moto's SQSBackend: send, receive, delete and hide a message, and change a queue's attributes.

    The `own_…` are moto's.
    """

    def send_message(
        self: Any,
        queue_name: str,
        message_body: str,
        message_attributes: dict[str, Any] | None = None,
        delay_seconds: int | None = None,
        deduplication_id: str | None = None,
        group_id: str | None = None,
        system_attributes: dict[str, Any] | None = None,
        validate_group_id: bool = True,
    ) -> Any:
        queue = self.get_queue(queue_name)
        if queue.fifo_queue:
            given = (message_attributes, delay_seconds, deduplication_id, group_id, system_attributes)
            return own_send(self, queue_name, message_body, *given, validate_group_id)
        if len(message_body.encode()) > queue.maximum_message_size:
            raise InvalidParameterValue(
                "One or more parameters are invalid. Reason: Message must be shorter than "
                f"{queue.maximum_message_size} bytes."
            )
        message = Message(str(uuid.uuid4()), message_body, system_attributes)
        message.message_attributes = message_attributes or {}
        message.group_id = group_id
        send(queue, message, int(queue.delay_seconds if delay_seconds is None else delay_seconds))
        return message

    def receive_message(
        self: Any,
        queue_name: str,
        count: int,
        wait_seconds_timeout: int,
        visibility_timeout: int,
        message_attribute_names: list[str] | None = None,
    ) -> Any:
        queue, names = self.get_queue(queue_name), message_attribute_names or []
        if queue.fifo_queue:
            return own_receive(self, queue_name, count, wait_seconds_timeout, visibility_timeout, names)
        return receive(queue, count, wait_seconds_timeout, int(visibility_timeout), names)

    def delete_message(self: Any, queue_name: str, receipt_handle: str) -> None:
        queue = self.get_queue(queue_name)
        own_delete(self, queue_name, receipt_handle) if queue.fifo_queue else delete(queue, receipt_handle)

    def change_message_visibility(self: Any, queue_name: str, receipt_handle: str, visibility_timeout: int) -> None:
        queue = self.get_queue(queue_name)
        if queue.fifo_queue:
            own_hide(self, queue_name, receipt_handle, visibility_timeout)
        else:
            hide(queue, receipt_handle, int(visibility_timeout))

    def set_queue_attributes(self: Any, queue_name: str, attributes: dict[str, Any]) -> Any:
        kept = {"Policy": self.get_queue(queue_name).policy}
        return own_change(self, queue_name, kept | attributes)

    return send_message, receive_message, delete_message, change_message_visibility, set_queue_attributes
