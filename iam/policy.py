"""Session policies: a person's role narrowed, for one invocation, to what the command declared it needs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from pipeline.errors import BadInput
from pipeline.names import Environment, Names

LONGEST = 2048
"""Characters STS allows for a session policy."""

Need = tuple[str | Sequence[str], str, str | None]
"""Actions, resource template, and the environment for its fields when that is not the argument `env`."""

_FIELD = re.compile(r"\{(\w+)\}")
_SPECIAL = re.compile(r"[*?$]")


def statements(needs: Iterable[Need], names: Names, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The policy document that allows just the needs. A template without `arn:` is a SageMaker resource.

    Fields: account, region, bucket, data_bucket; env, pipeline, group, stack of the environment; every argument by its
    name (characters with a meaning in policies lose it; an argument not given stands for any value).
    Raises BadInput when the document is longer than STS takes, KeyError for a field that does not exist.
    """
    actions_of: dict[str, set[str]] = {}
    for actions, template, env in needs:
        wanted = [actions] if isinstance(actions, str) else actions
        actions_of.setdefault(resource(template, names, arguments, env), set()).update(wanted)
    resources_of: dict[tuple[str, ...], list[str]] = {}
    for arn in sorted(actions_of):
        resources_of.setdefault(tuple(sorted(actions_of[arn])), []).append(arn)
    found: list[dict[str, Any]] = [
        {"Effect": "Allow", "Action": list(actions), "Resource": arns} for actions, arns in sorted(resources_of.items())
    ]
    policy = {"Version": "2012-10-17", "Statement": found or [_NOTHING]}
    length = len(text(policy))
    if length > LONGEST:
        raise BadInput(
            f"The session policy of this command is {length} characters long; AWS takes {LONGEST}.",
            "Shorter names, or fewer resources in one command, make it fit.",
        )
    return policy


_NOTHING = {"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}
"""For commands that need nothing of AWS: without any policy a session would have the role's whole power."""


def text(policy: Mapping[str, Any]) -> str:
    """The document as it is sent: without a character too many."""
    return json.dumps(policy, separators=(",", ":"))


def resource(template: str, names: Names, arguments: Mapping[str, Any], env: str | None = None) -> str:
    """A resource template with its fields filled in. Raises KeyError for a field that does not exist."""
    fields = {
        **{name: _literal(value) for name, value in arguments.items()},
        **_known(names, env or arguments.get("env")),
    }
    filled = _FIELD.sub(lambda found: fields[found.group(1)], template)
    return filled if filled == "*" or filled.startswith("arn:") else names.arn("sagemaker", filled)


def _known(names: Names, env: object) -> dict[str, str]:
    known = {
        "account": names.account,
        "region": names.region,
        "bucket": names.bucket,
        "data_bucket": names.data_bucket,
    }
    where = next((each for each in get_args(Environment) if each == env), None)
    if where is not None:
        known |= {
            "env": where,
            "pipeline": names.pipeline(where),
            "group": names.group(where),
            "stack": names.stack(where),
        }
    return known


def _literal(value: Any) -> str:
    """An argument as it stands in an ARN: `*`, `?` and `$` mean themselves (policy variables of version 2012-10-17)."""
    if value is None or value == "":
        return "*"
    return _SPECIAL.sub(lambda found: f"${{{found.group()}}}", str(value))
