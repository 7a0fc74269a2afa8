"""The resource types the engine knows, a module per family. A type that is not here is refused."""

from __future__ import annotations

from collections.abc import Mapping

from . import cloudtrail, events, iam, logs, s3, sagemaker, sqs, studio
from .kind import Kind

KINDS: Mapping[str, Kind] = {
    kind.type: kind for family in (iam, s3, sqs, events, logs, cloudtrail, sagemaker, studio) for kind in family.KINDS
}
