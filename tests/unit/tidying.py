"""An account in memory that can be cleaned up: lists what is there, and lets it go, refuses it, or breaks down."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine

from commands.command import Context, Person
from pipeline.names import Names
from tests.unit.fake_aws import FakeClient, refusal

NAMES = Names("123456789012", "us-east-1")
NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ENV = "staging"
DETECTOR = NAMES.stack(ENV)
_TYPES = {
    "endpoint": "AWS::SageMaker::Endpoint",
    "config": "AWS::SageMaker::EndpointConfig",
    "model": "AWS::SageMaker::Model",
}
HOSTED = "ml.m5.large"


class Account:
    """`things` by kind and name. `stacks` holds what each takes along. `refuse` maps a name to what AWS says of it."""

    def __init__(self) -> None:
        self.runs: dict[str, str] = {}
        self.jobs: dict[str, str] = {}
        self.schedules: list[str] = []
        self.stacks: dict[str, dict[str, str]] = {}
        self.status: dict[str, str] = {}
        self.endpoints: dict[str, str] = {}
        self.configs: list[str] = []
        self.models: list[str] = []
        self.apps: list[dict[str, str]] = []
        self.refuse: dict[str, Exception] = {}
        self.made = NOON
        self.calls: list[str] = []
        self.prices = {HOSTED: "0.115"}
        self.ended = 0
        self.breaks_after: int | None = None

    # -------- what is there

    def deployed(self) -> None:
        """The detector's stack with its endpoint, configuration and model."""
        parts = (f"config/{DETECTOR}-aa", f"endpoint/{DETECTOR}", f"model/{DETECTOR}-aa")
        self.stacks[DETECTOR] = dict.fromkeys(parts, "CREATE_COMPLETE")
        self.status[DETECTOR] = "CREATE_COMPLETE"
        self.endpoints[DETECTOR] = f"{DETECTOR}-aa"
        self.configs.append(f"{DETECTOR}-aa")
        self.models.append(f"{DETECTOR}-aa")

    def names(self) -> list[str]:
        """Everything that is there and could be ended, a stack's parts not counted."""
        held = {part for parts in self.stacks.values() for part in parts}
        kinds = {"endpoint": self.endpoints, "config": self.configs, "model": self.models}
        loose = [name for kind, rows in kinds.items() for name in rows if f"{kind}/{name}" not in held]
        return [*self.runs, *self.jobs, *self.schedules, *self.stacks, *loose]

    # -------- ending

    def _end(self, what: str, name: str, there: bool, missing: Exception, act: Callable[[], Any]) -> dict[str, Any]:
        self.calls.append(what)
        if self.breaks_after is not None and self.ended >= self.breaks_after:
            raise ConnectionError("the worker died")
        if name in self.refuse:
            raise self.refuse[name]
        if not there:
            raise missing
        act()
        self.ended += 1
        return {}

    def _delete_stack(self, StackName: str, RoleARN: str, **_: Any) -> dict[str, Any]:
        name = StackName.split("/")[1]
        assert NAMES.role(f"{ENV}-deploy") == RoleARN

        def act() -> None:
            self.status[name] = "DELETE_IN_PROGRESS"
            first, *_ = self.stacks[name]
            self.stacks[name][first] = "DELETE_COMPLETE"
            self._drop(first)

        return self._end("stack", name, name in self.stacks, AssertionError("never raised by AWS"), act)

    def settle(self) -> None:
        """What is going is gone."""
        self.runs = {id: status for id, status in self.runs.items() if status != "Stopping"}
        self.jobs = {name: status for name, status in self.jobs.items() if status != "Stopping"}
        for name in [name for name, status in self.status.items() if status == "DELETE_IN_PROGRESS"]:
            for part in self.stacks.pop(name):
                self._drop(part)
            del self.status[name]

    def _drop(self, part: str) -> None:
        kind, _, thing = part.partition("/")
        if kind == "endpoint":
            self.endpoints.pop(thing, None)
        elif thing in (left := self.configs if kind == "config" else self.models):
            left.remove(thing)

    # -------- the clients

    def client(self, service: str) -> Any:
        size = {"Datapoints": [{"Timestamp": NOON, "Average": 2.0**30}]}
        group = {"logGroupName": "/aws/sagemaker/TrainingJobs", "storedBytes": 2048}
        clients: dict[str, Callable[[], FakeClient]] = {
            "sagemaker": self._sagemaker,
            "cloudformation": self._cloudformation,
            "cloudwatch": lambda: FakeClient(get_metric_statistics=size),
            "logs": lambda: FakeClient(describe_log_groups={"logGroups": [group]}),
            "pricing": lambda: FakeClient(get_products=self._products),
        }
        return clients[service]()

    def _sagemaker(self) -> FakeClient:
        def missing(what: str) -> Exception:
            return refusal("ValidationException", f'Could not find {what} "arn:…".')

        def stop(rows: dict[str, str], kind: str) -> Callable[..., Any]:
            def call(**request: Any) -> Any:
                name = str(next(iter(request.values()))).rsplit("/", 1)[-1]
                late = refusal("ValidationException", "It cannot be stopped: it has ended.")
                return self._end(kind, name, name in rows, late, lambda: rows.update({name: "Stopping"}))

            return call

        def delete(rows: Any, kind: str, what: str) -> Callable[..., Any]:
            def call(**request: Any) -> Any:
                (name,) = request.values()
                act = (lambda: rows.pop(name)) if isinstance(rows, dict) else (lambda: rows.remove(name))
                return self._end(kind, name, name in rows, missing(what), act)

            return call

        def described(EndpointName: str) -> dict[str, Any]:
            if EndpointName not in self.endpoints:
                raise missing("endpoint")
            return {
                "EndpointName": EndpointName,
                "EndpointArn": NAMES.arn("sagemaker", f"endpoint/{EndpointName}"),
                "EndpointConfigName": self.endpoints[EndpointName],
                "EndpointStatus": "InService",
                "CreationTime": self.made,
                "ProductionVariants": [{"VariantName": "main", "CurrentInstanceCount": 1}],
            }

        def configured(EndpointConfigName: str) -> dict[str, Any]:
            variant = {"VariantName": "main", "ModelName": EndpointConfigName, "InstanceType": HOSTED}
            return {"ProductionVariants": [variant]}

        return FakeClient(
            list_pipeline_executions=lambda **_: {
                "PipelineExecutionSummaries": [
                    {
                        "PipelineExecutionArn": NAMES.arn("sagemaker", f"pipeline/p/execution/{id}"),
                        "PipelineExecutionStatus": status,
                        "StartTime": self.made,
                    }
                    for id, status in self.runs.items()
                ]
            },
            list_processing_jobs=lambda StatusEquals, **_: {
                "ProcessingJobSummaries": [
                    {"ProcessingJobName": name, "CreationTime": self.made}
                    for name, status in self.jobs.items()
                    if status == StatusEquals
                ]
            },
            list_monitoring_schedules=lambda **_: {
                "MonitoringScheduleSummaries": [
                    {
                        "MonitoringScheduleName": name,
                        "CreationTime": self.made,
                        "MonitoringScheduleStatus": "Scheduled",
                    }
                    for name in self.schedules
                ]
            },
            list_endpoints=lambda **_: {"Endpoints": self._rows("EndpointName", self.endpoints)},
            list_endpoint_configs=lambda **_: {"EndpointConfigs": self._rows("EndpointConfigName", self.configs)},
            list_models=lambda **_: {"Models": self._rows("ModelName", self.models)},
            list_domains={"Domains": [{"DomainId": "d-1", "DomainName": NAMES.studio}]},
            list_apps=lambda **_: {"Apps": self.apps},
            describe_endpoint=described,
            describe_endpoint_config=configured,
            stop_pipeline_execution=lambda PipelineExecutionArn, **_: stop(self.runs, "run")(arn=PipelineExecutionArn),
            stop_processing_job=stop(self.jobs, "job"),
            delete_monitoring_schedule=delete(self.schedules, "schedule", "monitoring schedule"),
            delete_endpoint=delete(self.endpoints, "endpoint", "endpoint"),
            delete_endpoint_config=delete(self.configs, "config", "endpoint configuration"),
            delete_model=delete(self.models, "model", "model"),
        )

    def _rows(self, key: str, names: Any) -> list[dict[str, Any]]:
        return [{key: name, "CreationTime": self.made} for name in names]

    def _cloudformation(self) -> FakeClient:
        return FakeClient(
            describe_stacks=refusal("ValidationError", "Stack with id x does not exist"),
            list_stacks=lambda **_: {
                "StackSummaries": [
                    {
                        "StackName": name,
                        "StackId": NAMES.arn("cloudformation", f"stack/{name}/1"),
                        "StackStatus": self.status[name],
                        "CreationTime": self.made,
                    }
                    for name in self.stacks
                ]
            },
            describe_stack_resources=lambda StackName: {
                "StackResources": [
                    {
                        "LogicalResourceId": part.title(),
                        "PhysicalResourceId": part,
                        "ResourceStatus": status,
                        "ResourceType": _TYPES[part.split("/")[0]],
                        "Timestamp": self.made,
                    }
                    for part, status in self.stacks[StackName.split("/")[1]].items()
                ]
            },
            describe_stack_events={
                "StackEvents": [
                    {
                        "LogicalResourceId": "Endpoint",
                        "ResourceType": "AWS::SageMaker::Endpoint",
                        "ResourceStatus": "DELETE_FAILED",
                        "ResourceStatusReason": "somebody is using it",
                    }
                ]
            },
            delete_stack=self._delete_stack,
        )

    def _products(self, ServiceCode: str, Filters: list[dict[str, str]]) -> dict[str, Any]:
        match = {each["Field"]: each["Value"] for each in Filters}
        if ServiceCode == "AmazonSageMaker":
            price, unit = self.prices.get(match["instanceName"]), "Hrs"
            products = [{"component": component} for component in ("Notebook", "Hosting")]
        else:
            price, unit, products = "0.023", "GB-Mo", [{"usagetype": "TimedStorage-ByteHrs"}]
        terms = {"OnDemand": {"a": {"priceDimensions": {"b": {"unit": unit, "pricePerUnit": {"USD": price}}}}}}
        listed = [json.dumps({"product": {"attributes": each}, "terms": terms}) for each in products]
        return {"PriceList": listed if price else []}


def context(account: Account, engine: Engine, role: str = "ml-engineer", approval: str | None = None) -> Context:
    """A person who cleans up."""
    return Context(
        person=Person("T0GC", "U0ML1", "Mel", role),
        invocation="0a1b2c3d",
        names=NAMES,
        client=account.client,
        eyes=account.client,
        tracking=None,  # type: ignore[arg-type]
        state=engine,
        approval=approval,
    )
