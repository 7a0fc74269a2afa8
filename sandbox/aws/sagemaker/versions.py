"""Versions of a pipeline: each change of its definition makes one, and aliases name them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sandbox.aws.sagemaker.definition import Definition
from sandbox.aws.sagemaker.errors import ResourceNotFound, ValidationException
from sandbox.aws.sagemaker.resources import Body, now, page

MOST_ALIASES = 10


@dataclass
class Version:
    """One definition that a pipeline has had."""

    id: int
    source: str
    definition: Definition
    created: datetime = field(default_factory=now)
    aliases: list[str] = field(default_factory=list)

    def summary(self, pipeline: str) -> Body:
        """Its entry in ListPipelineVersions."""
        about = {"PipelineArn": pipeline, "PipelineVersionId": self.id, "CreationTime": self.created}
        return about | ({"PipelineVersionAliases": list(self.aliases)} if self.aliases else {})


def add(versions: list[Version], source: str, definition: Definition, aliases: Iterable[str]) -> Version:
    """A new latest version. Raises ValidationException for an alias that another version has, or that is none."""
    wanted = list(aliases)
    _check(versions, wanted)
    versions.append(Version(len(versions) + 1, source, definition, aliases=wanted))
    return versions[-1]


def chosen(versions: list[Version], request: Body, arn: str) -> Version:
    """The version a request means: by its id, by an alias, else the latest. Raises ResourceNotFound."""
    id, alias = request.get("PipelineVersionId"), request.get("PipelineVersionAlias")
    if id is not None and alias is not None:
        raise ValidationException("PipelineVersionId and PipelineVersionAlias cannot be specified together.")
    if alias is not None:
        found = next((each for each in versions if alias in each.aliases), None)
    else:
        found = versions[-1] if id is None else next((each for each in versions if each.id == id), None)
    if found is None:
        raise ResourceNotFound(f"Pipeline version '{id or alias}' of pipeline '{arn}' does not exist.")
    return found


def change_aliases(versions: list[Version], version: Version, operations: Any) -> None:
    """Take aliases from a version, then give it others. Raises ValidationException and changes nothing."""
    taken, given = list(operations.get("Remove") or ()), list(operations.get("Add") or ())
    if missing := [alias for alias in taken if alias not in version.aliases]:
        raise ValidationException(f"Version {version.id} has no alias {', '.join(missing)}.")
    kept = [alias for alias in version.aliases if alias not in taken]
    _check([each for each in versions if each is not version], given, len(kept))
    version.aliases = kept + [alias for alias in given if alias not in kept]


def listed(versions: list[Version], request: Body, arn: str) -> Body:
    """The answer of ListPipelineVersions, newest first unless asked otherwise."""
    ordered = versions if request.get("SortOrder") == "Ascending" else versions[::-1]
    found, token = page([each.summary(arn) for each in ordered], request)
    return {"PipelineVersionSummaries": found, "NextToken": token}


def _check(others: list[Version], aliases: list[str], held: int = 0) -> None:
    for alias in aliases:
        if not re.fullmatch(r"[a-zA-Z0-9._\-]{1,128}", alias) or alias.isdigit():
            raise ValidationException(f"'{alias}' is not a pipeline version alias.")
        holder = next((each for each in others if alias in each.aliases), None)
        if holder is not None:
            raise ValidationException(f"Alias '{alias}' is assigned to version {holder.id}; remove it there first.")
    if held + len(aliases) > MOST_ALIASES:
        raise ValidationException(f"A pipeline version has at most {MOST_ALIASES} aliases.")
