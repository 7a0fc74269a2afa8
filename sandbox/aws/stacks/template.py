"""A template: read from YAML or JSON, and refused when it names anything the engine does not know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

import yaml

from .errors import ValidationError
from .functions import PSEUDO, function, references
from .kinds import KINDS
from .parameters import check_declarations
from .shapes import fit

SECTIONS = ("AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Mappings", "Conditions", "Resources")
ATTRIBUTES = (
    "Type", "Properties", "DependsOn", "Condition", "DeletionPolicy", "UpdateReplacePolicy", "Metadata",
)  # fmt: skip
POLICIES = ("Delete", "Retain", "RetainExceptOnCreate")
MAX_BODY = 51_200
"""Bytes of a template passed in the request itself (a TemplateURL may be larger)."""


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short tags, and dates left as the words they are."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (a class attribute PyYAML defines so)
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _short_tag(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.SequenceNode):
        argument: Any = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        argument = loader.construct_mapping(node, deep=True)
    else:
        argument = loader.construct_scalar(node)  # type: ignore[arg-type]
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": argument}


_Loader.add_multi_constructor("!", _short_tag)


@dataclass(frozen=True)
class Declared:
    """One entry of the template's Resources."""

    logical: str
    type: str
    properties: Mapping[str, Any]
    needs: frozenset[str]
    condition: str | None
    on_delete: str
    on_replace: str


@dataclass(frozen=True)
class Template:
    """A template that has passed `parse`; `resources` is in an order in which they can be made."""

    body: str
    description: str
    parameters: Mapping[str, Mapping[str, Any]]
    mappings: Mapping[str, Any]
    conditions: Mapping[str, Any]
    resources: Mapping[str, Declared]
    outputs: Mapping[str, Mapping[str, Any]]

    @property
    def capabilities(self) -> list[str]:
        """What the caller must acknowledge."""
        named = [item for item in self.resources.values() if item.type.startswith("AWS::IAM::")]
        return ["CAPABILITY_NAMED_IAM"] if named else []


def parse(body: str) -> Template:
    """Read a template. Raises ValidationError for what is malformed, unknown, unresolved or circular."""
    try:
        document = yaml.load(body, Loader=_Loader)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError as fault:
        raise ValidationError(f"Template format error: YAML not well-formed. ({fault})") from None
    if not isinstance(document, dict):
        raise ValidationError("Template format error: unsupported structure.")
    _known("Invalid template property or properties", document, (*SECTIONS, "Outputs"))
    resources = _mapping(document, "Resources")
    if not resources:
        raise ValidationError("Template format error: At least one Resources member must be defined.")
    parameters, conditions = _mapping(document, "Parameters"), _mapping(document, "Conditions")
    check_declarations(parameters)
    if both := sorted(set(resources) & set(parameters)):
        raise ValidationError(f"Template format error: Duplicate logical names: [{', '.join(both)}]")
    _references(document, {*resources, *parameters})
    declared = {logical: _declared(logical, raw, set(resources), conditions) for logical, raw in resources.items()}
    return Template(
        body=body,
        description=str(document.get("Description", "")),
        parameters=parameters,
        mappings=_mapping(document, "Mappings"),
        conditions=conditions,
        resources={logical: declared[logical] for logical in _ordered(declared)},
        outputs=_outputs(_mapping(document, "Outputs"), conditions),
    )


def _mapping(document: dict[str, Any], section: str) -> dict[str, Any]:
    found = document.get(section) or {}
    if not isinstance(found, dict):
        raise ValidationError(f"Template format error: Every {section} member must be an object.")
    return found


def _known(what: str, found: Iterable[str], known: Iterable[str]) -> None:
    if unknown := sorted(set(found) - set(known)):
        raise ValidationError(f"{what} [{', '.join(unknown)}]")


def _declared(logical: str, raw: Any, resources: set[str], conditions: Mapping[str, Any]) -> Declared:
    if not isinstance(raw, dict) or "Type" not in raw:
        raise ValidationError(f"Template format error: [/Resources/{logical}] Every Resources object must have a Type.")
    _known(f"Template format error: Unknown attributes of resource {logical}:", raw, ATTRIBUTES)
    if raw["Type"] not in KINDS:
        raise ValidationError(f"Template format error: Unrecognized resource types: [{raw['Type']}]")
    policies = [raw.get(name, "Delete") for name in ("DeletionPolicy", "UpdateReplacePolicy")]
    for policy in policies:
        if policy not in POLICIES:
            raise ValidationError(f"Template format error: Unrecognized DeletionPolicy {policy} for resource {logical}")
    properties = raw.get("Properties") or {}
    fit(KINDS[raw["Type"]].shape, properties, logical)
    condition = raw.get("Condition")
    if condition is not None and condition not in conditions:
        raise ValidationError(f"Template format error: Unresolved condition dependency {condition} in Resources")
    explicit = raw.get("DependsOn", [])
    explicit = [explicit] if isinstance(explicit, str) else explicit
    if missing := sorted(set(explicit) - resources):
        raise _unresolved(missing)
    needs = frozenset(explicit) | {name for name, _ in references(properties) if name in resources}
    return Declared(logical, raw["Type"], properties, needs, condition, *policies)


def _references(document: dict[str, Any], names: set[str]) -> None:
    pseudo = {f"AWS::{name}" for name in PSEUDO}
    used = {name for section in ("Resources", "Outputs", "Conditions") for name, _ in references(document.get(section))}
    if missing := sorted(used - names - pseudo):
        raise _unresolved(missing)


def _unresolved(names: list[str]) -> ValidationError:
    where = "in the Resources block of the template"
    return ValidationError(f"Template format error: Unresolved resource dependencies [{', '.join(names)}] {where}")


def _ordered(declared: Mapping[str, Declared]) -> list[str]:
    try:
        return list(TopologicalSorter({name: sorted(item.needs) for name, item in declared.items()}).static_order())
    except CycleError as fault:
        around = ", ".join(dict.fromkeys(fault.args[1]))
        raise ValidationError(f"Circular dependency between resources: [{around}]") from None


def _outputs(raw: dict[str, Any], conditions: Mapping[str, Any]) -> dict[str, Any]:
    for name, output in raw.items():
        if not isinstance(output, dict) or "Value" not in output or function(output):
            raise ValidationError(f"Template format error: Output {name} is malformed.")
        _known(
            f"Template format error: Unknown attributes of output {name}:",
            output,
            ("Value", "Description", "Condition"),
        )
        if output.get("Condition", None) is not None and output["Condition"] not in conditions:
            raise ValidationError(f"Template format error: Unresolved condition dependency {output['Condition']}")
    return raw
