"""The account's stacks, and what may be asked of them in which state. `api.py` translates requests into these calls."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sandbox.aws.core import Cloud
from sandbox.aws.sts import RoleRefused

from .engine import Work
from .errors import (
    AlreadyExists,
    ChangeSetNotFound,
    InsufficientCapabilities,
    InvalidChangeSetStatus,
    ValidationError,
)
from .parameters import chosen
from .plan import changes
from .stack import GONE, REVIEW, ChangeSet, Stack, Wanted, new_id, now
from .template import Template

NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."
_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{0,127}")
_STEADY = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "CREATE_FAILED", "UPDATE_FAILED")
_CANCELLABLE = ("CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS")

Given = Sequence[Mapping[str, Any]]
Keys = Mapping[str, str]


class Stacks:
    """All stacks of the account, deleted ones included (found by id only)."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.by_id: dict[str, Stack] = {}

    def stop(self) -> None:
        """End the threads at work, leaving their stacks as they are."""
        for stack in list(self.by_id.values()):
            stack.cancelled.set()
        for stack in list(self.by_id.values()):
            if stack.worker is not None:
                stack.worker.join(timeout=2)

    def find(self, name: str) -> Stack | None:
        """The stack of an id, or the living one of a name."""
        if name in self.by_id:
            return self.by_id[name]
        living = (stack for stack in list(self.by_id.values()) if stack.name == name and stack.status != GONE)
        return next(living, None)

    def get(self, name: str, words: str = "Stack with id {} does not exist") -> Stack:
        """As `find`; raises ValidationError when there is none."""
        stack = self.find(name)
        if stack is None:
            raise ValidationError(words.format(name))
        return stack

    def tags_of(self, arn: str) -> Mapping[str, str]:
        """Tags of a stack by its ARN, whose id may be `*`; empty for what is not there or is no stack."""
        stack = self.by_id.get(arn) or self.find(arn.split("/")[1] if ":stack/" in arn else "")
        return {} if stack is None else dict(stack.definition.tags)

    def wanted(
        self,
        template: Template,
        given: Given,
        tags: Keys,
        role_arn: str | None,
        capabilities: Sequence[str],
        old: Stack | None,
    ) -> Wanted:
        """Everything that defines a stack, checked. Raises ValidationError or InsufficientCapabilities."""
        if template.capabilities and "CAPABILITY_NAMED_IAM" not in capabilities:
            raise InsufficientCapabilities("Requires capabilities : [CAPABILITY_NAMED_IAM]")
        previous = old.definition.parameters if old else {}
        return Wanted(template, chosen(template.parameters, given, previous), tags, role_arn)

    def create(self, name: str, wanted: Wanted, on_failure: str, token: str | None, caller: Keys) -> Stack:
        """Begin a new stack. Raises AlreadyExists when the name is taken, unless by a request with the same token."""
        with self.cloud.lock:
            had = self.find(name)
            if had is not None:
                if token and token in had.tokens:
                    return had
                raise AlreadyExists(f"Stack [{name}] already exists")
            stack = self._new(name, wanted)
            self._begin_creation(stack, on_failure, token, caller)
        return stack

    def _new(self, name: str, wanted: Wanted) -> Stack:
        if not _NAME.fullmatch(name):
            words = (
                f"Value '{name}' at 'stackName' failed to satisfy constraint: Member must satisfy regular expression"
            )
            raise ValidationError(f"1 validation error detected: {words} pattern: [a-zA-Z][-a-zA-Z0-9]*")
        account, region = self.cloud.account, self.cloud.region
        stack = Stack(name, new_id(account, region, "stack", name), account, region, wanted)
        changes(stack, wanted)  # evaluates the whole template once, so that a mistake in it is refused here
        return stack

    def _begin_creation(self, stack: Stack, on_failure: str, token: str | None, caller: Keys) -> None:
        work = self._work(stack, caller)
        self.by_id[stack.id] = stack
        stack.on_failure = on_failure
        self._begin(stack, work, work.create, "CREATE_IN_PROGRESS", token)

    def update(self, stack: Stack, wanted: Wanted, *, keep: bool, token: str | None, caller: Keys) -> None:
        """Begin an update. Raises ValidationError when the state forbids it or nothing would change."""
        with self.cloud.lock:
            if token and token in stack.tokens:
                return
            stack.refuse_unless(*_STEADY)
            if stack.status not in ("CREATE_FAILED", "UPDATE_FAILED") and not self._differs(stack, wanted):
                raise ValidationError("No updates are to be performed.")
            work = self._work(stack, caller, wanted)
            if stack.status != "UPDATE_FAILED":
                stack.before, stack.undo, stack.discarded = stack.definition, [], []
            stack.definition, stack.updated = wanted, now()
            stack.on_failure = "DO_NOTHING" if keep else "ROLLBACK"
            self._begin(stack, work, work.update, "UPDATE_IN_PROGRESS", token)

    @staticmethod
    def _differs(stack: Stack, wanted: Wanted) -> bool:
        old = stack.definition
        same = old.template.outputs == wanted.template.outputs and old.tags == wanted.tags
        return not same or bool(changes(stack, wanted))

    def delete(
        self, stack: Stack, retain: Sequence[str], role_arn: str | None, token: str | None, caller: Keys
    ) -> None:
        """Begin a deletion; a creation still at work is cancelled first."""
        with self.cloud.lock:
            if stack.status in (GONE, "DELETE_IN_PROGRESS"):
                return
            if stack.busy and stack.status not in _CANCELLABLE:
                raise ValidationError(f"Stack [{stack.name}] cannot be deleted while in status {stack.status}")
            if retain and stack.status != "DELETE_FAILED":
                raise ValidationError(f"Invalid operation on stack [{stack.id}]. RetainResources needs DELETE_FAILED.")
            work = self._work(stack, caller, role_arn=role_arn)
            for logical in retain:
                if logical in stack.resources:
                    stack.resources[logical].on_delete = "Retain"
            if stack.busy:
                stack.cancelled.set()
            self._begin(stack, work, work.delete, "DELETE_IN_PROGRESS", token)

    def roll_back(self, stack: Stack, role_arn: str | None, token: str | None, caller: Keys) -> None:
        """RollbackStack and ContinueUpdateRollback: undo a creation or update that stopped at a failure."""
        with self.cloud.lock:
            stack.refuse_unless("CREATE_FAILED", "UPDATE_FAILED", "UPDATE_ROLLBACK_FAILED", what="rolled back")
            work = self._work(stack, caller, role_arn=role_arn)
            if stack.status == "CREATE_FAILED":
                self._begin(stack, work, work.roll_back_creation, "ROLLBACK_IN_PROGRESS", token)
            else:
                self._begin(stack, work, work.roll_back_update, "UPDATE_ROLLBACK_IN_PROGRESS", token)

    def preview(
        self, name: str, change_set: str, kind: str, wanted: Wanted, description: str
    ) -> tuple[Stack, ChangeSet]:
        """Make a change set, and for a new name the stack in review that carries it."""
        with self.cloud.lock:
            stack = self.find(name)
            if kind == "CREATE":
                if stack is not None and stack.status != REVIEW:
                    words = (
                        f"Stack [{name}] already exists and cannot be created again with the changeSet [{change_set}]."
                    )
                    raise ValidationError(words)
                stack = stack or self._new(name, wanted)
            else:
                stack = self.get(name, "Stack [{}] does not exist")
                stack.refuse_unless(*_STEADY)
            if change_set in stack.change_sets:
                raise AlreadyExists(
                    f"ChangeSet {change_set} cannot be created due to a mismatch with existing attribute Name"
                )
            made = self._change_set(stack, change_set, kind, wanted, description)
            stack.change_sets[change_set] = made
            if stack.id not in self.by_id:
                self.by_id[stack.id] = stack
                stack.move(REVIEW, "User Initiated")
        return stack, made

    def _change_set(self, stack: Stack, name: str, kind: str, wanted: Wanted, description: str) -> ChangeSet:
        found = changes(stack, wanted)
        useful = kind == "CREATE" or self._differs(stack, wanted)
        return ChangeSet(
            id=new_id(stack.account, stack.region, "changeSet", name),
            name=name,
            description=description,
            wanted=wanted,
            changes=found,
            status="CREATE_COMPLETE" if useful else "FAILED",
            reason="" if useful else NO_CHANGES,
            execution="AVAILABLE" if useful else "UNAVAILABLE",
        )

    def change_set(self, name: str, stack_name: str | None) -> tuple[Stack, ChangeSet]:
        """A change set by its ARN, or by its name and its stack's. Raises ChangeSetNotFound."""
        places = [self.get(stack_name)] if stack_name else list(self.by_id.values())
        for stack in places:
            for made in stack.change_sets.values():
                if name == made.id or (stack_name and name == made.name):
                    return stack, made
        raise ChangeSetNotFound(f"ChangeSet [{name}] does not exist")

    def execute(self, stack: Stack, made: ChangeSet, *, keep: bool, token: str | None, caller: Keys) -> None:
        """Carry out a change set; the stack's other change sets are obsolete then."""
        with self.cloud.lock:
            if made.execution != "AVAILABLE":
                words = f"ChangeSet [{made.id}] cannot be executed in its current status of [{made.status}]"
                raise InvalidChangeSetStatus(words)
            if stack.status == REVIEW:
                stack.definition = made.wanted
                self._begin_creation(stack, "DO_NOTHING" if keep else "ROLLBACK", token, caller)
            else:
                self.update(stack, made.wanted, keep=keep, token=token, caller=caller)
            for other in stack.change_sets.values():
                other.execution = "OBSOLETE"
            made.execution = "EXECUTE_COMPLETE"

    def _begin(self, stack: Stack, work: Work, body: Callable[[], None], status: str, token: str | None) -> None:
        stack.token = token
        if token:
            stack.tokens.add(token)
        stack.move(status, "User Initiated")
        self._moved(stack)
        work.start(body)

    def _work(self, stack: Stack, caller: Keys, wanted: Wanted | None = None, *, role_arn: str | None = None) -> Work:
        role = role_arn or (wanted or stack.definition).role_arn
        keys: Mapping[str, str] = caller
        if role:
            try:
                given = self.cloud.assume_service_role(role, "cloudformation.amazonaws.com", "AWSCloudFormation")
            except RoleRefused:
                raise ValidationError(f"Role {role} is invalid or cannot be assumed") from None
            keys = {name: str(value) for name, value in given.items()}
        return Work(stack, lambda service: self.cloud.client(service, keys), self._moved)

    def _moved(self, stack: Stack) -> None:
        detail = {
            "stack-id": stack.id,
            "status-details": {"status": stack.status, "status-reason": stack.reason},
            "client-request-token": stack.token or "",
        }
        self.cloud.emit("aws.cloudformation", "CloudFormation Stack Status Change", [stack.id], detail)
