"""The catalog's reader: what it asks AWS again, and what it keeps."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import Engine

from bot import cataloguing
from bot.cataloguing import Cataloguer
from commands.command import Context, Person
from commands.reply import Reply, Step
from pipeline.names import Names
from pipeline.tracking import Tracking
from state import catalog

NOW = datetime(2026, 1, 5, tzinfo=UTC)
NAMES = Names("123456789012", "us-east-1")
ARN = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/groundcrew-dev-detector/execution/abcd1234"


class FakeSageMaker:
    """Dev has one run, one version and an endpoint; the other environments have nothing published."""

    def __init__(self) -> None:
        self.status = "Executing"
        self.described: list[str] = []

    def get_paginator(self, operation: str) -> Any:
        return SimpleNamespace(paginate=lambda **asked: self._pages(operation, asked))

    def _pages(self, operation: str, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if "-dev-" not in str(asked):
            if operation == "list_pipeline_executions":
                raise ClientError({"Error": {"Code": "ResourceNotFound"}}, "ListPipelineExecutions")
            if operation == "list_model_packages":
                raise ClientError({"Error": {"Code": "ValidationException", "Message": "does not exist"}}, "List")
        yield {
            "list_pipeline_executions": {
                "PipelineExecutionSummaries": [
                    {"PipelineExecutionArn": ARN, "PipelineExecutionStatus": self.status, "StartTime": NOW}
                ]
            },
            "list_model_packages": {
                "ModelPackageSummaryList": [
                    {"ModelPackageVersion": 3, "ModelPackageStatus": "Completed", "CreationTime": NOW}
                ]
            },
            "list_endpoints": {
                "Endpoints": [
                    {"EndpointName": "groundcrew-dev-detector", "EndpointStatus": "InService", "CreationTime": NOW},
                    {"EndpointName": "not-groundcrew-dev-x", "EndpointStatus": "InService", "CreationTime": NOW},
                ]
            },
        }[operation]

    def describe_pipeline_execution(self, PipelineExecutionArn: str) -> dict[str, Any]:
        self.described.append("run")
        return {"CreatedBy": {"IamIdentity": {"SourceIdentity": "T0GC.U0DS1"}}}


@pytest.fixture
def sagemaker(monkeypatch: pytest.MonkeyPatch) -> FakeSageMaker:
    fake = FakeSageMaker()

    def live(ctx: Context, arn: str) -> tuple[Reply, bool]:
        fake.described.append("live")
        step = Step("Train", "running", progress=0.5 if fake.status == "Executing" else None)
        return Reply(title="Training run abcd in dev: training, epoch 2 of 4", steps=[step]), False

    def load(client: Any, names: Names, env: str, version: int) -> Any:
        fake.described.append("version")
        return SimpleNamespace(metadata={"map50": "0.95678"})

    monkeypatch.setattr(cataloguing, "execution_live", live)
    monkeypatch.setattr(cataloguing.registry, "load", load)
    return fake


@pytest.fixture
def cataloguer(engine: Engine, sagemaker: FakeSageMaker) -> Cataloguer:
    person = Person("system", "catalog", "Groundcrew", "observer")
    ctx = Context(person, "catalog", NAMES, lambda service: sagemaker, Tracking(""), engine)
    return Cataloguer(engine, lambda: ctx, threading.Event(), threading.Event())


def known(engine: Engine, kind: catalog.Kind) -> list[tuple[str, str, str | None, Any]]:
    with engine.begin() as connection:
        found = catalog.newest(connection, kind, ["dev", "staging", "prod"])
    return [
        (entry.name, entry.state, entry.user_id, dict(entry.detail)) for entry in found if entry.environment == "dev"
    ]


def test_what_runs_is_described_each_time_and_what_has_ended_once(
    engine: Engine, cataloguer: Cataloguer, sagemaker: FakeSageMaker
) -> None:
    cataloguer.look()
    told = {"about": "training, epoch 2 of 4", "progress": 0.5}
    assert known(engine, "run") == [("abcd1234", "running", "U0DS1", told)]
    assert known(engine, "version") == [("3", "completed", None, {"about": "mAP50 0.957"})]
    assert known(engine, "endpoint") == [("groundcrew-dev-detector", "InService", None, {})]
    assert sorted(sagemaker.described) == ["live", "run", "version"]
    cataloguer.look()
    assert sorted(sagemaker.described) == ["live", "live", "run", "version"], "whose it is and a version do not change"
    sagemaker.status = "Succeeded"
    cataloguer.look()
    cataloguer.look()
    assert sagemaker.described.count("live") == 3
    assert known(engine, "run") == [("abcd1234", "done", "U0DS1", {"about": "training, epoch 2 of 4"})]
