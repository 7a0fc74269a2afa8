"""The part of the local AWS that really executes SageMaker.

Pipelines walk their definitions, jobs are processes under the container contract, endpoints are model servers on
loopback ports. Requests arrive here already authorised; whatever a pipeline or a job does in turn is signed with its
role's own credentials and decided like any other call. Only what is built here exists: other operations and options
are refused, never silently accepted.

    responses.py   the door: API calls in, answers out       constraints.py  the service model's own limits
    resources.py   records, tags, lists                      errors.py       refusals in AWS's words
    definition.py gate.py values.py                          a pipeline definition: parsed, refused, computed
    pipelines.py versions.py execution.py executor.py steps.py   pipelines, their versions and executions
    jobs.py contract.py runner.py container.py storage.py    processing and training jobs
    tuning.py quotas.py                                      tuning jobs of training jobs; how many may run
    registry.py models.py endpoints.py fleet.py runtime.py capture.py   from model packages to answers
    studio.py apps.py              Studio's domain, profiles, lifecycle configurations; spaces and apps (in name only)
    transforms.py  rollout.py      batch transform jobs; how traffic moves to a new fleet
    monitoring.py monitor_job.py   monitoring schedules and their executions
    events.py      what EventBridge hears                    images.py       which command stands for an image
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from sandbox.aws.core import Cloud
from sandbox.aws.sagemaker.apps import Apps
from sandbox.aws.sagemaker.capture import Capture
from sandbox.aws.sagemaker.endpoints import Endpoints
from sandbox.aws.sagemaker.errors import ValidationException
from sandbox.aws.sagemaker.events import Events
from sandbox.aws.sagemaker.executor import Executor
from sandbox.aws.sagemaker.images import Images
from sandbox.aws.sagemaker.jobs import SERVICE, Jobs
from sandbox.aws.sagemaker.mlflow import Mlflow
from sandbox.aws.sagemaker.models import Models
from sandbox.aws.sagemaker.monitoring import Monitoring
from sandbox.aws.sagemaker.pipelines import Pipelines
from sandbox.aws.sagemaker.registry import Registry
from sandbox.aws.sagemaker.resources import Body, Resources
from sandbox.aws.sagemaker.responses import bind, bind_runtime
from sandbox.aws.sagemaker.runner import Runner
from sandbox.aws.sagemaker.runtime import Runtime
from sandbox.aws.sagemaker.steps import Steps
from sandbox.aws.sagemaker.studio import Studio
from sandbox.aws.sagemaker.transforms import Transforms
from sandbox.aws.sagemaker.tuning import TuningJobs
from sandbox.aws.sts import RoleRefused

JOBS_AT_A_TIME = 2


def install(cloud: Cloud) -> tuple[Resources, Endpoints]:
    """Put our SageMaker in place of moto's; its records and endpoints. Call it once, before the first request."""
    from moto.sagemaker import urls
    from moto.sagemakerruntime import urls as runtime_urls

    resources = Resources(cloud.account, cloud.region, threading.RLock())
    images, events = Images.load(), Events(cloud)

    def identity() -> Body:
        caller = cloud.caller()
        known = {"Arn": caller.arn, "PrincipalId": caller.user_id, "SourceIdentity": caller.source_identity}
        return {"IamIdentity": {key: value for key, value in known.items() if value}}

    def check_role(arn: str, source_identity: str | None = None) -> None:
        try:
            cloud.assume_service_role(arn, SERVICE, "SageMaker", source_identity)
        except RoleRefused as error:
            raise ValidationException(f"Role {arn} cannot be assumed by {SERVICE}: {error}") from error

    def read_s3(location: Mapping[str, Any]) -> str:
        s3 = cloud.client("s3", cloud.caller().credentials())
        version = {"VersionId": location["VersionId"]} if location.get("VersionId") else {}
        body: bytes = s3.get_object(Bucket=location["Bucket"], Key=location["ObjectKey"], **version)["Body"].read()
        return body.decode()

    registry = Registry(resources, events, identity)
    jobs = Jobs(cloud, resources, events, Runner(cloud, images, JOBS_AT_A_TIME))
    executor = Executor(cloud, Steps(cloud, jobs, registry), events)
    pipelines = Pipelines(resources, identity, executor, check_role, read_s3)
    models = Models(cloud, resources, registry)
    endpoints = Endpoints(cloud, resources, events, models, images)
    studio = Studio(resources, check_role)
    monitoring = Monitoring(cloud, resources, jobs, check_role)
    transforms = Transforms(cloud, resources, events, models, images)
    runtime = Runtime(cloud, resources, endpoints, Capture(cloud))

    cloud.tag_readers["sagemaker"] = resources.tags_of
    tuning = TuningJobs(cloud, resources, events, jobs)
    parts = [resources, pipelines, jobs, tuning, registry, models, endpoints, studio, Apps(resources), Mlflow()]
    parts += [monitoring, transforms]
    urls.url_paths["{0}/$"] = bind(parts).dispatch
    runtime_door = bind_runtime(runtime)
    for path in runtime_urls.url_paths:
        runtime_urls.url_paths[path] = runtime_door.dispatch
    return resources, endpoints
