"""A queue of events, read: long polls gathered into batches, deleted when what they say is durable and not before."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy.exc import SQLAlchemyError

from bot.alerts.intake import Intake
from bot.alerts.notices import Notice
from pipeline.errors import GroundcrewError

log = logging.getLogger(__name__)

EVENTS = "groundcrew-events"
CRITICAL = "groundcrew-critical"
UNDELIVERED = "groundcrew-events-undelivered"

POLL_S = 20
"""The longest poll SQS knows."""
RECEIVE = 10
"""Messages SQS gives, and takes for deletion, in one call."""
BATCH = 200
SLOWEST_S = 60.0
"""The longest pause between tries while SQS does not answer."""

Message = Mapping[str, Any]
FAULTS = (ClientError, BotoCoreError, GroundcrewError)


class Queue:
    """One queue by its name, as groundcrew-bot. Every method raises one of FAULTS when SQS does not answer."""

    def __init__(self, name: str, sqs: Callable[[], Any]) -> None:
        self.name = name
        self._sqs = sqs
        self._url: str | None = None

    @property
    def url(self) -> str:
        """Its address; asked for once."""
        if self._url is None:
            self._url = str(self._sqs().get_queue_url(QueueName=self.name)["QueueUrl"])
        return self._url

    def receive(self, wait: int, **more: Any) -> Sequence[Message]:
        """Ten messages at most; waits `wait` seconds for a first one."""
        asked = {"QueueUrl": self.url, "MaxNumberOfMessages": RECEIVE, "WaitTimeSeconds": wait, **more}
        messages: Sequence[Message] = self._sqs().receive_message(**asked).get("Messages", [])
        return messages

    def delete(self, messages: Sequence[Message]) -> None:
        """Delete messages. One that cannot be deleted comes again, and changes nothing then."""
        for entries in _entries(messages):
            refused = self._sqs().delete_message_batch(QueueUrl=self.url, Entries=entries).get("Failed", [])
            if refused:
                log.warning("%s messages of %s could not be deleted: they come again", len(refused), self.name)

    def hide(self, messages: Sequence[Message], seconds: int) -> None:
        """Let nobody receive these messages for so long; 0: show them at once."""
        for entries in _entries(messages, VisibilityTimeout=seconds):
            self._sqs().change_message_visibility_batch(QueueUrl=self.url, Entries=entries)

    def waiting(self) -> int:
        """About how many messages could be received now."""
        name = "ApproximateNumberOfMessages"
        return int(self._sqs().get_queue_attributes(QueueUrl=self.url, AttributeNames=[name])["Attributes"][name])


class Reader:
    """Runs in the leader. `notice` says that SQS does not answer, once."""

    def __init__(self, queue: Queue, intake: Intake, notice: Notice, stop: threading.Event) -> None:
        self._queue = queue
        self._intake = intake
        self._notice = notice
        self._stop = stop

    def run(self) -> None:
        """Read until stopped."""
        pause, tries = 0.0, 0
        while not self._stop.wait(pause):
            try:
                messages = self._gather()
            except FAULTS as error:
                pause = min(SLOWEST_S, 2.0**tries)
                tries += 1
                self._silent(error, first=tries == 1)
                continue
            if self._stop.is_set():
                break  # a poll that was left says nothing about SQS; what it brings comes again
            self._notice.over(f"Events are read from {self._queue.name} again")
            pause, tries = 0.0 if self._handle(messages) else 1.0, 0

    def _gather(self) -> Sequence[Message]:
        """All messages that are there, up to a batch; waits for a first one."""
        messages = [*unless_stopped(lambda: self._queue.receive(POLL_S), self._stop)]
        while messages and len(messages) < BATCH and not self._stop.is_set():
            try:
                more = self._queue.receive(0)
            except FAULTS as error:
                log.warning("what was read so far is taken in; then %s: %s", self._queue.name, error)
                break
            if not more:
                break
            messages += more
        return messages

    def _handle(self, messages: Sequence[Message]) -> bool:
        """Make messages durable and delete them. False when the database does not answer: they come again."""
        if not messages:
            return True
        try:
            durable = self._intake.take([message["Body"] for message in messages])
        except SQLAlchemyError as error:
            log.error("%s events of %s cannot be recorded: %s", len(messages), self._queue.name, type(error).__name__)
            return False
        try:
            self._queue.delete([message for message, done in zip(messages, durable, strict=True) if done])
        except FAULTS as error:
            log.warning("messages of %s could not be deleted, they come again: %s", self._queue.name, error)
        return True

    def _silent(self, error: Exception, *, first: bool) -> None:
        if first:
            log.error("events cannot be read from %s: %s", self._queue.name, error)
        self._notice.say(
            "does not answer",
            f"Events cannot be read from {self._queue.name}",
            f"SQS says: {error}. Nothing is lost: events wait in the queue for days. "
            "If this lasts, check that groundcrew-bot may receive from the queue and that `python -m infra up` ran.",
        )


def unless_stopped(receive: Callable[[], Sequence[Message]], stop: threading.Event) -> Sequence[Message]:
    """What a long poll brings, or nothing as soon as `stop` is set: then it is left to end by itself.

    What it brings after all is received again by another reader, when its visibility timeout is over.
    """
    brought: list[Sequence[Message]] = []
    faults: list[BaseException] = []
    done = threading.Event()

    def poll() -> None:
        try:
            brought.append(receive())
        except BaseException as fault:  # noqa: BLE001  # raised again in the thread that asked
            faults.append(fault)
        finally:
            done.set()

    threading.Thread(target=poll, name="long-poll", daemon=True).start()
    while not done.wait(0.25):
        if stop.is_set():
            return []
    if faults:
        raise faults[0]
    return brought[0]


def _entries(messages: Sequence[Message], **more: Any) -> Sequence[list[dict[str, Any]]]:
    rows = [{"Id": str(n), "ReceiptHandle": message["ReceiptHandle"], **more} for n, message in enumerate(messages)]
    return [rows[start : start + RECEIVE] for start in range(0, len(rows), RECEIVE)]
