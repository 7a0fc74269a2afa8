"""Service quotas: how many instances of a type may train at once in this account, by `sandbox/config/quotas.yaml`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from sandbox.aws.sagemaker.errors import ResourceLimitExceeded

FILE = Path(__file__).parents[2] / "config" / "quotas.yaml"


def load() -> Mapping[str, Mapping[str, int]]:
    """Limits by use and instance type; what is missing has none."""
    found: Mapping[str, Mapping[str, int]] = yaml.safe_load(FILE.read_text())
    return found


def check(
    quotas: Mapping[str, Mapping[str, int]], job: Mapping[str, Any], running: Iterable[Mapping[str, Any]]
) -> None:
    """Raise `ResourceLimitExceeded`, in AWS's words, for a training that would be one too many."""
    use, instance = _use(job), job["ResourceConfig"].get("InstanceType", "")
    limit = quotas.get(use, {}).get(instance)
    if limit is None:
        return
    same = [each for each in running if _use(each) == use and each["ResourceConfig"].get("InstanceType") == instance]
    if len(same) + 1 > limit:
        raise ResourceLimitExceeded(
            f"The account-level service limit '{instance} for {use}' is {limit} Instances, with current utilization "
            f"of {len(same)} Instances and a request delta of 1 Instances. Please use AWS Service Quotas to request "
            "an increase for this quota. If AWS Service Quotas is not available, contact AWS support to request an "
            "increase for this quota."
        )


def _use(job: Mapping[str, Any]) -> str:
    return "spot training job usage" if job.get("EnableManagedSpotTraining") else "training job usage"
