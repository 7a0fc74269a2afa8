"""What a thing's state is, whatever the order in which its events came.

Of every subject only the latest of each kind of event is kept: the latest of all, and the latest that ended it,
reopened it, fired, cleared, was a success. Taking the later of two is commutative, associative and idempotent, so any
order and any repetition of the same events leaves the same subject.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

Effect = Literal["fires", "clears", "tells", "moves"]
SUCCESS = "succeeded"
"""How an execution ends that makes the earlier failures of its family history; one that was stopped does not."""


@dataclass(frozen=True)
class Subject:
    """One thing that changes its state. `arn` and `family` in lower case; `alert`: the firing alert it is on."""

    arn: str
    family: str
    alert: str | None
    latest_at: datetime
    latest_state: str
    ended_at: datetime | None = None
    ended_state: str | None = None
    reopened_at: datetime | None = None
    fired_at: datetime | None = None
    cleared_at: datetime | None = None
    succeeded_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """It ended, and nothing reopened it strictly later."""
        return self.ended_at is not None and (self.reopened_at is None or self.reopened_at <= self.ended_at)

    @property
    def at(self) -> datetime:
        """Since when it is in its state."""
        return self.ended_at if self.ended and self.ended_at else self.latest_at

    @property
    def state(self) -> str:
        """The state it ended in or, while it has not ended, the latest."""
        return self.ended_state if self.ended and self.ended_state else self.latest_state

    def after(self, state: str, at: datetime, effect: Effect, *, ended: bool, reopens: bool) -> Subject:
        """The subject with one more event."""
        latest = max((self.latest_at, self.latest_state), (at, state))
        changes: dict[str, object] = {"latest_at": latest[0], "latest_state": latest[1]}
        if ended:
            before = None if self.ended_at is None else (self.ended_at, self.ended_state or "")
            ending = (at, state) if before is None else max(before, (at, state))
            changes |= {"ended_at": ending[0], "ended_state": ending[1]}
        if reopens:
            changes["reopened_at"] = later(self.reopened_at, at)
        if effect == "fires":
            changes["fired_at"] = later(self.fired_at, at)
        if effect == "clears":
            changes["cleared_at"] = later(self.cleared_at, at)
            if state == SUCCESS:  # kept although the subject may end otherwise later: it cleared its family
                changes["succeeded_at"] = later(self.succeeded_at, at)
        return replace(self, **changes)  # type: ignore[arg-type]  # the names are this class's own


def later(one: datetime | None, other: datetime | None) -> datetime | None:
    """The later of two moments, None only when both are."""
    return max((each for each in (one, other) if each is not None), default=None)
