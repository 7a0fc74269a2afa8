"""The price before a command runs and the actual after it, as people see them, by the one training."""

from __future__ import annotations

import re

import pytest

from sandbox.person import Person, buttons
from tests.conftest import Training

pytestmark = pytest.mark.usefixtures("training")

COST = re.compile(r"(\d+\.\d+) USD \(estimate (\d+\.\d+) to (\d+\.\d+)\)")


def test_a_finished_run_says_what_it_cost_beside_what_was_estimated(ds: Person, training: Training) -> None:
    told = ds.sees("in dev: done", "(estimate", ts=training.message["ts"], seconds=60)["words"]
    found = COST.search(told)
    assert found, told
    actual, low, high = map(float, found.groups())
    assert 0 < low < high
    assert 0 < actual <= high  # nothing like it had run: the range is wide, and it is the survey of a sandbox


def test_an_estimate_is_told_without_running_anything(ds: Person, training: Training) -> None:
    ds.sees("(estimate", ts=training.message["ts"], seconds=60)  # the books are closed on it
    runs = ds.asks("pipeline list", "training run")["words"]
    told = ds.asks("cost estimate pipeline run", "About 0.", "Estimated cost")["words"]
    assert "from the last" in told
    assert "prices of 20" in told
    for step in ("Preprocess", "Train", "Evaluate", "Baseline", "Deploy"):
        assert step in told
    assert ds.asks("pipeline list", "training run")["words"] == runs


def test_what_is_dear_is_asked_about_and_shows_its_price_and_a_cheaper_way(ds: Person) -> None:
    line = "deployment create --env dev --instance-type ml.c5.2xlarge"
    asked = ds.asks(line, "Really deploy detector v", "Estimated monthly cost", "Cheaper")
    assert "297.84 USD until it is deleted" in asked["words"]
    assert buttons(asked)["Yes, do it"] == f"{line} --yes"
    assert "ml.c5.2xlarge" not in ds.asks("deployment status --env dev", "in service")["words"]


def test_a_run_that_would_be_stopped_before_it_is_done_is_asked_about(ds: Person, training: Training) -> None:
    ds.sees("(estimate", ts=training.message["ts"], seconds=60)
    asked = ds.asks("pipeline run --epochs 300 --image-size 1280", "Really start this pipeline run?")
    assert "is stopped after 4 h" in asked["words"]


def test_a_deployment_says_what_it_costs_by_the_hour(ds: Person) -> None:
    ds.asks("deployment status --env dev", "0.115 USD an hour until it is deleted")


def test_a_line_that_starts_nothing_is_said_so(ds: Person) -> None:
    ds.asks("cost estimate whoami", "starts nothing that costs by the hour")
