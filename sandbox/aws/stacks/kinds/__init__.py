"""The resource types the engine knows, a module per family. A type that is not here is refused."""

from __future__ import annotations

from collections.abc import Mapping

from . import events, iam, logs, s3, sagemaker, sqs
from .kind import Kind

KINDS: Mapping[str, Kind] = {
    kind.type: kind for family in (iam, s3, sqs, events, logs, sagemaker) for kind in family.KINDS
}
