"""Endpoints: the API calls, and the threads that bring fleets up and down behind them."""

from __future__ import annotations

import random
import secrets
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.aws.core import Cloud
from sandbox.aws.sagemaker.errors import ValidationException
from sandbox.aws.sagemaker.events import Events
from sandbox.aws.sagemaker.fleet import HEALTHY_WITHIN, Fleet, Server, StartFailed, Variant
from sandbox.aws.sagemaker.images import Images
from sandbox.aws.sagemaker.models import Models
from sandbox.aws.sagemaker.resources import Body, Record, Resources, listing, now, tag_map
from sandbox.aws.sagemaker.rollout import Rollout, Unreadable, check, firing, rollout

ENDPOINT = "endpoint"
REASON_CHARACTERS = 1024
BAKE_POLL_SECONDS = 0.25


@dataclass
class Endpoint(Record):
    """An endpoint. `fleet` is what serves now; it stays while an update prepares the next one."""

    fleet: Fleet | None = None
    preparing: Fleet | None = None
    stage: str = ""
    """What the next fleet does: a VariantStatus of PendingDeploymentSummary."""
    share: float = 0.0
    """Of the traffic, what goes to the next fleet already."""
    counts: dict[str, int] = field(default_factory=dict)
    """Instances by variant."""


class Endpoints:
    """All endpoints of the account."""

    def __init__(self, cloud: Cloud, resources: Resources, events: Events, models: Models, images: Images) -> None:
        self._cloud = cloud
        self._resources = resources
        self._events = events
        self._models = models
        self._images = images
        self._folder = cloud.state.resolve() / "endpoints"
        self._stopped = threading.Event()
        self.scaled: Callable[[str], bool] = lambda name: False
        """Whether Application Auto Scaling looks after an endpoint; it says so when it is installed."""
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
            counts = _counts(fleet.config)
            plan = rollout(request.get("DeploymentConfig"), sum(counts.values()))
            endpoint = Endpoint(ENDPOINT, name, arn, body, tags, preparing=fleet, counts=counts)
            self._resources.add(endpoint)
            self._events.endpoint(body, tags)
        self._behind(self._bring_up, endpoint, fleet, plan, counts)
        return {"EndpointArn": arn}

    def update_endpoint(self, request: Body) -> Body:
        """UpdateEndpoint: a new fleet is brought up, traffic moved to it as asked, the old one stopped."""
        with self._resources.lock:
            endpoint = self._settled(request["EndpointName"])
            fleet = self._fleet(endpoint.name, request["EndpointConfigName"])
            self._same_instances(endpoint, fleet)
            counts = _counts(fleet.config)
            if request.get("RetainAllVariantProperties"):
                counts |= {name: count for name, count in endpoint.counts.items() if name in counts}
            plan = rollout(request.get("DeploymentConfig"), sum(counts.values()))
            check(self._cloud, plan.alarms)
            if "DeploymentConfig" in request:
                endpoint.body["LastDeploymentConfig"] = request["DeploymentConfig"]
            endpoint.preparing = fleet
            self._set(endpoint, "Updating")
            self._at_stage(endpoint, "Creating")
        self._behind(self._bring_up, endpoint, fleet, plan, counts)
        return {"EndpointArn": endpoint.arn}

    def update_endpoint_weights_and_capacities(self, request: Body) -> Body:
        """UpdateEndpointWeightsAndCapacities: instance counts; weights do not change here."""
        endpoint = self._settled(request["EndpointName"])
        for wanted in request["DesiredWeightsAndCapacities"]:
            if "DesiredWeight" in wanted:
                raise ValidationException("DesiredWeight: not available here.")
            self.resize(endpoint.name, wanted["VariantName"], wanted["DesiredInstanceCount"])
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
        """What answers the next request to an endpoint; None when nothing does. While one bakes, either fleet."""
        record = self._resources.find(ENDPOINT, name)
        if not isinstance(record, Endpoint):
            return None
        with self._resources.lock:
            if record.preparing is not None and random.random() < record.share:  # noqa: S311 (traffic, not secrets)
                return record.preparing
            return record.fleet

    def exists(self, name: str) -> bool:
        """Whether there is an endpoint of that name."""
        return self._resources.find(ENDPOINT, name) is not None

    def count(self, name: str, variant: str) -> int:
        """A variant's instances. Raises `ValidationException` when endpoint or variant do not exist."""
        endpoint = self.endpoint(name)
        if variant not in endpoint.counts:
            raise ValidationException(f'Could not find variant "{variant}" of endpoint "{endpoint.arn}".')
        return endpoint.counts[variant]

    def resize(self, name: str, variant: str, count: int) -> None:
        """Give a variant so many instances. They are a number here: one process serves whatever it is."""
        with self._resources.lock:
            self.count(name, variant)
            endpoint = self.endpoint(name)
            endpoint.counts[variant] = count
            if endpoint.preparing is None:
                self._set(endpoint, "Updating")
                self._set(endpoint, endpoint.body["EndpointStatus"] if endpoint.fleet is None else "InService")

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

    def _same_instances(self, endpoint: Endpoint, fleet: Fleet) -> None:
        """Refuse another instance type for what scales, as AWS does."""
        if endpoint.fleet is None or not self.scaled(endpoint.name):
            return
        old, new = (
            [each.get("InstanceType") for each in one.config["ProductionVariants"]] for one in (endpoint.fleet, fleet)
        )
        if old != new:
            raise ValidationException(
                f"The instance type of endpoint {endpoint.name} cannot change while its variants are scalable targets. "
                "Deregister them first."
            )

    def _bring_up(self, endpoint: Endpoint, fleet: Fleet, plan: Rollout, counts: dict[str, int]) -> None:
        try:
            fleet.start()
            if endpoint.fleet is not None:
                self._move_traffic(endpoint, fleet, plan)
        except (StartFailed, Unreadable, OSError) as error:
            self._roll_back(endpoint, fleet, str(error))
            return
        with self._resources.lock:
            old, endpoint.fleet, endpoint.preparing, endpoint.share = endpoint.fleet, fleet, None, 0.0
            endpoint.counts = counts
            endpoint.body["EndpointConfigName"] = fleet.config["EndpointConfigName"]
            endpoint.body.pop("FailureReason", None)
            self._set(endpoint, "InService")
        if old is not None:
            old.drain()
            old.stop()

    def _roll_back(self, endpoint: Endpoint, fleet: Fleet, reason: str) -> None:
        """Leave the old fleet serving, as AWS's automatic rollback does; without one the endpoint has failed."""
        with self._resources.lock:
            baked, endpoint.share = endpoint.share > 0, 0.0
            if baked:
                self._set(endpoint, "RollingBack")
        if baked:
            fleet.drain()
        fleet.stop(0)
        with self._resources.lock:
            endpoint.preparing = None
            endpoint.body["FailureReason"] = reason[:REASON_CHARACTERS]
            self._set(endpoint, "InService" if endpoint.fleet else "Failed")

    def _move_traffic(self, endpoint: Endpoint, fleet: Fleet, plan: Rollout) -> None:
        """Stage by stage. Raises `StartFailed` when an alarm fires while the new fleet bakes."""
        for stage in plan.stages:
            with self._resources.lock:
                if stage.share != endpoint.share:
                    self._at_stage(endpoint, "ActivatingTraffic")
                endpoint.share = stage.share
                if stage.bakes:
                    self._at_stage(endpoint, "Baking")
            until = self._cloud.clock.now() + stage.bakes
            while True:
                # In this order: time that is let pass all at once must not pass by an alarm.
                late = self._cloud.clock.now() >= until
                if plan.alarms and (named := firing(self._cloud, fleet.servers[0].variant.role, plan.alarms)):
                    raise StartFailed(
                        f"The deployment was rolled back: in alarm {', '.join(named)} while the new fleet had "
                        f"{stage.share:.0%} of the traffic."
                    )
                if late:
                    break
                if self._stopped.wait(BAKE_POLL_SECONDS):
                    raise StartFailed("The service is stopping.")

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
            body["ProductionVariants"] = [_summary(each, endpoint.counts) for each in config["ProductionVariants"]]
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
        self._stopped.set()
        for record in self._resources.all(ENDPOINT):
            if isinstance(record, Endpoint):
                for fleet in (record.fleet, record.preparing):
                    if fleet is not None:
                        fleet.stop(0)


def _counts(config: Mapping[str, Any]) -> dict[str, int]:
    return {each["VariantName"]: int(each.get("InitialInstanceCount") or 1) for each in config["ProductionVariants"]}


def _summary(variant: Mapping[str, Any], counts: Mapping[str, int]) -> Body:
    count = counts.get(variant["VariantName"], 1)
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
