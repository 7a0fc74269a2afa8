"""Renders our pipeline with the sagemaker V3 SDK: reads our definition on stdin, prints theirs. Run as a process.

The SDK needs a region at import, warns while it is imported and takes seconds: none of that belongs into the process
of the tests. What is compared is the SDK's own work: the layout of requests, and how variables are written.
"""

import json
import re
import sys
from typing import Any

import boto3
import botocore.client
from sagemaker.core.processing import Processor
from sagemaker.core.shapes import (
    MetricDefinition,
    OutputDataConfig,
    ProcessingInput,
    ProcessingOutput,
    ProcessingS3Input,
    ProcessingS3Output,
    StoppingCondition,
    Tag,
)
from sagemaker.core.workflow.conditions import ConditionGreaterThanOrEqualTo
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join, JsonGet
from sagemaker.core.workflow.parameters import ParameterFloat, ParameterInteger, ParameterString
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.core.workflow.pipeline_definition_config import PipelineDefinitionConfig
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow import CacheConfig, ConditionStep, FailStep, Pipeline, ProcessingStep, TrainingStep
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import CheckpointConfig, Compute, InputData

KINDS = {"String": ParameterString, "Integer": ParameterInteger, "Float": ParameterFloat}
QUIET = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}


class Sdk:
    """Our steps built again from the SDK's objects."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.session = PipelineSession(
            boto_session=boto3.Session(region_name="us-east-1"), default_bucket="unused", sagemaker_config=QUIET
        )
        self.parameters = {row["Name"]: self.parameter(row) for row in body["Parameters"]}
        self.steps: dict[str, Any] = {}

    def parameter(self, row: dict[str, Any]) -> Any:
        enum = {"enum_values": row["EnumValues"]} if "EnumValues" in row else {}
        return KINDS[row["Type"]](name=row["Name"], default_value=row.get("DefaultValue"), **enum)

    def value(self, item: Any) -> Any:
        """Our JSON of a variable as the SDK's object."""
        if not isinstance(item, dict):
            return item
        if "Std:Join" in item:
            return Join(on=item["Std:Join"]["On"], values=[self.value(part) for part in item["Std:Join"]["Values"]])
        if "Std:JsonGet" in item:
            _, step, _, file = item["Std:JsonGet"]["PropertyFile"]["Get"].split(".")
            return JsonGet(step_name=step, property_file=file, json_path=item["Std:JsonGet"]["Path"])
        kind, _, rest = item["Get"].partition(".")
        if kind == "Parameters":
            return self.parameters[rest]
        if kind == "Execution":
            return getattr(ExecutionVariables, re.sub(r"(?<!^)(?=[A-Z])", "_", rest).upper())
        step, _, path = rest.partition(".")
        found = self.steps[step].properties
        for name, key in re.findall(r"(\w+)(?:\['(\w+)'\])?", path):
            found = getattr(found, name)[key] if key else getattr(found, name)
        return found

    def processing(self, step: dict[str, Any]) -> Any:
        ours = step["Arguments"]
        cluster = ours["ProcessingResources"]["ClusterConfig"]
        processor = Processor(
            role=ours["RoleArn"],
            image_uri=ours["AppSpecification"]["ImageUri"],
            entrypoint=ours["AppSpecification"]["ContainerEntrypoint"],
            instance_count=cluster["InstanceCount"],
            instance_type=cluster["InstanceType"],
            volume_size_in_gb=cluster["VolumeSizeInGB"],
            max_runtime_in_seconds=ours["StoppingCondition"]["MaxRuntimeInSeconds"],
            base_job_name=ours["ProcessingJobName"],
            env={key: self.value(item) for key, item in ours["Environment"].items()},
            tags=ours["Tags"],
            sagemaker_session=self.session,
        )
        outputs = ours.get("ProcessingOutputConfig", {}).get("Outputs", [])
        arguments = processor.run(
            inputs=[self.input(row) for row in ours["ProcessingInputs"]],
            outputs=[self.output(row) for row in outputs],
        )
        files = [
            PropertyFile(name=row["PropertyFileName"], output_name=row["OutputName"], path=row["FilePath"])
            for row in step.get("PropertyFiles", [])
        ]
        cache = (
            CacheConfig(enable_caching=True, expire_after=step["CacheConfig"]["ExpireAfter"])
            if "CacheConfig" in step
            else None
        )
        return ProcessingStep(name=step["Name"], step_args=arguments, property_files=files, cache_config=cache)

    def input(self, row: dict[str, Any]) -> Any:
        place = row["S3Input"]
        source = ProcessingS3Input(
            s3_uri=self.value(place["S3Uri"]),
            local_path=place["LocalPath"],
            s3_data_type=place["S3DataType"],
            s3_input_mode=place["S3InputMode"],
        )
        return ProcessingInput(input_name=row["InputName"], s3_input=source)

    def output(self, row: dict[str, Any]) -> Any:
        place = row["S3Output"]
        target = ProcessingS3Output(
            s3_uri=self.value(place["S3Uri"]), local_path=place["LocalPath"], s3_upload_mode=place["S3UploadMode"]
        )
        return ProcessingOutput(output_name=row["OutputName"], s3_output=target)

    def training(self, step: dict[str, Any]) -> Any:
        ours = step["Arguments"]
        algorithm, compute = ours["AlgorithmSpecification"], ours["ResourceConfig"]
        trainer = ModelTrainer(
            training_image=algorithm["TrainingImage"],
            role=ours["RoleArn"],
            sagemaker_session=self.session,
            base_job_name=ours["TrainingJobName"],
            compute=Compute(
                instance_type=self.value(compute["InstanceType"]),
                instance_count=compute["InstanceCount"],
                volume_size_in_gb=compute["VolumeSizeInGB"],
            ),
            output_data_config=OutputDataConfig(s3_output_path=self.value(ours["OutputDataConfig"]["S3OutputPath"])),
            stopping_condition=StoppingCondition(
                max_runtime_in_seconds=ours["StoppingCondition"]["MaxRuntimeInSeconds"]
            ),
            checkpoint_config=CheckpointConfig(s3_uri=self.value(ours["CheckpointConfig"]["S3Uri"])),
            hyperparameters={key: self.value(item) for key, item in ours["HyperParameters"].items()},
            environment=ours["Environment"],
            tags=[Tag(key=row["Key"], value=row["Value"]) for row in ours["Tags"]],
        )
        trainer._metric_definitions = [
            MetricDefinition(name=row["Name"], regex=row["Regex"]) for row in algorithm["MetricDefinitions"]
        ]
        channels = [
            InputData(
                channel_name=row["ChannelName"], data_source=self.value(row["DataSource"]["S3DataSource"]["S3Uri"])
            )
            for row in ours["InputDataConfig"]
        ]
        return TrainingStep(name=step["Name"], step_args=trainer.train(input_data_config=channels, wait=False))

    def condition(self, step: dict[str, Any]) -> Any:
        ours = step["Arguments"]
        (row,) = ours["Conditions"]
        test = ConditionGreaterThanOrEqualTo(left=self.value(row["LeftValue"]), right=self.value(row["RightValue"]))
        (refusal,) = ours["ElseSteps"]
        fail = FailStep(name=refusal["Name"], error_message=self.value(refusal["Arguments"]["ErrorMessage"]))
        accepted = [self.processing(row) for row in ours["IfSteps"] if row["Name"] == "Baseline"]
        return ConditionStep(name=step["Name"], conditions=[test], if_steps=accepted, else_steps=[fail])


def main() -> None:
    """Build, render offline, print."""
    calls: list[str] = []

    def refuse(self: Any, operation: str, parameters: object) -> None:
        calls.append(operation)
        raise RuntimeError(f"a network call: {operation}")

    botocore.client.BaseClient._make_api_call = refuse  # type: ignore[method-assign]
    body = json.load(sys.stdin)
    sdk = Sdk(body)
    build = {"Processing": sdk.processing, "Training": sdk.training, "Condition": sdk.condition}
    for step in body["Steps"]:
        sdk.steps[step["Name"]] = build[step["Type"]](step)
    pipeline = Pipeline(
        name="groundcrew-dev-detector",
        parameters=list(sdk.parameters.values()),
        steps=list(sdk.steps.values()),
        sagemaker_session=sdk.session,
        pipeline_definition_config=PipelineDefinitionConfig(use_custom_job_prefix=True),
    )
    text = pipeline.definition()
    again = pipeline.definition()
    print(json.dumps({"same": text == again, "calls": calls, "definition": json.loads(text)}))


if __name__ == "__main__":
    main()
