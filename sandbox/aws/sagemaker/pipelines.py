"""Pipelines and their executions: the API calls. `executor.py` runs what is started here."""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.aws.sagemaker import gate, versions
from sandbox.aws.sagemaker.definition import Definition
from sandbox.aws.sagemaker.errors import ConflictException, ResourceNotFound, ValidationException
from sandbox.aws.sagemaker.execution import Execution
from sandbox.aws.sagemaker.executor import Executor
from sandbox.aws.sagemaker.registry import Identity
from sandbox.aws.sagemaker.resources import Body, Record, Resources, listing, now, page, tag_map
from sandbox.aws.sagemaker.values import text
from sandbox.aws.sagemaker.versions import Version

PIPELINE = "pipeline"
ABSENT = ("SelectiveExecutionConfig", "MlflowExperimentName")
"""Members of requests whose meaning this stand-in does not have; it refuses them instead of passing them over."""
_ALPHABET = string.ascii_lowercase + string.digits


@dataclass
class Pipeline(Record):
    """A pipeline with its versions and its executions, both oldest first. The body is that of the latest version."""

    versions: list[Version] = field(default_factory=list)
    executions: dict[str, Execution] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    """Client request tokens of starts -> execution ARN."""


class Pipelines:
    """All pipelines of the account. `check_role` refuses a role, `read_s3` fetches a definition by its location."""

    def __init__(
        self,
        resources: Resources,
        identity: Identity,
        executor: Executor,
        check_role: Callable[[str], None],
        read_s3: Callable[[Mapping[str, Any]], str],
    ) -> None:
        self._resources = resources
        self._identity = identity
        self._executor = executor
        self._check_role = check_role
        self._read_s3 = read_s3
        self._tokens: dict[str, str] = {}

    # --- pipelines -------------------------------------------------------------------------------------------------

    def create_pipeline(self, request: Body) -> Body:
        """CreatePipeline."""
        _refuse_absent(request)
        token, tags = request.pop("ClientRequestToken"), tag_map(request.pop("Tags", None))
        name = request["PipelineName"]
        arn = self._resources.arn(PIPELINE, name)
        source, parsed = self._definition(request)
        first: list[Version] = []
        versions.add(first, source, parsed, request.pop("PipelineVersionAliases", None) or ())
        self._check_role(request["RoleArn"])
        moment, author = now(), self._identity()
        body: Body = {
            "PipelineDisplayName": name,
            **request,
            "PipelineArn": arn,
            "PipelineDefinition": source,
            "PipelineStatus": "Active",
            "CreationTime": moment,
            "LastModifiedTime": moment,
            "CreatedBy": author,
            "LastModifiedBy": author,
        }
        with self._resources.lock:
            if self._resources.find(PIPELINE, name):
                if self._tokens.get(token) == arn:
                    return {"PipelineArn": arn}
                raise ValidationException(
                    "Pipeline names must be unique within an AWS account and region. "
                    f"Pipeline with name ({name}) already exists."
                )
            self._tokens[token] = arn
            self._resources.add(Pipeline(PIPELINE, name, arn, body, tags, first))
        return {"PipelineArn": arn}

    def update_pipeline(self, request: Body) -> Body:
        """UpdatePipeline: another definition is a new version. Executions keep the one they started with."""
        _refuse_absent(request)
        changes = {key: value for key, value in request.items() if key != "PipelineName"}
        aliases = changes.pop("PipelineVersionAliases", None) or ()
        parsed = None
        if "PipelineDefinition" in changes or "PipelineDefinitionS3Location" in changes:
            changes["PipelineDefinition"], parsed = self._definition(changes)
        if "RoleArn" in changes:
            self._check_role(changes["RoleArn"])
        with self._resources.lock:
            pipeline = self._pipeline(request["PipelineName"])
            latest = pipeline.versions[-1]
            if parsed is not None and changes["PipelineDefinition"] != latest.source:
                latest = versions.add(pipeline.versions, changes["PipelineDefinition"], parsed, aliases)
            elif aliases:
                raise ValidationException("Aliases can be specified only when the pipeline definition changes.")
            pipeline.body |= {**changes, "LastModifiedTime": now(), "LastModifiedBy": self._identity()}
            return {"PipelineArn": pipeline.arn, "PipelineVersionId": latest.id}

    def update_pipeline_version(self, request: Body) -> Body:
        """UpdatePipelineVersion: its aliases."""
        with self._resources.lock:
            pipeline = self._pipeline(request["PipelineArn"])
            version = versions.chosen(pipeline.versions, request, pipeline.arn)
            versions.change_aliases(pipeline.versions, version, request.get("PipelineVersionAliasOperations") or {})
            return {"PipelineArn": pipeline.arn, "PipelineVersionId": version.id}

    def list_pipeline_versions(self, request: Body) -> Body:
        """ListPipelineVersions."""
        with self._resources.lock:
            pipeline = self._pipeline(request["PipelineName"])
            return versions.listed(pipeline.versions, request, pipeline.arn)

    def delete_pipeline(self, request: Body) -> Body:
        """DeletePipeline: not while an execution runs."""
        with self._resources.lock:
            pipeline = self._pipeline(request["PipelineName"])
            if any(not execution.ended for execution in pipeline.executions.values()):
                raise ConflictException(f"Pipeline {pipeline.arn} has running executions and cannot be deleted.")
            self._resources.remove(pipeline)
            return {"PipelineArn": pipeline.arn}

    def describe_pipeline(self, request: Body) -> Body:
        """DescribePipeline, by name or ARN: the latest version, or the one that is asked for."""
        pipeline = self._pipeline(request["PipelineName"])
        version = versions.chosen(pipeline.versions, request, pipeline.arn)
        about = {"PipelineVersionAliases": list(version.aliases)} if version.aliases else {}
        return {**pipeline.body, "PipelineDefinition": version.source, **about}

    def list_pipelines(self, request: Body) -> Body:
        """ListPipelines."""
        records, token = listing(self._resources.all(PIPELINE), request, sort={"Name": "PipelineName"})
        summaries = [{**record.body, "LastExecutionTime": record.body.get("LastRunTime")} for record in records]
        return {"PipelineSummaries": summaries, "NextToken": token}

    # --- executions ------------------------------------------------------------------------------------------------

    def start_pipeline_execution(self, request: Body) -> Body:
        """StartPipelineExecution; the same token gives the same execution."""
        _refuse_absent(request)
        with self._resources.lock:
            pipeline = self._pipeline(request["PipelineName"])
            token = request["ClientRequestToken"]
            if token in pipeline.tokens:
                return {"PipelineExecutionArn": pipeline.tokens[token]}
            version = versions.chosen(pipeline.versions, request, pipeline.arn)
            given = {item["Name"]: item["Value"] for item in request.get("PipelineParameters") or ()}
            identifier = "".join(secrets.choice(_ALPHABET) for _ in range(12))
            moment, author = now(), self._identity()
            body: Body = {
                "PipelineArn": pipeline.arn,
                "PipelineExecutionArn": f"{pipeline.arn}/execution/{identifier}",
                "PipelineExecutionDisplayName": request.get("PipelineExecutionDisplayName")
                or f"execution-{round(moment.timestamp() * 1000)}",
                "PipelineExecutionDescription": request.get("PipelineExecutionDescription"),
                "PipelineExecutionStatus": "Executing",
                "ParallelismConfiguration": request.get("ParallelismConfiguration")
                or pipeline.body.get("ParallelismConfiguration"),
                "PipelineVersionId": version.id,
                "PipelineVersionAliases": list(version.aliases) or None,
                "RoleArn": request.get("RoleArn") or pipeline.body["RoleArn"],
                "CreationTime": moment,
                "LastModifiedTime": moment,
                "CreatedBy": author,
                "LastModifiedBy": author,
            }
            execution = Execution(
                id=identifier,
                pipeline=pipeline.name,
                definition=version.definition,
                source=version.source,
                parameters=_parameters(version.definition, given),
                body={key: value for key, value in body.items() if value is not None},
                earlier=tuple(pipeline.executions.values()),
            )
            pipeline.executions[identifier] = execution
            pipeline.tokens[token] = execution.arn
            pipeline.body["LastRunTime"] = moment
        self._executor.start(execution)
        return {"PipelineExecutionArn": execution.arn}

    def stop_pipeline_execution(self, request: Body) -> Body:
        """StopPipelineExecution: asks; the running steps get their signal."""
        execution = self._execution(request)
        if not self._executor.stop(execution):
            raise ConflictException("Only pipelines with 'Executing' status can be stopped")
        return {"PipelineExecutionArn": execution.arn}

    def retry_pipeline_execution(self, request: Body) -> Body:
        """RetryPipelineExecution: goes on from the steps that did not succeed; definition and parameters stay.

        The same token retries once.
        """
        execution = self._execution(request)
        with execution.lock:
            if request["ClientRequestToken"] in execution.retries:
                return {"PipelineExecutionArn": execution.arn}
            previous = execution.reset()
            if previous is None:
                raise ConflictException("Only pipelines with 'Failed' or 'Stopped' status can be retried")
            execution.retries.add(request["ClientRequestToken"])
        self._executor.start(execution, previous)
        return {"PipelineExecutionArn": execution.arn}

    def update_pipeline_execution(self, request: Body) -> Body:
        """UpdatePipelineExecution: display name and description."""
        execution = self._execution(request)
        with self._resources.lock:
            execution.body |= {key: value for key, value in request.items() if key != "PipelineExecutionArn"}
        return {"PipelineExecutionArn": execution.arn}

    def describe_pipeline_execution(self, request: Body) -> Body:
        """DescribePipelineExecution."""
        return self._execution(request).described()

    def list_pipeline_executions(self, request: Body) -> Body:
        """ListPipelineExecutions, newest first unless asked otherwise."""
        pipeline = self._pipeline(request["PipelineName"])
        if request.get("PipelineVersionAlias"):
            raise ValidationException("PipelineVersionAlias: not available here.")
        with self._resources.lock:
            records = [
                Record("execution", each.id, each.arn, each.described()) for each in pipeline.executions.values()
            ]
        found, token = listing(records, request, sort={"PipelineExecutionArn": "PipelineExecutionArn"})
        summaries = [
            {
                **record.body,
                "StartTime": record.body["CreationTime"],
                "PipelineExecutionFailureReason": record.body.get("FailureReason"),
            }
            for record in found
        ]
        return {"PipelineExecutionSummaries": summaries, "NextToken": token}

    def list_pipeline_execution_steps(self, request: Body) -> Body:
        """ListPipelineExecutionSteps, latest start first unless asked otherwise."""
        steps = self._execution(request).listed_steps()
        if request.get("SortOrder", "Descending") == "Descending":
            steps.reverse()
        found, token = page(steps, request)
        return {"PipelineExecutionSteps": found, "NextToken": token}

    def list_pipeline_parameters_for_execution(self, request: Body) -> Body:
        """ListPipelineParametersForExecution: every parameter with the value it has in this execution."""
        values = self._execution(request).parameters
        found, token = page([{"Name": name, "Value": text(value)} for name, value in values.items()], request)
        return {"PipelineParameters": found, "NextToken": token}

    def describe_pipeline_definition_for_execution(self, request: Body) -> Body:
        """DescribePipelineDefinitionForExecution."""
        execution = self._execution(request)
        return {"PipelineDefinition": execution.source, "CreationTime": execution.body["CreationTime"]}

    # --- behind them -----------------------------------------------------------------------------------------------

    def _definition(self, request: Body) -> tuple[str, Definition]:
        source = request.get("PipelineDefinition")
        if location := request.pop("PipelineDefinitionS3Location", None):
            source = self._read_s3(location)
        if source is None:
            raise ValidationException("Either PipelineDefinition or PipelineDefinitionS3Location must be given.")
        return source, gate.parse(source)

    def _pipeline(self, name: str) -> Pipeline:
        record = self._resources.find(PIPELINE, name)
        if not isinstance(record, Pipeline):
            arn = name if name.startswith("arn:") else self._resources.arn(PIPELINE, name)
            raise ResourceNotFound(f"Pipeline '{arn}' does not exist.")
        return record

    def _execution(self, request: Body) -> Execution:
        arn = request.get("PipelineExecutionArn") or ""
        name, _, identifier = arn.removeprefix(self._resources.arn(PIPELINE, "")).partition("/execution/")
        record = self._resources.find(PIPELINE, name)
        if not isinstance(record, Pipeline) or identifier not in record.executions:
            raise ResourceNotFound(f"Pipeline execution with ARN '{arn}' does not exist.")
        return record.executions[identifier]


def _refuse_absent(request: Mapping[str, Any]) -> None:
    if present := [member for member in ABSENT if request.get(member)]:
        raise ValidationException(f"{', '.join(present)}: not available here.")


def _parameters(definition: Definition, given: Mapping[str, str]) -> dict[str, Any]:
    if unknown := sorted(set(given) - set(definition.parameters)):
        raise ValidationException(
            f"Unknown parameter(s) {json.dumps(unknown)}: "
            f"the pipeline defines {json.dumps(sorted(definition.parameters))}."
        )
    missing = [each.name for each in definition.parameters.values() if each.default is None and each.name not in given]
    if missing:
        raise ValidationException(f"Parameters {json.dumps(missing)} have no default and must be given a value.")
    return {
        name: parameter.parse(given[name]) if name in given else parameter.default
        for name, parameter in definition.parameters.items()
    }
