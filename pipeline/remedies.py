"""What to do about a deployment that AWS could not make, read from AWS's own words."""

from __future__ import annotations

import re

from pipeline import quotas
from pipeline.names import Environment

_METRIC = re.compile(
    r"ScalingPolicy: .*(predefined metric|PredefinedMetricType|metric type)", re.IGNORECASE | re.DOTALL
)


def remedy(failure: str, env: Environment) -> str:
    """A sentence or two for whoever reads the failure; empty where nothing is known."""
    if unknown_metric(failure):
        return (
            "SageMaker does not tell requests at once here, so nothing can scale on them. "
            f"`deployment create --env {env} --scale-on invocations` scales on requests a minute."
        )
    return quotas.advice(failure).strip()


def unknown_metric(failure: str) -> bool:
    """Whether the scaling policy failed because its metric does not exist where it was made."""
    return _METRIC.search(failure) is not None
