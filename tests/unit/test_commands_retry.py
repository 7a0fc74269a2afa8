"""`pipeline retry` and `pipeline logs`: what they do, refuse, and say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import create_engine

from commands.command import Context, Person
from commands.parsing import parse
from commands.reply import Audience, Follow, Reply
from pipeline.errors import BadInput, NotFound, Refused
from pipeline.names import Names
from tests.unit.fake_aws import FakeClient, refusal

NAMES = Names("123456789012", "us-east-1")
ID = "7f3abc12def0"
ARN = NAMES.arn("sagemaker", f"pipeline/groundcrew-dev-detector/execution/{ID}")


def step(name: str, status: str, **metadata: Any) -> dict[str, Any]:
    return {"StepName": name, "StepStatus": status, "Metadata": metadata}


def training(name: str, status: str) -> dict[str, Any]:
    return step(name, status, TrainingJob={"Arn": NAMES.arn("sagemaker", "training-job/groundcrew-dev-train-x1")})


def processing(name: str, status: str) -> dict[str, Any]:
    return step(name, status, ProcessingJob={"Arn": NAMES.arn("sagemaker", "processing-job/groundcrew-dev-prep-x1")})


def account(status: str, *steps: dict[str, Any], retried: Any = None) -> FakeClient:
    listed = {"PipelineExecutionArn": ARN, "PipelineExecutionStatus": status, "StartTime": datetime.now(UTC)}
    return FakeClient(
        list_pipeline_executions={"PipelineExecutionSummaries": [listed]},
        describe_pipeline_execution={"PipelineExecutionStatus": status},
        list_pipeline_execution_steps={"PipelineExecutionSteps": list(steps)},
        retry_pipeline_execution=retried or {"PipelineExecutionArn": ARN},
    )


def logged(*lines: str) -> FakeClient:
    return FakeClient(
        describe_log_streams={"logStreams": [{"logStreamName": "groundcrew-dev-train-x1/algo-1"}]},
        get_log_events=lambda **request: {"events": [{"message": line} for line in lines[-request["limit"] :]]},
    )


def ask(line: str, sagemaker: FakeClient, logs: FakeClient | None = None) -> Reply:
    command, arguments = parse(line)
    context = Context(
        person=Person("T0GC", "U0DS1", "somebody", "data-scientist"),
        invocation="i",
        names=NAMES,
        client={"sagemaker": sagemaker, "logs": logs}.__getitem__,
        tracking=None,  # type: ignore[arg-type]
        state=create_engine("sqlite://"),
    )
    return command.handler(context, **arguments)


FAILED = (processing("Preprocess", "Succeeded"), training("Train", "Failed"))


@pytest.mark.parametrize(("status", "last"), [("Failed", "Failed"), ("Stopped", "Stopped")])
def test_a_retry_goes_on_and_its_message_is_followed_again(status: str, last: str) -> None:
    sagemaker = account(status, processing("Preprocess", "Succeeded"), training("Train", last))
    reply = ask("pipeline retry 7f3a", sagemaker)
    (sent,) = sagemaker.requests("retry_pipeline_execution")
    assert sent["PipelineExecutionArn"] == ARN
    assert len(sent["ClientRequestToken"]) == 64
    assert (reply.slot, reply.follow) == (f"execution-{ID}", Follow("execution", ARN))
    assert {fact.label: fact.value for fact in reply.facts} == {
        "Runs again": "Train",
        "Stays done": "Preprocess",
        "Role": "data-scientist",
    }


@pytest.mark.parametrize("status", ["Executing", "Stopping", "Succeeded", "CompletedWithFailures"])
def test_what_is_not_failed_or_stopped_is_not_retried(status: str) -> None:
    sagemaker = account(status, *FAILED)
    with pytest.raises(Refused, match=f"it is {status}"):
        ask("pipeline retry 7f3a", sagemaker)
    assert not sagemaker.requests("retry_pipeline_execution")


def test_a_model_below_the_threshold_would_only_be_below_it_again() -> None:
    sagemaker = account("Failed", training("Train", "Succeeded"), step("BelowThreshold", "Failed", Fail={}))
    with pytest.raises(Refused, match="would end the same way") as caught:
        ask("pipeline retry 7f3a", sagemaker)
    assert "--epochs" in caught.value.advice


def test_the_slower_of_two_who_retry_is_told() -> None:
    late = refusal("ConflictException", "Only pipelines with 'Failed' or 'Stopped' status can be retried")
    with pytest.raises(Refused, match="AWS does not retry it"):
        ask("pipeline retry 7f3a", account("Failed", *FAILED, retried=late))


def test_the_log_of_the_failed_step_is_quoted() -> None:
    steps = (*FAILED, processing("Cleanup", "Succeeded"))
    reply = ask("pipeline logs 7f3a --lines 2", account("Failed", *steps), logged("a", "b", "\x1b[31mc\x1b[0m"))
    assert reply.title == "Train of run 7f3a in dev: the last 2 lines"
    assert (reply.quote, reply.document, reply.audience) == ("b\nc", None, None)
    assert parse("pipeline logs 7f3a")[0].audience is Audience.PERSON


def test_a_step_is_named_in_any_case_and_a_wrong_name_is_answered_with_the_right_ones() -> None:
    reply = ask("pipeline logs 7f3a --step preprocess", account("Executing", *FAILED), logged("a"))
    assert reply.title.startswith("Preprocess of run")
    with pytest.raises(NotFound, match="Tran") as caught:
        ask("pipeline logs 7f3a --step Tran", account("Executing", *FAILED), logged("a"))
    assert "Train" in caught.value.nearest


def test_while_nothing_has_failed_the_latest_step_is_meant() -> None:
    steps = (processing("Preprocess", "Succeeded"), training("Train", "Executing"), step("CheckMap", "Succeeded"))
    assert (
        ask("pipeline logs 7f3a", account("Executing", *steps), logged()).title
        == "Train of run 7f3a in dev: no lines yet"
    )
    with pytest.raises(BadInput, match="has begun a job yet"):
        ask("pipeline logs 7f3a", account("Executing", step("Preprocess", "Starting")), logged())


def test_a_long_log_is_a_file_and_its_end_is_quoted() -> None:
    lines = [f"line {number} " + "x" * 60 for number in range(200)]
    reply = ask("pipeline logs 7f3a --lines 200", account("Failed", *FAILED), logged(*lines))
    assert reply.document is not None
    assert reply.document.text == "\n".join(lines)
    assert reply.document.name == "7f3a-Train.log"
    assert reply.quote.endswith(lines[-1])
    assert len(reply.quote) <= 2_800
    assert reply.quote.startswith("line ")
