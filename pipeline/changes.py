"""What differs between two pipeline definitions, a line each, for people: `Train · ResourceConfig.InstanceType: a → b`.

Pipeline variables are written as `{Parameters.Epochs}`; the branches of a condition count as steps like all others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from pipeline import source
from pipeline.absent import missing
from pipeline.definition import ALIASES, definition
from pipeline.errors import NotFound
from pipeline.names import Environment, Names

NAMES = ("Name", "InputName", "OutputName", "ChannelName", "PropertyFileName", "Key")
"""Members by which entries of a list are told apart, so that an added one does not shift the others."""
BRANCHES = ("IfSteps", "ElseSteps")
LONGEST = 90


def between(old: str, new: str) -> list[str]:
    """What changes from one definition to the other; empty when they mean the same."""
    before, after = json.loads(old), json.loads(new)
    found = list(_differ("parameter", _named(before["Parameters"]), _named(after["Parameters"])))
    found += _differ("step", _steps(before["Steps"]), _steps(after["Steps"]))
    rest = [{key: each.get(key) for key in ("Version", "Metadata")} for each in (before, after)]
    return found + list(_leaves("definition", rest[0], rest[1]))


def unpublished(sagemaker: Any, names: Names, env: Environment) -> list[str]:
    """What publishing the code at hand would change in an environment, for both aliases; empty for nothing.

    Where MLflow is and which commit it is are taken from what is published, where this process does not know them.
    Raises NotFound when nothing is published.
    """
    found: dict[str, None] = {}
    for alias in ALIASES:
        try:
            answer = sagemaker.describe_pipeline(PipelineName=names.pipeline(env), PipelineVersionAlias=alias)
        except ClientError as error:
            if not missing(error):
                raise
            raise NotFound(
                "pipeline", f"{names.pipeline(env)} ({alias})", advice="It has to be published first."
            ) from error
        old = str(answer["PipelineDefinition"])
        track = _steps(json.loads(old)["Steps"]).get("Track", {}).get("Arguments", {}).get("Environment", {})
        revision = source.revision()
        known = str(track.get("CODE_REVISION", revision)) if revision == "unknown" else revision
        code, template = source.code().uri(env, names), source.template().url(env, names)
        mlflow = str(track.get("MLFLOW_TRACKING_URI", ""))
        new = definition(env, names, names.image(), code, template, mlflow, known, alias)
        found |= dict.fromkeys(between(old, new))
    return list(found)


def _steps(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All steps by name; a condition's branches as the names of their steps."""
    found: dict[str, Any] = {}
    for row in rows:
        arguments = dict(row["Arguments"])
        inner = {branch: arguments.pop(branch) for branch in BRANCHES if branch in arguments}
        named = {branch: [step["Name"] for step in steps] for branch, steps in inner.items()}
        found[row["Name"]] = {**row, "Arguments": {**arguments, **named}}
        for steps in inner.values():
            found |= _steps(steps)
    return found


def _named(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {row["Name"]: row for row in rows}


def _differ(what: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"- {what} {name}" for name in before if name not in after)
    yield from (f"+ {what} {name}" for name in after if name not in before)
    for name in before:
        if name in after:
            yield from _leaves(name, before[name], after[name])


def _leaves(name: str, before: Any, after: Any) -> Iterator[str]:
    first, second = dict(_flat(before)), dict(_flat(after))
    for path in dict.fromkeys((*first, *second)):
        if first.get(path) != second.get(path):
            shown = path.removeprefix("Arguments.")
            yield f"{name} · {shown}: {first.get(path, 'nothing')} → {second.get(path, 'nothing')}"


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if (text := _variable(value)) is not None:
        yield path, text
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        for number, item in enumerate(value):
            name = next((item[key] for key in NAMES if isinstance(item.get(key), str)), str(number))
            yield from _flat(item, f"{path}[{name}]")
    else:
        yield path, _short(value if isinstance(value, str) else json.dumps(value))


def _variable(value: Any) -> str | None:
    """A pipeline variable or function in few characters; None for anything else."""
    if not isinstance(value, Mapping) or len(value) != 1:
        return None
    if "Get" in value:
        return f"{{{value['Get']}}}"
    if "Std:Join" in value:
        parts = (_variable(part) or str(part) for part in value["Std:Join"]["Values"])
        return _short(value["Std:Join"]["On"].join(parts))
    if "Std:JsonGet" in value:
        return f"{{{value['Std:JsonGet']['Path']}}}"
    return None


def _short(text: str) -> str:
    """Digests to twelve digits, and no longer than a line."""
    text = re.sub(r"\b([0-9a-f]{12})[0-9a-f]{28,52}\b", r"\1…", text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}…{text[-LONGEST // 2 :]}"
