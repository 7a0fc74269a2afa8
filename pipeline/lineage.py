"""Where a model comes from: which version an endpoint serves, and from which versions that one was promoted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from pipeline import registry
from pipeline.absent import missing
from pipeline.errors import NotFound
from pipeline.names import ENVIRONMENTS, Environment, Names
from pipeline.registry import Package


@dataclass(frozen=True)
class Served:
    """What an endpoint serves: the model by its name in AWS, and where its artifact lies."""

    endpoint: str
    status: str
    model: str
    artifact: str
    digest: str
    """sha256 as the deployment names it (variable MODEL_DIGEST); empty for a model that was not deployed by it."""


def served(sagemaker: Any, names: Names, env: Environment, endpoint: str) -> Served:
    """What an endpoint of an environment serves. Raises NotFound when there is no such endpoint."""
    try:
        about = sagemaker.describe_endpoint(EndpointName=endpoint)
    except ClientError as error:
        if not missing(error):
            raise
        advice = f"`deployment status --env {env}` shows what is deployed."
        raise NotFound("endpoint", endpoint, [names.stack(env)], advice) from error
    config = sagemaker.describe_endpoint_config(EndpointConfigName=about["EndpointConfigName"])
    name = config["ProductionVariants"][0]["ModelName"]
    container = sagemaker.describe_model(ModelName=name)["PrimaryContainer"]
    digest = container.get("Environment", {}).get("MODEL_DIGEST", "").removeprefix("sha256:")
    return Served(endpoint, about["EndpointStatus"], name, container.get("ModelDataUrl", ""), digest)


def environment(names: Names, endpoint: str) -> Environment:
    """The environment that an endpoint's name says it belongs to. Raises NotFound for a name of somebody else's."""
    for env in ENVIRONMENTS:
        if endpoint.startswith(names.begin(env)):
            return env
    ours = [names.stack(env) for env in ENVIRONMENTS]
    raise NotFound("endpoint of ours", endpoint, ours, "`deployment status` shows what is deployed.")


def chain(sagemaker: Any, package: Package) -> tuple[list[Package], str]:
    """The version and those it was promoted from, back to the one that was trained.

    Also the ARN of the one before them that is gone; empty when none is.
    """
    found = [package]
    while source := found[-1].metadata.get("source_package", ""):
        before = registry.by_arn(sagemaker, source)
        if before is None or len(found) > len(ENVIRONMENTS):
            return found, source
        found.append(before)
    return found, ""
