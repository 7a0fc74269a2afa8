"""What a run can be told: its table, and what `pipeline run` sends of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from commands.command import Context, Person
from commands.execution import _command_line
from commands.parsing import options, parse
from commands.reply import Reply
from pipeline import parameters
from pipeline.definition import Alias
from pipeline.errors import BadInput, NotFound
from pipeline.executions import Execution
from pipeline.names import Names
from pipeline.parameters import BY_NAME, SETTINGS
from tests.unit.fake_aws import FakeClient, refusal
from tests.unit.test_definition import render

NAMES = Names("123456789012", "us-east-1")
ARN = NAMES.arn("sagemaker", "pipeline/groundcrew-dev-detector/execution/7f3abc12def0")
PHOTOS = {"Contents": [{"Key": "survey/images/f1_1.jpg", "Size": 9, "ETag": "e"}]}


def ask(line: str, role: str = "data-scientist", photos: Any = PHOTOS, **calls: Any) -> tuple[Reply, FakeClient]:
    command, arguments = parse(line)
    sagemaker = FakeClient(start_pipeline_execution={"PipelineExecutionArn": ARN}, **calls)
    clients = {"sagemaker": sagemaker, "s3": FakeClient(list_objects_v2=photos)}
    context = Context(
        person=Person("T0GC", "U0DS1", "somebody", role),
        invocation="i",
        names=NAMES,
        client=clients.__getitem__,
        tracking=None,  # type: ignore[arg-type]
        state=create_engine("sqlite://"),
    )
    return command.handler(context, **arguments), sagemaker


def sent(sagemaker: FakeClient) -> tuple[str, dict[str, str]]:
    (request,) = sagemaker.requests("start_pipeline_execution")
    return request["PipelineVersionAlias"], {each["Name"]: each["Value"] for each in request["PipelineParameters"]}


def test_every_setting_is_an_option_of_the_command_and_nothing_else_is() -> None:
    command, _ = parse("pipeline run")
    known = {option.name.replace("_", "-") for option in options(command)}
    assert {each.option for each in SETTINGS} == known - {"env", "spot", "dry-run", "yes"}
    for option in options(command):
        setting = parameters.BY_OPTION.get(option.name.replace("_", "-"))
        if setting and setting.choices:
            assert option.values == "|".join(setting.choices)
        elif setting and setting.kind != "String":
            assert option.values.startswith(f"{setting.low:.6f}".rstrip("0").rstrip(".") or "0")


def test_what_nobody_says_is_as_usual_in_the_environment() -> None:
    for env, role in (("dev", "data-scientist"), ("staging", "ml-engineer")):
        _, sagemaker = ask(f"pipeline run --env {env}", role)
        alias, given = sent(sagemaker)
        state = given.pop("DataState")
        assert len(state) == 16
        assert given == {each.name: each.written(each.default(env)) for each in SETTINGS}  # type: ignore[arg-type]
        assert alias == ("spot" if env == "staging" else "on-demand")


def test_everything_that_is_said_is_sent() -> None:
    line = (
        "pipeline run --model yolo11m --epochs 9 --image-size 96 --batch 3 --lr 0.01 --optimizer SGD --patience 2 "
        "--augmentation strong --classes car,boat --data-version abc --map-threshold 0.3 --on-bad-data fail "
        "--precision int8 "
        "--instance-type ml.c5.4xlarge --spot --seed 5 --max-images 70 --prefix photos"
    )
    alias, given = sent(ask(line)[1])
    given.pop("DataState")
    assert alias == "spot"
    assert given == {
        "DataPrefix": "photos/",
        "DataVersion": "abc",
        "Classes": "car,boat",
        "MaxImages": "70",
        "OnBadData": "fail",
        "Model": "yolo11m",
        "Weights": "",
        "Epochs": "9",
        "ImageSize": "96",
        "BatchSize": "3",
        "LearningRate": "0.01",
        "Optimizer": "SGD",
        "Patience": "2",
        "Augmentation": "strong",
        "Seed": "5",
        "MapThreshold": "0.3",
        "Precision": "int8",
        "TrainInstance": "ml.c5.4xlarge",
    }
    assert sent(ask("pipeline run --env staging --no-spot", "ml-engineer")[1])[0] == "on-demand"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("pipeline run --weights best.pt", "no .pt file in S3"),
        ("pipeline run --weights s3://b/best.pt --model yolo11s", "bring their own network"),
        (f"pipeline run --classes {'x' * 300}", "longer than 256"),
        ("pipeline run --model yolo12n", "yolo11n"),
        ("pipeline run --patience -1", "between 0 and 300"),
        ("pipeline run --batch 0", "between 1 and 256"),
        ("pipeline run --optimizer adamw2", "AdamW"),
        ("pipeline run --instance-type ml.p5.48xlarge", "ml.c5.xlarge"),
    ],
)
def test_what_makes_no_sense_is_answered_with_what_does(line: str, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        ask(line)
    assert words in f"{caught.value.message} {caught.value.advice}"


def test_a_folder_without_photos_starts_nothing() -> None:
    with pytest.raises(NotFound, match="photo below"):
        ask("pipeline run", photos={"Contents": [{"Key": "survey/classes.txt", "Size": 1, "ETag": "e"}]})


def test_who_may_not_look_at_the_photos_hears_from_aws_whether_they_may_start() -> None:
    _, sagemaker = ask("pipeline run", photos=refusal("AccessDenied", "not authorized to perform: s3:ListBucket"))
    assert len(sent(sagemaker)[1]["DataState"]) == 64, "nothing prepared is taken for what nobody has looked at"


def test_a_dry_run_starts_nothing_and_tells_what_publishing_would_change() -> None:
    def described(PipelineName: str, PipelineVersionAlias: Alias) -> dict[str, str]:
        return {"PipelineDefinition": render(mlflow="http://m", alias=PipelineVersionAlias)}

    reply, sagemaker = ask("pipeline run --dry-run --epochs 9", describe_pipeline=described)
    assert not sagemaker.requests("start_pipeline_execution")
    assert reply.title == "A training run in dev, not started"
    assert {fact.label: fact.value for fact in reply.facts}["Epochs"] == "9"
    lines = reply.quote.splitlines()
    assert "Track · Environment.CODE_REVISION: abc → " in reply.quote
    assert len(lines) == len(set(lines)), "what changes for both aliases is told once"
    assert "source.tar.gz" in reply.quote
    assert "MLFLOW" not in reply.quote, "where MLflow is, the published pipeline knows better"


@st.composite
def runs(draw: st.DrawFn) -> Execution:
    given = {}
    for each in SETTINGS:
        if each.choices:
            value: Any = draw(st.sampled_from(each.choices))
        elif each.kind == "Integer":
            value = draw(
                st.integers(int(each.low), int(each.high)).map(lambda v, s=each.step: max(s, v // s * s) if s else v)
            )
        elif each.kind == "Float":
            value = draw(st.floats(each.low, each.high))
        elif each.name == "Weights":
            value = draw(st.sampled_from(["", "s3://b/a b.pt"]))
        else:
            value = draw(st.text("abc ,/'", min_size=0, max_size=8)) if each.name != "DataPrefix" else "a b/"
        given[each.name] = each.written(value)
    env = draw(st.sampled_from(["dev", "staging"]))
    arn = NAMES.arn("sagemaker", f"pipeline/groundcrew-{env}-detector/execution/x")
    return Execution(arn, "", "Failed", None, None, "", None, None, given, (), draw(st.booleans()))  # type: ignore[arg-type]


@settings(deadline=None)
@given(runs())
def test_the_line_that_repeats_a_run_means_the_same_run(run: Execution) -> None:
    command, arguments = parse(_command_line(run, run.parameters))
    assert command.name == "pipeline run"
    env = arguments["env"]
    again = parameters.sent(parameters.values(env, arguments))
    same = {name for name in BY_NAME if not (name == "Model" and run.parameters["Weights"])}
    assert {name: again[name] for name in same if run.parameters[name]} == {
        name: run.parameters[name] for name in same if run.parameters[name]
    }
    assert (parameters.SPOT[env] if arguments["spot"] is None else arguments["spot"]) == run.spot
