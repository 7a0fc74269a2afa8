"""The monitor's reports and baselines as they are read from S3, and ground truth before the monitor reads it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline import baselines, looks, reports, rollback, source, truths
from pipeline.deployment import Stack
from pipeline.errors import BadInput, NotFound, Refused
from tests.unit.drifting import BUCKET, ENDPOINT, HOME, HOUR, JPEG, MODEL, NAMES, NOW, leave, stamp, statistics, verdict
from tests.unit.fake_aws import FakeClient, refusal
from tests.unit.fake_s3 import FakeS3

DAY = timedelta(days=1)


def ends(shelf: reports.Shelf) -> list[datetime]:
    return [report.end for report in shelf.reports]


def test_reports_of_both_kinds_of_schedule_are_found_newest_first() -> None:
    s3 = FakeS3()
    leave(s3, verdict(end=NOW - HOUR))
    leave(s3, verdict(end=NOW), f"{HOME}/{stamp(NOW)}/ab12cd34")
    leave(s3, verdict(end=NOW - 2 * HOUR), f"{HOME}/{ENDPOINT}-monitor/{NOW:%Y/%m/%d/%H}")
    assert ends(reports.between(s3, HOME, NOW - DAY, NOW)) == [NOW, NOW - HOUR, NOW - 2 * HOUR]
    assert ends(reports.between(s3, HOME, NOW - 2 * HOUR, NOW - HOUR)) == [NOW - HOUR]


def test_of_two_looks_at_one_window_the_later_counts() -> None:
    s3 = FakeS3()
    leave(s3, verdict("drift"))
    s3.hold(f"{HOME}/{stamp(NOW)}/verdict.json", json.dumps(verdict("drift")).encode(), NOW)
    s3.hold(f"{HOME}/{stamp(NOW)}/zz/verdict.json", json.dumps(verdict("no drift")).encode(), NOW + HOUR)
    s3.hold(f"{HOME}/{stamp(NOW)}/aa/verdict.json", json.dumps(verdict("warning")).encode(), NOW + HOUR / 2)
    (found,) = reports.between(s3, HOME, NOW - DAY, NOW).reports
    assert found.kind == "no drift"


def test_what_was_written_long_ago_is_not_even_listed() -> None:
    s3 = FakeS3()
    leave(s3, b"broken", f"{HOME}/2020-01-01T00:00:00Z")
    leave(s3, b"broken", f"{HOME}/{ENDPOINT}-monitor/2020/01/01/00")
    leave(s3, verdict())
    shelf = reports.between(s3, HOME, NOW - DAY, NOW)
    assert (len(shelf.reports), shelf.unreadable) == (1, [])


@pytest.mark.parametrize(
    "told",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b" " * (reports.LARGEST_VERDICT + 1),
        json.dumps(verdict("all is well")).encode(),
        json.dumps(verdict(images=-1)).encode(),
        json.dumps(verdict(images=True)).encode(),
        json.dumps(verdict(window={"start": stamp(NOW), "end": stamp(NOW)})).encode(),
        json.dumps(verdict(window={"start": "yesterday", "end": "today"})).encode(),
        json.dumps(verdict(columns=[{"column": "a", "distance": float("nan")}])).encode(),
        json.dumps(verdict(columns=["sharpness"])).encode(),
        json.dumps(verdict(violations=[{}])).encode(),
    ],
)
def test_a_verdict_that_is_none_is_counted_and_not_shown(told: bytes) -> None:
    s3 = FakeS3()
    folder = leave(s3, told, f"{HOME}/{stamp(NOW)}")
    shelf = reports.between(s3, HOME, NOW - DAY, NOW)
    assert (shelf.reports, shelf.unreadable) == ([], [folder])


@given(st.recursive(st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=5)), st.lists, max_leaves=5))
def test_any_member_may_be_anything(value: Any) -> None:
    for name in verdict():
        try:
            reports.read(json.dumps({**verdict(), name: value}).encode(), "s3://b/f")
        except BadInput:
            continue


def test_the_columns_that_moved_come_first_whatever_their_distance() -> None:
    found = reports.read(json.dumps(verdict()).encode(), "f")
    assert [each.name for each in found.columns] == ["sharpness", "brightness"]
    assert [each.name for each in found.moved] == ["sharpness"]
    assert found.ratio == pytest.approx(3)
    assert found.unreadable == 2


def test_windows_side_by_side_share_no_time() -> None:
    def report(end: datetime, length: timedelta) -> reports.Report:
        return reports.read(json.dumps(verdict(end=end, length=length)).encode(), "f")

    found = [report(NOW, HOUR), report(NOW - HOUR / 2, DAY), report(NOW - HOUR, HOUR), report(NOW - 3 * HOUR, HOUR)]
    assert [each.end for each in reports.side_by_side(found)] == [NOW, NOW - HOUR, NOW - 3 * HOUR]


def test_a_long_look_does_not_hide_the_hours_in_it() -> None:
    s3 = FakeS3()
    for hour in range(3):
        leave(s3, verdict("no drift", end=NOW - hour * HOUR))
    leave(s3, verdict("drift", end=NOW + HOUR / 2, length=4 * HOUR), folder=f"{HOME}/{stamp(NOW + HOUR / 2)}/0a1b2c")
    leave(s3, verdict("drift", end=NOW - 5 * HOUR), folder=f"{HOME}/{stamp(NOW - 5 * HOUR)}/3d4e5f")
    found = reports.side_by_side(reports.between(s3, HOME, NOW - 9 * HOUR, NOW + HOUR).reports)
    assert [(each.end, each.asked) for each in found] == [
        (NOW, False), (NOW - HOUR, False), (NOW - 2 * HOUR, False), (NOW - 5 * HOUR, True)
    ]  # fmt: skip


def test_a_file_too_large_for_a_message_is_left_out() -> None:
    s3 = FakeS3()
    leave(s3, verdict(), chart_png=b"x" * 100)
    (found,) = reports.between(s3, HOME, NOW - DAY, NOW).reports
    assert reports.file(s3, found, reports.CHART, most=99) is None
    assert reports.file(s3, found, reports.CHART, most=100) == b"x" * 100
    assert reports.file(s3, found, reports.EXAMPLES) is None


def test_too_many_reports_are_refused_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MOST", 2)
    s3 = FakeS3()
    for hour in range(3):
        leave(s3, verdict(end=NOW - hour * HOUR))
    with pytest.raises(BadInput, match="3 reports are too many"):
        reports.between(s3, HOME, NOW - DAY, NOW)


def accepted(**more: Any) -> tuple[FakeS3, reports.Report]:
    s3 = FakeS3()
    told = verdict(images=900, models={MODEL: 900}, **more)
    leave(
        s3, told, baseline__statistics_json=statistics(), baseline__constraints_json=b"{}", baseline__examples_jpg=JPEG
    )
    return s3, reports.between(s3, HOME, NOW - DAY, NOW).reports[0]


def test_a_window_becomes_the_baseline_with_a_record_of_why() -> None:
    s3, found = accepted()
    chosen = baselines.candidate(s3, found)
    folder = baselines.accept(s3, NAMES, "dev", ENDPOINT, chosen, {"reason": "autumn"})
    assert folder == f"s3://{BUCKET}/dev/baselines/{ENDPOINT}/c2c2c2c2c2c2"
    assert s3.keys(folder) == ["accepted.json", "constraints.json", "examples.jpg", "statistics.json"]
    loaded = baselines.load(s3, folder)
    assert (loaded.images, loaded.accepted["reason"], loaded.classes) == (900, "autumn", ["vehicle", "boat"])
    assert loaded.limits == [(30, 0.61), (200, 0.33)]


def test_a_baseline_that_changed_after_it_was_looked_at_is_not_taken() -> None:
    s3, found = accepted()
    chosen = baselines.candidate(s3, found)
    s3.hold(f"{chosen.folder}/statistics.json", statistics(images=901))
    with pytest.raises(Refused, match="has changed"):
        baselines.accept(s3, NAMES, "dev", ENDPOINT, chosen, {})


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"images": 499}, "499 images"),
        ({"models": {MODEL: 500, "8" * 64: 400}}, "several models"),
        ({"models": {"": 900}}, "not known by which"),
        ({"files": frozenset()}, "did not keep"),
    ],
)
def test_a_window_that_cannot_be_a_baseline_says_what_to_do(told: dict[str, Any], said: str) -> None:
    s3, found = accepted()
    with pytest.raises(Refused, match=said) as refused:
        baselines.candidate(s3, replace(found, **told))
    assert refused.value.advice


def test_what_is_no_baseline_is_told_apart_from_none() -> None:
    s3 = FakeS3()
    with pytest.raises(NotFound):
        baselines.load(s3, "s3://b/f")
    s3.hold("s3://b/f/statistics.json", b'{"features": []}')
    with pytest.raises(BadInput, match="is not a baseline"):
        baselines.load(s3, "s3://b/f")


def truth_line(id: str = "i1") -> bytes:
    told = json.dumps({"objects": [{"class": "boat", "box": [0, 0, 1, 1]}]})
    return json.dumps(
        {"groundTruthData": {"data": told, "encoding": "JSON"}, "eventMetadata": {"eventId": id}}
    ).encode()


def test_ground_truth_is_counted_by_the_hours_of_the_window() -> None:
    s3, prefix = FakeS3(), "s3://b/dev/ground-truth/may"
    s3.hold(f"{prefix}/{NOW - HOUR:%Y/%m/%d/%H}/a.jsonl", b"\n".join([truth_line(), b"", b"{}", b"nonsense"]))
    s3.hold(f"{prefix}/main/{NOW - HOUR:%Y/%m/%d/%H}/b.jsonl", truth_line("i2") + b"\n" + truth_line("i3"))
    s3.hold(f"{prefix}/2020/01/01/00/c.jsonl", truth_line())
    s3.hold(f"{prefix}/labels.csv", b"a,b")
    found = truths.look(s3, prefix, NOW - HOUR, NOW)
    assert (found.files, found.others, found.records, found.unusable, found.whole) == (2, 2, 3, 2, True)
    assert found.words() == (
        "3 usable records in 2 files of this window, 2 lines that cannot be used, 2 files of other hours or names"
    )


def test_a_huge_file_of_ground_truth_is_not_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    line = truth_line() + b"\n"
    monkeypatch.setattr(truths, "MOST_BYTES", 3 * len(line) + 5)
    s3 = FakeS3()
    s3.hold(f"s3://b/p/{NOW:%Y/%m/%d/%H}/a.jsonl", line * 10)
    found = truths.look(s3, "s3://b/p", NOW, NOW + HOUR)
    assert (found.records, found.unusable, found.whole) == (3, 0, False)
    assert found.words().startswith("at least 3 usable")


GIVEN = {
    "CodeUri": "s3://b/dev/code/x/source.tar.gz",
    "CaptureUri": "s3://b/dev/capture",
    "ImageUri": "image:1",
    "ExecutionRoleArn": NAMES.role("dev-execution"),
    "BaselineStatistics": "s3://b/dev/runs/e/baseline/baseline/statistics.json",
    "BaselineConstraints": "s3://b/dev/runs/e/baseline/baseline/constraints.json",
}


def stack(**parameters: str) -> Stack:
    given = {**GIVEN, **parameters}
    return Stack(ENDPOINT, "arn:stack/1", "UPDATE_COMPLETE", "", given, datetime.now(UTC))


def begin(sagemaker: FakeClient, about: Stack) -> str:
    return looks.begin(sagemaker, NAMES, "dev", about, NOW - HOUR, NOW, token="0a1b2c3d4e5f6789")


def test_a_look_is_the_scheduled_job_over_another_window_and_without_metrics() -> None:
    sagemaker = FakeClient(create_processing_job={"ProcessingJobArn": "arn:job"})
    assert begin(sagemaker, stack()) == "arn:job"
    (sent,) = sagemaker.requests("create_processing_job")
    target = _scheduled()
    assert sent.keys() == target.keys()
    assert sent["AppSpecification"]["ContainerEntrypoint"] == target["AppSpecification"]["ContainerEntrypoint"]
    assert sent["StoppingCondition"] == target["StoppingCondition"]
    assert sent["ProcessingResources"] == target["ProcessingResources"]
    differs = {"WINDOW_HOURS", "start_time"}
    assert sent["Environment"].keys() ^ target["Environment"].keys() == differs
    assert sent["Environment"]["publish_cloudwatch_metrics"] == "Disabled"
    assert (sent["Environment"]["start_time"], sent["Environment"]["end_time"]) == (stamp(NOW - HOUR), stamp(NOW))
    output = sent["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]
    assert output == f"{HOME}/{stamp(NOW)}/0a1b2c3d4e5f"


def _scheduled() -> dict[str, Any]:
    """The request in the template of a deployment, its references left as they are."""

    class Loader(yaml.SafeLoader):
        pass

    def plain(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return loader.construct_scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return loader.construct_sequence(node, deep=True)
        assert isinstance(node, yaml.MappingNode)
        return loader.construct_mapping(node, deep=True)

    Loader.add_multi_constructor("!", plain)
    template = yaml.load(source.template().data, Loader)
    text = template["Resources"]["MonitorSchedule"]["Properties"]["Target"]["Input"][0]
    found: dict[str, Any] = json.loads(text.replace("${Baseline}", "").replace("${!", "${"))
    return found


def test_the_same_invocation_looks_once() -> None:
    again = FakeClient(create_processing_job=refusal("ResourceInUse", "Job name must be unique"))
    name = f"{ENDPOINT}-monitor-0a1b2c3d4e5f"
    assert begin(again, stack()) == NAMES.arn("sagemaker", f"processing-job/{name}")
    assert len(name) <= 63


def test_without_a_baseline_none_is_asked_for() -> None:
    sagemaker = FakeClient(create_processing_job={"ProcessingJobArn": "arn:job"})
    begin(sagemaker, stack(BaselineStatistics="", BaselineConstraints=""))
    (sent,) = sagemaker.requests("create_processing_job")
    assert sent["ProcessingInputs"] == []
    assert "baseline_statistics" not in sent["Environment"]


def test_a_deployment_from_before_the_monitor_cannot_be_looked_at() -> None:
    with pytest.raises(Refused, match="without a monitor"):
        begin(FakeClient(), stack(CodeUri=""))


def happened(kind: str, status: str, digest: str = "", hour: int = 0) -> dict[str, Any]:
    return {
        "ResourceType": f"AWS::{kind}",
        "ResourceStatus": status,
        "PhysicalResourceId": f"{ENDPOINT}-{digest}" if digest else "arn:stack/1",
        "Timestamp": NOW - DAY + hour * HOUR,
    }


STACK, SERVED = "CloudFormation::Stack", "SageMaker::Model"
HISTORY = [
    happened(STACK, "CREATE_IN_PROGRESS"),
    happened(SERVED, "CREATE_IN_PROGRESS"),
    happened(SERVED, "CREATE_COMPLETE", "1" * 8),
    happened(STACK, "CREATE_COMPLETE", hour=1),
    happened(STACK, "UPDATE_IN_PROGRESS"),
    happened(SERVED, "UPDATE_COMPLETE", "2" * 8),
    happened("SageMaker::Endpoint", "UPDATE_FAILED"),
    happened(STACK, "UPDATE_ROLLBACK_IN_PROGRESS"),
    happened(SERVED, "UPDATE_COMPLETE", "1" * 8),
    happened(STACK, "UPDATE_ROLLBACK_COMPLETE", hour=2),
    happened(STACK, "UPDATE_IN_PROGRESS"),
    happened(SERVED, "UPDATE_COMPLETE", "3" * 8),
    happened(STACK, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", hour=3),
    happened(SERVED, "DELETE_COMPLETE", "1" * 8),
    happened(STACK, "UPDATE_COMPLETE", hour=3),
    happened(STACK, "UPDATE_IN_PROGRESS"),
    happened(STACK, "UPDATE_COMPLETE", hour=4),
]


def packages(*rows: tuple[int, str, str]) -> FakeClient:
    listed = [{"ModelPackageArn": f"arn:p/{version}", "ModelApprovalStatus": status} for version, _, status in rows]
    by_version = {str(version): (version, digest, status) for version, digest, status in rows}

    def describe(ModelPackageName: str) -> dict[str, Any]:
        version, digest, status = by_version[ModelPackageName.rsplit("/", 1)[-1]]
        return {
            "ModelPackageArn": ModelPackageName,
            "ModelPackageVersion": version,
            "ModelPackageStatus": "Completed",
            "ModelApprovalStatus": status,
            "CreationTime": NOW,
            "CustomerMetadataProperties": {"digest": f"sha256:{digest}"},
            "InferenceSpecification": {"Containers": [{"Image": "i", "ModelDataUrl": "s3://b/m.tar.gz"}]},
        }

    return FakeClient(list_model_packages={"ModelPackageSummaryList": listed}, describe_model_package=describe)


def earlier(env: Any, serving: str, *rows: tuple[int, str, str], history: Any = None) -> int:
    cloudformation = FakeClient(describe_stack_events={"StackEvents": (history or HISTORY)[::-1]})
    return rollback.previous(cloudformation, packages(*rows), NAMES, env, stack(Digest=serving))[0].version


ROWS = ((3, "3" * 64, "Approved"), (2, "2" * 64, "Approved"), (1, "1" * 64, "Approved"))


def test_a_change_that_was_rolled_back_was_never_deployed() -> None:
    cloudformation = FakeClient(describe_stack_events={"StackEvents": HISTORY[::-1]})
    found = rollback.served(cloudformation, "arn:stack/1")
    assert [(each.digest[0], each.since) for each in found] == [("1", NOW - 23 * HOUR), ("3", NOW - 21 * HOUR)]


def test_back_goes_to_the_last_approved_version_that_was_deployed() -> None:
    assert earlier("staging", "3" * 64, *ROWS) == 1


def test_rolling_back_twice_does_not_come_back() -> None:
    back = [happened(STACK, "UPDATE_IN_PROGRESS"), happened(SERVED, "UPDATE_COMPLETE", "1" * 8)]
    history = [*HISTORY, *back, happened(STACK, "UPDATE_COMPLETE", hour=5)]
    with pytest.raises(NotFound, match="earlier approved version"):
        earlier("staging", "1" * 64, *ROWS, history=history)


@pytest.mark.parametrize(("env", "status"), [("staging", "PendingManualApproval"), ("dev", "Rejected")])
def test_what_may_not_be_deployed_is_not_gone_back_to(env: str, status: str) -> None:
    with pytest.raises(NotFound) as refused:
        earlier(env, "3" * 64, ROWS[0], (1, "1" * 64, status))
    assert "deployment create" in refused.value.advice


def test_dev_goes_back_to_what_nobody_has_approved() -> None:
    assert earlier("dev", "3" * 64, ROWS[0], (1, "1" * 64, "PendingManualApproval")) == 1
