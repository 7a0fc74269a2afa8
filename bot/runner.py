"""One invocation from the words to the answer: who asks, what is meant, may it run, run it, write it down, reply.

Everything a person can be told comes out of `Runner.answer` as a `Reply`; `Runner.run` adds the audit records before
and after, and stores answer, audit and end of the invocation in one transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from botocore.exceptions import ClientError
from sqlalchemy import Engine

from bot import asking, wording
from bot.deliver import deliver
from commands.approvals import card
from commands.command import Command, Context, Person
from commands.parsing import parse
from commands.reply import Audience, Outcome, Reply
from pipeline.errors import BadInput, Denied, GroundcrewError, Refused, Unavailable
from state import approvals, audit, invocations
from state.invocations import Arrival, Invocation

log = logging.getLogger(__name__)


class Place(Protocol):
    """What the runner needs of the world around it; `bot.app` wires it."""

    engine: Engine

    def person(self, team: str, user: str, name: str) -> Person | None:
        """The person behind a Slack user, None when the access file does not name them."""
        ...

    def able(self, role: str, team: str) -> Sequence[str]:
        """Slack users of a workspace with a role."""
        ...

    def advice(self, user: str) -> str:
        """What somebody without a role should do."""
        ...

    def context(self, case: Case, tags: Mapping[str, str]) -> Context:
        """What the command may use: the person's own session, narrowed to what it declared."""
        ...


@dataclass
class Case:
    """One invocation while it is worked on; filled in as more becomes known."""

    asked: Invocation
    line: str
    person: Person | None = None
    command: Command | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    also: tuple[Reply, ...] = ()

    def audience(self, outcome: Outcome) -> Audience:
        """Who sees the answer when the reply does not say: mistakes and refusals only the person who made them."""
        if self.asked.approval:
            return Audience.CHANNEL  # what a second person agreed to is the team's business
        return self.command.audience if self.command and outcome is Outcome.OK else Audience.PERSON


class Runner:
    """Works on invocations one at a time; any number of threads may share one runner."""

    def __init__(self, place: Place, worker: str) -> None:
        self._place = place
        self._worker = worker

    def run(self, asked: Invocation) -> Reply:
        """Answer `asked`, record it and queue the reply. Raises only what the database raises."""
        case = self._case(asked)
        self._audit(case)
        reply = self.answer(case)
        if case.also:
            reply = replace(reply, also=(*reply.also, *case.also))
        self._close(case, reply)
        return reply

    def abandon(self, asked: Invocation) -> Reply | None:
        """For an invocation whose worker died: None when it may run again, else what the person is told."""
        case = self._case(asked)
        if asked.attempts <= 2 and not self._changes(case):
            return None
        reply = wording.interrupted(case.line, asked.created_at.timestamp())
        self._close(case, reply)
        return reply

    def answer(self, case: Case) -> Reply:
        """The reply, whatever happens."""
        try:
            return self._answer(case)
        except GroundcrewError as error:
            return self._refusal(case, error)
        except ClientError as error:
            known = wording.of_aws(error)
            if known is not None:
                return self._refusal(case, known)
            log.warning("invocation %s: %s", case.asked.id, error)
            return wording.refused_request(error, case.asked.id[:8])
        except wording.UNREACHABLE as error:
            log.warning("invocation %s: %s", case.asked.id, error)
            return wording.mistake(Unavailable(f"AWS cannot be reached: {error}", "Try again in a minute."))
        except Exception:
            log.exception("invocation %s failed in an unforeseen way", case.asked.id)
            return wording.unforeseen(case.asked.id[:8])

    def _case(self, asked: Invocation) -> Case:
        line = wording.typed(asked.text) if asked.surface == "command" else asked.text.strip()
        return Case(asked, line, self._place.person(asked.team, asked.user_id, asked.user_name))

    def _changes(self, case: Case) -> bool:
        try:
            command, arguments = parse(case.line)
        except BadInput:
            return False
        case.command, case.arguments = command, arguments
        return command.changes

    def _answer(self, case: Case) -> Reply:
        if case.person is None:
            return wording.unknown_person(case.asked.user_id, self._place.advice(case.asked.user_id))
        case.command, case.arguments = command, arguments = parse(case.line)
        if case.asked.approval:
            return self._approved(case, command, arguments, case.asked.approval)
        ctx = self._place.context(case, {})
        if command.approval is not None and command.approval.when(arguments):
            plan = command.plan(ctx, **arguments)  # type: ignore[misc]  # the decorator demands it
            able = self._place.able(command.approval.role, case.person.team)
            return asking.request(ctx, command.approval, case.line, plan, arguments, able)
        if command.confirm and not arguments.get("yes"):
            plan = command.plan(ctx, **arguments)  # type: ignore[misc]
            return asking.confirm(command, case.line, plan, arguments)
        return command.handler(ctx, **arguments)

    def _approved(self, case: Case, command: Command, arguments: Mapping[str, Any], id: str) -> Reply:
        row = approvals.get(self._place.engine, id)
        if row.state == "expired":
            return Reply(
                title=f"{row.id} has expired",
                outcome=Outcome.EXPIRED,
                text=f"It was approved but did not run in time. Ask again with: {row.command}",
                also=(card(row),),
            )
        if command.approval is None or command.plan is None or not command.approval.when(arguments):
            raise Refused(f"{command.name} does not run by approval.", f"Type it instead: `{case.line}`.")
        ctx = self._place.context(case, {"approval": row.id, "requester": row.requester})
        try:
            used = asking.use(ctx, case.line, row.id, command.plan(ctx, **arguments))
        finally:
            case.also = (card(approvals.get(self._place.engine, row.id)),)
        log.info("approval %s is used by %s for %s", used.id, used.decided_by, used.requester)
        return command.handler(ctx, **arguments)

    def _refusal(self, case: Case, error: GroundcrewError) -> Reply:
        if isinstance(error, Denied):
            return wording.denied(error, case.person.role if case.person else "", _about(case))
        return wording.mistake(error)

    def _audit(self, case: Case) -> None:
        with self._place.engine.begin() as connection:
            audit.append(connection, "opened", **_who(case))

    def _close(self, case: Case, reply: Reply) -> None:
        """Store how it ended and what is said, together or not at all."""
        with self._place.engine.begin() as connection:
            if not invocations.holds(connection, case.asked.id, self._worker):
                log.error("invocation %s was taken over while it ran; its answer is dropped", case.asked.id)
                return
            detail = " · ".join(part for part in (reply.title, reply.quote) if part)
            audit.append(connection, "closed", outcome=reply.outcome, detail=detail, **_who(case))
            deliver(connection, case.asked, reply, case.audience(reply.outcome))
            if reply.then and reply.approval:
                invocations.accept(connection, self._next(case, reply.then, reply.approval))
            invocations.finish(connection, case.asked.id, reply.outcome)

    def _next(self, case: Case, line: str, approval: str) -> Arrival:
        """The approved command as an invocation of the approver, answered where they are or where it was asked."""
        asked = case.asked
        return Arrival(
            surface="approval",
            delivery=f"approval:{approval}",
            team=asked.team,
            user=asked.user_id,
            user_name=asked.user_name,
            channel=approvals.get(self._place.engine, approval).channel or asked.channel,
            text=line,
            approval=approval,
        )


def _about(case: Case) -> str:
    """The command in a few words, with its environment."""
    if case.command is None:
        return ""
    environment = asking.environment(case.arguments)
    return f"{case.command.name} in {environment}" if environment else case.command.name


def _who(case: Case) -> dict[str, Any]:
    """What both audit records say."""
    return {
        "invocation": case.asked.id,
        "surface": case.asked.surface,
        "team": case.asked.team,
        "user": case.asked.user_id,
        "role": case.person.role if case.person else None,
        "command": case.line,
        "arguments": case.arguments,
        "approval": case.asked.approval,
    }
