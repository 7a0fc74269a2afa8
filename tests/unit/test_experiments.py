"""Experiments: which run is meant, what differs, which is best, and how it is told; the way into MLflow's own pages."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sqlalchemy import Engine, create_engine

from bot.runner import Case, Runner
from commands import experiments as commands_experiments
from commands.command import Context, Person
from commands.curve_chart import COLOURS, MOST, SIZE, Curve, curves
from commands.parsing import parse, usage
from commands.reply import Action, Code, Link, Menu, Outcome, Reply
from pipeline import experiments
from pipeline.errors import BadInput, GroundcrewError, NotFound, Unavailable
from pipeline.names import Names
from pipeline.tracking import Point, Run, Tracking
from pipeline.transport import sign_in
from sandbox.aws.sagemaker.errors import ResourceNotFound
from sandbox.aws.sagemaker.mlflow import Mlflow
from state import invocations
from state.invocations import Arrival
from tests.unit.fake_aws import FakeClient, refusal
from tests.unit.test_studio import Place, stored

DEV, STAGING = "groundcrew-dev-detector", "groundcrew-staging-detector"
APP = "arn:aws:sagemaker:us-east-1:123456789012:mlflow-app/app-ABCDEF"
SERVER = "arn:aws:sagemaker:us-east-1:123456789012:mlflow-tracking-server/groundcrew"
KEY = "https://mlflow.sagemaker.us-east-1.app.aws/auth?authToken=eyJ0b3BzZWNyZXQ"


def run(name: str, experiment: str = DEV, **more: Any) -> Run:
    """A run whose id begins with its name's letters in hexadecimal."""
    values: dict[str, Any] = {
        "params": {"epochs": "4", "imgsz": "128", "save_dir": f"/opt/{name}", "data/train_images": "40"},
        "metrics": {"test/map50": 0.9, "val/map50": 0.8, "train/box_loss": 1.0, "train/wall_seconds": 30.0},
        "tags": {"data_version": "3322bb179fb8", "execution": f"arn:x/execution/{name}"},
        "status": "FINISHED",
    }
    id = name.encode().hex().ljust(32, "0")[:32]
    return Run(
        id=id,
        experiment_id=experiment,
        name=name,
        artifact_uri="s3://b/x",
        started=1000.0,
        ended=1090.0,
        **(values | more),
    )


class Shelf(Tracking):
    """MLflow with some runs: it understands a beginning of a name or an id, and no other filter."""

    def __init__(self, *runs: Run, uri: str = "http://127.0.0.1:9") -> None:
        super().__init__(uri)
        self.runs = runs
        self.asked: list[tuple[str, tuple[str, ...], int]] = []

    def experiment_name(self, id: str) -> str:
        return id

    def get_run(self, run_id: str) -> Run:
        found = [run for run in self.runs if run.id == run_id]
        if not found:
            raise NotFound("MLflow run", run_id)
        return found[0]

    def search_runs(
        self,
        experiments: Sequence[str],
        filter: str = "",
        *,
        order_by: Sequence[str] = (),
        limit: int = 100,
    ) -> list[Run]:
        self.asked.append((filter, tuple(order_by), limit))
        said = re.fullmatch(r"attributes\.(run_name|run_id) LIKE '(.*)%'", filter)
        if filter and not said:
            raise BadInput(f"MLflow cannot read that: {filter}")
        kept = [run for run in self.runs if run.experiment_id in experiments]
        if said:
            kept = [run for run in kept if (run.name if said[1] == "run_name" else run.id).startswith(said[2])]
        return kept[:limit]

    def metric_history(self, run_id: str, key: str) -> list[Point]:
        last = self.get_run(run_id).metrics[key]
        return [Point(epoch, last * epoch / 4, 0.0) for epoch in range(1, 5)]


class Silent(Tracking):
    """MLflow that does not answer."""

    def search_runs(self, *args: Any, **kwargs: Any) -> list[Run]:
        raise Unavailable("MLflow does not answer at http://x (Timeout).", "Check that the MLflow server runs.")


ALPHA, BETA, GAMMA = run("alpha1"), run("beta22"), run("gamma3", STAGING)


# ---------------------------------------------------------------- which run is meant


@pytest.mark.parametrize("text", ["alpha1", "alp", "ALPHA1", ALPHA.id, ALPHA.id[:12]])
def test_a_run_is_known_by_its_execution_or_its_id_or_the_beginning_of_either(text: str) -> None:
    assert experiments.find(Shelf(ALPHA, BETA), DEV, text) is ALPHA


def test_a_name_that_is_the_beginning_of_another_stands_for_itself() -> None:
    longer = run("alpha12")
    assert experiments.find(Shelf(longer, ALPHA), DEV, "alpha1") is ALPHA
    with pytest.raises(BadInput, match="2 runs begin with 'alp'") as caught:
        experiments.find(Shelf(longer, ALPHA), DEV, "alp")
    assert caught.value.advice == "Say more of it: alpha12, alpha1."


def test_an_unknown_run_is_answered_with_the_nearest() -> None:
    with pytest.raises(NotFound) as caught:
        experiments.find(Shelf(ALPHA, BETA), DEV, "alpha7")
    assert caught.value.nearest == ["alpha1"]
    with pytest.raises(NotFound):
        experiments.find(Shelf(ALPHA), DEV, "0" * 32)


@pytest.mark.parametrize("text", ["gamma3", GAMMA.id])
def test_a_run_of_another_experiment_is_not_compared(text: str) -> None:
    with pytest.raises(BadInput, match=f"gamma3 belongs to the experiment {STAGING}, not to {DEV}") as caught:
        experiments.find(Shelf(ALPHA, GAMMA), DEV, text, [STAGING])
    assert "--env" in caught.value.advice


@pytest.mark.parametrize("text", ["", "a", "a' OR ''='", "alpha%", "ålpha", "x" * 80])
def test_what_is_no_run_is_not_asked_for(text: str) -> None:
    shelf = Shelf(ALPHA)
    with pytest.raises(BadInput, match="is no run"):
        experiments.find(shelf, DEV, text)
    assert shelf.asked == []


# ---------------------------------------------------------------- what differs, and which is best

VALUES = st.lists(st.none() | st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=8)


@given(VALUES, st.sampled_from(["test/map50", "train/box_loss", "train/wall_seconds", "val/recall", "epochs_done"]))
def test_nothing_is_better_than_the_best_in_whatever_order(values: list[float | None], metric: str) -> None:
    found = experiments.best(metric, values)
    known = [value for value in values if value is not None and math.isfinite(value)]
    sign = {"higher": 1, "lower": -1, None: 0}[experiments.better(metric)]
    if sign == 0 or len(set(known)) < 2:
        assert found == frozenset()
        return
    winners = {values[at] for at in found}
    assert len(winners) == 1
    (top,) = winners
    assert top is not None and all(sign * top >= sign * value for value in known)
    backwards = experiments.best(metric, values[::-1])
    assert {len(values) - 1 - at for at in backwards} == found


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("test/map50_95", "higher"),
        ("val/precision", "higher"),
        ("train/box_loss", "lower"),
        ("val/dfl_loss", "lower"),
        ("train/cpu_seconds", "lower"),
        ("lr/pg0", None),
    ],
)
def test_what_is_better_depends_on_the_metric(metric: str, direction: str | None) -> None:
    assert experiments.better(metric) == direction


@given(st.lists(st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["1", "2", "/tmp/x", "/tmp/y"])), min_size=2))
def test_exactly_the_parameters_that_differ_are_told_but_for_places(each: list[dict[str, str]]) -> None:
    told = {row.name for row in experiments.settings([run("r", params=params, tags={}) for params in each])}
    for name in "abcd":
        values = {params.get(name) for params in each}
        place = all(value is None or value.startswith("/") for value in values)
        assert (name in told) == (len(values) > 1 and not place)


def test_other_data_or_code_is_a_difference_too() -> None:
    rows = experiments.settings([ALPHA, run("x", tags={"data_version": "other"})])
    assert [(row.name, row.values) for row in rows] == [("data_version", ["3322bb179fb8", "other"])]


def test_metrics_on_the_test_photos_come_first() -> None:
    assert [row.name for row in experiments.metrics([ALPHA])][:2] == ["test/map50", "val/map50"]
    assert experiments.drawable([ALPHA]) == ["val/map50", "train/box_loss"]


# ---------------------------------------------------------------- the picture


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(1, 300), st.floats(-1e6, 1e6)), min_size=1, max_size=40, unique_by=lambda p: p[0]
        ),
        min_size=1,
        max_size=MOST,
    )
)
def test_any_curves_can_be_drawn(found: list[list[tuple[int, float]]]) -> None:
    drawn = curves([Curve(f"run {at}", sorted(points)) for at, points in enumerate(found)], "loss")
    with Image.open(BytesIO(drawn)) as picture:
        assert picture.size == SIZE


def test_each_run_has_a_colour_of_its_own_and_a_gap_is_a_gap() -> None:
    flat = [Curve(f"r{at}", [(1, at / 10), (2, at / 10), (3, math.nan), (4, at / 10)]) for at in range(MOST)]
    with Image.open(BytesIO(curves(flat, "val/map50 by epoch"))) as picture:
        seen = {found for _, found in picture.convert("RGB").getcolors(1 << 24) or []}
    assert {tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5)) for colour in COLOURS} <= seen


# ---------------------------------------------------------------- the commands


def context(tracking: Tracking, **more: Any) -> Context:
    see = FakeClient(describe_pipeline={})
    given: dict[str, Any] = {"client": lambda service: see, "web_links": {"mlflow": "http://mlflow:5000/"}, **more}
    return Context(
        person=Person("T0GC", "U0DS1", "ds", "data-scientist"),
        invocation="i",
        names=Names("123456789012", "us-east-1"),
        tracking=tracking,
        state=create_engine("sqlite://"),
        **given,
    )


def typed(line: str, tracking: Tracking, **more: Any) -> Reply:
    command, arguments = parse(line)
    return command.handler(context(tracking, **more), **arguments)


def pressed(reply: Reply) -> dict[str, str]:
    """Command or address by label, options of menus too."""
    each = [option for action in reply.actions for option in (action.options if isinstance(action, Menu) else [action])]
    return {action.label: action.command or action.url or "" for action in each if isinstance(action, Action)}


def test_a_search_shows_what_it_names_and_pages_both_ways() -> None:
    many = Shelf(*(run(f"run{at:03}") for at in range(7)))
    line = (
        "experiments search \"attributes.run_name LIKE 'run%'\" --order-by 'metrics.`val/recall` DESC, params.imgsz' "
    )
    reply = typed(line + "--limit 3 --page 2", many)
    assert reply.title == "Runs 4 to 6 in dev, and there are more"
    assert many.asked[-1] == ("attributes.run_name LIKE 'run%'", ("metrics.`val/recall` DESC", "params.imgsz"), 7)
    assert reply.table is not None
    assert [row[0] for row in reply.table.rows] == ["run003", "run004", "run005"]
    assert {"val/recall", "imgsz"} <= set(reply.table.columns)
    buttons = pressed(reply)
    assert pressed(typed(buttons["Next page"], many)).keys() >= {"Previous page"}
    last, first = typed(buttons["Next page"], many), typed(buttons["Previous page"], many)
    assert (last.title, first.title) == ("Run 7 in dev", "Runs 1 to 3 in dev, and there are more")
    assert "Next page" not in pressed(last)
    assert "Previous page" not in pressed(first)
    assert typed(buttons["Compare the first 3"], many).title.startswith("3 runs compared")


def test_a_filter_that_mlflow_rejects_is_answered_with_its_words_and_an_example() -> None:
    reply = typed("experiments search 'what > >'", Shelf(ALPHA))
    assert (reply.outcome, reply.quote) == (Outcome.ERROR, "what > >")
    (example,) = [part.text for part in reply.text if isinstance(part, Code)]
    assert parse(example)[0].name == "experiments search"


def test_when_nothing_fits_it_says_so() -> None:
    assert typed("experiments search", Shelf()).title == "No run in dev was tracked yet"
    assert typed("experiments search \"attributes.run_name LIKE 'x%'\"", Shelf(ALPHA)).title == "No run in dev fits"
    assert typed("experiments search --page 3", Shelf(ALPHA)).title == "There is no page 3"


def test_a_run_is_shown_with_its_settings_metrics_and_curve() -> None:
    reply = typed("experiments show alpha1", Shelf(ALPHA))
    assert reply.title == "Run alpha1 in dev: finished, mAP50 0.900"
    facts = {fact.label: fact.value for fact in reply.facts}
    assert facts["Settings"] == "epochs 4 · imgsz 128"
    assert facts["Data"] == "3322bb179fb8: 40 train"
    assert reply.table is not None and reply.table.rows[0] == ("test/map50", "0.9")
    assert reply.picture is not None and "alpha1 from 0.2 to 0.8" in reply.picture.alt
    buttons = pressed(reply)
    assert buttons["The pipeline run"] == "pipeline show alpha1 --env dev"
    assert buttons["Open in MLflow"] == f"http://mlflow:5000/#/experiments/{DEV}/runs/{ALPHA.id}"
    every = typed(buttons["All parameters"], Shelf(ALPHA)).table
    assert every is not None and ("save_dir", "/opt/alpha1") in every.rows


def test_runs_are_compared_by_what_differs_with_the_best_marked() -> None:
    better = run("beta22", params={"epochs": "8", "imgsz": "128"}, metrics={"test/map50": 0.95, "train/box_loss": 2.0})
    reply = typed("experiments compare alpha1 beta22", Shelf(ALPHA, better))
    assert reply.title == "2 runs compared: beta22 is best, mAP50 0.950"
    assert reply.table is not None
    rows = {row[0]: tuple(row[1:]) for row in reply.table.rows}
    assert rows["epochs"] == ("4", "8")
    assert "imgsz" not in rows and "save_dir" not in rows
    assert rows["test/map50"] == ("0.9", "0.95 · best")
    assert rows["train/box_loss"] == ("1 · best", "2")
    assert "No curve of val/map50: beta22." in str(reply.text)
    assert reply.picture is not None and "beta22" not in reply.picture.alt
    opened = pressed(reply)["Open in MLflow"]
    assert opened.startswith("http://mlflow:5000/#/compare-runs?runs=%5B%22")
    assert ALPHA.id in opened and better.id in opened
    assert pressed(reply)["train/box_loss"].endswith("--metric train/box_loss")


def test_the_usage_says_that_several_runs_follow() -> None:
    said = usage(parse("experiments compare a b")[0])
    assert said == "experiments compare <run> … [--metric …] [--env dev|staging|prod]"


def test_a_comparison_over_different_data_warns() -> None:
    other = run("beta22", tags={"data_version": "other"}, status="FAILED")
    text = str(typed("experiments compare alpha1 beta22", Shelf(ALPHA, other)).text)
    assert "different versions of the data" in text
    assert "Not finished: beta22." in text


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("experiments compare alpha1", "Two to 8 runs"),
        ("experiments compare alpha1 alp", "A run is named twice"),
        ("experiments compare alpha1 gamma3", "belongs to the experiment groundcrew-staging-detector"),
        ("experiments compare alpha1 nobody", "There is no run of groundcrew-dev-detector 'nobody'"),
        (f"experiments compare {' '.join(['alpha1'] * 9)}", "Two to 8 runs"),
    ],
)
def test_what_cannot_be_compared_is_refused(line: str, words: str) -> None:
    with pytest.raises(GroundcrewError, match=words):
        typed(line, Shelf(ALPHA, BETA, GAMMA))


@pytest.mark.parametrize("line", ["search", "show alpha1", "compare alpha1 beta22", "open alpha1"])
def test_while_mlflow_is_down_it_is_said_and_what_works_is_offered(line: str) -> None:
    reply = typed(f"experiments {line}", Silent(""))
    assert (reply.title, reply.outcome) == ("MLflow cannot be asked now", Outcome.ERROR)
    assert "Runs go on without it" in str(reply.text)
    assert set(pressed(reply).values()) == {"registry list --env dev", "pipeline list --env dev"}


def test_aws_decides_who_sees_an_environment_before_mlflow_is_asked() -> None:
    shelf = Shelf(ALPHA)
    denied = FakeClient(describe_pipeline=refusal("AccessDeniedException", "not authorized"))
    for line in ("search", "show alpha1", "compare alpha1 beta22", "open alpha1"):
        with pytest.raises(Exception, match="not authorized"):
            typed(f"experiments {line} --env staging", shelf, client=lambda service: denied)
    assert shelf.asked == []
    assert denied.requests("describe_pipeline")[0] == {"PipelineName": STAGING}


# ---------------------------------------------------------------- the way into MLflow


@pytest.mark.parametrize(
    ("uri", "operation", "request_"),
    [
        (APP, "create_presigned_mlflow_app_url", {"Arn": APP}),
        (SERVER, "create_presigned_mlflow_tracking_server_url", {"TrackingServerName": "groundcrew"}),
    ],
)
def test_an_address_is_minted_as_whoever_asks(uri: str, operation: str, request_: Mapping[str, str]) -> None:
    client = FakeClient(**{operation: {"AuthorizedUrl": KEY}})
    assert sign_in(client, uri, opens_for_s=60, lasts_s=1800) == KEY
    assert client.requests(operation) == [
        {**request_, "ExpiresInSeconds": 60, "SessionExpirationDurationInSeconds": 1800}
    ]
    with pytest.raises(Unavailable, match="without AWS"):
        sign_in(client, "http://127.0.0.1:5000", opens_for_s=60, lasts_s=1800)


class Aws(Place):
    """A workplace whose MLflow is SageMaker's."""

    def context(self, case: Case, tags: Mapping[str, str]) -> Context:
        return replace(super().context(case, tags), tracking=Shelf(ALPHA, uri=APP))


def test_the_link_into_an_app_is_said_once_and_stored_nowhere(engine: Engine) -> None:
    place = Aws(engine, describe_pipeline={}, create_presigned_mlflow_app_url={"AuthorizedUrl": KEY})
    line = f"experiments open {ALPHA.id} {BETA.id}"
    arrival = Arrival("command", "d1", "T0GC", "U0DS1", line, channel="C0DEV", response_url="http://r")
    with place.engine.begin() as connection:
        invocations.accept(connection, arrival)
    claimed = invocations.claim(place.engine, "worker")
    assert claimed is not None
    reply = Runner(place, "worker").run(claimed)
    assert [link.url for link in place.heard] == [KEY]
    assert (reply.outcome, reply.title) == (Outcome.OK, "MLflow is open for you")
    assert f"attributes.run_id IN ('{ALPHA.id}', '{BETA.id}')" in str(reply.facts)
    kept = stored(engine)
    assert "MLflow is open for you" in kept
    assert "authToken" not in kept + repr(reply)


def test_where_aws_keeps_mlflow_the_button_mints_a_link_for_whoever_presses_it() -> None:
    reply = typed("experiments show alpha1", Shelf(ALPHA, uri=APP), web_links={})
    assert pressed(reply)["Open in MLflow"] == f"experiments open {ALPHA.id} --env dev"
    assert "Open in MLflow" not in pressed(typed("experiments show alpha1", Shelf(ALPHA, uri=""), web_links={}))


def test_a_link_to_a_server_people_reach_is_no_secret() -> None:
    heard: list[Link] = []
    reply = typed("experiments open alpha1 beta22", Shelf(ALPHA, BETA), whisper=heard.append)
    assert reply.title == "alpha1, beta22 in MLflow"
    assert "compare-runs" in str(reply.text)
    assert heard == []
    assert commands_experiments.OPENS_FOR_S <= 300  # the longest that AWS takes


def test_the_stand_in_has_no_mlflow_of_sagemaker_s() -> None:
    with pytest.raises(ResourceNotFound, match="app-ABCDEF does not exist"):
        Mlflow().create_presigned_mlflow_app_url({"Arn": APP})
    with pytest.raises(ResourceNotFound, match="groundcrew does not exist"):
        Mlflow().create_presigned_mlflow_tracking_server_url({"TrackingServerName": "groundcrew"})
