"""SageMaker's container contract as plain data: what a job finds on disk, and what is taken from it afterwards.

Pure: a `Plan` is computed from a Create request; `runner.py` carries it out. A container's `/opt/ml` is the job's
own folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.aws.sagemaker.errors import ValidationException

PREFIX = "/opt/ml"
DEFAULT_LIMIT = 86_400
HOST = "algo-1"
MOST_INSTANCES = 8
"""Of one processing job: its processes run side by side, as they may wait for each other."""


@dataclass(frozen=True)
class Input:
    """Objects under an S3 URI that are downloaded into a folder. `optional`: there may be none yet (checkpoints).

    `share` is which of how many instances gets it: with (0, 1) all objects, else every n-th.
    """

    uri: str
    folder: Path
    optional: bool = False
    share: tuple[int, int] = (0, 1)


@dataclass(frozen=True)
class Output:
    """A folder that goes to S3 at the end: file by file, or as one tar.gz when `archive`.

    `partial`: also what a stopped job has written; `always`: even when the folder is empty; `synced`: what is there
    goes to S3 while the job runs, so it is there however the job ends.
    """

    folder: Path
    uri: str
    archive: bool = False
    partial: bool = False
    always: bool = False
    synced: bool = False


@dataclass(frozen=True)
class Plan:
    """Everything about one instance of a job before it runs. `limit` is in seconds, `root` stands for /opt/ml.

    `default_argument` is what the image gets alone.
    """

    host: str
    root: Path
    image: str
    entrypoint: tuple[str, ...]
    arguments: tuple[str, ...]
    default_argument: str
    environment: Mapping[str, str]
    role: str
    limit: int
    files: Mapping[Path, Any]
    folders: tuple[Path, ...]
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    reason_file: Path | None
    message_file: Path | None


def local(root: Path, path: str) -> Path:
    """A container's path below `/opt/ml` as a path in the job's folder.

    Raises `ValidationException` for a path elsewhere.
    """
    if not path.startswith(PREFIX + "/") or ".." in path.split("/"):
        raise ValidationException(f"Local path {path} must be below {PREFIX}/.")
    return root / path.removeprefix(PREFIX + "/")


def processing(job: Mapping[str, Any], root: Path) -> tuple[Plan, ...]:
    """The plans of a processing job's instances, from its request (with `ProcessingJobArn` added).

    Raises `ValidationException` for what this stand-in does not do.
    """
    count = job["ProcessingResources"]["ClusterConfig"].get("InstanceCount", 1)
    if not 1 <= count <= MOST_INSTANCES:
        raise ValidationException(f"This stand-in has {MOST_INSTANCES} instances: InstanceCount must be 1 to that.")
    hosts = tuple(f"algo-{number}" for number in range(1, count + 1))
    return tuple(_instance(job, root if count == 1 else root / host, host, hosts) for host in hosts)


def _instance(job: Mapping[str, Any], root: Path, host: str, hosts: tuple[str, ...]) -> Plan:
    inputs, outputs = [], []
    for entry in job.get("ProcessingInputs") or ():
        source = entry.get("S3Input")
        if source is None or source.get("S3InputMode", "File") != "File" or source["S3DataType"] != "S3Prefix":
            raise ValidationException(f"Input {entry['InputName']}: only S3 prefixes in File mode exist here.")
        if source.get("S3CompressionType", "None") != "None":
            raise ValidationException(f"Input {entry['InputName']}: compressed inputs do not exist here.")
        share = (hosts.index(host), len(hosts)) if source.get("S3DataDistributionType") == "ShardedByS3Key" else (0, 1)
        inputs.append(Input(source["S3Uri"], _processing_path(root, source["LocalPath"]), share=share))
    for entry in (job.get("ProcessingOutputConfig") or {}).get("Outputs", ()):
        target = entry.get("S3Output")
        if target is None:
            raise ValidationException(f"Output {entry['OutputName']}: only S3 outputs exist here.")
        outputs.append(Output(_processing_path(root, target["LocalPath"]), target["S3Uri"]))
    application = job["AppSpecification"]
    config = {key: value for key, value in job.items() if key not in ("Tags", "ExperimentConfig")}
    hosted = {"current_host": host, "hosts": list(hosts)}
    return Plan(
        host=host,
        root=root,
        image=application["ImageUri"],
        entrypoint=tuple(application.get("ContainerEntrypoint") or ()),
        arguments=tuple(application.get("ContainerArguments") or ()),
        default_argument="process",
        environment=dict(job.get("Environment") or {}),
        role=job["RoleArn"],
        limit=(job.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds") or DEFAULT_LIMIT,
        files={root / "config/processingjobconfig.json": config, root / "config/resourceconfig.json": hosted},
        folders=(root / "output", *(output.folder for output in outputs)),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        reason_file=None,
        message_file=root / "output/message",
    )


def _processing_path(root: Path, path: str) -> Path:
    if not path.startswith(f"{PREFIX}/processing/"):
        raise ValidationException(f"LocalPath {path} must start with {PREFIX}/processing/.")
    return local(root, path)


def training(job: Mapping[str, Any], root: Path) -> tuple[Plan, ...]:
    """The plan of a training job's one instance, from its request (with `TrainingJobArn` added).

    Raises `ValidationException` for what this stand-in does not do.
    """
    channels = {channel["ChannelName"]: channel for channel in job.get("InputDataConfig") or ()}
    specification, resources = job["AlgorithmSpecification"], job["ResourceConfig"]
    if "TrainingImage" not in specification:
        raise ValidationException("TrainingImage must be given: built-in algorithms do not exist here.")
    _one_instance(resources)
    _check_spot(job)
    inputs = [_channel_input(channel, specification["TrainingInputMode"], root) for channel in channels.values()]
    base = f"{job['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{job['TrainingJobName']}/output"
    archive = job["OutputDataConfig"].get("CompressionType", "GZIP") == "GZIP"
    outputs = [
        Output(root / "model", f"{base}/model.tar.gz" if archive else f"{base}/model", archive, True, archive),
        Output(root / "output/data", f"{base}/output.tar.gz" if archive else f"{base}/output", archive, True),
    ]
    if checkpoints := job.get("CheckpointConfig"):
        folder = local(root, checkpoints.get("LocalPath") or f"{PREFIX}/checkpoints")
        inputs.append(Input(checkpoints["S3Uri"], folder, optional=True))
        outputs.append(Output(folder, checkpoints["S3Uri"], partial=True, synced=True))
    config = root / "input/config"
    plan = Plan(
        host=HOST,
        root=root,
        image=specification["TrainingImage"],
        entrypoint=tuple(specification.get("ContainerEntrypoint") or ()),
        arguments=tuple(specification.get("ContainerArguments") or ()),
        default_argument="train",
        environment={
            **(job.get("Environment") or {}),
            "TRAINING_JOB_NAME": job["TrainingJobName"],
            "TRAINING_JOB_ARN": job["TrainingJobArn"],
        },
        role=job["RoleArn"],
        limit=(job.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds") or DEFAULT_LIMIT,
        files={
            config / "hyperparameters.json": dict(job.get("HyperParameters") or {}),
            config / "resourceconfig.json": {
                "current_host": HOST,
                "current_instance_type": resources.get("InstanceType", ""),
                "hosts": [HOST],
                "network_interface_name": "eth0",
            },
            config / "inputdataconfig.json": {
                name: _channel_config(channel, specification["TrainingInputMode"]) for name, channel in channels.items()
            },
        },
        folders=tuple({output.folder for output in outputs}),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        reason_file=root / "output/failure",
        message_file=None,
    )
    return (plan,)


def _one_instance(resources: Mapping[str, Any]) -> None:
    if resources.get("InstanceCount", 1) != 1:
        raise ValidationException("This stand-in has one instance: InstanceCount must be 1.")


def _check_spot(job: Mapping[str, Any]) -> None:
    """The longest wait belongs to managed spot training, and to nothing else; in AWS's words."""
    limits = job.get("StoppingCondition") or {}
    waits, spot = limits.get("MaxWaitTimeInSeconds"), job.get("EnableManagedSpotTraining")
    if waits is not None and not spot:
        raise ValidationException(
            "Invalid MaxWaitTimeInSeconds. It is only supported when EnableManagedSpotTraining is set to true"
        )
    if spot and (waits is None or waits < limits.get("MaxRuntimeInSeconds", DEFAULT_LIMIT)):
        raise ValidationException(
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
        )


def _channel_input(channel: Mapping[str, Any], mode: str, root: Path) -> Input:
    source = channel["DataSource"].get("S3DataSource")
    if source is None or source["S3DataType"] != "S3Prefix" or channel.get("CompressionType", "None") != "None":
        raise ValidationException(f"Channel {channel['ChannelName']}: only uncompressed S3 prefixes exist here.")
    if (channel.get("InputMode") or mode) == "Pipe":
        raise ValidationException(f"Channel {channel['ChannelName']}: Pipe mode does not exist here.")
    return Input(source["S3Uri"], root / "input/data" / channel["ChannelName"])


def _channel_config(channel: Mapping[str, Any], mode: str) -> dict[str, str]:
    source = channel["DataSource"]["S3DataSource"]
    config = {
        "TrainingInputMode": channel.get("InputMode") or mode,
        "S3DistributionType": source.get("S3DataDistributionType") or "FullyReplicated",
        "RecordWrapperType": channel.get("RecordWrapperType") or "None",
    }
    return config | ({"ContentType": channel["ContentType"]} if channel.get("ContentType") else {})
