"""What the events of AWS mean: the published examples with all their traps, and whatever else may lie in a queue."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.events import LIMIT, SHAPES, Home, read
from alerts.happening import Happening, Unreadable
from alerts.jobs import STEPS
from pipeline.definition import definition
from pipeline.names import Names

ACCOUNT = "123456789012"
EXAMPLES = {path.stem: path.read_text() for path in sorted((Path(__file__).parent / "events").glob("*.json"))}
BRIDGED = sorted(set(EXAMPLES) - {"budget"})
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def example(name: str, /, detail: Mapping[str, Any] | None = None, **envelope: Any) -> dict[str, Any]:
    """A published event with some members changed; None takes a member away."""
    body: dict[str, Any] = json.loads(EXAMPLES[name]) | envelope
    if isinstance(body.get("detail"), dict):
        body["detail"] = {
            key: value for key, value in {**body["detail"], **(detail or {})}.items() if value is not None
        }
    return body


def understood(body: Any, region: str | None = None) -> Happening:
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    if region is None:
        region = body.get("region", "us-east-1") if isinstance(body, dict) else "us-east-1"
    return read(text, Home(ACCOUNT, str(region)), clock=lambda: NOW)


@pytest.mark.parametrize(
    ("name", "topic", "state", "effect", "severity", "at"),
    [
        ("execution", "execution", "succeeded", "clears", "info", "2021-03-15T16:10:10+00:00"),
        ("step", "execution", "succeeded", "moves", "info", "2021-03-15T16:10:09+00:00"),
        ("training", "job", "completed", "clears", "info", "2020-03-10T09:18:09.050000+00:00"),
        ("processing", "job", "failed", "fires", "warning", "2024-01-03T22:25:46+00:00"),
        ("transform", "job", "completed", "clears", "info", "2020-03-10T09:18:09.050000+00:00"),
        ("tuning", "job", "failed", "fires", "warning", "2020-03-10T09:18:09.050000+00:00"),
        ("endpoint", "endpoint", "in service", "clears", "info", "2020-06-17T16:39:54.287000+00:00"),
        ("deployment", "endpoint", "baking", "moves", "info", "2021-10-25T20:54:29.181000+00:00"),
        ("package", "package", "approved", "tells", "info", "2021-02-24T17:00:14+00:00"),
        ("alarm", "alarm", "alarm", "fires", "warning", "2019-10-02T17:04:40.985000+00:00"),
        ("alarm_composite", "alarm", "alarm", "fires", "critical", "2022-07-22T15:57:37.431000+00:00"),
        ("anomaly", "cost", "detected", "fires", "warning", "2021-05-26T00:00:00+00:00"),
        ("health", "health", "open", "fires", "critical", "2026-06-10T06:27:57+00:00"),
        ("budget", "budget", "actual over threshold", "fires", "warning", "2024-05-13T03:23:01.482000+00:00"),
    ],
)
def test_a_published_event_is_understood(
    name: str, topic: str, state: str, effect: str, severity: str, at: str
) -> None:
    found = understood(example(name))
    assert (found.topic, found.state, found.effect, found.severity) == (topic, state, effect, severity)
    assert found.at.isoformat() == at
    assert found.family == found.family.lower()
    assert found.title


def test_every_documented_type_has_an_example() -> None:
    told = {(json.loads(text).get("detail-type")) for text in EXAMPLES.values()}
    assert {kind for _, kind in SHAPES} - told == {"AWS Health Abuse Event"}  # of the shape of the other


# executions and steps


@pytest.mark.parametrize(
    ("status", "effect", "ended"),
    [
        ("Executing", "moves", False),
        ("Stopping", "moves", False),
        ("Stopped", "clears", True),
        ("Succeeded", "clears", True),
        ("Failed", "fires", True),
        ("CompletedWithFailures", "fires", True),
    ],
)
def test_what_a_status_of_an_execution_does(status: str, effect: str, ended: bool) -> None:
    found = understood(example("execution", {"currentPipelineExecutionStatus": status}))
    assert (found.effect, found.ended) == (effect, ended)
    assert (
        found.followed == found.subject == "arn:aws:sagemaker:us-east-1:123456789012:pipeline/p/execution/abc123def456"
    )
    assert found.family == "arn:aws:sagemaker:us-east-1:123456789012:pipeline/p"


@pytest.mark.parametrize(
    ("environment", "severity"), [("prod", "critical"), ("staging", "warning"), ("dev", "warning"), (None, "warning")]
)
def test_a_failure_is_as_bad_as_its_environment_matters(environment: str | None, severity: str) -> None:
    name = f"groundcrew-{environment}-detector" if environment else "p"
    text = EXAMPLES["execution"].replace("pipeline/p", f"pipeline/{name}").replace("Succeeded", "Failed")
    found = understood(json.loads(text))
    assert (found.environment, found.severity) == (environment, severity)


@pytest.mark.parametrize("name", ["not-groundcrew-prod-x", "groundcrew-production-x", "my-groundcrew-prod-detector"])
def test_a_name_that_only_resembles_ours_is_of_no_environment(name: str) -> None:
    text = EXAMPLES["execution"].replace("pipeline/p", f"pipeline/{name}")
    assert understood(json.loads(text)).environment is None


def test_only_a_retry_reopens_what_has_ended() -> None:
    first = {"currentPipelineExecutionStatus": "Executing", "executionEndTime": None}
    start = example("execution", {**first, "previousPipelineExecutionStatus": None}, time="2021-03-15T16:03:14Z")
    assert not understood(start).reopens
    assert understood(example("execution", {**first, "previousPipelineExecutionStatus": "Failed"})).reopens
    # Without a previous status: a retry keeps the time of the start, and is announced long after it.
    assert understood(example("execution", {**first, "previousPipelineExecutionStatus": None})).reopens
    # A later end proves a retry, also when the event of the retry itself comes last.
    assert understood(example("execution")).reopens


def test_a_failed_step_moves_its_execution_and_fires_nothing() -> None:
    found = understood(example("step", {"currentStepStatus": "Failed", "failureReason": "AlgorithmError: no images"}))
    assert (found.effect, found.state, found.text) == ("moves", "failed", "AlgorithmError: no images")
    assert found.followed.endswith("execution/abc123def456")
    assert found.subject != found.followed
    assert found.facts["Step"] == "prep"


# jobs


def training(name: str, status: str, **detail: Any) -> Happening:
    arn = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:training-job/{name}"
    given = {"TrainingJobName": name, "TrainingJobArn": arn, "TrainingJobStatus": status, **detail}
    return understood(example("training", given))


@pytest.mark.parametrize("status", ["InProgress", "Completed", "Failed", "Stopping", "Stopped"])
@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
@pytest.mark.parametrize("step", STEPS)
def test_a_job_of_our_pipeline_only_moves_its_execution(step: str, environment: str, status: str) -> None:
    found = training(f"groundcrew-{environment}-{step}-abc123def456-q1w2e3r4t5", status)
    pipeline = f"pipeline/groundcrew-{environment}-detector"
    assert found.effect == "moves"
    assert found.followed == f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:{pipeline}/execution/abc123def456"


def test_every_job_of_the_definition_is_known_as_a_step() -> None:
    text = definition("dev", Names(ACCOUNT, "us-east-1"), "image", "s3://b/c", "https://b/t", "", "revision")
    found = [line.split('"')[3] for line in text.splitlines() if 'JobName"' in line]
    assert (
        {"groundcrew-dev-train", "groundcrew-dev-deploy"} <= set(found) <= {f"groundcrew-dev-{step}" for step in STEPS}
    )


def test_a_job_of_another_pipeline_is_recognised_by_tag_or_name() -> None:
    execution = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:pipeline/theirs/execution/zyx987wvu654"
    tagged = training("anything", "Failed", Tags={"sagemaker:pipeline-execution-arn": execution})
    assert (tagged.effect, tagged.followed) == ("moves", execution)
    named = training("pipelines-zyx987wvu654-Train-q1w2e3r4t5", "Failed")
    assert (named.effect, named.followed) == ("moves", "")


@pytest.mark.parametrize(
    "name", ["nightly-train-2026-03-15", "groundcrew-prod-monitor-202603151200-q1w2e3r4t5", "groundcrew-prod-train-7"]
)
def test_a_job_that_stands_alone_fires(name: str) -> None:
    failed = training(name, "Failed", FailureReason="AlgorithmError: out of memory")
    assert (failed.effect, failed.text) == ("fires", "AlgorithmError: out of memory")
    assert failed.severity == ("critical" if "prod" in name else "warning")
    assert training(name, "Completed").effect == "clears"


def test_a_monitor_s_job_belongs_to_the_environment_of_its_role() -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/groundcrew-prod-execution"
    failed = training("model-monitoring-202603011300-abc1", "Failed", RoleArn=role)
    assert (failed.environment, failed.severity) == ("prod", "critical")


def test_the_runs_of_a_nightly_job_are_one_family() -> None:
    families = {training(f"nightly-train-2026-03-{day}-01-00", "Failed").family for day in (15, 16)}
    assert families == {f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:training-job/nightly-train"}


def test_the_environment_of_a_job_may_be_told_by_its_tags() -> None:
    found = training("t1", "Failed", Tags={"Environment": "prod", "Owner": "ml-engineering"})
    assert (found.environment, found.severity, found.tags["Owner"]) == ("prod", "critical", "ml-engineering")


def test_the_stages_of_a_training_are_states_of_their_own() -> None:
    stages = ("Starting", "Downloading", "Training", "Uploading")
    assert len({training("t1", "InProgress", SecondaryStatus=stage).fingerprint for stage in stages}) == len(stages)


def test_a_completed_monitor_that_found_violations_is_no_all_clear() -> None:
    said = "CompletedWithViolations: Job completed successfully with 2 violations."
    change = {"ProcessingJobStatus": "Completed", "FailureReason": None, "ExitMessage": said}
    found = understood(example("processing", change))
    assert (found.effect, found.severity, found.text) == ("tells", "warning", said)


@pytest.mark.parametrize(
    ("job", "more"),
    [
        ("groundcrew-prod-detector-monitor-9088e392f0a99019", {}),
        (
            "model-monitoring-202603011300-abc1",
            {"Environment": {"sagemaker_endpoint_name": "groundcrew-prod-detector"}},
        ),
    ],
)
def test_a_window_that_drifts_is_a_note_of_the_alarm_that_counts_them(job: str, more: dict[str, object]) -> None:
    said = "CompletedWithViolations: Drift in 200 images: brightness 110 → 80. 1 violation."
    change = {"ProcessingJobStatus": "Completed", "FailureReason": None, "ExitMessage": said, "ProcessingJobName": job}
    found = understood(example("processing", change | more))
    assert (found.effect, found.severity, found.text) == ("tells", "info", said)
    assert found.family == "arn:aws:cloudwatch:us-east-1:123456789012:alarm:groundcrew-prod-detector-drift"


# endpoints


@pytest.mark.parametrize(
    ("status", "reason", "state", "effect"),
    [
        ("IN_SERVICE", None, "in service", "clears"),
        ("InService", None, "in service", "clears"),
        ("IN_SERVICE", "The canary's alarm went off", "rolled back", "fires"),
        ("ROLLING_BACK", None, "rolling back", "fires"),
        ("FAILED", "No space", "failed", "fires"),
        ("OUT_OF_SERVICE", None, "out of service", "fires"),
        ("UPDATE_ROLLBACK_FAILED", None, "update rollback failed", "fires"),
        ("UPDATING", None, "updating", "moves"),
        ("SYSTEM_UPDATING", None, "system updating", "moves"),
        ("DELETING", None, "deleting", "moves"),
    ],
)
@pytest.mark.parametrize("kind", ["SageMaker Endpoint State Change", "SageMaker Endpoint Deployment State Change"])
def test_what_a_status_of_an_endpoint_does(kind: str, status: str, reason: str | None, state: str, effect: str) -> None:
    found = understood(
        example("endpoint", {"EndpointStatus": status, "FailureReason": reason}, **{"detail-type": kind})
    )
    assert (found.state, found.effect, found.ended) == (state, effect, False)
    assert found.followed == f"arn:aws:cloudformation:us-west-2:{ACCOUNT}:stack/MyEndpoint/"
    assert found.subject == f"arn:aws:sagemaker:us-west-2:{ACCOUNT}:endpoint/myendpoint"


def test_both_events_of_an_endpoint_say_one_thing_once() -> None:
    failed = example("endpoint", {"EndpointStatus": "FAILED"})
    again = {**failed, "detail-type": "SageMaker Endpoint Deployment State Change"}
    assert understood(failed).fingerprint == understood(again).fingerprint


# the registry


def package(approval: str = "Approved", **detail: Any) -> Happening:
    return understood(example("package", {"ModelApprovalStatus": approval, **detail}))


def test_a_new_unapproved_version_never_reads_like_an_approval() -> None:
    for updated in ([], None):
        found = package("PendingManualApproval", UpdatedModelPackageFields=updated)
        assert (found.effect, found.state) == ("tells", "pending manual approval")
        assert found.title == "Model g version 2 is registered and waits for approval"
        assert "approved" not in (found.title + found.text).lower()


@pytest.mark.parametrize("approval", ["Approved", "Rejected"])
def test_a_decision_is_told_when_the_event_says_that_it_changed(approval: str) -> None:
    assert package(approval).title == f"Model g version 2 was {approval.lower()}"
    assert package(approval).effect == "tells"
    other = package(approval, UpdatedModelPackageFields=["CustomerMetadataProperties"])
    assert other.effect == "moves"
    assert approval.lower() not in other.title.lower()
    nothing = package(approval, UpdatedModelPackageFields=[], LastModifiedTime="2021-02-25T17:00:14Z")
    assert nothing.effect == "moves"


def test_without_the_list_of_changes_each_state_of_a_version_is_told_once() -> None:
    older = {"UpdatedModelPackageFields": None}
    first, later = package(**older), package(**older, LastModifiedTime="2021-03-01T00:00:00Z")
    assert first.fingerprint == later.fingerprint
    assert first.fingerprint != package("Rejected", **older).fingerprint
    decided_again = package(LastModifiedTime="2021-03-01T00:00:00Z")
    assert package().fingerprint != decided_again.fingerprint


def test_a_version_whose_validation_fails_fires() -> None:
    assert package("PendingManualApproval", ModelPackageStatus="Failed").effect == "fires"
    assert package("PendingManualApproval", ModelPackageStatus="InProgress").effect == "moves"


# alarms, money, health


@pytest.mark.parametrize(
    ("value", "effect", "severity"),
    [("ALARM", "fires", "critical"), ("OK", "clears", "info"), ("INSUFFICIENT_DATA", "moves", "info")],
)
def test_what_a_state_of_an_alarm_does(value: str, effect: str, severity: str) -> None:
    text = EXAMPLES["alarm"].replace("ep-5xx", "groundcrew-prod-detector-5xx").replace('"ALARM"', f'"{value}"')
    found = understood(json.loads(text))
    assert (found.environment, found.effect, found.severity) == ("prod", effect, severity)


def test_an_alarm_belongs_to_the_environment_of_the_endpoint_it_watches() -> None:
    text = EXAMPLES["alarm"].replace('"ep"', '"groundcrew-staging-detector"')
    assert understood(json.loads(text)).environment == "staging"


def test_a_budget_is_the_same_wrapped_or_raw_and_however_often_it_is_sent() -> None:
    wrapped = example("budget")
    again = {**wrapped, "MessageId": "other", "Timestamp": "2024-05-13T03:24:00.000Z", "Signature": "other"}
    raw = understood(wrapped["Message"])
    assert raw.fingerprint == understood(wrapped).fingerprint == understood(again).fingerprint
    assert raw.at == datetime(2024, 5, 13, tzinfo=UTC)
    assert raw.facts == {
        "Budget": "groundcrew-monthly",
        "Budgeted": "$100.00",
        "Threshold": "> $80.00",
        "Actual": "$81.60",
    }
    forecast = wrapped["Message"].replace("ACTUAL", "FORECASTED")
    assert understood(forecast).state == "forecasted over threshold"
    assert understood(forecast).fingerprint != raw.fingerprint


def test_a_budget_of_another_account_or_without_figures_is_shown_and_does_nothing() -> None:
    for old, new in ((ACCOUNT, "999999999999"), ("Budget Name", "Etat")):
        found = understood(example("budget")["Message"].replace(old, new))
        assert (found.topic, found.effect) == ("unknown", "tells")


def test_copies_of_a_health_event_are_one_and_further_pages_only_fire_for_what_is_ours() -> None:
    copy = example("health", {"lastUpdatedTime": "Wed, 10 Jun 2026 06:29:00 GMT"}, region="us-west-1", id="other")
    assert understood(copy).fingerprint == understood(example("health")).fingerprint
    ours = example("health", {"page": "2", "totalPages": "2"})
    theirs = example("health", {"page": "2", "totalPages": "2", "affectedEntities": [{"entityValue": "other"}]})
    assert (understood(ours).effect, understood(theirs).effect) == ("fires", "moves")
    assert understood(ours).family == understood(example("health")).family
    assert understood(ours).facts["Page"] == "2 of 2"


@pytest.mark.parametrize(
    ("detail", "effect", "severity"),
    [
        ({"statusCode": "closed"}, "clears", "info"),
        ({"eventTypeCategory": "scheduledChange", "statusCode": "upcoming"}, "tells", "info"),
        ({"eventTypeCategory": "accountNotification"}, "tells", "info"),
        ({"affectedEntities": [{"entityValue": "groundcrew-dev-detector"}]}, "fires", "warning"),
        ({"affectedEntities": None}, "fires", "warning"),
    ],
)
def test_only_an_open_issue_of_health_fires(detail: dict[str, Any], effect: str, severity: str) -> None:
    found = understood(example("health", detail))
    assert (found.effect, found.severity) == (effect, severity)


def test_the_slip_in_the_name_of_health_s_type_is_forgiven() -> None:
    assert understood(example("health", **{"detail-type": "&AWS Health Event"})).topic == "health"
    assert understood(example("health", **{"detail-type": "AWS Health Abuse Event"})).effect == "fires"


# envelopes, copies, order


@pytest.mark.parametrize("name", BRIDGED)
def test_an_event_is_the_same_through_sns(name: str) -> None:
    topic = f"arn:aws:sns:us-east-1:{ACCOUNT}:t"
    wrapped = {"Type": "Notification", "MessageId": "m", "TopicArn": topic, "Message": EXAMPLES[name]}
    assert understood(wrapped, example(name)["region"]) == understood(example(name))


@pytest.mark.parametrize("name", sorted(EXAMPLES))
@given(st.randoms(use_true_random=False), st.uuids())
def test_a_copy_has_the_same_fingerprint_in_whatever_order_of_members(name: str, random: Any, identity: Any) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shuffled(value[key]) for key in random.sample(sorted(value), len(value))}
        return value

    copy = shuffled(example(name))
    copy["MessageId" if name == "budget" else "id"] = str(identity)
    assert understood(copy, example(name).get("region", "us-east-1")) == understood(example(name))


STATES = st.sampled_from(["Executing", "Stopping", "Stopped", "Failed", "Succeeded"])
SECONDS = st.integers(0, 10**9)


@given(STATES, SECONDS, STATES, SECONDS)
def test_events_have_one_fingerprint_exactly_when_state_and_time_are_one(
    one: str, then: int, other: str, later: int
) -> None:
    def told(status: str, second: int) -> str:
        at = (datetime(1990, 1, 1, tzinfo=UTC) + timedelta(seconds=second)).isoformat()
        change = {"currentPipelineExecutionStatus": status, "executionEndTime": at, "executionStartTime": at}
        return understood(example("execution", change, time=at)).fingerprint

    assert (told(one, then) == told(other, later)) == ((one, then) == (other, later))


def test_no_two_examples_share_a_fingerprint() -> None:
    assert len({understood(example(name)).fingerprint for name in EXAMPLES}) == len(EXAMPLES)


# bad input


@pytest.mark.parametrize("name", BRIDGED)
def test_an_event_of_another_account_is_shown_and_changes_nothing_known(name: str) -> None:
    found, known = understood(example(name, account="999999999999")), understood(example(name))
    assert (found.topic, found.effect, found.severity) == ("unknown", "tells", "info")
    assert found.subject != known.subject
    assert found.family != known.family
    assert "999999999999" in found.text


@pytest.mark.parametrize("name", BRIDGED)
def test_only_events_of_the_whole_account_may_come_from_elsewhere(name: str) -> None:
    found = understood(example(name), region="eu-central-1")
    assert (found.topic == "unknown") == (name not in ("anomaly", "health"))


@pytest.mark.parametrize("name", BRIDGED)
def test_nobody_but_aws_can_say_what_aws_says(name: str) -> None:
    assert understood(example(name, source="somebody.else")).topic == "unknown"


@pytest.mark.parametrize("name", BRIDGED)
def test_an_event_without_what_its_type_documents_is_shown(name: str) -> None:
    found = understood(example(name, detail=dict.fromkeys(example(name)["detail"])))
    assert (found.topic, found.effect) == ("unknown", "tells")
    assert "missing" in found.text
    assert example(name)["detail-type"] in found.title


def test_an_unknown_event_is_shown_with_what_it_holds() -> None:
    found = understood(example("endpoint", {"colour": "green", "size": 3}, **{"detail-type": "New Thing"}))
    assert found.title == "Event not understood: New Thing"
    assert found.facts["colour"] == "green"
    assert found.facts["size"] == "3"
    assert found.facts["Resource"].endswith("endpoint/myendpoint")
    again = example("endpoint", {"colour": "red"}, **{"detail-type": "New Thing"})
    assert understood(again).fingerprint != found.fingerprint
    assert understood(again).family == found.family


def test_a_message_of_sns_that_is_no_event_is_shown() -> None:
    topic = f"arn:aws:sns:us-east-1:{ACCOUNT}:t"
    body = {"Type": "Notification", "TopicArn": topic, "Subject": "Hello", "Message": "something <!channel> happened"}
    found = understood(body)
    assert (found.topic, found.text) == ("unknown", "something <!channel> happened")
    assert understood({**body, "MessageId": "2", "Timestamp": "2026-01-01T00:00:00Z"}).fingerprint == found.fingerprint


@pytest.mark.parametrize(
    "body",
    [
        *("", "no json", "[]", "3", "null", '"text"', '{"a":', b"\xff\xfe"),
        *("[" * 100_000, '{"a": ' * 50_000, "9" * 5000, json.dumps({"a": "x" * LIMIT}), ("x" * (LIMIT + 1)).encode()),
    ],
)
def test_what_is_no_event_at_all_is_unreadable(body: str | bytes) -> None:
    with pytest.raises(Unreadable):
        understood(body)


def test_an_event_of_the_largest_size_is_read() -> None:
    body = example("processing", {"FailureReason": "y" * (LIMIT - 4000)})
    assert len(json.dumps(body)) > LIMIT - 4000
    assert len(understood(body).text) == 2000


def test_a_time_in_the_future_counts_as_now_and_an_old_one_as_it_is() -> None:
    ahead = understood(example("training", {"LastModifiedTime": "2199-01-01T00:00:00Z"}))
    assert ahead.at == NOW
    slightly = (NOW + timedelta(minutes=4)).isoformat()
    assert understood(example("training", {"LastModifiedTime": slightly})).at == NOW + timedelta(minutes=4)
    old = understood(example("training", {"LastModifiedTime": 0}))
    assert old.at == datetime(1970, 1, 1, tzinfo=UTC)
    assert ahead.fingerprint != old.fingerprint
    unknown = understood(example("training", {"LastModifiedTime": "?", "TrainingEndTime": None}, time="?"))
    assert unknown.at == NOW


def test_of_a_member_that_is_there_twice_the_last_counts() -> None:
    text = EXAMPLES["execution"].replace('"account": "123456789012"', '"account": "1", "account": "123456789012"')
    assert text != EXAMPLES["execution"]
    assert understood(text) == understood(EXAMPLES["execution"])


def test_hostile_text_stays_data() -> None:
    reason = "<!channel> <https://evil.example|click> *x*\x00\x1b[2J\u202e\nsecond line" + "z" * 5000
    found = understood(example("processing", {"FailureReason": reason}))
    assert found.text.startswith("<!channel> <https://evil.example|click> *x*  [2J \nsecond line")
    assert len(found.text) == 2000
    named = understood(example("training", {"TrainingJobName": "\ud800<@U0ML1>" * 100}))
    named.title.encode()
    assert len(named.title) <= 150


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(JSON)
def test_any_json_is_a_happening_or_unreadable(value: Any) -> None:
    try:
        found = understood(json.dumps(value))
    except Unreadable:
        assert not isinstance(value, dict)
    else:
        assert (found.topic, found.effect) == ("unknown", "tells")


@pytest.mark.parametrize("name", BRIDGED)
@given(st.data())
def test_an_event_with_any_member_replaced_is_still_a_happening(name: str, data: st.DataObject) -> None:
    body = example(name)
    place = data.draw(st.sampled_from([body, body["detail"]]))
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(JSON)
    found = understood(body, example(name)["region"])
    json.dumps([found.title, found.text, found.subject, dict(found.facts), dict(found.tags)]).encode()
    assert len(found.title) <= 150
    assert found.at <= NOW + timedelta(minutes=5)
    assert found.fingerprint
