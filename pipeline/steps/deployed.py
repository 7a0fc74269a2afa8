"""The model that is deployed now: found through its endpoint, and fetched with its weights to be measured as well.

Not finding one is an ordinary answer (the first run has none) and carries its reason; it never ends an evaluation.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError


@dataclass(frozen=True)
class Deployed:
    """A deployed model, or the reason why there is none to compare with."""

    endpoint: str = ""
    digest: str = ""
    weights: Path | None = None
    classes: Sequence[str] = ()
    image_size: int = 0
    map50: float | None = None
    map50_95: float | None = None
    reason: str = ""

    def scored(self, map50: float, map50_95: float) -> Deployed:
        """The same with its figures on the test split."""
        return replace(self, map50=map50, map50_95=map50_95)

    def figures(self) -> dict[str, Any] | None:
        """What evaluation.json says about it; None when there is nothing to compare with."""
        if self.map50 is None:
            return None
        return {"endpoint": self.endpoint, "digest": self.digest, "map50": self.map50, "map50_95": self.map50_95}

    def summary(self) -> dict[str, Any]:
        """Its figures, or the reason why there are none."""
        return self.figures() or {"reason": self.reason}


def find(endpoint: str, folder: Path) -> Deployed:
    """Follow endpoint → configuration → model → artifact and unpack that into `folder`."""
    try:
        container = _container(boto3.client("sagemaker"), endpoint)
        return _fetch(container, endpoint, folder)
    except ClientError as error:
        words = error.response["Error"]["Message"]
        if "find" in words.lower():
            return Deployed(reason="nothing is deployed yet.")
        return Deployed(reason=f"the deployed model cannot be read: {words}")
    except (BotoCoreError, tarfile.TarError, OSError, KeyError, ValueError) as error:
        return Deployed(reason=f"the deployed model cannot be read: {type(error).__name__}: {error}")


def _container(sagemaker: Any, endpoint: str) -> dict[str, Any]:
    found = sagemaker.describe_endpoint(EndpointName=endpoint)
    config = sagemaker.describe_endpoint_config(EndpointConfigName=found["EndpointConfigName"])
    model = sagemaker.describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])
    return dict(model["PrimaryContainer"])


def _fetch(container: dict[str, Any], endpoint: str, folder: Path) -> Deployed:
    source = urlsplit(container["ModelDataUrl"])
    archive = folder / "model.tar.gz"
    boto3.client("s3").download_file(source.netloc, source.path.lstrip("/"), str(archive))
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    facts = json.loads((folder / "model.json").read_text("utf-8"))
    return Deployed(
        endpoint=endpoint,
        digest=container.get("Environment", {}).get("MODEL_DIGEST", ""),
        weights=folder / "best.pt",
        classes=facts["classes"],
        image_size=int(facts["image_size"]),
    )
