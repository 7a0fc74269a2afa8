"""What to do about a service quota that is too small, from the words in which AWS refuses."""

from __future__ import annotations

import re

_LIMIT = re.compile(r"service limit '([^']+)' is (\d+) Instances")


def advice(refusal: str) -> str:
    """How to ask for more of what a refusal names; empty for a refusal of another kind."""
    found = _LIMIT.search(refusal)
    if found is None:
        return ""
    name, limit = found[1], int(found[2])
    code = f"--query \"Quotas[?QuotaName=='{name}'].QuotaCode\""
    return (
        f" Ask for more in Service Quotas, Amazon SageMaker, “{name}”, or with `aws service-quotas "
        f"request-service-quota-increase --service-code sagemaker --desired-value {limit + 1} --quota-code …`, whose "
        f"code `aws service-quotas list-service-quotas --service-code sagemaker {code}` tells; it takes hours to days. "
        "Until then choose another `--instance-type`."
    )
