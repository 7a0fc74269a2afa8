"""Approvals: one person asks, another with the right role decides, the change runs once.

    pending ──approve──> approved ──consume──> consumed
       │ └──reject──> rejected     └──void──> void
       └──(time passes)──> expired

Every arrow is one compare-and-set, so two people pressing at once cannot both win.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, case, func, insert, select, update

from pipeline.errors import BadInput, NotFound, Refused
from state import invocations
from state.invocations import Arrival
from state.tables import approvals

State = Literal["pending", "approved", "rejected", "expired", "consumed", "void"]
STATES: tuple[State, ...] = ("pending", "approved", "rejected", "expired", "consumed", "void")
LIFETIME = timedelta(hours=4)
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


@dataclass(frozen=True)
class ApprovalRow:
    """One request. `facts` are (label, value) pairs as they were shown; `command` is the line that will run."""

    id: str
    team: str
    requester: str
    command: str
    role: str
    title: str
    facts: Sequence[tuple[str, str]]
    bound_hash: str
    environment: str | None
    channel: str | None
    invocation: str
    state: State
    decided_by: str | None
    reason: str
    created_at: datetime
    expires_at: datetime
    decided_at: datetime | None


def fingerprint(command: str, bound: Mapping[str, str]) -> str:
    """SHA-256 over the command line and what it is bound to (digest, ARNs, parameters): what was approved, exactly."""
    canonical = json.dumps([command, dict(bound)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def open(
    engine: Engine,
    *,
    team: str,
    requester: str,
    command: str,
    role: str,
    title: str,
    facts: Sequence[tuple[str, str]],
    bound: Mapping[str, str],
    invocation: str,
    channel: str | None = None,
    environment: str | None = None,
    lifetime: timedelta = LIFETIME,
) -> ApprovalRow:
    """Write a pending request and return it. Its id is short enough to be typed: `A` and five characters."""
    values = {
        "id": "A" + "".join(secrets.choice(_ALPHABET) for _ in range(5)),
        "team": team,
        "requester": requester,
        "command": command,
        "role": role,
        "title": title,
        "facts": [[*pair] for pair in facts],
        "bound_hash": fingerprint(command, bound),
        "environment": environment,
        "channel": channel,
        "invocation": invocation,
        "expires_at": func.now() + lifetime,
    }
    with engine.begin() as connection:
        return _row(connection.execute(insert(approvals).values(values).returning(approvals)).one())


def get(engine: Engine, team: str, id: str) -> ApprovalRow:
    """One request of a workspace by its id (upper or lower case). Raises NotFound with the nearest pending ids."""
    own = approvals.c.team == team
    with engine.begin() as connection:
        found = connection.execute(_ROWS.where(own, func.lower(approvals.c.id) == id.lower())).one_or_none()
        if found is not None:
            return _row(found)
        known = connection.scalars(
            select(approvals.c.id)
            .where(own)
            .order_by(approvals.c.state != "pending", approvals.c.created_at.desc())
            .limit(200)
        )
        raise NotFound("approval", id, [*known], "`approvals list` shows what is open.")


def held(connection: Connection, id: str) -> ApprovalRow | None:
    """One request as it is now, kept so until the transaction ends: who draws its card draws the newest."""
    row = connection.execute(_ROWS.where(approvals.c.id == id).with_for_update()).one_or_none()
    return None if row is None else _row(row)


def list(engine: Engine, team: str, *, state: State | None = "pending", limit: int = 25) -> Sequence[ApprovalRow]:
    """Requests of a workspace in `state` (None: all), newest first."""
    if state is not None and state not in STATES:
        raise BadInput(f"There is no approval state {state!r}.", f"States: {', '.join(STATES)}.")
    query = _ROWS.where(approvals.c.team == team).order_by(approvals.c.created_at.desc()).limit(limit)
    if state is not None:
        query = query.where(_state_now == state)
    with engine.begin() as connection:
        return [_row(row) for row in connection.execute(query)]


def decide(
    engine: Engine, team: str, id: str, *, by: str, approve: bool, reason: str = "", run: Arrival | None = None
) -> ApprovalRow:
    """Approve or reject a pending request; exactly one caller wins, and `run` is queued together with the decision.

    Raises NotFound, also for a request of another workspace than the `team` of whoever decides; Refused when it is no
    longer pending or when the requester would approve their own request (withdrawing it by rejecting it is allowed).
    """
    row = get(engine, team, id)
    if approve and row.requester == by:
        raise Refused(
            "You asked for this yourself, so somebody else has to approve it.",
            f"A person with the role {row.role} can approve {row.id}.",
        )
    changed = _change(
        engine,
        and_(approvals.c.id == row.id, approvals.c.state == "pending", approvals.c.expires_at > func.now()),
        state="approved" if approve else "rejected",
        decided_by=by,
        run=run,
        reason=reason,
        decided_at=func.now(),
    )
    if changed is None:
        raise _too_late(get(engine, team, row.id))
    return changed


def granted(engine: Engine, team: str, requester: str, command: str) -> ApprovalRow | None:
    """The newest approval that somebody got for a line and has not used yet."""
    mine = (approvals.c.team == team) & (approvals.c.requester == requester) & (approvals.c.command == command)
    with engine.begin() as connection:
        query = _ROWS.where(mine, _state_now == "approved").order_by(approvals.c.decided_at.desc()).limit(1)
        row = connection.execute(query).one_or_none()
    return None if row is None else _row(row)


def consume(engine: Engine, team: str, id: str, *, by: str, requester: bool = False) -> ApprovalRow:
    """Use up an approval given by `by` of `team`; it runs once. Raises Refused when it is used, void or expired.

    `requester`: `by` is not who gave it but who asked for it.
    """
    mine, other = approvals.c.decided_by, approvals.c.requester
    if requester:
        mine, other = other, mine
    changed = _change(
        engine,
        and_(
            approvals.c.id == id,
            approvals.c.team == team,
            approvals.c.state == "approved",
            mine == by,
            other != by,
            approvals.c.expires_at > func.now(),
        ),
        state="consumed",
    )
    if changed is None:
        raise _too_late(get(engine, team, id))
    return changed


def void(engine: Engine, id: str, *, reason: str) -> None:
    """Make an approved request unusable because what it was about has changed; one in another state stays as it is."""
    _change(engine, and_(approvals.c.id == id, approvals.c.state == "approved"), state="void", reason=reason)


def expire(engine: Engine) -> Sequence[ApprovalRow]:
    """Write down what time has ended since the last call, and return it: its cards have to change."""
    change = update(approvals).where(approvals.c.state.in_(["pending", "approved"]), _OVER).values(state="expired")
    with engine.begin() as connection:
        return [_row(row) for row in connection.execute(change.returning(approvals))]


_OVER = approvals.c.expires_at <= func.now()
_state_now = case((approvals.c.state.in_(["pending", "approved"]) & _OVER, "expired"), else_=approvals.c.state)
_ROWS = select(*[_state_now.label("state") if each.name == "state" else each for each in approvals.c])
"""Whoever looks sees an ended request as expired, whether or not that has been written down yet."""


def _change(
    engine: Engine, where: ColumnElement[bool], *, run: Arrival | None = None, **values: Any
) -> ApprovalRow | None:
    with engine.begin() as connection:
        row = connection.execute(update(approvals).where(where).values(**values).returning(approvals)).one_or_none()
        if row is not None and run is not None:
            invocations.accept(connection, run)
        return None if row is None else _row(row)


def _too_late(row: ApprovalRow) -> Refused:
    who = f" by <@{row.decided_by}>" if row.decided_by else ""
    words = {
        "approved": f"{row.id} was already approved{who}.",
        "rejected": f"{row.id} was already rejected{who}.",
        "consumed": f"{row.id} was already approved{who} and carried out.",
        "void": f"{row.id} is void: {row.reason}",
        "expired": f"{row.id} has expired.",
    }
    return Refused(words.get(row.state, f"{row.id} is {row.state}."), f"Ask again with: {row.command}")


def _row(row: Row[Any]) -> ApprovalRow:
    values = dict(row._mapping)
    values["facts"] = tuple((label, value) for label, value in values["facts"])
    return ApprovalRow(**values)
