"""The work on a stack: resource by resource, in a thread, through the account's API, with the stack's credentials."""

from __future__ import annotations

import secrets
import string
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from botocore.exceptions import ClientError

from .errors import Cancelled, ResourceFailure, ValidationError
from .kinds import KINDS
from .kinds.kind import Kind
from .plan import compare, desired
from .reported import fail, reported
from .stack import GONE, Resource, Stack, now

POLL_SECONDS = 0.05
LONGEST_POLL_SECONDS = 0.5
DEADLINE_SECONDS = 1800.0
"""How long one resource may take to settle."""

_ABSENT = (
    "NoSuchEntity", "NoSuchBucket", "NoSuchBucketPolicy", "ResourceNotFoundException", "ResourceNotFound",
    "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "NotFoundException", "UnknownMonitorException",
    "UnknownSubscriptionException", "ObjectNotFoundException",
)  # fmt: skip


class Work:
    """One operation on one stack: create, update, roll back or delete.

    `client` makes a boto3 client of a service with the stack's credentials; `moved` is told of every new stack status.
    """

    def __init__(self, stack: Stack, client: Callable[[str], Any], moved: Callable[[Stack], None]) -> None:
        self.stack = stack
        self.client = cache(client)
        self.moved = moved

    def start(self, body: Callable[[], None]) -> None:
        """Run `body` in the stack's thread, after whatever was running there before."""
        stack, earlier = self.stack, self.stack.worker

        def run() -> None:
            if earlier is not None:
                earlier.join()
                stack.cancelled.clear()
            try:
                body()
            except Cancelled:
                return

        stack.worker = threading.Thread(target=run, name=f"stack {stack.name}", daemon=True)
        stack.worker.start()

    def create(self) -> None:
        """Make every resource; on failure do what OnFailure says."""
        try:
            self._make_all()
        except ResourceFailure as failure:
            self._create_failed(str(failure).strip())
            return
        self._move("CREATE_COMPLETE")

    def _create_failed(self, reason: str) -> None:
        if self.stack.on_failure == "DO_NOTHING":
            self._move("CREATE_FAILED", reason)
        elif self.stack.on_failure == "DELETE":
            self._move("DELETE_IN_PROGRESS", f"{reason} Delete requested by user.")
            self.delete()
        else:
            self._move("ROLLBACK_IN_PROGRESS", f"{reason} Rollback requested by user.")
            self.roll_back_creation()

    def roll_back_creation(self) -> None:
        """Delete what was made."""
        failed = self._delete_all(keep=("Retain",))
        self._move("ROLLBACK_FAILED" if failed else "ROLLBACK_COMPLETE", failed)

    def update(self) -> None:
        """Bring the resources to the stack's definition; on failure return to what was before."""
        stack = self.stack
        try:
            self._make_all()
        except ResourceFailure as failure:
            reason = str(failure).strip()
            if stack.on_failure == "DO_NOTHING":
                self._move("UPDATE_FAILED", reason)
                return
            self._move("UPDATE_ROLLBACK_IN_PROGRESS", reason)
            self.roll_back_update()
            return
        stack.undo.clear()
        self._move("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        self._remove_unwanted()
        self._clean_up()
        self._move("UPDATE_COMPLETE")

    def _remove_unwanted(self) -> None:
        wanted = self.stack.included(self.stack.definition)
        for resource in [had for name, had in self.stack.resources.items() if name not in wanted]:
            del self.stack.resources[resource.logical]
            if resource.on_delete == "Delete":
                self.stack.discarded.append(resource)
            else:
                self.stack.mark(resource, "DELETE_SKIPPED")

    def roll_back_update(self) -> None:
        """Undo the update's steps, last one first; what cannot be undone stays to be continued."""
        stack = self.stack
        while stack.undo:
            try:
                stack.undo[-1](self)
            except ResourceFailure as failure:
                self._move("UPDATE_ROLLBACK_FAILED", str(failure).strip())
                return
            stack.undo.pop()
        stack.definition = stack.before or stack.definition
        self._move("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        self._clean_up()
        self._move("UPDATE_ROLLBACK_COMPLETE")

    def delete(self) -> None:
        """Delete every resource that is not retained."""
        failed = self._delete_all(keep=("Retain", "RetainExceptOnCreate"))
        if failed:
            self._move("DELETE_FAILED", failed)
            return
        self.stack.deleted = now()
        self._move(GONE)

    def _make_all(self) -> None:
        stack = self.stack
        for logical in stack.included(stack.definition):
            self._still_wanted()
            self._make(logical)
        try:
            stack.outputs = stack.resolved_outputs()
        except ValidationError as fault:
            raise ResourceFailure(str(fault.message)) from fault

    def _make(self, logical: str) -> None:
        stack = self.stack
        had = stack.resources.get(logical)
        declared = stack.definition.template.resources[logical]
        kind = KINDS[declared.type]
        try:
            after = desired(stack, stack.definition, logical)
        except ValidationError as fault:
            resource = had or Resource(logical, kind.type, "", {}, False, declared.needs, declared.on_delete)
            raise fail(stack, resource, "UPDATE_FAILED" if had else "CREATE_FAILED", str(fault.message)) from fault
        if had is None:
            self._create(kind, logical, after)
        elif had.type != kind.type:
            self._replace(kind, had, after)
        else:
            names, replaces = compare(kind, had, after)
            if replaces:
                self._replace(kind, had, after)
            elif names:
                self._change(kind, had, after)

    def _create(self, kind: Kind, logical: str, after: dict[str, Any]) -> None:
        stack = self.stack
        declared = stack.definition.template.resources[logical]
        custom = kind.named in after
        if kind.named and not custom:
            after = {**after, kind.named: kind.generated(f"{stack.name}-{logical}-{_suffix()}")}
        resource = Resource(logical, kind.type, "", after, custom, declared.needs, declared.on_delete)
        stack.mark(resource, "CREATE_IN_PROGRESS")
        with reported(stack, resource, "CREATE_FAILED", kind.service):
            client = self.client(kind.service)
            resource.physical = kind.create(client, after)
            stack.resources[logical] = resource
            stack.undo.append(lambda work: work.set_aside(resource))
            stack.mark(resource, "CREATE_IN_PROGRESS", "Resource creation Initiated")
            kind.apply(client, resource.physical, {}, after)
            self._wait(lambda: kind.settled(client, resource.physical, after), "stabilize", resource)
            resource.attributes = kind.attributes(client, resource.physical, after)
        stack.mark(resource, "CREATE_COMPLETE")

    def set_aside(self, resource: Resource) -> None:
        """Take a resource out of the stack; the clean-up deletes it."""
        if self.stack.resources.get(resource.logical) is resource:
            del self.stack.resources[resource.logical]
        self.stack.discarded.append(resource)

    def _replace(self, kind: Kind, had: Resource, after: dict[str, Any]) -> None:
        stack = self.stack
        if had.type == kind.type and kind.named in after and after[kind.named] == had.properties.get(kind.named):
            words = "CloudFormation cannot update a stack when a custom-named resource requires replacing."
            reason = f"{words} Rename {after[kind.named]} and update the stack again."
            raise fail(stack, had, "UPDATE_FAILED", reason)
        why = "Requested update requires the creation of a new physical resource; hence creating one."
        stack.mark(had, "UPDATE_IN_PROGRESS", why)
        stack.undo.append(lambda work: work.stack.resources.update({had.logical: had}))
        self._create(kind, had.logical, after)
        if stack.definition.template.resources[had.logical].on_replace == "Delete":
            stack.discarded.append(had)
            stack.undo.append(lambda work: work.stack.discarded.remove(had))

    def _change(self, kind: Kind, had: Resource, after: dict[str, Any]) -> None:
        before = had.properties
        if kind.named and kind.named not in after:
            after = {**after, kind.named: before[kind.named]}
        self.stack.undo.append(lambda work: work.apply(kind, had, after, before))
        self.apply(kind, had, before, after)

    def apply(self, kind: Kind, resource: Resource, before: Any, after: Any) -> None:
        """Bring a resource from one set of properties to another in place."""
        self.stack.mark(resource, "UPDATE_IN_PROGRESS")
        with reported(self.stack, resource, "UPDATE_FAILED", kind.service):
            client = self.client(kind.service)
            kind.apply(client, resource.physical, before, after)
            self._wait(lambda: kind.settled(client, resource.physical, after), "stabilize", resource)
            resource.properties = after
            resource.attributes = kind.attributes(client, resource.physical, after)
        self.stack.mark(resource, "UPDATE_COMPLETE")

    def _delete(self, resource: Resource) -> None:
        kind = KINDS[resource.type]
        self.stack.mark(resource, "DELETE_IN_PROGRESS")
        with reported(self.stack, resource, "DELETE_FAILED", kind.service):
            client = self.client(kind.service)
            try:
                kind.delete(client, resource.physical, resource.properties)
            except ClientError as refusal:
                if not _absent(refusal):
                    raise
            self._wait(lambda: kind.gone(client, resource.physical), "be deleted", resource)
        self.stack.mark(resource, "DELETE_COMPLETE")

    def _delete_all(self, keep: tuple[str, ...]) -> str:
        """Delete in reverse order of dependency; the answer is empty, or says which resources are left."""
        stack = self.stack
        left: list[str] = []
        pending, stack.discarded = [*stack.discarded, *stack.last_first()], []
        for resource in pending:
            self._still_wanted()
            try:
                if resource.on_delete in keep:
                    stack.mark(resource, "DELETE_SKIPPED")
                else:
                    self._delete(resource)
            except ResourceFailure:
                left.append(resource.logical)
                continue
            if stack.resources.get(resource.logical) is resource:
                del stack.resources[resource.logical]
        return f"The following resource(s) failed to delete: [{', '.join(left)}]." if left else ""

    def _clean_up(self) -> None:
        """Delete what the update left behind. A failure is an event; the update stands, as CloudFormation has it."""
        for resource in reversed(self.stack.discarded):
            try:
                self._delete(resource)
            except ResourceFailure:
                continue
        self.stack.discarded = []

    def _move(self, status: str, reason: str = "") -> None:
        self.stack.move(status, reason)
        self.moved(self.stack)

    def _still_wanted(self) -> None:
        if self.stack.cancelled.is_set():
            raise Cancelled

    def _wait(self, done: Callable[[], bool], verb: str, resource: Resource) -> None:
        pause, until = POLL_SECONDS, time.monotonic() + DEADLINE_SECONDS
        while not done():
            if time.monotonic() > until:
                raise ResourceFailure(f"Resource of type '{resource.type}' did not {verb} in time")
            if self.stack.cancelled.wait(pause):
                raise Cancelled
            pause = min(pause * 1.5, LONGEST_POLL_SECONDS)


def _absent(refusal: ClientError) -> bool:
    error = refusal.response["Error"]
    missing = error.get("Code") == "ValidationException" and "Could not find" in error.get("Message", "")
    return missing or error.get("Code") in _ABSENT


def _suffix() -> str:
    return "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(12))
