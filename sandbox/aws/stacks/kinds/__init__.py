"""The resource types the engine knows, a module per family. A type that is not here is refused."""

from __future__ import annotations

from collections.abc import Mapping

from . import cloudtrail, cloudwatch, events, iam, logs, monitoring, s3, sagemaker, scheduler, sns, sqs, studio
from .kind import Kind

KINDS: Mapping[str, Kind] = {
    kind.type: kind
    for family in (iam, s3, sqs, sns, events, logs, cloudtrail, cloudwatch, scheduler, sagemaker, monitoring, studio)
    for kind in family.KINDS
}
