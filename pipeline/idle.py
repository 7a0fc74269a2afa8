"""What costs or is left over, and nobody uses: endpoints, Studio apps, models, logs kept for ever, dead stacks.

Each function takes the boto3 clients it needs and gives what it found as `Idle` values; what that costs is reckoned
elsewhere. Times are UTC. Something that is deleted while it is looked at is not found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal

from botocore.exceptions import ClientError

from pipeline.absent import missing
from pipeline.names import Environment, Names

LOOK_BACK = timedelta(days=14)
"""How far back a last request is searched at least."""
LEFT_ON = timedelta(hours=4)
"""A Studio app unused for longer than Studio itself would let it run (MaxIdleTimeoutInMinutes in infra/studio.yaml)."""
_HOUR = 3600
_DEAD = ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED")
_WHOLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED")
_LOGS = "/aws/sagemaker/"
SHARED_LOGS = ("TrainingJobs", "ProcessingJobs", "TransformJobs", "studio")
"""Groups that every job in the account writes to, whoever runs it."""


@dataclass(frozen=True)
class Idle:
    """One finding. `runs_on` is what is paid by the hour: how many instances of each type. `stored` is in bytes.

    `env` is None for what belongs to no environment; `owner` is a Studio profile, where there is one.
    """

    kind: Literal["endpoint", "app", "stack", "models", "logs"]
    name: str
    env: Environment | None
    why: str
    runs_on: Mapping[str, int] = field(default_factory=dict)
    stored: int = 0


@dataclass(frozen=True)
class Endpoint:
    """An endpoint with what it runs on, and the configurations that it uses or is moving to."""

    name: str
    arn: str
    status: str
    made: datetime
    variants: Sequence[str]
    configs: frozenset[str]
    runs_on: Mapping[str, int]


def endpoints(sagemaker: Any, names: Names, env: Environment) -> list[Endpoint]:
    """The environment's endpoints."""
    found = []
    for name in named(sagemaker, "list_endpoints", "Endpoints", "EndpointName", names.begin(env)):
        about = unless_gone(partial(sagemaker.describe_endpoint, EndpointName=name))
        if about is not None:
            found.append(_endpoint(sagemaker, about))
    return found


def idle_endpoints(
    sagemaker: Any, cloudwatch: Any, names: Names, env: Environment, now: datetime, unused: timedelta
) -> list[Idle]:
    """Endpoints without a request for `unused`, none that are younger; with no time at all, every one that runs."""
    found = []
    for endpoint in endpoints(sagemaker, names, env):
        last = last_request(cloudwatch, endpoint, now, max(unused, LOOK_BACK))
        quiet = endpoint.made <= now - unused and (last is None or last <= now - unused)
        if endpoint.runs_on and (quiet or not unused):
            found.append(Idle("endpoint", endpoint.name, env, _since(endpoint, last, now), endpoint.runs_on))
    return found


def last_request(cloudwatch: Any, endpoint: Endpoint, now: datetime, back: timedelta) -> datetime | None:
    """The end of the last hour with a request, None when there was none in the time looked at."""
    latest: list[datetime] = []
    for variant in endpoint.variants:
        points = cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName="Invocations",
            Dimensions=[{"Name": "EndpointName", "Value": endpoint.name}, {"Name": "VariantName", "Value": variant}],
            StartTime=now - back,
            EndTime=now,
            Period=_HOUR if back <= timedelta(days=55) else 24 * _HOUR,
            Statistics=["Sum"],
        )["Datapoints"]
        latest += [point["Timestamp"] for point in points if point["Sum"] > 0]
    return min(now, max(latest) + timedelta(hours=1)) if latest else None


def apps(sagemaker: Any, names: Names, now: datetime, unused: timedelta) -> list[Idle]:
    """Studio apps that are on and that nobody has used for `unused`, or for longer than Studio lets them run."""
    found = []
    for domain, app in running_apps(sagemaker, names):
        about = unless_gone(partial(sagemaker.describe_app, **app))
        if about is None or about["Status"] != "InService":
            continue
        used = about.get("LastUserActivityTimestamp") or about["CreationTime"]
        if used > now - min(unused, LEFT_ON):
            continue
        instance = about.get("ResourceSpec", {}).get("InstanceType", "")
        owner = app.get("UserProfileName") or app.get("SpaceName") or domain
        on = {} if instance in ("", "system") else {instance: 1}
        found.append(Idle("app", owner, None, f"{app['AppType']} on since {_day(used)} without use", on))
    return found


def running_apps(sagemaker: Any, names: Names) -> Iterator[tuple[str, dict[str, str]]]:
    """Groundcrew's Studio domain and what names an app in it, for each app that is on."""
    listed = sagemaker.get_paginator("list_domains").paginate()
    domains = [item["DomainId"] for page in listed for item in page["Domains"] if item["DomainName"] == names.studio]
    keys = ("DomainId", "UserProfileName", "SpaceName", "AppType", "AppName")
    for domain in domains:
        for page in sagemaker.get_paginator("list_apps").paginate(DomainIdEquals=domain):
            for item in page["Apps"]:
                if item["Status"] == "InService":
                    yield domain, {key: item[key] for key in keys if item.get(key)}


def unserved(sagemaker: Any, names: Names, env: Environment, before: datetime) -> tuple[list[str], list[str]]:
    """Endpoint configurations that no endpoint uses, and models behind none that stays: names of those made `before`.

    What is younger may belong to a deployment that is just being made.
    """
    used = {config for endpoint in endpoints(sagemaker, names, env) for config in endpoint.configs}
    begin = names.begin(env)
    configs = dict(made(sagemaker, "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName", begin))
    stale = [name for name, at in configs.items() if name not in used and at <= before]
    serving = {model for name in configs if name not in stale for model in _models(sagemaker, name)}
    models = made(sagemaker, "list_models", "Models", "ModelName", begin)
    return stale, [name for name, at in models if name not in serving and at <= before]


def leftovers(sagemaker: Any, names: Names, env: Environment, now: datetime, unused: timedelta) -> list[Idle]:
    """Old models and endpoint configurations of the environment that nothing serves, as one finding."""
    configs, models = unserved(sagemaker, names, env, now - unused)
    words = [f"{len(models)} old models" if len(models) > 1 else f"model {models[0]}"] if models else []
    words += [f"{len(configs)} endpoint configuration{'s' if len(configs) > 1 else ''}"] if configs else []
    return [Idle("models", " and ".join(words), env, "no endpoint serves it")] if words else []


def endless_logs(logs: Any, names: Names, env: Environment) -> list[Idle]:
    """Log groups without retention: the environment's own, and those that all jobs of the account share."""
    return [
        Idle("logs", group["logGroupName"], owner, "kept for ever", stored=int(group.get("storedBytes", 0)))
        for group, owner in _log_groups(logs, names, env)
        if "retentionInDays" not in group
    ]


def stored_logs(logs: Any, names: Names, env: Environment) -> int:
    """Bytes in the log groups of the environment and in those that all jobs of the account share."""
    return sum(int(group.get("storedBytes", 0)) for group, _ in _log_groups(logs, names, env))


def _log_groups(logs: Any, names: Names, env: Environment) -> Iterator[tuple[Mapping[str, Any], Environment | None]]:
    """Each group with the environment it belongs to, None for a shared one."""
    for page in logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=_LOGS):
        for group in page["logGroups"]:
            part = group["logGroupName"].removeprefix(_LOGS)
            if part in SHARED_LOGS or part.startswith(f"Endpoints/{names.begin(env)}"):
                yield group, None if part in SHARED_LOGS else env


def dead_stacks(cloudformation: Any, sagemaker: Any, names: Names, env: Environment) -> list[Idle]:
    """Deployments that failed for good, and those whose endpoint somebody has deleted under them."""
    serving = set(named(sagemaker, "list_endpoints", "Endpoints", "EndpointName", names.begin(env)))
    found = []
    for name, status in stacks(cloudformation, names, env, (*_DEAD, *_WHOLE)):
        if status in _DEAD:
            found.append(Idle("stack", name, env, f"left over: {status}"))
        elif name not in serving:
            found.append(Idle("stack", name, env, "its endpoint is gone"))
    return found


def stacks(cloudformation: Any, names: Names, env: Environment, statuses: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Name and status of the environment's stacks in one of `statuses`."""
    for page in cloudformation.get_paginator("list_stacks").paginate(StackStatusFilter=[*statuses]):
        for item in page["StackSummaries"]:
            if item["StackName"].startswith(names.begin(env)):
                yield item["StackName"], item["StackStatus"]


def stored(cloudwatch: Any, bucket: str, now: datetime) -> int | None:
    """Bytes in a bucket, all versions counted, by S3's own daily metric; None where there is none (yet)."""
    points = cloudwatch.get_metric_statistics(
        Namespace="AWS/S3",
        MetricName="BucketSizeBytes",
        Dimensions=[{"Name": "BucketName", "Value": bucket}, {"Name": "StorageType", "Value": "StandardStorage"}],
        StartTime=now - timedelta(days=3),
        EndTime=now,
        Period=24 * _HOUR,
        Statistics=["Average"],
    )["Datapoints"]
    return int(max(points, key=lambda point: point["Timestamp"])["Average"]) if points else None


def named(sagemaker: Any, operation: str, member: str, key: str, begin: str) -> Iterator[str]:
    """The names in a SageMaker list that begin so."""
    return (name for name, _ in made(sagemaker, operation, member, key, begin))


def made(sagemaker: Any, operation: str, member: str, key: str, begin: str) -> Iterator[tuple[str, datetime]]:
    """The same with the time of creation."""
    for page in sagemaker.get_paginator(operation).paginate(NameContains=begin):
        yield from ((item[key], item["CreationTime"]) for item in page[member] if item[key].startswith(begin))


def unless_gone(call: Callable[[], Any]) -> Any:
    """What AWS answers; None when it says that the thing does not exist."""
    try:
        return call()
    except ClientError as error:
        if missing(error):
            return None
        raise


def _endpoint(sagemaker: Any, about: Mapping[str, Any]) -> Endpoint:
    config = about["EndpointConfigName"]
    coming = about.get("PendingDeploymentSummary", {}).get("EndpointConfigName")
    described = unless_gone(partial(sagemaker.describe_endpoint_config, EndpointConfigName=config)) or {}
    types = {item["VariantName"]: item.get("InstanceType") for item in described.get("ProductionVariants", [])}
    counts: dict[str, int] = {}
    variants = about.get("ProductionVariants", [])
    for variant in variants:
        # One that has no instance type is serverless: it costs by the request.
        if instance := types.get(variant["VariantName"]):
            counts[instance] = counts.get(instance, 0) + int(variant.get("CurrentInstanceCount", 1))
    return Endpoint(
        name=about["EndpointName"],
        arn=about["EndpointArn"],
        status=about["EndpointStatus"],
        made=about["CreationTime"],
        variants=[variant["VariantName"] for variant in variants],
        configs=frozenset(name for name in (config, coming) if name),
        runs_on=counts,
    )


def _models(sagemaker: Any, config: str) -> list[str]:
    about = unless_gone(partial(sagemaker.describe_endpoint_config, EndpointConfigName=config)) or {}
    return [variant["ModelName"] for variant in about.get("ProductionVariants", []) if "ModelName" in variant]


def _since(endpoint: Endpoint, last: datetime | None, now: datetime) -> str:
    if last is not None:
        return f"last request {_day(last)}"
    return f"no request since it was made {_day(endpoint.made)}" if endpoint.made > now - LOOK_BACK else "no request"


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
