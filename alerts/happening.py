"""One event of the account, understood: what happened to what, how bad it is, and what it does to alerts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pipeline.names import Environment


class Severity(StrEnum):
    """How soon somebody is needed: at once, today, not at all."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


Effect = Literal["fires", "clears", "tells", "moves"]
"""What an event does: opens an alert or adds to it; ends one; is worth a message of its own; is only progress."""

Topic = Literal["execution", "job", "endpoint", "package", "alarm", "cost", "budget", "health", "queue", "unknown"]
"""What it is about: decides which buttons and which enrichment fit."""


@dataclass(frozen=True)
class Happening:
    """What one event says.

    `fingerprint` is the same for every copy of the event and for no other (source, type, resource, state, time of the
    change). `subject` is the ARN of what changed its state, as the event spells it (compare without regard to case),
    `family` what alerts are grouped by, in lower case: two failed executions of one pipeline are one family. `at` is
    when it happened (not when it was delivered). `state` is normalised to lower-case words ("in service", "failed");
    `ended`: from this state nothing moves on by itself; `reopens`: it says of itself that it follows an ended state (a
    retried execution). `followed` is the ARN, or the beginning of it, of what a live message about this follows.
    All texts are hostile until rendered.
    """

    fingerprint: str
    source: str
    kind: str
    topic: Topic
    subject: str
    family: str
    environment: Environment | None
    severity: Severity
    effect: Effect
    state: str
    at: datetime
    title: str
    text: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    ended: bool = False
    reopens: bool = False
    followed: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


class Unreadable(ValueError):
    """Bytes that are no event at all: they stay in the queue, which moves them to the undelivered ones."""
