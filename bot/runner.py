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
from sqlalchemy import Connection, Engine

from bot import asking, wording
from bot.deliver import deliver
from commands import estimate as estimating
from commands.approvals import card
from commands.command import Approval, Command, Context, Person, Plan
from commands.estimate import Estimate, Limits
from commands.parsing import parse
from commands.reply import Audience, Inline, Moment, Outcome, Reply
from iam.sessions import Calls, noting
from pipeline.errors import BadInput, Denied, GroundcrewError, Refused, Unavailable
from state import approvals, audit, estimates, invocations
from state.grants import Grant
from state.invocations import Invocation

log = logging.getLogger(__name__)

TYPES: Mapping[str, audit.Type] = {
    "access request": "elevation",
    "access break-glass": "break-glass",
    "access review": "review",
}
"""What is a record of its own kind in the audit log, by command; whatever runs under break-glass is too."""


class Place(Protocol):
    """What the runner needs of the world around it; `bot.app` wires it."""

    engine: Engine
    limits: Limits

    def person(self, team: str, user: str, name: str) -> Person | None:
        """The person behind a Slack user, None when the access file does not name them. Raises Refused, Unavailable."""
        ...

    def able(self, role: str, team: str, *, standing: bool = False) -> Sequence[str]:
        """Slack users of a workspace who hold a role and can press a button; `standing`: not for a while only."""
        ...

    def advice(self, user: str) -> str:
        """What somebody without a role should do."""
        ...

    def context(self, case: Case, tags: Mapping[str, str]) -> Context:
        """What the command may use: the person's own session, narrowed to what it declared."""
        ...


@dataclass
class Case:
    """One invocation while it is worked on; filled in as more becomes known.

    `stranger`: nobody gave this person a role. `fault` is why else it goes no further, where that was clear at once.
    """

    asked: Invocation
    line: str
    person: Person | None = None
    command: Command | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    stranger: bool = False
    fault: GroundcrewError | None = None
    glass: Grant | None = None
    price: tuple[Context, Estimate] | None = None
    """What it will cost, where it costs something, and in whose context that was reckoned."""
    calls: Calls = field(default_factory=Calls)

    def audience(self, outcome: Outcome) -> Audience:
        """Who sees the answer when the reply does not say: mistakes and refusals only the person who made them."""
        if self.asked.approval or self.glass:
            return Audience.CHANNEL  # what a second person agreed to, or could not, is the team's business
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
        with noting() as case.calls:
            reply = self.answer(case)
        return self._close(case, reply)

    def abandon(self, asked: Invocation) -> Reply | None:
        """For an invocation whose worker died: None when it may run again, else what the person is told."""
        case = self._case(asked)
        if asked.attempts <= 2 and not (case.command and case.command.changes):
            return None
        return self._close(case, wording.interrupted(case.line, asked.created_at.timestamp()))

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
        """Who asks and what is meant, as far as it can be made out."""
        case = Case(asked, wording.typed(asked.text) if asked.surface == "command" else asked.text.strip())
        try:
            case.person = self._place.person(asked.team, asked.user_id, asked.user_name)
            case.stranger = case.person is None
        except GroundcrewError as error:
            case.fault = error
        try:
            case.command, case.arguments = parse(case.line)
        except BadInput as error:
            case.fault = case.fault or error
        if case.person and case.command:
            case.person = asking.acting(case.person, case.command, case.arguments)
        return case

    def _answer(self, case: Case) -> Reply:
        if case.stranger:
            return wording.unknown_person(case.asked.user_id, self._place.advice(case.asked.user_id))
        if isinstance(case.fault, Refused):
            return replace(wording.mistake(case.fault), outcome=Outcome.DENIED)
        if case.fault:
            raise case.fault
        command, arguments = case.command, case.arguments
        if case.person is None or command is None:
            raise TypeError("a case without a fault has a person and a command")
        if case.asked.approval:
            return self._approved(case, case.person, command, case.asked.approval)
        rule = command.approval if command.approval and command.approval.when(arguments) else None
        case.glass = asking.broken_glass(self._place.engine, case.person, arguments) if rule else None
        if case.glass:
            return self._unasked(case, case.person, command, case.glass)
        ctx = self._place.context(case, {})
        if rule:
            plan, able = self._plan(ctx, case, command), self._able(rule, case)
            return asking.request(ctx, rule, case.line, plan, arguments, able)
        price = self._price(ctx, case, command)
        if price and price.level(self._place.limits) == "approval":
            return self._agreed(ctx, case, command, price)
        return self._confirmed(ctx, case, command)

    def _able(self, rule: Approval, case: Case) -> Sequence[str]:
        team = case.person.team if case.person else ""
        return self._place.able(rule.role_for(case.arguments), team, standing=rule.standing)

    def _price(self, ctx: Context, case: Case, command: Command) -> Estimate | None:
        """What it will cost, None for what costs nothing by the hour; remembered, to be kept with the answer."""
        if case.price is None or case.price[0] is not ctx:
            found = estimating.of(ctx, command, case.arguments)
            case.price = (ctx, found) if found else None
        return case.price[1] if case.price else None

    def _plan(self, ctx: Context, case: Case, command: Command) -> Plan:
        """What will happen and what it costs, as somebody is asked about it."""
        plan = command.plan(ctx, **case.arguments) if command.plan else Plan(f"start this {command.name}", [], {})
        price = self._price(ctx, case, command)
        return asking.priced(ctx, case.line, plan, price) if price else plan

    def _confirmed(self, ctx: Context, case: Case, command: Command) -> Reply:
        """Run it, unless it asks first, by itself or for its price, and was not told yes."""
        price = self._price(ctx, case, command)
        dear = price is not None and price.level(self._place.limits) != "nothing"
        if (command.confirm or dear) and not case.arguments.get("yes"):
            return asking.confirm(command, case.line, self._plan(ctx, case, command), case.arguments)
        reply = command.handler(ctx, **case.arguments)
        return asking.with_price(reply, price) if price else reply

    def _agreed(self, ctx: Context, case: Case, command: Command, price: Estimate) -> Reply:
        """What costs so much that somebody else has to agree: run it when they have, ask them when they have not.

        It is about the money alone. So it runs in the session of whoever asked, who has the right and starts it.
        """
        plan = self._plan(ctx, case, command)
        row = approvals.granted(self._place.engine, ctx.person.team, ctx.person.user, case.line)
        if row is None:
            able = self._able(asking.MONEY, case)
            return asking.request(ctx, asking.MONEY, case.line, plan, case.arguments, able, money=True)
        asking.use(ctx, case.line, row, plan, price, money=True)
        return asking.with_price(command.handler(ctx, **case.arguments), price)

    def _unasked(self, case: Case, person: Person, command: Command, glass: Grant) -> Reply:
        """What needs an approval, in the hands of somebody who broke the glass for just this resource."""
        case.person = asking.in_role(person, glass.role)
        ctx = self._place.context(case, {"approval": glass.id, "requester": person.user})
        reply = self._confirmed(ctx, case, command)
        if reply.outcome is Outcome.NEEDS_CONFIRMATION:
            return reply
        skipped = [user for user in self._place.able(glass.role, person.team) if user != person.user]
        return asking.loud(reply, case.line, glass, skipped)

    def _approved(self, case: Case, person: Person, command: Command, id: str) -> Reply:
        """The approved command, in the session of whoever agreed: once, while they still hold the role."""
        row = approvals.get(self._place.engine, person.team, id)
        if row.state == "expired":
            return Reply(
                title=f"{row.id} has expired",
                outcome=Outcome.EXPIRED,
                text=f"It was approved but did not run in time. Ask again with: {row.command}",
            )
        rule = command.approval
        if rule is None or command.plan is None or not rule.when(case.arguments):
            raise Refused(f"{command.name} does not run by approval.", f"Type it instead: `{case.line}`.")
        asking.check(row, rule, person, case.line)
        case.person = asking.in_role(person, row.role)
        # The plan is made in a session without the tag: only an approval that is used up brings it.
        reading = replace(self._place.context(case, {}), approval=row.id)
        plan, price = self._plan(reading, case, command), self._price(reading, case, command)
        used = asking.use(reading, case.line, row, plan, price)
        log.info("approval %s is used by %s for %s", used.id, used.decided_by, used.requester)
        ctx = self._place.context(case, {"approval": used.id, "requester": used.requester})
        return command.handler(ctx, **case.arguments)

    def _refusal(self, case: Case, error: GroundcrewError) -> Reply:
        if isinstance(error, Denied):
            role = case.person.role if case.person else ""
            name = case.command.name if case.command else ""
            return wording.denied(error, role, name, asking.environment(case.arguments))
        return wording.mistake(error)

    def _audit(self, case: Case) -> None:
        with self._place.engine.begin() as connection:
            audit.append(connection, "opened", **_who(case))

    def _close(self, case: Case, reply: Reply) -> Reply:
        """Store how it ended and what is said, together or not at all. Returns the reply as it is said."""
        with self._place.engine.begin() as connection:
            if not invocations.holds(connection, case.asked.id, self._worker):
                log.error("invocation %s was taken over while it ran; its answer is dropped", case.asked.id)
                return reply
            reply = _for_a_while(case, self._with_card(connection, case, reply))
            detail = " · ".join(part for part in (reply.title, reply.quote) if part)
            audit.append(
                connection,
                "closed",
                outcome=reply.outcome,
                detail=detail,
                session=case.calls.session,
                requests=case.calls.requests,
                **_who(case),
            )
            if case.price:
                subject = reply.follow.arn if reply.follow else None
                ctx, price = case.price
                where = asking.environment(case.arguments)
                estimates.put(connection, estimating.row(ctx, price, case.line, where, subject))
            deliver(connection, case.asked, reply, case.audience(reply.outcome))
            invocations.finish(connection, case.asked.id, reply.outcome)
        return reply

    def _with_card(self, connection: Connection, case: Case, reply: Reply) -> Reply:
        """With the card of the approval it is about, as that stands now: nobody can change it before this is stored."""
        id = reply.approval or case.asked.approval
        row = approvals.held(connection, id) if id else None
        return replace(reply, also=(card(row), *reply.also)) if row else reply


def _for_a_while(case: Case, reply: Reply) -> Reply:
    """What was done in a role that is only held for a while says so."""
    person = case.person
    grant = next((grant for grant in person.elevations if grant.role == person.role), None) if person else None
    if grant is None:
        return reply
    acting: list[Inline] = [f"acting as {grant.role} until ", Moment(grant.expires_at.timestamp())]
    said = [reply.context] if isinstance(reply.context, str) else [*reply.context]
    return replace(reply, context=[*acting, *([" · ", *said] if any(said) else [])])


def _who(case: Case) -> dict[str, Any]:
    """What both audit records say."""
    own = TYPES.get(case.command.name, "command") if case.command else "command"
    return {
        "type": "break-glass" if case.glass else own,
        "invocation": case.asked.id,
        "surface": case.asked.surface,
        "team": case.asked.team,
        "user": case.asked.user_id,
        "role": case.person.role if case.person else None,
        "command": case.line,
        "arguments": case.arguments,
        "approval": case.glass.id if case.glass else case.asked.approval,
    }
