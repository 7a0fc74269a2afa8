"""Values, conditions and the gate of pipeline definitions in the local SageMaker."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from sandbox.aws.sagemaker.definition import Definition, duration, needs
from sandbox.aws.sagemaker.errors import ValidationException
from sandbox.aws.sagemaker.execution import Execution, StepRun
from sandbox.aws.sagemaker.gate import parse
from sandbox.aws.sagemaker.values import Scope, Unresolved, follow, holds, resolve, split

JOB = {
    "ModelArtifacts": {"S3ModelArtifacts": "s3://b/model.tar.gz"},
    "ProcessingOutputConfig": {
        "Outputs": [{"OutputName": "a"}, {"OutputName": "the train", "S3Output": {"S3Uri": "s3://b/t"}}]
    },
}
FILE = {"metrics": {"map50": {"value": 0.83}}, "rows": [{"n": 1}, {"n": 2}], "a key": {"x": True}}
SCOPE = Scope(
    parameters={"Epochs": 4, "Rate": 0.003, "Flag": True, "Prefix": "survey/"},
    execution={"PipelineExecutionId": "abc"},
    steps={"Train": JOB},
    files=lambda step, name: {("Evaluate", "Report"): FILE}[(step, name)],
)


def get(target: str) -> dict[str, str]:
    return {"Get": target}


def json_get(path: Any) -> dict[str, Any]:
    return {"Std:JsonGet": {"PropertyFile": get("Steps.Evaluate.PropertyFiles.Report"), "Path": path}}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        (get("Parameters.Epochs"), 4),
        (get("Execution.PipelineExecutionId"), "abc"),
        (get("Steps.Train.ModelArtifacts.S3ModelArtifacts"), "s3://b/model.tar.gz"),
        (get("Steps.Train.ProcessingOutputConfig.Outputs['the train'].S3Output.S3Uri"), "s3://b/t"),
        (get("Steps.Train.ProcessingOutputConfig.Outputs[0].OutputName"), "a"),
        ({"Std:Join": {"On": "/", "Values": ["s3://b", get("Parameters.Prefix")]}}, "s3://b/survey/"),
        ({"Std:Join": {"On": "", "Values": [get("Parameters.Epochs")]}}, "4"),
        (
            {
                "Std:Join": {
                    "On": " ",
                    "Values": [get("Parameters.Rate"), get("Parameters.Flag"), json_get("rows[1].n")],
                }
            },
            "0.003 true 2",
        ),
        (json_get("metrics.map50.value"), 0.83),
        (json_get("['a key'].x"), True),
        ([{"k": get("Parameters.Flag")}], [{"k": True}]),
    ],
)
def test_values_are_computed(value: Any, expected: Any) -> None:
    assert resolve(value, SCOPE) == expected


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (get("Parameters.Nope"), "'Nope'"),
        (get("Steps.Train.ProcessingOutputConfig.Outputs['x']"), "'x'"),
        (get("Steps.Train.ProcessingOutputConfig.Outputs[7]"), "'7'"),
        (get("Secrets.Key"), "does not start with"),
        (json_get("metrics.map75"), "Report: metrics.map75"),
        (get("a[[b"), "not a valid path"),
        ({"Std:JsonGet": {"S3Uri": "s3://b/k", "Path": "x"}}, "PropertyFile"),
    ],
)
def test_what_leads_nowhere_says_so(value: Any, words: str) -> None:
    with pytest.raises(Unresolved) as error:
        resolve(value, SCOPE)
    assert words in str(error.value)


def test_a_path_into_a_list_prefers_no_wrong_member() -> None:
    document = [{"ChannelName": "train", "Other": "test"}, {"ChannelName": "test", "Other": "train"}]
    assert follow(document, split("['test']"), "p")["Other"] == "train"


@pytest.mark.parametrize(
    ("kind", "left", "right", "expected"),
    [
        ("Equals", 4, get("Parameters.Epochs"), True),
        ("Equals", "4", get("Parameters.Epochs"), False),
        ("GreaterThan", 4, 4, False),
        ("GreaterThanOrEqualTo", 4, 4, True),
        ("LessThan", json_get("metrics.map50.value"), 0.83, False),
        ("LessThanOrEqualTo", json_get("metrics.map50.value"), 0.83, True),
    ],
)
def test_comparisons(kind: str, left: Any, right: Any, expected: bool) -> None:
    condition = {"Type": kind, "LeftValue": left, "RightValue": right}
    assert holds(condition, SCOPE) is expected
    assert holds({"Type": "Not", "Condition": condition}, SCOPE) is not expected
    false = {"Type": "Equals", "LeftValue": 0, "RightValue": 1}
    assert holds({"Type": "Or", "Conditions": [false, condition]}, SCOPE) is expected


def test_in_and_what_cannot_be_compared() -> None:
    assert holds({"Type": "In", "QueryValue": get("Parameters.Epochs"), "Values": [1, 4]}, SCOPE)
    assert not holds({"Type": "In", "QueryValue": "4", "Values": [1, 4]}, SCOPE)
    with pytest.raises(Unresolved, match="cannot compare"):
        holds({"Type": "LessThan", "LeftValue": "a", "RightValue": 1}, SCOPE)


def fail(name: str, message: Any = "m", **more: Any) -> dict[str, Any]:
    return {"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": message}, **more}


def condition(name: str, yes: list[Any], no: list[Any], left: Any = 1, **more: Any) -> dict[str, Any]:
    test = {"Type": "Equals", "LeftValue": left, "RightValue": 1}
    return {
        "Name": name,
        "Type": "Condition",
        "Arguments": {"Conditions": [test], "IfSteps": yes, "ElseSteps": no},
        **more,
    }


def definition(*steps: Any, parameters: Any = ()) -> Definition:
    return parse(json.dumps({"Version": "2020-12-01", "Parameters": list(parameters), "Steps": list(steps)}))


def test_branches_wait_for_their_condition() -> None:
    parsed = definition(condition("Check", [fail("Yes")], [condition("Again", [fail("Deep")], [])]))
    assert list(parsed.steps) == ["Check", "Yes", "Again", "Deep"]
    assert needs(parsed.steps["Deep"]) == {"Again"}
    assert parsed.steps["Again"].parent == ("Check", "ElseSteps")


@pytest.mark.parametrize(
    ("steps", "parameters", "words"),
    [
        ([fail("A", get("Parameters.X"))], [], "refers to 'Parameters.X'"),
        ([fail("A", get("Execution.Moon"))], [], "refers to 'Execution.Moon'"),
        ([fail("A", get("Steps.B.X")), fail("B")], [], "not a property of a Fail step"),
        ([fail("A", DependsOn=["B"]), fail("B", DependsOn=["A"])], [], "wait for each other: A, B"),
        ([fail("a b")], [], "not a step name"),
        ([{"Name": "A", "Type": "Fail"}], [], "lacks 'ErrorMessage'"),
        ([fail("A", Colour="red")], [], "unknown members: Colour"),
        ([condition("C", [], [], left={"Std:JsonGet": {"S3Uri": "s3://b/k", "Path": "x"}})], [], "PropertyFile"),
        (
            [{"Name": "C", "Type": "Condition", "Arguments": {"Conditions": [{"Type": "Maybe"}]}}],
            [],
            "unknown type 'Maybe'",
        ),
        ([{"Name": "C", "Type": "Condition", "Arguments": {"Conditions": [{"Type": "In"}]}}], [], "lacks 'QueryValue'"),
        ([{"Type": "Fail"}], [], "'Name'"),
        ([fail("A")], [{"Name": "P", "Type": "Complex"}], "unknown type 'Complex'"),
        ([fail("A")], [{"Name": "P", "Type": "Integer", "DefaultValue": "4"}], "Default of parameter 'P'"),
        (
            [fail("A")],
            [{"Name": "P", "Type": "String", "DefaultValue": "c", "EnumValues": ["a"]}],
            "Default of parameter 'P'",
        ),
    ],
)
def test_the_gate_refuses(steps: list[Any], parameters: list[Any], words: str) -> None:
    with pytest.raises(ValidationException) as error:
        definition(*steps, parameters=parameters)
    assert error.value.message.startswith("Unable to parse pipeline definition.")
    assert words in error.value.message


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [("Integer", "7", 7), ("Float", "0.5", 0.5), ("Boolean", "true", True), ("String", "", "")],
)
def test_parameters_are_read_from_text(kind: str, given: str, value: Any) -> None:
    parsed = definition(fail("A"), parameters=[{"Name": "P", "Type": kind}]).parameters["P"]
    assert parsed.parse(given) == value
    assert type(parsed.parse(given)) is type(value)


def execution(parsed: Definition, **statuses: str) -> Execution:
    body = {"PipelineExecutionArn": "arn", "PipelineExecutionStatus": "Executing"}
    runs = {name: StepRun(parsed.steps[name], {"StepStatus": status}) for name, status in statuses.items()}
    return Execution("id", "p", parsed, "", {}, body, runs=runs)


def startable(one: Execution) -> list[str]:
    return [step.name for step in one.startable()]


def test_steps_start_in_the_order_of_their_dependencies() -> None:
    parsed = definition(fail("A"), fail("B", DependsOn=["A"]), fail("C"))
    assert startable(execution(parsed)) == ["A", "C"]
    assert startable(execution(parsed, A="Executing", C="Executing")) == []
    assert startable(execution(parsed, A="Succeeded", C="Executing")) == ["B"]


def test_only_the_taken_branch_starts() -> None:
    parsed = definition(condition("Check", [fail("Yes")], [fail("No")]))
    one = execution(parsed, Check="Succeeded")
    one.runs["Check"].body["Metadata"] = {"Condition": {"Outcome": "False"}}
    assert startable(one) == ["No"]


def test_after_a_failure_only_its_handlers_start() -> None:
    handler = fail("OnFailure", DependsOn=[{"Step": "A", "Trigger": "Failed"}])
    parsed = definition(fail("A"), fail("B", DependsOn=["A"]), fail("C"), handler)
    assert startable(execution(parsed, A="Failed")) == ["OnFailure"]
    assert execution(parsed, A="Failed", OnFailure="Succeeded").final_status() == "CompletedWithFailures"
    assert execution(parsed, A="Failed", OnFailure="Failed").final_status() == "Failed"
    assert execution(parsed, A="Succeeded", C="Succeeded").final_status() == "Succeeded"


def test_durations() -> None:
    assert duration("P30D") == timedelta(days=30)
    assert duration("P1DT2H3M4S") == timedelta(days=1, hours=2, minutes=3, seconds=4)
    for wrong in ("30 days", "P", "PT", "P1DT"):
        with pytest.raises(ValidationException, match="ISO 8601"):
            duration(wrong)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"RetryPolicies": [{"ExceptionType": ["Step.THROTTLING"], "ExpireAfterMin": 5}]}, "retry policy"),
        ({"CacheConfig": {"Enabled": True}}, "is not cached"),
    ],
)
def test_options_that_mean_nothing_here_are_refused(options: dict[str, Any], words: str) -> None:
    step = {"Name": "R", "Type": "RegisterModel", "Arguments": {"ModelPackageGroupName": "g"}, **options}
    with pytest.raises(ValidationException, match=words):
        definition(step)
