"""What an update would do: the comparison behind change sets, "No updates", and the update itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .kinds import KINDS
from .kinds.kind import Kind, tag_list
from .shapes import fit
from .stack import Resource, Stack, Wanted


@dataclass(frozen=True)
class Change:
    """One difference. `names` are the changed properties, `replaces` those of them that force a replacement."""

    action: str
    logical: str
    type: str
    physical: str = ""
    names: tuple[str, ...] = ()
    replaces: frozenset[str] = frozenset()

    def described(self) -> dict[str, Any]:
        """The change in DescribeChangeSet's form."""
        body: dict[str, Any] = {
            "Action": self.action,
            "LogicalResourceId": self.logical,
            "ResourceType": self.type,
            "PhysicalResourceId": self.physical or None,
            "Scope": ["Tags" if name == "Tags" else "Properties" for name in self.names],
            "Details": [self._detail(name) for name in self.names],
        }
        if self.action == "Modify":
            body["Replacement"] = "True" if self.replaces else "False"
        body["Scope"] = sorted(set(body["Scope"]))
        return {"Type": "Resource", "ResourceChange": body}

    def _detail(self, name: str) -> dict[str, Any]:
        place = {"Attribute": "Tags"} if name == "Tags" else {"Attribute": "Properties", "Name": name}
        recreation = "Always" if name in self.replaces else "Never"
        target = {**place, "RequiresRecreation": recreation}
        return {"Target": target, "Evaluation": "Static", "ChangeSource": "DirectModification"}


def desired(stack: Stack, wanted: Wanted, logical: str, *, preview: bool = False) -> dict[str, Any]:
    """A resource's properties as they should be: resolved, typed, the stack's tags under its own."""
    declared = wanted.template.resources[logical]
    kind = KINDS[declared.type]
    resolved = stack.scope(wanted, preview=preview).value(declared.properties)
    properties: dict[str, Any] = fit(kind.shape, resolved, logical)
    if kind.taggable:
        own = {tag["Key"]: tag["Value"] for tag in properties.pop("Tags", [])}
        if tags := {**wanted.tags, **own}:
            properties["Tags"] = tag_list(tags)
    return properties


def compare(kind: Kind, had: Resource, after: Mapping[str, Any]) -> tuple[tuple[str, ...], frozenset[str]]:
    """The changed properties, and those that force a replacement. A generated name is no change."""
    before = dict(had.properties)
    if not had.custom_named and kind.named and kind.named not in after:
        before.pop(kind.named, None)
    names = tuple(sorted(name for name in {*before, *after} if before.get(name) != after.get(name)))
    return names, frozenset(names) - kind.in_place


def changes(stack: Stack, wanted: Wanted) -> list[Change]:
    """All differences between the stack and what is wanted, without touching anything."""
    found: list[Change] = []
    included = stack.included(wanted)
    shadow = Stack(stack.name, stack.id, stack.account, stack.region, wanted, resources=dict(stack.resources))
    for logical in included:
        declared = wanted.template.resources[logical]
        had = stack.resources.get(logical)
        after = desired(shadow, wanted, logical, preview=True)
        if had is None or had.type != declared.type:
            found.append(Change("Add", logical, declared.type))
            shadow.resources.pop(logical, None)
            continue
        names, replaces = compare(KINDS[declared.type], had, after)
        if names:
            found.append(Change("Modify", logical, declared.type, had.physical, names, replaces))
        if replaces:
            shadow.resources.pop(logical, None)
    gone = [had for logical, had in stack.resources.items() if logical not in included]
    return found + [Change("Remove", had.logical, had.type, had.physical) for had in gone]
