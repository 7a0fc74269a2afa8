"""Messages that could not be taken in: SQS keeps them apart after five tries, and this says so."""

from __future__ import annotations

import logging
import threading

from bot.alerts.notices import Notice
from bot.alerts.queue import FAULTS, Queue

log = logging.getLogger(__name__)

LOOK_S = 10.0


def keep_announcing(queue: Queue, notice: Notice, stop: threading.Event) -> None:
    """Runs in the leader: one alert while there are undelivered messages, with their number."""
    pause, answered = 0.0, True
    while not stop.wait(pause):
        pause = LOOK_S
        try:
            announce(queue, notice)
            answered = True
        except FAULTS as error:
            if answered:
                log.error("undelivered messages cannot be counted: %s", error)
            answered = False


def announce(queue: Queue, notice: Notice) -> None:
    """Say how many there are, or that there are none any more. Raises one of FAULTS when SQS does not answer."""
    count = queue.waiting()
    if not count:
        notice.over("No undelivered events are left")
        return
    some = "1 event was" if count == 1 else f"{count} events were"
    notice.say(
        f"{count} undelivered",
        f"{some} not understood or not recorded",
        f"They are kept for 14 days in {queue.name}. Look at one: "
        f"aws sqs receive-message --queue-url {queue.url} --visibility-timeout 0. "
        "The worker's log says why it failed. When that is mended, move them back: "
        "aws sqs start-message-move-task --source-arn <the queue's ARN>.",
    )
