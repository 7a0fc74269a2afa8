"""The pipeline `groundcrew-<env>-detector` as SageMaker's definition JSON.

    Track ──────┬─ Train → Evaluate → CheckMap ─┬─ Baseline, Explain → Register → Deploy (dev only)
    Preprocess ─┘                               └─ BelowThreshold (Fail)

Only a model that will be registered gets a drift baseline and an explanation, side by side, and none is registered
without them.

Track opens the MLflow run while Preprocess prepares the data. Nothing that Preprocess is given names the execution or
the commit, so SageMaker finds it done when the same code has prepared the same data the same way within 30 days.
What lies in the data folder is no part of SageMaker's key of a cached step: the parameter DataState says it.

Every environment has the definition twice, as versions of one pipeline under the aliases `on-demand` and `spot`: a
training that may be interrupted has a longest waiting time, which SageMaker refuses for any other, and no parameter
can leave a member out.

Built by hand, not rendered with the sagemaker SDK, for two reasons. Importing `sagemaker.mlops` costs 6 to 9
CPU-seconds, which every start of the local mode would pay; and what it renders needs patching where we need it most
(a training's name and entrypoint, empty members in RegisterModel). `tests/unit/test_definition.py` keeps the SDK as a
parity check: it renders the jobs, the condition, the refusal and the parameters offline, to the same JSON.

The text depends on the arguments alone, byte for byte. `pipeline.gate` checks it before it is sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, get_args

from pipeline import card, content, parameters
from pipeline.explaining.config import ANALYSIS, INSTANCE, RESULT
from pipeline.names import PROJECT, Environment, Names

Json = dict[str, Any]
ML = "/opt/ml"
HOUR = 3600
JOBS: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "Track": ("ml.t3.medium", HOUR),
        "Preprocess": ("ml.t3.medium", HOUR),
        "Train": ("ml.c5.xlarge", 4 * HOUR),
        "Evaluate": ("ml.m5.large", HOUR),
        "Baseline": ("ml.m5.large", HOUR),
        "Explain": (INSTANCE, HOUR),
        "Deploy": ("ml.t3.medium", HOUR),
    }
)
"""The steps that are jobs: on which instance type, and the seconds after which SageMaker stops each.

Why these types, and what others were weighed: docs/pipelines.md. The training's is a parameter.
"""
SPOT_WAIT = 8 * HOUR
"""Longest time of a training on spot instances, waiting for them included."""
KEPT_FOR = "P30D"
"""How long a prepared data set is taken again."""
Alias = Literal["on-demand", "spot"]
ALIASES: tuple[Alias, ...] = get_args(Alias)
"""The versions of a pipeline that runs start from."""
SERVED_ON = ("ml.t2.medium", "ml.m5.large", "ml.c5.large", "ml.c5.xlarge", "ml.c5.2xlarge")
"""Instance types on which a model may be deployed."""
PARTS = ("train", "validation", "test", "unlabelled")
"""What Preprocess makes of the data set."""
HYPERPARAMETERS: Mapping[str, str] = MappingProxyType(
    {
        "model": "Model",
        "weights": "Weights",
        "epochs": "Epochs",
        "image_size": "ImageSize",
        "batch": "BatchSize",
        "learning_rate": "LearningRate",
        "optimizer": "Optimizer",
        "patience": "Patience",
        "augmentation": "Augmentation",
        "seed": "Seed",
    }
)
"""What the training is told, by the pipeline's parameters."""
PACKAGE_KEYS = ("digest", "map50", "map50_95", "mlflow_run_id", "data_version", "code_revision", "classes", "precision")
"""Metadata of the model package that Evaluate leaves under `package` in evaluation.json."""


def definition(
    env: Environment,
    names: Names,
    image: str,
    code_uri: str,
    template_url: str,
    tracking_uri: str,
    revision: str,
    alias: Alias = "on-demand",
) -> str:
    """The definition of one environment's pipeline, for one of its aliases; only dev's ends in a deployment.

    `code_uri` is the `s3://` address of source.tar.gz, `template_url` the https address of deployment.yaml,
    `tracking_uri` MLflow's (may be empty: runs are then not tracked, and say so).
    """
    builder = _Builder(env, names, image, code_uri, tracking_uri)
    accepted = [builder.baseline(last=env != "dev"), builder.explain(), builder.register()]
    accepted += [builder.deploy(template_url)] if env == "dev" else []
    body = {
        "Version": "2020-12-01",
        "Metadata": {},
        "Parameters": [{"Name": parameters.DATA_STATE, "Type": "String"}, *_parameters(env)],
        "Steps": [
            builder.track(revision),
            builder.preprocess(),
            builder.train(spot=alias == "spot"),
            builder.evaluate(),
            _check(accepted),
        ],
    }
    return json.dumps(body, indent=1)


def tags(env: Environment) -> list[Json]:
    """The tags that everything of an environment carries."""
    values = {"Project": PROJECT, "Environment": env, "CostCenter": PROJECT, "Owner": "ml-engineering"}
    return [{"Key": key, "Value": value} for key, value in values.items()]


class _Builder:
    """The steps that are jobs or registrations, for one environment."""

    def __init__(self, env: Environment, names: Names, image: str, code_uri: str, tracking_uri: str) -> None:
        self.env: Environment = env
        self.names = names
        self.image = image
        self.code_uri = code_uri
        self.tracking_uri = tracking_uri
        self.role = names.role(f"{env}-execution")
        self.home = f"s3://{names.bucket}/{env}"

    def track(self, revision: str) -> Json:
        settings = {
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "EXECUTION_ARN": _get("Execution.PipelineExecutionArn"),
            "EXPERIMENT": self.names.pipeline(self.env),
            "MLFLOW_ARTIFACTS": f"{self.home}/mlflow",
            "CODE_REVISION": revision,
        }
        return self._processing("Track", settings, {}, ("run",))

    def preprocess(self) -> Json:
        settings = {
            "SEED": _text(_get("Parameters.Seed")),
            "MAX_IMAGES": _text(_get("Parameters.MaxImages")),
            "ON_BAD_DATA": _get("Parameters.OnBadData"),
            "CLASSES": _get("Parameters.Classes"),
            "DATA_VERSION": _get("Parameters.DataVersion"),
            "DATA_STATE": _get(f"Parameters.{parameters.DATA_STATE}"),
        }
        raw = _path(f"s3://{self.names.data_bucket}", _get("Parameters.DataPrefix"))
        settings["DATA_URI"] = raw
        step = self._processing("Preprocess", settings, {"raw": raw}, (*PARTS, "report"))
        step["Arguments"]["ProcessingOutputConfig"]["Outputs"].append(self._versions())
        return {**step, "CacheConfig": {"Enabled": True, "ExpireAfter": KEPT_FOR}}

    def train(self, *, spot: bool) -> Json:
        channels = {"code": self.code_uri, "run": _output("Track", "run")} | {
            name: _output("Preprocess", name) for name in ("train", "validation", "report")
        }
        arguments: Json = {
            "TrainingJobName": self._job("train"),
            "AlgorithmSpecification": {
                "TrainingImage": self.image,
                "TrainingInputMode": "File",
                "ContainerEntrypoint": entrypoint("train", "input/data/code"),
                "MetricDefinitions": [
                    {"Name": "val:map50", "Regex": '"map50": ([0-9.]+)'},
                    {"Name": "val:map50_95", "Regex": '"map50_95": ([0-9.]+)'},
                ],
            },
            "HyperParameters": {key: _text(_get(f"Parameters.{name}")) for key, name in HYPERPARAMETERS.items()},
            "InputDataConfig": [_channel(name, uri) for name, uri in channels.items()],
            "OutputDataConfig": {"S3OutputPath": self._run("train")},
            "ResourceConfig": {
                "InstanceType": _get("Parameters.TrainInstance"),
                "InstanceCount": 1,
                "VolumeSizeInGB": 30,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": JOBS["Train"][1]},
            # Of the execution, not of the job: what is retried goes on from them too.
            "CheckpointConfig": {"S3Uri": self._run("train", "checkpoints"), "LocalPath": f"{ML}/checkpoints"},
            "RoleArn": self.role,
            "Environment": {"MLFLOW_TRACKING_URI": self.tracking_uri},
            "Tags": tags(self.env),
        }
        if spot:
            arguments["EnableManagedSpotTraining"] = True
            arguments["StoppingCondition"] |= {"MaxWaitTimeInSeconds": SPOT_WAIT}
        return {"Name": "Train", "Type": "Training", "Arguments": arguments}

    def evaluate(self) -> Json:
        settings = {
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "ENDPOINT_NAME": self.names.stack(self.env),
            "MAP_THRESHOLD": _text(_get("Parameters.MapThreshold")),
            "PRECISION": _get("Parameters.Precision"),
        }
        inputs = {
            "model": _get("Steps.Train.ModelArtifacts.S3ModelArtifacts"),
            "test": _output("Preprocess", "test"),
            # Every fourth of the training photos.
            "calibration": _path(_output("Preprocess", "train"), "shard-00.tar"),
        }
        step = self._processing("Evaluate", settings, inputs | self._facts(), ("evaluation", "model", "explaining"))
        step["Arguments"]["ProcessingOutputConfig"]["Outputs"].append(self._versions())
        step["PropertyFiles"] = [
            {"PropertyFileName": "Evaluation", "OutputName": "evaluation", "FilePath": "evaluation.json"}
        ]
        return step

    def baseline(self, *, last: bool) -> Json:
        inputs = {name: _output("Preprocess", name) for name in PARTS} | {"model": _output("Evaluate", "model")}
        settings = {"MLFLOW_TRACKING_URI": self.tracking_uri, "LAST_STEP": "yes" if last else "no"}
        return self._processing("Baseline", settings, inputs | self._facts(), ("baseline",))

    def explain(self) -> Json:
        """What Evaluate asks to be explained, in Clarify's files."""
        asked = _output("Evaluate", "explaining")
        inputs = {
            "config": _path(asked, "config"),
            "data": _path(asked, "data"),
            "model": _output("Evaluate", "model"),
        }
        settings = {"MODEL_DIGEST": _evaluation("package.digest")}
        step = self._processing("Explain", settings, inputs, ())
        # Beside the explanations asked for, and as Clarify leaves them: its files lie in the folder of outputs itself.
        uri = _path(f"{self.home}/explain", _get("Execution.PipelineExecutionId"), RESULT)
        output = {"S3Uri": uri, "LocalPath": f"{ML}/processing/output", "S3UploadMode": "EndOfJob"}
        step["Arguments"]["ProcessingOutputConfig"] = {"Outputs": [{"OutputName": RESULT, "S3Output": output}]}
        return step

    def register(self) -> Json:
        evaluation = _file(_output("Evaluate", "evaluation"), "evaluation.json")
        watched = {
            "Statistics": _file(_output("Baseline", "baseline"), "statistics.json"),
            "Constraints": _file(_output("Baseline", "baseline"), "constraints.json"),
        }
        metadata = {key: _evaluation(f"package.{key}") for key in PACKAGE_KEYS}
        arguments = {
            "ModelPackageGroupName": self.names.group(self.env),
            "ModelPackageDescription": "YOLO11 detector for drone imagery",
            "InferenceSpecification": {
                "Containers": [{"Image": self.image, "ModelDataUrl": _model_uri()}],
                "SupportedContentTypes": list(content.TYPES),
                "SupportedResponseMIMETypes": ["application/json"],
                "SupportedRealtimeInferenceInstanceTypes": list(SERVED_ON),
            },
            "ModelMetrics": {
                "ModelQuality": {"Statistics": evaluation},
                "ModelDataQuality": watched,
                "Explainability": {"Report": _file(_output("Explain", RESULT), ANALYSIS)},
            },
            "ModelCard": {"ModelCardContent": _evaluation("card"), "ModelCardStatus": card.STATUS},
            "ModelApprovalStatus": "PendingManualApproval",
            "CustomerMetadataProperties": metadata | {"pipeline_execution": _get("Execution.PipelineExecutionArn")},
        }
        return {"Name": "Register", "Type": "RegisterModel", "Arguments": arguments}

    def deploy(self, template_url: str) -> Json:
        settings = {
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "ENVIRONMENT": self.env,
            "ACCOUNT": self.names.account,
            "REGION": self.names.region,
            "EXECUTION_ID": _get("Execution.PipelineExecutionId"),
            "MODEL_PACKAGE_ARN": _get("Steps.Register.ModelPackageArn"),
            "TEMPLATE_URL": template_url,
            "CODE_URI": self.code_uri,
        }
        return self._processing("Deploy", settings, self._facts(), ())

    def _facts(self) -> Json:
        """What every later step is told: the run's MLflow run, and what its data are."""
        return {"run": _output("Track", "run"), "report": _output("Preprocess", "report")}

    def _versions(self) -> Json:
        """An output by content, not by run: what runs have used before is written again, the same."""
        return _upload("versions", f"{self.home}/data")

    def _processing(self, name: str, settings: Json, inputs: Json, outputs: tuple[str, ...]) -> Json:
        arguments: Json = {
            "ProcessingJobName": self._job(name.lower()),
            "ProcessingResources": {
                "ClusterConfig": {"InstanceType": JOBS[name][0], "InstanceCount": 1, "VolumeSizeInGB": 30}
            },
            "AppSpecification": {
                "ImageUri": self.image,
                "ContainerEntrypoint": entrypoint(name.lower(), "processing/input/code"),
            },
            "RoleArn": self.role,
            "ProcessingInputs": [_input(key, uri) for key, uri in ({"code": self.code_uri} | inputs).items()],
            "StoppingCondition": {"MaxRuntimeInSeconds": JOBS[name][1]},
            "Environment": settings,
            "Tags": tags(self.env),
        }
        if outputs:
            arguments["ProcessingOutputConfig"] = {
                "Outputs": [_upload(key, self._run(name.lower(), key)) for key in outputs]
            }
        return {"Name": name, "Type": "Processing", "Arguments": arguments}

    def _job(self, step: str) -> str:
        """A job name's beginning: the service appends what makes it unique."""
        return f"{PROJECT}-{self.env}-{step}"

    def _run(self, *parts: str) -> Json:
        """A prefix of this execution."""
        return _path(f"{self.home}/runs", _get("Execution.PipelineExecutionId"), *parts)


def _check(accepted: list[Json]) -> Json:
    map50 = _evaluation("metrics.map50.value")
    words = ("mAP50 ", map50, " is below MapThreshold ", _get("Parameters.MapThreshold"), " by ")
    refusal = {"ErrorMessage": _text(*words, _evaluation("gate.short_by"), "; the model is not registered.")}
    arguments = {
        "Conditions": [
            {"Type": "GreaterThanOrEqualTo", "LeftValue": map50, "RightValue": _get("Parameters.MapThreshold")}
        ],
        "IfSteps": accepted,
        "ElseSteps": [{"Name": "BelowThreshold", "Type": "Fail", "Arguments": refusal}],
    }
    return {"Name": "CheckMap", "Type": "Condition", "Arguments": arguments}


def _parameters(env: Environment) -> list[Json]:
    rows: list[Json] = []
    for each in parameters.SETTINGS:
        row: Json = {"Name": each.name, "Type": each.kind, "DefaultValue": each.default(env)}
        rows.append(row | ({"EnumValues": list(each.choices)} if each.choices else {}))
    return rows


def entrypoint(step: str, code: str) -> list[str]:
    """Unpack the code that lies in `code` below the root folder and become the step. Constant text: no data in it."""
    root, module = f"R=${{ML_ROOT:-{ML}}}", f"pipeline.steps.{step}"
    unpack = f'mkdir -p "$R/code" && tar -xzf "$R/{code}/source.tar.gz" -C "$R/code"'
    return ["/bin/sh", "-c", f'{root}; {unpack} && cd "$R/code" && exec python3 -m {module}']


def _get(target: str) -> Json:
    return {"Get": target}


def _text(*values: object) -> Json:
    """A text of several values; also how a number becomes the text that the service wants."""
    return {"Std:Join": {"On": "", "Values": list(values)}}


def _path(*values: object) -> Json:
    return {"Std:Join": {"On": "/", "Values": list(values)}}


def _output(step: str, name: str) -> Json:
    return _get(f"Steps.{step}.ProcessingOutputConfig.Outputs['{name}'].S3Output.S3Uri")


def _model_uri() -> Json:
    return _path(_output("Evaluate", "model"), "model.tar.gz")


def _file(folder: Json, name: str) -> Json:
    return {"ContentType": "application/json", "S3Uri": _path(folder, name)}


def _evaluation(path: str) -> Json:
    return {"Std:JsonGet": {"PropertyFile": _get("Steps.Evaluate.PropertyFiles.Evaluation"), "Path": path}}


def _input(name: str, uri: object) -> Json:
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": f"{ML}/processing/input/{name}",
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
            "S3DataDistributionType": "FullyReplicated",
            "S3CompressionType": "None",
        },
    }


def _upload(name: str, uri: object) -> Json:
    local = f"{ML}/processing/output/{name}"
    return {"OutputName": name, "S3Output": {"S3Uri": uri, "LocalPath": local, "S3UploadMode": "EndOfJob"}}


def _channel(name: str, uri: object) -> Json:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "InputMode": "File", "DataSource": {"S3DataSource": source}}
