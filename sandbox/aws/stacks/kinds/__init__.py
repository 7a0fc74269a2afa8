"""The resource types the engine knows, a module per family. A type that is not here is refused."""

from __future__ import annotations

from collections.abc import Mapping

from . import (
    cloudtrail,
    cloudwatch,
    costs,
    events,
    iam,
    logs,
    monitoring,
    s3,
    sagemaker,
    scaling,
    scheduler,
    sns,
    sqs,
    studio,
)
from .kind import Kind

_FAMILIES = (
    *(iam, s3, sqs, sns, events, logs, cloudtrail, cloudwatch, costs, scheduler, sagemaker, scaling, monitoring),
    studio,
)
KINDS: Mapping[str, Kind] = {kind.type: kind for family in _FAMILIES for kind in family.KINDS}
