"""The sandbox's bill: a pure function of a seed and a day, and what really ran on top of it."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from statistics import median
from threading import RLock
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.aws.costs import prices
from sandbox.aws.costs.filters import compiled, grouping, groupings
from sandbox.aws.costs.history import DAYS, SEED, SOURCES, Spike, history, line, spikes
from sandbox.aws.costs.lines import DIMENSIONS, SAGEMAKER, Line
from sandbox.aws.costs.meter import Meter
from sandbox.aws.costs.pages import page
from sandbox.aws.costs.periods import cut, future, next_month, past
from sandbox.aws.costs.pricing import PriceList
from sandbox.aws.errors import AwsError
from sandbox.aws.sagemaker.endpoints import Endpoint
from sandbox.aws.sagemaker.fleet import Fleet
from sandbox.aws.sagemaker.resources import Record, Resources

ACCOUNT, REGION = "123456789012", "us-east-1"
TODAY = date(2026, 11, 28)
seeds = st.integers(0, 10_000)
days = st.dates(date(2025, 1, 1), date(2030, 12, 31))
few = settings(max_examples=12, deadline=None)


def total(lines: list[Line]) -> Decimal:
    return sum((each.amount for each in lines), Decimal(0))


def daily(lines: list[Line], **tags: str) -> dict[date, Decimal]:
    sums: dict[date, Decimal] = defaultdict(Decimal)
    for each in lines:
        if tags.items() <= each.tag.items():
            sums[each.day] += each.amount
    return sums


# --- the history ---------------------------------------------------------------------------------------------------


@few
@given(seeds, days)
def test_the_history_is_the_same_each_time_and_ends_yesterday(seed: int, today: date) -> None:
    lines = history(seed, today)
    assert lines == history(seed, today)
    assert {each.day for each in lines} == {today - timedelta(days=at) for at in range(1, DAYS + 1)}
    assert all(each.amount > 0 and each.quantity > 0 for each in lines)


@few
@given(seeds, days, st.integers(1, 20))
def test_days_that_come_later_change_none_before(seed: int, today: date, more: int) -> None:
    lines = history(seed, today, today + timedelta(days=more))
    assert [each for each in lines if each.day < today] == history(seed, today)
    assert max(each.day for each in lines) == today + timedelta(days=more - 1)


@few
@given(seeds, st.lists(st.sampled_from([*DIMENSIONS, "Project", "Environment", "Owner"]), min_size=1, max_size=2))
def test_every_grouping_adds_up_to_the_total(seed: int, keys: list[str]) -> None:
    lines = history(seed, TODAY)
    asked = [{"Type": "DIMENSION" if key in DIMENSIONS else "TAG", "Key": key} for key in keys]
    of = groupings(asked, ACCOUNT)
    groups: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
    for each in lines:
        groups[tuple(key(each) for key in of)] += each.amount
    assert sum(groups.values(), Decimal(0)) == total(lines)


@few
@given(seeds)
def test_spikes_stand_out_and_nothing_else_does(seed: int) -> None:
    """Against the same weekday's usual day: a spike is more than noise can be, and noise is less than a spike."""
    series = daily(history(seed, TODAY), Project="groundcrew")
    planted = {day for spike in spikes(seed, TODAY) for day in series if spike.covers(day)}
    assert 1 <= len(spikes(seed, TODAY)) <= 3
    usual = {weekday: median(series[day] for day in series if day.weekday() == weekday) for weekday in range(7)}
    over = {day: series[day] / usual[day.weekday()] for day in series}
    assert min(over[day] for day in planted) > Decimal("1.7")
    assert max(over[day] for day in series if day not in planted) < Decimal("1.5")


def test_the_history_has_weekends_growth_an_untagged_part_and_somebody_else_s() -> None:
    lines = history(SEED, TODAY)
    series = daily(lines, Project="groundcrew")
    planted = {day for spike in spikes(SEED, TODAY) for day in series if spike.covers(day)}
    calm = {day: amount for day, amount in series.items() if day not in planted}
    assert max(calm[day] for day in calm if day.weekday() >= 5) < min(calm[day] for day in calm if day.weekday() < 5)
    storage = daily([each for each in lines if "Storage" in each.service and each.tag], Environment="dev")
    assert storage[max(storage)] > 2 * storage[min(storage)]
    projects = {each.tag.get("Project", "") for each in lines}
    assert projects == {"groundcrew", "field-portal", ""}


def test_hours_cost_what_the_price_list_says() -> None:
    hour = next(each for each in history(SEED, TODAY) if each.usage_type == "USE1-Host:ml.m5.large")
    price = prices.load().hour(REGION, "Hosting", "ml.m5.large")
    assert price is not None
    assert hour.amount == hour.quantity * price.usd
    assert hour.dimension("INSTANCE_TYPE", ACCOUNT) == "ml.m5.large"
    with pytest.raises(KeyError):
        line(SOURCES[0], TODAY, Decimal(1), "ap-south-2")


# --- requests ------------------------------------------------------------------------------------------------------

LINE = line(SOURCES[2], TODAY, Decimal(1), REGION)
BARE = next(each for each in history(SEED, TODAY) if not each.tags)


def tagged(key: str, *values: str, **more: Any) -> dict[str, Any]:
    return {"Tags": {"Key": key, **({"Values": list(values)} if values else {}), **more}}


def of_service(*names: str) -> dict[str, Any]:
    return {"Dimensions": {"Key": "SERVICE", "Values": list(names)}}


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        (None, (True, True)),
        (tagged("Project", "groundcrew"), (True, False)),
        (tagged("Project", "GROUNDCREW"), (False, False)),
        (tagged("Project", "GROUNDCREW", MatchOptions=["EQUALS", "CASE_INSENSITIVE"]), (True, False)),
        (tagged("Project", ""), (False, True)),
        (tagged("Project", MatchOptions=["ABSENT"]), (False, True)),
        ({"Not": tagged("Project", MatchOptions=["ABSENT"])}, (True, False)),
        (of_service(SAGEMAKER), (True, False)),
        ({"And": [of_service(SAGEMAKER), tagged("Environment", "dev", "prod")]}, (True, False)),
        ({"And": [of_service(SAGEMAKER), tagged("Environment", "prod")]}, (False, False)),
        ({"Or": [tagged("Project", MatchOptions=["ABSENT"]), tagged("Environment", "dev")]}, (True, True)),
    ],
)
def test_a_filter_lets_through_what_it_says(expression: dict[str, Any] | None, found: tuple[bool, bool]) -> None:
    wanted = compiled(expression, ACCOUNT)
    assert (wanted(LINE), wanted(BARE)) == found


@pytest.mark.parametrize(
    "expression",
    [
        {"Dimensions": {"Key": "NO_SUCH", "Values": ["x"]}},
        {"Dimensions": {"Key": "SERVICE", "Values": []}},
        {"Dimensions": {"Key": "SERVICE", "MatchOptions": ["ABSENT"]}},
        {"Dimensions": {"Key": "SERVICE", "Values": ["x"], "MatchOptions": ["STARTS_WITH"]}},
        {"And": [of_service("x")]},
        {**of_service("x"), **tagged("Project", "y")},
        {"CostCategories": {"Key": "x", "Values": ["y"]}},
    ],
)
def test_what_is_no_filter_is_refused(expression: dict[str, Any]) -> None:
    with pytest.raises(AwsError) as refusal:
        compiled(expression, ACCOUNT)
    assert refusal.value.code == "ValidationException"


def test_no_more_than_two_groups_and_only_what_lines_have() -> None:
    with pytest.raises(AwsError, match="two"):
        groupings([{"Type": "TAG", "Key": "Project"}] * 3, ACCOUNT)
    with pytest.raises(AwsError, match="COST_CATEGORY"):
        grouping("COST_CATEGORY", "x", ACCOUNT)


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("2026-11-01", "2026-11-01", "Start date (and hour) should be before end date (and hour)"),
        ("2026-11-20", "2026-11-10", "Start date (and hour) should be before end date (and hour)"),
        ("2026-11-29", "2026-11-30", "no later than the current date"),
        ("2026-11-01", "2026-12-02", "end date past the beginning of next month"),
        ("2025-09-30", "2025-10-10", "14 months"),
        ("2026-13-01", "2026-11-10", "is invalid. Valid format is: yyyy-MM-dd."),
        ("20261101", "2026-11-10", "is invalid. Valid format is: yyyy-MM-dd."),
    ],
)
def test_periods_that_reports_refuse(start: str, end: str, words: str) -> None:
    with pytest.raises(AwsError) as refusal:
        past({"Start": start, "End": end}, TODAY)
    assert (refusal.value.code, words in refusal.value.message) == ("ValidationException", True)


@pytest.mark.parametrize(
    ("start", "end", "granularity", "words"),
    [
        ("2026-11-27", "2026-12-05", "DAILY", "Earliest supported Start is 2026-11-28"),
        ("2026-12-05", "2026-12-05", "DAILY", "must be before requested End"),
        ("2026-11-28", "2027-02-02", "DAILY", "Latest supported End is 2027-02-01"),
        ("2026-11-28", "2028-05-02", "MONTHLY", "Latest supported End is 2028-05-01"),
    ],
)
def test_periods_that_forecasts_refuse(start: str, end: str, granularity: str, words: str) -> None:
    with pytest.raises(AwsError, match=words):
        future({"Start": start, "End": end}, granularity, TODAY)


@given(days, st.integers(1, 400), st.sampled_from(["DAILY", "MONTHLY"]))
def test_periods_are_cut_without_gap_or_overlap(first: date, length: int, granularity: str) -> None:
    last = first + timedelta(days=length)
    pieces = list(cut((first, last), granularity))
    assert (pieces[0][0], pieces[-1][1]) == (first, last)
    assert all(one[1] == other[0] for one, other in pairwise(pieces))
    longest = {"DAILY": timedelta(days=1), "MONTHLY": timedelta(days=31)}[granularity]
    assert all(begin < end <= begin + longest and end <= next_month(begin) for begin, end in pieces)


@given(st.lists(st.integers(), max_size=30), st.integers(1, 10))
def test_pages_hold_everything_once_and_in_order(items: list[int], size: int) -> None:
    params, seen = {"a": "b"}, list[int]()
    kept, token = page(items, params, size)
    seen += kept
    while token:
        kept, token = page(items, {**params, "NextPageToken": token}, size)
        seen += kept
    assert seen == items


def test_a_token_belongs_to_its_request() -> None:
    _, token = page([1, 2, 3], {"a": "b"}, 2)
    with pytest.raises(AwsError) as refusal:
        page([1, 2, 3], {"a": "c", "NextPageToken": token}, 2)
    assert refusal.value.code == "RequestChangedException"
    for wrong in ("x", "!", "W10="):
        with pytest.raises(AwsError) as refusal:
            page([1, 2, 3], {"a": "b", "NextPageToken": wrong}, 2)
        assert refusal.value.code == "InvalidNextTokenException"


# --- what really ran -----------------------------------------------------------------------------------------------


def meter() -> tuple[Resources, Meter]:
    resources = Resources(ACCOUNT, REGION, RLock())
    return resources, Meter(resources, REGION, prices.load())


def endpoint(resources: Resources, instance: str, count: int) -> Endpoint:
    variant = {"VariantName": "a", "InstanceType": instance, "InitialInstanceCount": count}
    fleet = cast(Fleet, SimpleNamespace(config={"ProductionVariants": [variant]}))
    made = Endpoint("endpoint", "e", resources.arn("endpoint", "e"), {}, {"Project": "groundcrew"}, fleet=fleet)
    resources.add(made)
    return made


def test_an_endpoint_costs_from_when_it_was_seen_until_it_is_gone() -> None:
    resources, watched = meter()
    begin = datetime(2026, 11, 28, 18, tzinfo=UTC)
    made = endpoint(resources, "ml.m5.large", 2)
    watched.tick(begin)
    watched.tick(begin + timedelta(days=1, hours=12))
    resources.remove(made)
    watched.tick(begin + timedelta(days=3))
    watched.tick(begin + timedelta(days=4))
    found = [(each.day, each.quantity, each.amount, each.tag) for each in watched.lines()]
    tags = {"Project": "groundcrew"}
    assert found == [
        (date(2026, 11, 28), Decimal(12), Decimal("1.38"), tags),
        (date(2026, 11, 29), Decimal(48), Decimal("5.52"), tags),
        (date(2026, 11, 30), Decimal(12), Decimal("1.38"), tags),
    ]


def test_a_clock_that_is_set_back_takes_no_cost_away_and_adds_none() -> None:
    resources, watched = meter()
    begin = datetime(2026, 11, 28, tzinfo=UTC)
    endpoint(resources, "ml.m5.large", 1)
    for hours in (0, 10, 4, 6):
        watched.tick(begin + timedelta(hours=hours))
    assert [each.quantity for each in watched.lines()] == [Decimal(10)]


def test_a_job_costs_its_billed_seconds_on_the_day_it_began_by_the_account_s_clock() -> None:
    resources, watched = meter()
    started = datetime.now(UTC) - timedelta(minutes=30)
    times = {"TrainingStartTime": started, "TrainingEndTime": started + timedelta(minutes=20)}
    body = {**times, "ResourceConfig": {"InstanceType": "ml.c5.xlarge", "InstanceCount": 2}}
    resources.add(
        Record("training-job", "t", resources.arn("training-job", "t"), {**body, "BillableTimeInSeconds": 900})
    )
    processing = {"ProcessingStartTime": started, "ProcessingEndTime": started + timedelta(seconds=10.2)}
    cluster = {"ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1}}}
    resources.add(
        Record("processing-job", "p", resources.arn("processing-job", "p"), {**processing, **cluster}, {"Owner": "x"})
    )
    watched.tick(datetime.now(UTC) + timedelta(days=5))
    training, other = watched.lines()
    assert training.day == (started + timedelta(days=5)).date()
    assert (training.usage_type, training.quantity) == ("USE1-Train:ml.c5.xlarge", Decimal("0.5"))
    assert training.amount == Decimal("0.102")
    assert (other.quantity * 3600).quantize(Decimal("0.001")) == 11
    assert other.tag == {"Owner": "x"}


def test_what_has_no_price_is_left_out() -> None:
    resources, watched = meter()
    endpoint(resources, "ml.p5.48xlarge", 1)
    watched.tick(datetime(2026, 11, 28, tzinfo=UTC))
    watched.tick(datetime(2026, 11, 29, tzinfo=UTC))
    assert list(watched.lines()) == []


# --- prices --------------------------------------------------------------------------------------------------------


def test_every_product_has_one_key_and_one_price() -> None:
    products = prices.load().products
    assert len({(one.region, one.component, one.instance) for one in products}) == len(products)
    assert len({one.usage_type for one in products}) == len(products)
    assert all(one.usd > 0 for one in products)


def test_a_price_list_entry_is_spelled_as_aws_spells_it() -> None:
    filters = {"regionCode": "eu-central-1", "component": "Training", "instanceName": "ml.c5.xlarge"}
    asked = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in filters.items()]
    answer = PriceList(prices.load()).get_products({"ServiceCode": "AmazonSageMaker", "Filters": asked})
    (entry,) = (json.loads(text) for text in answer["PriceList"])
    attributes = entry["product"]["attributes"]
    assert entry["product"]["productFamily"] == "ML Instance"
    assert attributes["usagetype"] == "EUC1-Train:ml.c5.xlarge"
    assert attributes["instanceType"] == "ml.c5.xlarge-Training"
    (term,) = entry["terms"]["OnDemand"].values()
    (dimension,) = term["priceDimensions"].values()
    assert (dimension["unit"], dimension["pricePerUnit"]) == ("Hrs", {"USD": "0.2330000000"})


def test_a_spike_covers_its_days() -> None:
    spike = Spike(TODAY, 2, SOURCES[0], Decimal(1))
    assert [spike.covers(TODAY + timedelta(days=at)) for at in (-1, 0, 1, 2)] == [False, True, True, False]
