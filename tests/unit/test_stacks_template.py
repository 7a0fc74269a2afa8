"""The template language of the stack engine: functions, conditions, parameters, and everything it must refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.aws.stacks.errors import ValidationError
from sandbox.aws.stacks.functions import NO_VALUE, Scope
from sandbox.aws.stacks.kinds import KINDS
from sandbox.aws.stacks.parameters import chosen, typed
from sandbox.aws.stacks.plan import desired
from sandbox.aws.stacks.shapes import fit
from sandbox.aws.stacks.stack import Stack, Wanted
from sandbox.aws.stacks.template import parse

ROOT = Path(__file__).resolve().parents[2]
QUEUE = "Resources: {Q: {Type: AWS::SQS::Queue, Properties: {%s}}}"


class Made:
    """A bucket that exists."""

    physical = "b-1"
    attributes = {"Arn": "arn:aws:s3:::b-1"}  # noqa: RUF012


def scope(**given: Any) -> Scope:
    return Scope(
        parameters={"Env": "dev", "Empty": "", "Many": ["a", "b"], **given},
        pseudo={"AWS::Region": "us-east-1"},
        mappings={"Size": {"dev": {"count": "1"}}},
        conditions={
            "IsDev": {"Fn::Equals": [{"Ref": "Env"}, "dev"]},
            "IsProd": {"Fn::Not": [{"Condition": "IsDev"}]},
            "Both": {"Fn::And": [{"Condition": "IsDev"}, {"Condition": "IsProd"}]},
            "Either": {"Fn::Or": [{"Condition": "IsDev"}, {"Condition": "IsProd"}]},
        },
        made={"Bucket": Made()},
    )


@pytest.mark.parametrize(
    ("node", "value"),
    [
        ({"Ref": "Env"}, "dev"),
        ({"Ref": "Bucket"}, "b-1"),
        ({"Ref": "AWS::Region"}, "us-east-1"),
        ({"Fn::GetAtt": "Bucket.Arn"}, "arn:aws:s3:::b-1"),
        ({"Fn::GetAtt": ["Bucket", "Arn"]}, "arn:aws:s3:::b-1"),
        ({"Fn::Sub": "${Env}-${Bucket.Arn}/*"}, "dev-arn:aws:s3:::b-1/*"),
        ({"Fn::Sub": "${!aws:PrincipalTag/Environment}/${Env}"}, "${aws:PrincipalTag/Environment}/dev"),
        ({"Fn::Sub": ["${A}/${Env}", {"A": {"Ref": "Bucket"}}]}, "b-1/dev"),
        ({"Fn::Join": ["-", ["a", {"Ref": "Env"}, 1]]}, "a-dev-1"),
        ({"Fn::Join": [",", {"Ref": "Many"}]}, "a,b"),
        ({"Fn::Split": ["/", "a/b"]}, ["a", "b"]),
        ({"Fn::Select": ["1", {"Fn::Split": ["/", "a/b"]}]}, "b"),
        ({"Fn::FindInMap": ["Size", {"Ref": "Env"}, "count"]}, "1"),
        ({"Fn::If": ["IsDev", "yes", "no"]}, "yes"),
        ({"Fn::If": ["IsProd", {"Ref": "Nowhere"}, "no"]}, "no"),
        ({"Fn::If": ["Both", "yes", "no"]}, "no"),
        ({"Fn::If": ["Either", "yes", "no"]}, "yes"),
        ({"a": {"Fn::If": ["IsProd", 1, {"Ref": "AWS::NoValue"}]}, "b": 2}, {"b": 2}),
        ([{"Ref": "AWS::NoValue"}, 2], [2]),
    ],
)
def test_functions_give_what_cloudformation_gives(node: Any, value: Any) -> None:
    assert scope().value(node) == value


def test_no_value_at_the_top_is_itself() -> None:
    assert scope().value({"Ref": "AWS::NoValue"}) is NO_VALUE


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"Ref": "Nowhere"}, "Nowhere"),
        ({"Fn::GetAtt": "Bucket.Colour"}, "does not support attribute type Colour"),
        ({"Fn::Cidr": "x"}, "Unrecognized function Fn::Cidr"),
        ({"Fn::FindInMap": ["Size", "prod", "count"]}, "Unable to get mapping for Size::prod::count"),
        ({"Fn::Select": [5, ["a"]]}, "cannot be resolved"),
        ({"Fn::If": ["Unheard", 1, 2]}, "Unheard"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(node: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        scope().value(node)


def test_dates_in_policies_stay_words_and_short_tags_become_functions() -> None:
    properties = "{Queues: [!Ref P], PolicyDocument: {Version: 2012-10-17}}"
    body = "Resources: {Q: {Type: AWS::SQS::QueuePolicy, Properties: %s}}\nParameters: {P: {Type: String}}"
    template = parse(body % properties)
    assert template.resources["Q"].properties["PolicyDocument"] == {"Version": "2012-10-17"}
    assert template.resources["Q"].properties["Queues"] == [{"Ref": "P"}]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("Resources: {A: {Type: AWS::EC2::Instance}}", r"Unrecognized resource types: \[AWS::EC2::Instance\]"),
        (QUEUE % "Colour: red", r"extraneous key \[Colour\] is not permitted"),
        (QUEUE % "Tags: [{Key: a, Value: b, Owner: c}]", r"#/Tags/0: extraneous key \[Owner\]"),
        (QUEUE % "DelaySeconds: soon", "expected type: whole"),
        (QUEUE % "SqsManagedSseEnabled: perhaps", "expected type: Boolean"),
        (QUEUE % "Tags: {a: b}", "expected type: JSONArray"),
        (QUEUE % "QueueName: !If [C, {Colour: red}, b]" + "\nConditions: {C: !Equals [a, b]}", "expected type: text"),
        (QUEUE % "QueueName: !Ref Nowhere", r"Unresolved resource dependencies \[Nowhere\]"),
        (QUEUE % "QueueName: !Sub '${Nowhere.Arn}'", r"Unresolved resource dependencies \[Nowhere\]"),
        ("Resources: {A: {Type: AWS::SQS::Queue, DependsOn: B}}", r"\[B\]"),
        ("Resources: {A: {Type: AWS::SQS::Queue, UpdatePolicy: x}}", "UpdatePolicy"),
        ("Resources: {A: {Type: AWS::SQS::Queue, DeletionPolicy: Snapshot}}", "Unrecognized DeletionPolicy"),
        ("Resources: {A: {Type: AWS::SQS::Queue, Condition: C}}", "condition dependency C"),
        (QUEUE % "" + "\nParameters: {Q: {Type: String}}", r"Duplicate logical names: \[Q\]"),
        (
            QUEUE % "" + "\nParameters: {P: {Type: AWS::SSM::Parameter::Name}}",
            "Unrecognized parameter type of parameter P",
        ),
        (QUEUE % "" + "\nParameters: {P: {Type: String, Colour: red}}", "Colour"),
        ("Resources: {}", "At least one Resources member"),
        ("Transform: AWS::Serverless\n" + QUEUE % "", r"\[Transform\]"),
        ("Resources: [", "not well-formed"),
        ("just text", "unsupported structure"),
        (QUEUE % "" + "\nOutputs: {O: {Value: x, Export: {Name: y}}}", "Export"),
        (
            "Resources: {A: {Type: AWS::SQS::Queue, DependsOn: B}, B: {Type: AWS::SQS::Queue, DependsOn: A}}",
            "Circular dependency",
        ),
    ],
)
def test_a_template_with_anything_unknown_is_refused(body: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        parse(body)


def test_resources_come_in_the_order_they_are_needed() -> None:
    body = """
Resources:
  Policy: {Type: AWS::S3::BucketPolicy, Properties: {Bucket: !Ref Bucket, PolicyDocument: {}}}
  Bucket: {Type: AWS::S3::Bucket, DependsOn: [Queue]}
  Queue: {Type: AWS::SQS::Queue}
"""
    assert list(parse(body).resources) == ["Queue", "Bucket", "Policy"]


DECLARED = {
    "Name": {"Type": "String", "AllowedPattern": "[a-z]+", "MinLength": 2, "MaxLength": 4},
    "Size": {"Type": "Number", "Default": 3, "MinValue": 1, "MaxValue": 9},
    "Env": {"Type": "String", "Default": "dev", "AllowedValues": ["dev", "prod"]},
    "Zones": {"Type": "CommaDelimitedList", "Default": "a, b"},
}


def pairs(**given: str) -> list[dict[str, str]]:
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()]


def test_parameters_take_defaults_given_and_previous_values() -> None:
    values = chosen(DECLARED, [*pairs(Name="abc"), {"ParameterKey": "Size", "UsePreviousValue": True}], {"Size": "7"})
    assert values == {"Name": "abc", "Size": "7", "Env": "dev", "Zones": "a, b"}
    assert typed(DECLARED, values)["Zones"] == ["a", "b"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (pairs(), r"\[Name\] must have values"),
        (pairs(Name="abc", Colour="red"), r"\[Colour\] do not exist in the template"),
        (pairs(Name="ABC"), "must match pattern"),
        (pairs(Name="a"), "MinLength"),
        (pairs(Name="abcde"), "MaxLength"),
        (pairs(Name="abc", Size="many"), "must be a number"),
        (pairs(Name="abc", Size="10"), "MaxValue"),
        (pairs(Name="abc", Env="test"), "AllowedValues"),
        ([*pairs(Name="abc"), {"ParameterKey": "Size", "UsePreviousValue": True}], "has none"),
    ],
)
def test_parameters_that_break_their_constraints_are_refused(given: list[Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        chosen(DECLARED, given, {})


def test_values_get_the_types_the_api_wants() -> None:
    shape = KINDS["AWS::SageMaker::EndpointConfig"].shape
    raw = {"ProductionVariants": [{"VariantName": "main", "InitialInstanceCount": "2", "InitialVariantWeight": "1"}]}
    fitted = fit(shape, raw, "Config")["ProductionVariants"][0]
    assert fitted["InitialInstanceCount"] == 2
    assert fitted["InitialVariantWeight"] == 1.0


def test_the_stack_s_tags_reach_a_resource_under_its_own() -> None:
    template = parse(QUEUE % "Tags: [{Key: Environment, Value: dev}]")
    wanted = Wanted(template, {}, {"Project": "p", "Environment": "shared"}, None)
    tags = desired(Stack("s", "id", "1", "us-east-1", wanted), wanted, "Q")["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"Project": "p", "Environment": "dev"}


@pytest.mark.parametrize(
    "path",
    [
        "iam/policies.yaml",
        "iam/roles.yaml",
        "iam/machines.yaml",
        "infra/platform.yaml",
        "infra/events.yaml",
        "infra/audit.yaml",
        "infra/cost.yaml",
        "infra/studio.yaml",
        "pipeline/deployment.yaml",
    ],
)
def test_the_project_s_templates_are_understood_completely(path: str) -> None:
    assert parse((ROOT / path).read_text()).resources


def test_types_agree_with_cloudformation_s_own_schemas() -> None:
    """Properties, attributes and what may change in place, against the resource schemas that cfn-lint carries."""
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    for kind in KINDS.values():
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind.type).schema
        create_only = {path.removeprefix("/properties/") for path in schema.get("createOnlyProperties", [])}
        assert set(kind.in_place) <= set(kind.shape) <= set(schema["properties"]), kind.type
        assert not kind.in_place & create_only, kind.type
        assert kind.named is None or kind.named in kind.shape, kind.type
