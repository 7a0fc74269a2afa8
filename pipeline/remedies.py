"""What to do about a deployment that AWS could not make, read from AWS's own words."""

from __future__ import annotations

import re

from pipeline.names import Environment

_QUOTA = re.compile(r"service limit '([^']{1,100})'")
_METRIC = re.compile(
    r"ScalingPolicy: .*(predefined metric|PredefinedMetricType|metric type)", re.IGNORECASE | re.DOTALL
)


def remedy(failure: str, env: Environment) -> str:
    """A sentence or two for whoever reads the failure; empty where nothing is known."""
    found = _QUOTA.search(failure)
    if found or "ResourceLimitExceeded" in failure:
        quota = found[1] if found else "the instance type for endpoint usage"
        return (
            f'The account has no quota for it. Service Quotas, Amazon SageMaker, "{quota}", "Request increase" asks '
            "for more, which takes hours to days. Until then choose another --instance-type."
        )
    if unknown_metric(failure):
        return (
            "SageMaker does not tell requests at once here, so nothing can scale on them. "
            f"`deployment create --env {env} --scale-on invocations` scales on requests a minute."
        )
    return ""


def unknown_metric(failure: str) -> bool:
    """Whether the scaling policy failed because its metric does not exist where it was made."""
    return _METRIC.search(failure) is not None
