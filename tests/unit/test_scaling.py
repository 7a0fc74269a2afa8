"""The bounds between which an endpoint scales: what may be asked for, and what comes of it."""

from __future__ import annotations

from typing import get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline import scaling, source
from pipeline.errors import BadInput
from pipeline.names import ENVIRONMENTS, Environment
from pipeline.scaling import DEFAULT, WIDEST, Bounds, ScaleOn
from sandbox.aws.scaling import METRICS
from sandbox.aws.stacks.template import parse

counts = st.none() | st.integers(0, 12)


@given(st.sampled_from(ENVIRONMENTS), counts, counts)
def test_what_is_asked_for_is_given_within_the_widest_bounds_or_refused(
    env: Environment, least: int | None, most: int | None
) -> None:
    try:
        new = scaling.moved(DEFAULT[env], env, least, most)
    except BadInput as refused:
        assert refused.advice
        return
    assert WIDEST[env].least <= new.least <= new.most <= WIDEST[env].most
    assert least in (None, new.least)
    assert most in (None, new.most)


@given(st.sampled_from(ENVIRONMENTS), st.integers(1, 10))
def test_moving_one_bound_takes_the_other_along_and_no_further(env: Environment, count: int) -> None:
    if not WIDEST[env].least <= count <= WIDEST[env].most:
        return
    before = DEFAULT[env]
    assert scaling.moved(before, env, count, None) == Bounds(count, max(before.most, count))
    assert scaling.moved(before, env, None, count) == Bounds(min(before.least, count), count)


@pytest.mark.parametrize(
    ("env", "least", "most", "words"),
    [
        ("dev", None, None, "Nothing to change"),
        ("prod", 5, 3, "more than --max"),
        ("dev", 1, 3, "dev has 1 to 2 instances at most"),
        ("staging", 0, 1, "staging has 1 to 4"),
        ("prod", 2, 11, "prod has 1 to 10"),
    ],
)
def test_bounds_nobody_may_have(env: Environment, least: int | None, most: int | None, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        scaling.moved(DEFAULT[env], env, least, most)


def test_every_environment_begins_within_its_widest_bounds() -> None:
    for env in ENVIRONMENTS:
        assert WIDEST[env].least <= DEFAULT[env].least <= DEFAULT[env].most <= WIDEST[env].most


def test_the_template_scales_on_what_can_be_chosen_and_names_metrics_of_application_auto_scaling() -> None:
    template = parse(source.template().data.decode())
    rows = template.mappings["Scaling"]
    assert set(rows) == set(get_args(ScaleOn)) == set(template.parameters["ScaleOn"]["AllowedValues"])
    assert rows["concurrency"]["Metric"] == "SageMakerVariantConcurrentRequestsPerModelHighResolution"
    assert rows["invocations"]["Metric"] == "SageMakerVariantInvocationsPerInstance"
    assert {row["Metric"] for row in rows.values()} <= set(METRICS)
    assert template.parameters["ScaleOn"]["Default"] == "concurrency"


def test_the_dashboard_is_json_with_every_alarm_that_each_environment_has() -> None:
    template = parse(source.template().data.decode())
    text = template.resources["Dashboard"].properties["DashboardBody"]["Fn::Sub"]
    alarms = [name for name, each in template.resources.items() if each.type == "AWS::CloudWatch::Alarm"]
    shown = yaml.safe_load(text)["widgets"][-1]["properties"]["alarms"]
    everywhere = [name for name in alarms if template.resources[name].condition in (None, "Instances")]
    assert sorted(shown) == sorted(f"${{{name}.Arn}}" for name in everywhere)
