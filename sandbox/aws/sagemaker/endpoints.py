"""Endpoints: the API calls, and the threads that bring fleets up and down behind them."""

from __future__ import annotations

import secrets
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.aws.core import Cloud
from sandbox.aws.sagemaker.errors import ValidationException
from sandbox.aws.sagemaker.events import Events
from sandbox.aws.sagemaker.fleet import HEALTHY_WITHIN, Fleet, Server, StartFailed, Variant
from sandbox.aws.sagemaker.images import Images
from sandbox.aws.sagemaker.models import Models
from sandbox.aws.sagemaker.resources import Body, Record, Resources, listing, now, tag_map

ENDPOINT = "endpoint"
REASON_CHARACTERS = 1024


@dataclass
class Endpoint(Record):
    """An endpoint. `fleet` is what serves now; it stays while an update prepares the next one."""

    fleet: Fleet | None = None
    preparing: Fleet | None = None
    stage: str = ""
    """What the next fleet does: a VariantStatus of PendingDeploymentSummary."""


class Endpoints:
    """All endpoints of the account."""

    def __init__(self, cloud: Cloud, resources: Resources, events: Events, models: Models, images: Images) -> None:
        self._cloud = cloud
        self._resources = resources
        self._events = events
        self._models = models
        self._images = images
        self._folder = cloud.state.resolve() / "endpoints"
        # Endpoints live as long as this process; files of an earlier one serve nobody.
        shutil.rmtree(self._folder, ignore_errors=True)
        cloud.on_stop(self.shut_down)

    # --- API -------------------------------------------------------------------------------------------------------

    def create_endpoint(self, request: Body) -> Body:
        """CreateEndpoint; it becomes `InService` or `Failed` behind the answer."""
        name, tags = request["EndpointName"], tag_map(request.pop("Tags", None))
        arn, moment = self._resources.arn(ENDPOINT, name), now()
        with self._resources.lock:
            if self._resources.find(ENDPOINT, name):
                raise ValidationException(f'Cannot create already existing endpoint "{arn}".')
            fleet = self._fleet(name, request["EndpointConfigName"])
            body = {
                "EndpointName": name,
                "EndpointArn": arn,
                "EndpointConfigName": fleet.config["EndpointConfigName"],
                "EndpointStatus": "Creating",
                "CreationTime": moment,
                "LastModifiedTime": moment,
            }
            if "DeploymentConfig" in request:
                body["LastDeploymentConfig"] = request["DeploymentConfig"]
            endpoint = Endpoint(ENDPOINT, name, arn, body, tags, preparing=fleet)
            self._resources.add(endpoint)
            self._events.endpoint(body, tags)
        self._behind(self._bring_up, endpoint, fleet)
        return {"EndpointArn": arn}

    def update_endpoint(self, request: Body) -> Body:
        """UpdateEndpoint: a new fleet is brought up, traffic switched to it, the old one stopped."""
        with self._resources.lock:
            endpoint = self._settled(request["EndpointName"])
            fleet = self._fleet(endpoint.name, request["EndpointConfigName"])
            if "DeploymentConfig" in request:
                endpoint.body["LastDeploymentConfig"] = request["DeploymentConfig"]
            endpoint.preparing = fleet
            self._set(endpoint, "Updating")
            self._at_stage(endpoint, "Creating")
        self._behind(self._bring_up, endpoint, fleet)
        return {"EndpointArn": endpoint.arn}

    def delete_endpoint(self, request: Body) -> Body:
        """DeleteEndpoint: it is gone at once from the API's view, its processes within the grace period."""
        with self._resources.lock:
            endpoint = self._settled(request["EndpointName"])
            self._set(endpoint, "Deleting")
            self._resources.remove(endpoint)
            fleet, endpoint.fleet = endpoint.fleet, None
        if fleet is not None:
            self._behind(fleet.stop)
        return {}

    def describe_endpoint(self, request: Body) -> Body:
        """DescribeEndpoint."""
        with self._resources.lock:
            return self._described(self.endpoint(request["EndpointName"]))

    def list_endpoints(self, request: Body) -> Body:
        """ListEndpoints."""
        sort = {"Name": "EndpointName", "Status": "EndpointStatus"}
        records, token = listing(self._resources.all(ENDPOINT), request, status="EndpointStatus", sort=sort)
        return {"Endpoints": [record.body for record in records], "NextToken": token}

    def endpoint(self, name: str) -> Endpoint:
        """An endpoint by name.

        Raises `ValidationException` when there is none.
        """
        record = self._resources.find(ENDPOINT, name)
        if not isinstance(record, Endpoint):
            raise ValidationException(f'Could not find endpoint "{self._resources.arn(ENDPOINT, name)}".')
        return record

    def serving(self, name: str) -> Fleet | None:
        """What answers requests to an endpoint now; None when nothing does."""
        record = self._resources.find(ENDPOINT, name)
        return record.fleet if isinstance(record, Endpoint) else None

    # --- behind them -----------------------------------------------------------------------------------------------

    def _settled(self, name: str) -> Endpoint:
        endpoint = self.endpoint(name)
        if endpoint.preparing is not None:
            raise ValidationException(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        return endpoint

    def _fleet(self, name: str, config_name: str) -> Fleet:
        config = self._models.config(config_name).body
        servers = []
        for given in config["ProductionVariants"]:
            model = self._models.model(given["ModelName"]).body
            variant = Variant(
                given["VariantName"],
                self._models.container(model),
                model["ExecutionRoleArn"],
                given["InitialVariantWeight"],
                given.get("ContainerStartupHealthCheckTimeoutInSeconds") or HEALTHY_WITHIN,
            )
            root = self._folder / f"{name}-{variant.name}-{secrets.token_hex(4)}"
            servers.append(Server(self._cloud, self._images, name, variant, root))
        return Fleet(config, servers)

    def _behind(self, work: Any, *arguments: Any) -> None:
        threading.Thread(target=work, args=arguments, name="endpoint", daemon=True).start()

    def _bring_up(self, endpoint: Endpoint, fleet: Fleet) -> None:
        try:
            fleet.start()
        except (StartFailed, OSError) as error:
            fleet.stop(0)
            with self._resources.lock:
                endpoint.preparing = None
                # A failed update leaves the old fleet serving, as AWS's automatic rollback does.
                endpoint.body["FailureReason"] = str(error)[:REASON_CHARACTERS]
                self._set(endpoint, "InService" if endpoint.fleet else "Failed")
            return
        with self._resources.lock:
            if endpoint.fleet is not None:
                self._at_stage(endpoint, "ActivatingTraffic")
            old, endpoint.fleet, endpoint.preparing = endpoint.fleet, fleet, None
            endpoint.body["EndpointConfigName"] = fleet.config["EndpointConfigName"]
            endpoint.body.pop("FailureReason", None)
            self._set(endpoint, "InService")
        if old is not None:
            old.stop()

    def _set(self, endpoint: Endpoint, status: str) -> None:
        endpoint.body |= {"EndpointStatus": status, "LastModifiedTime": now()}
        self._events.endpoint(self._described(endpoint), endpoint.tags)

    def _at_stage(self, endpoint: Endpoint, stage: str) -> None:
        endpoint.stage = stage
        self._events.deployment(self._described(endpoint), endpoint.tags)

    def _described(self, endpoint: Endpoint) -> Body:
        body = dict(endpoint.body)
        if endpoint.fleet is not None:
            config = endpoint.fleet.config
            body["ProductionVariants"] = [_summary(variant, self._models) for variant in config["ProductionVariants"]]
            if capture := config.get("DataCaptureConfig"):
                body["DataCaptureConfig"] = _capture_summary(capture)
        if endpoint.preparing is not None and endpoint.fleet is not None:
            config = endpoint.preparing.config
            body["PendingDeploymentSummary"] = {
                "EndpointConfigName": config["EndpointConfigName"],
                "StartTime": body["LastModifiedTime"],
                "ProductionVariants": [
                    {
                        "VariantName": variant["VariantName"],
                        "VariantStatus": [{"Status": endpoint.stage, "StartTime": body["LastModifiedTime"]}],
                    }
                    for variant in config["ProductionVariants"]
                ],
            }
        return body

    def shut_down(self) -> None:
        """Kill every model server: this server is stopping."""
        for record in self._resources.all(ENDPOINT):
            if isinstance(record, Endpoint):
                for fleet in (record.fleet, record.preparing):
                    if fleet is not None:
                        fleet.stop(0)


def _summary(variant: Mapping[str, Any], models: Models) -> Body:
    count = variant.get("InitialInstanceCount", 1)
    return {
        "VariantName": variant["VariantName"],
        "CurrentWeight": variant["InitialVariantWeight"],
        "DesiredWeight": variant["InitialVariantWeight"],
        "CurrentInstanceCount": count,
        "DesiredInstanceCount": count,
    }


def _capture_summary(capture: Mapping[str, Any]) -> Body:
    return {
        "EnableCapture": capture.get("EnableCapture", False),
        "CaptureStatus": "Started" if capture.get("EnableCapture") else "Stopped",
        "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
        "DestinationS3Uri": capture["DestinationS3Uri"],
        "KmsKeyId": capture.get("KmsKeyId", ""),
    }
