"""Models and endpoint configurations: what an endpoint is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from sandbox.aws.core import Cloud
from sandbox.aws.sagemaker import storage
from sandbox.aws.sagemaker.errors import ValidationException
from sandbox.aws.sagemaker.jobs import SERVICE
from sandbox.aws.sagemaker.registry import Registry
from sandbox.aws.sagemaker.resources import Body, Record, Resources, listing, now, tag_map
from sandbox.aws.sts import RoleRefused

MODEL = "model"
CONFIG = "endpoint-config"


class Models:
    """All models and endpoint configurations of the account."""

    def __init__(self, cloud: Cloud, resources: Resources, registry: Registry) -> None:
        self._cloud = cloud
        self._resources = resources
        self._registry = registry

    def create_model(self, request: Body) -> Body:
        """CreateModel: one container, whose role can be assumed and can read the model's data."""
        if "PrimaryContainer" not in request and len(request.get("Containers") or ()) != 1:
            raise ValidationException("Exactly one container must be given: inference pipelines do not exist here.")
        name, tags = request["ModelName"], tag_map(request.pop("Tags", None))
        arn = self._resources.arn(MODEL, name)
        body = {**request, "ModelArn": arn, "CreationTime": now()}
        self._check_free(MODEL, name, f'Cannot create already existing model "{arn}".')
        self._check_data(request, self.container(body))
        return self._add(MODEL, name, body, tags, f'Cannot create already existing model "{arn}".', "ModelArn")

    def describe_model(self, request: Body) -> Body:
        """DescribeModel."""
        return dict(self.model(request["ModelName"]).body)

    def list_models(self, request: Body) -> Body:
        """ListModels."""
        records, token = listing(self._resources.all(MODEL), request, sort={"Name": "ModelName"})
        return {"Models": [record.body for record in records], "NextToken": token}

    def delete_model(self, request: Body) -> Body:
        """DeleteModel. An endpoint that runs goes on."""
        with self._resources.lock:
            self._resources.remove(self.model(request["ModelName"]))
        return {}

    def create_endpoint_config(self, request: Body) -> Body:
        """CreateEndpointConfig: real-time variants of existing models."""
        name, tags = request["EndpointConfigName"], tag_map(request.pop("Tags", None))
        arn = self._resources.arn(CONFIG, name)
        for member in ("AsyncInferenceConfig", "ExplainerConfig", "ShadowProductionVariants"):
            if request.get(member):
                raise ValidationException(f"{member}: not available here.")
        variants = request["ProductionVariants"]
        if len({variant["VariantName"] for variant in variants}) != len(variants):
            raise ValidationException("Production variant names must be unique.")
        for variant in variants:
            if "ModelName" not in variant:
                raise ValidationException("Each production variant must name a model.")
            self.model(variant["ModelName"])
        if request.get("DataCaptureConfig") and any(variant.get("ServerlessConfig") for variant in variants):
            raise ValidationException("Data capture is not supported for serverless endpoints.")
        body = {**request, "EndpointConfigArn": arn, "CreationTime": now()}
        body["ProductionVariants"] = [{"InitialVariantWeight": 1.0, **variant} for variant in variants]
        taken = f'Cannot create already existing endpoint configuration "{arn}".'
        return self._add(CONFIG, name, body, tags, taken, "EndpointConfigArn")

    def describe_endpoint_config(self, request: Body) -> Body:
        """DescribeEndpointConfig."""
        return dict(self.config(request["EndpointConfigName"]).body)

    def list_endpoint_configs(self, request: Body) -> Body:
        """ListEndpointConfigs."""
        records, token = listing(self._resources.all(CONFIG), request, sort={"Name": "EndpointConfigName"})
        return {"EndpointConfigs": [record.body for record in records], "NextToken": token}

    def delete_endpoint_config(self, request: Body) -> Body:
        """DeleteEndpointConfig. An endpoint that runs goes on."""
        with self._resources.lock:
            self._resources.remove(self.config(request["EndpointConfigName"]))
        return {}

    def model(self, name: str) -> Record:
        """A model by name.

        Raises `ValidationException` when there is none.
        """
        return self._find(MODEL, name, "model")

    def config(self, name: str) -> Record:
        """An endpoint configuration by name.

        Raises `ValidationException` when there is none.
        """
        return self._find(CONFIG, name, "endpoint configuration")

    def container(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """`Image`, `ModelDataUrl` and `Environment` of a model, taken from its model package when it names one.

        Raises `ValidationException` when the package does not exist or is not approved.
        """
        given = model.get("PrimaryContainer") or model["Containers"][0]
        if "ModelPackageName" not in given:
            return dict(given)
        package = self._registry.package(given["ModelPackageName"])
        if package.body["ModelApprovalStatus"] != "Approved":
            raise ValidationException(f"Model package {package.arn} is not approved and cannot be deployed.")
        packaged = package.body["InferenceSpecification"]["Containers"][0]
        return {**packaged, "Environment": {**packaged.get("Environment", {}), **given.get("Environment", {})}}

    def _check_data(self, request: Mapping[str, Any], container: Mapping[str, Any]) -> None:
        url, role = container.get("ModelDataUrl"), request.get("ExecutionRoleArn")
        if not url or not role or not container.get("Image"):
            raise ValidationException("A model needs ExecutionRoleArn and a container with Image and ModelDataUrl.")
        try:
            credentials = self._cloud.assume_service_role(role, SERVICE, "SageMaker")
            bucket, key = storage.parse_uri(url)
            self._cloud.client("s3", credentials).head_object(Bucket=bucket, Key=key)
        except (RoleRefused, ClientError, storage.StorageError) as error:
            raise ValidationException(
                f'Could not access model data at {url}. Please ensure that the role "{role}" exists and that its '
                'trust relationship policy allows the action "sts:AssumeRole" for the service principal '
                '"sagemaker.amazonaws.com". Also ensure that the role has "s3:GetObject" permissions and that the '
                f"object is located in {self._cloud.region}."
            ) from error

    def _find(self, kind: str, name: str, words: str) -> Record:
        record = self._resources.find(kind, name)
        if record is None:
            raise ValidationException(f'Could not find {words} "{self._resources.arn(kind, name)}".')
        return record

    def _check_free(self, kind: str, name: str, taken: str) -> None:
        if self._resources.find(kind, name):
            raise ValidationException(taken)

    def _add(self, kind: str, name: str, body: Body, tags: dict[str, str], taken: str, member: str) -> Body:
        with self._resources.lock:
            self._check_free(kind, name, taken)
            self._resources.add(Record(kind, name, body[member], body, tags))
        return {member: body[member]}
