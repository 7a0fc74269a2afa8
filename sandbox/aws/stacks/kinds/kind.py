"""What the engine knows about a resource type: its properties and the API calls that make, change and delete it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..shapes import Shape

Properties = Mapping[str, Any]
Client = Any
"""A boto3 client of the kind's service, with the stack's credentials."""


@dataclass(frozen=True)
class Kind:
    """One row of the table of resource types.

    `create` makes the one call that brings the resource into being and returns its physical id; `apply` brings an
    existing resource from the properties `before` to `after` and runs after creation too, with `before` empty.
    A changed property that is not `in_place` replaces the resource. `settled` and `gone` are polled until true.
    """

    type: str
    service: str
    properties: Callable[[], dict[str, Shape]]
    create: Callable[[Client, Properties], str]
    delete: Callable[[Client, str, Properties], None]
    named: str | None = None
    """The property with the resource's own name, generated from the stack's when the template gives none."""
    in_place: frozenset[str] = frozenset()
    apply: Callable[[Client, str, Properties, Properties], None] = lambda client, physical, before, after: None
    attributes: Callable[[Client, str, Properties], dict[str, str]] = lambda client, physical, properties: {}
    settled: Callable[[Client, str, Properties], bool] = lambda client, physical, properties: True
    gone: Callable[[Client, str], bool] = lambda client, physical: True
    generated: Callable[[str], str] = lambda name: name[-63:].strip("-")

    @property
    def shape(self) -> dict[str, Shape]:
        """The form of the resource's properties."""
        return self.properties()

    @property
    def taggable(self) -> bool:
        """Whether the stack's tags reach the resource."""
        return "Tags" in self.shape


TAGS: Shape = [{"Key": "text", "Value": "text"}]


def tag_map(properties: Properties) -> dict[str, str]:
    """The Tags property as a dictionary."""
    return {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}


def changed(name: str, before: Properties, after: Properties) -> bool:
    """Whether `after` says something else about a property than `before` (absent in both: no)."""
    return before.get(name) != after.get(name)


def retag(
    before: Properties, after: Properties, put: Callable[[dict[str, str]], Any], drop: Callable[[list[str]], Any]
) -> None:
    """Bring the tags from `before` to `after`. On creation (`before` empty) the Create call has set them already."""
    if not before:
        return
    old, new = tag_map(before), tag_map(after)
    if add := {key: value for key, value in new.items() if old.get(key) != value}:
        put(add)
    if gone := sorted(set(old) - set(new)):
        drop(gone)


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags in the Key/Value form most services want."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]
