"""What is remembered about a stack: its template, its resources, its events."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any

from .errors import ValidationError
from .functions import Scope
from .parameters import typed
from .template import Template

if TYPE_CHECKING:
    from .plan import Change

GONE = "DELETE_COMPLETE"
REVIEW = "REVIEW_IN_PROGRESS"


def now() -> datetime:
    """The present moment, UTC."""
    return datetime.now(UTC)


@dataclass
class Resource:
    """A resource that exists, with the resolved properties it was last given."""

    logical: str
    type: str
    physical: str
    properties: Mapping[str, Any]
    custom_named: bool
    needs: frozenset[str]
    on_delete: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    status: str = "CREATE_IN_PROGRESS"
    reason: str = ""
    at: datetime = field(default_factory=now)


@dataclass(frozen=True)
class Event:
    """One line of a stack's history."""

    id: str
    logical: str
    physical: str
    type: str
    status: str
    reason: str
    token: str | None
    at: datetime


@dataclass(frozen=True)
class Wanted:
    """What a create or update asks for: everything that defines the stack."""

    template: Template
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    role_arn: str | None


@dataclass
class ChangeSet:
    """A previewed create or update that may be executed once."""

    id: str
    name: str
    description: str
    wanted: Wanted
    changes: Sequence[Change]
    status: str
    reason: str
    execution: str
    created: datetime = field(default_factory=now)


@dataclass
class Stack:
    """A stack. `definition` is what it was last asked to be, `before` what a failed update must return to."""

    name: str
    id: str
    account: str
    region: str
    definition: Wanted
    status: str = REVIEW
    reason: str = ""
    before: Wanted | None = None
    resources: dict[str, Resource] = field(default_factory=dict)
    discarded: list[Resource] = field(default_factory=list)
    """Replaced or removed resources, deleted once an update has succeeded."""
    undo: list[Any] = field(default_factory=list)
    outputs: list[dict[str, str]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    change_sets: dict[str, ChangeSet] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    token: str | None = None
    on_failure: str = "ROLLBACK"
    created: datetime = field(default_factory=now)
    updated: datetime | None = None
    deleted: datetime | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)
    worker: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether a thread is at work on it."""
        return self.status.endswith("_IN_PROGRESS") and self.status != REVIEW

    def move(self, status: str, reason: str = "") -> None:
        """Enter a status, with its event. `COMPLETE` states are visible only after everything else is recorded."""
        self.log(self.name, self.id, "AWS::CloudFormation::Stack", status, reason)
        self.reason, self.status = reason, status

    def log(self, logical: str, physical: str, kind: str, status: str, reason: str = "") -> None:
        """Add an event."""
        self.events.append(Event(str(uuid.uuid4()), logical, physical, kind, status, reason, self.token, now()))

    def mark(self, resource: Resource, status: str, reason: str = "") -> None:
        """Set a resource's status, with its event."""
        resource.status, resource.reason, resource.at = status, reason, now()
        self.log(resource.logical, resource.physical, resource.type, status, reason)

    def scope(self, wanted: Wanted, *, preview: bool = False) -> Scope:
        """Where `wanted`'s template is evaluated, with the resources as they are."""
        pseudo = {
            "AWS::AccountId": self.account,
            "AWS::Region": self.region,
            "AWS::StackName": self.name,
            "AWS::StackId": self.id,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::NotificationARNs": [],
        }
        template = wanted.template
        given = typed(template.parameters, wanted.parameters)
        return Scope(given, pseudo, template.mappings, template.conditions, self.resources, preview)

    def included(self, wanted: Wanted) -> list[str]:
        """The logical ids whose condition holds, in the order they are made."""
        scope = self.scope(wanted, preview=True)
        resources = wanted.template.resources
        return [name for name, item in resources.items() if not item.condition or scope.holds(item.condition)]

    def refuse_unless(self, *statuses: str, what: str = "updated") -> None:
        """Raises ValidationError when the stack's state does not allow the operation."""
        if self.status not in statuses:
            raise ValidationError(f"Stack:{self.id} is in {self.status} state and can not be {what}.")

    def last_first(self) -> list[Resource]:
        """The resources, each before those it needs: the order of deletion."""
        order = TopologicalSorter(
            {name: sorted(had.needs & set(self.resources)) for name, had in self.resources.items()}
        )
        return [self.resources[name] for name in reversed(list(order.static_order()))]

    def resolved_outputs(self) -> list[dict[str, str]]:
        """The outputs of the definition, as Describe calls list them."""
        scope = self.scope(self.definition)
        return [
            {
                "OutputKey": key,
                "OutputValue": str(scope.value(output["Value"])),
                **({"Description": output["Description"]} if "Description" in output else {}),
            }
            for key, output in self.definition.template.outputs.items()
            if not output.get("Condition") or scope.holds(output["Condition"])
        ]


def new_id(account: str, region: str, kind: str, name: str) -> str:
    """The ARN of a new `stack` or `changeSet`."""
    return f"arn:aws:cloudformation:{region}:{account}:{kind}/{name}/{uuid.uuid4()}"
