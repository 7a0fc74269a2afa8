"""The books: what SageMaker says of jobs and endpoints, in the shapes of its service model, becomes job records."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber
from sqlalchemy import Engine, text

from bot.bookkeeping import Books
from commands.command import Context, Person
from pipeline.errors import Unavailable
from pipeline.names import Names
from pipeline.tracking import Run
from state import bookmarks, estimates, jobs, prices
from state.estimates import EstimateRow
from state.jobs import Job

NAMES = Names("123456789012", "us-east-1")
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
RUN = "7f3abc12def0"
EXECUTION = NAMES.arn("sagemaker", f"pipeline/groundcrew-dev-detector/execution/{RUN}")
TRAIN = f"groundcrew-dev-train-{RUN}-AbCdEf1234"
MONITOR = "groundcrew-staging-detector-monitor-0123456789ab"
ENDPOINT = "groundcrew-dev-detector"


def after(seconds: int) -> datetime:
    return NOON + timedelta(seconds=seconds)


class Tracked:
    """MLflow: it knows how many photos a run has, or does not answer."""

    down = False

    def run_for_execution(self, arn: str) -> Run | None:
        if self.down:
            raise Unavailable("MLflow does not answer.")
        params = {"data/train_images": "200", "data/validation_images": "50", "data/test_images": "50"}
        return Run("r", "1", "", "FINISHED", "", 0.0, None, params=params)


class Account:
    """SageMaker's answers, in the order in which they are asked for; an unexpected call fails the test."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.sagemaker = boto3.client("sagemaker", "us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
        self.stub = Stubber(self.sagemaker)
        self.tracking = Tracked()
        self.asked_prices = 0
        self.books = Books(engine, self.context, threading.Event())
        with engine.begin() as connection:
            for component, kind, amount in (
                ("Training", "ml.c5.xlarge", "0.204"),
                ("Processing", "ml.t3.medium", "0.05"),
                ("Hosting", "ml.m5.large", "0.115"),
                ("Hosting", "ml.c5.large", "0.102"),
            ):
                prices.put(connection, "us-east-1", component, kind, Decimal(amount), "USD")

    def context(self) -> Context:
        return Context(
            Person("system", "books", "Groundcrew", "observer"),
            "books",
            NAMES,
            lambda service: self.sagemaker,
            self.tracking,  # type: ignore[arg-type]
            self.engine,
            eyes=self._eyes,
        )

    def _eyes(self, service: str) -> Any:
        self.asked_prices += 1
        raise Unavailable(f"{service} does not answer")

    def answer(self, operation: str, response: dict[str, Any], **expected: Any) -> None:
        self.stub.add_response(operation, response, expected or None)

    def lists(self, kind: str, *names: str, at: datetime | None = None, arn: str = "") -> None:
        word = kind.capitalize()
        rows = [
            {
                f"{word}JobName": name,
                f"{word}JobArn": NAMES.arn("sagemaker", f"{kind}-job/{name}"),
                "CreationTime": NOON,
                "LastModifiedTime": at or NOON,
                f"{word}JobStatus": "InProgress",
            }
            for name in names
        ]
        self.answer(f"list_{kind}_jobs", {f"{word}JobSummaries": rows})

    def nothing_else(self, *kinds: str) -> None:
        for kind in kinds:
            self.lists(kind)
        self.answer("list_endpoints", {"Endpoints": []})

    def look(self) -> float:
        with self.stub:
            wait = self.books.look()
            self.stub.assert_no_pending_responses()
        return wait

    def rows(self) -> list[Job]:
        with self.engine.begin() as connection:
            return list(jobs.between(connection, NOON - timedelta(days=1), NOON + timedelta(days=3650)))


@pytest.fixture
def account(engine: Engine) -> Iterator[Account]:
    yield Account(engine)


def training(status: str = "Completed", **more: Any) -> dict[str, Any]:
    return {
        "TrainingJobName": TRAIN,
        "TrainingJobArn": NAMES.arn("sagemaker", f"training-job/{TRAIN}"),
        "ModelArtifacts": {"S3ModelArtifacts": ""},
        "TrainingJobStatus": status,
        "SecondaryStatus": status if status != "InProgress" else "Training",
        "AlgorithmSpecification": {"TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": f"s3://{NAMES.bucket}/dev/runs/{RUN}/train"},
        "ResourceConfig": {"InstanceType": "ml.c5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "CreationTime": NOON,
        **more,
    }


def processing(name: str, status: str = "Completed", **more: Any) -> dict[str, Any]:
    return {
        "ProcessingJobName": name,
        "ProcessingJobArn": NAMES.arn("sagemaker", f"processing-job/{name}"),
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.t3.medium", "InstanceCount": 1, "VolumeSizeInGB": 30}
        },
        "AppSpecification": {"ImageUri": "i"},
        "ProcessingJobStatus": status,
        "CreationTime": NOON,
        **more,
    }


def origin(account: Account) -> None:
    """The execution, started by a data scientist."""
    by = {"IamIdentity": {"SourceIdentity": "T0GC.U0DS1", "Arn": "arn:aws:sts::123456789012:assumed-role/x/y"}}
    account.answer(
        "describe_pipeline_execution",
        {"PipelineExecutionArn": EXECUTION, "CreatedBy": by},
        PipelineExecutionArn=EXECUTION,
    )
    given = [{"Name": "Epochs", "Value": "4"}, {"Name": "ImageSize", "Value": "128"}, {"Name": "Weights", "Value": ""}]
    account.answer("list_pipeline_parameters_for_execution", {"PipelineParameters": given})


def seen(account: Account, body: dict[str, Any], kind: str = "training", *, known: bool = False) -> Job | None:
    """One look at an account in which only this job changed."""
    order = ["training", "processing", "transform"]
    for each in order:
        if each == kind:
            account.lists(kind, body[f"{kind.capitalize()}JobName"], at=after(len(account.rows()) + 1))
            account.answer(f"describe_{kind}_job", body)
            if "/runs/" in str(body) and f"{kind.capitalize()}StartTime" in body and not known:
                origin(account)
        else:
            account.lists(each)
    account.answer("list_endpoints", {"Endpoints": []})
    assert account.look() == 0.0
    return next(iter(account.rows()), None)


def test_a_training_job_is_written_with_run_person_price_and_work(account: Account) -> None:
    times = {"TrainingStartTime": after(10), "TrainingEndTime": after(110), "BillableTimeInSeconds": 90}
    job = seen(account, training(**times, EnableManagedSpotTraining=False))
    assert job is not None
    assert (job.environment, job.step, job.execution, job.kind) == ("dev", "Train", EXECUTION, "training")
    assert (job.team, job.user_id) == ("T0GC", "U0DS1")
    assert (job.started_at, job.ended_at, job.seconds) == (after(10), after(110), Decimal(90))
    assert (job.per_hour, job.currency) == (Decimal("0.204"), "USD")
    assert job.work == {"epochs": 4, "image_size": 128, "photos": 300}
    assert job.cost(NOON) == Decimal(90) * Decimal("0.204") / 3600


def test_spot_training_is_billed_for_less_than_it_ran(account: Account) -> None:
    times = {"TrainingStartTime": NOON, "TrainingEndTime": after(100), "TrainingTimeInSeconds": 100}
    job = seen(account, training(**times, BillableTimeInSeconds=30, EnableManagedSpotTraining=True))
    assert job is not None
    assert (job.spot, job.seconds) == (True, Decimal(30))


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_what_failed_or_was_stopped_cost_its_time_and_is_no_history(account: Account, status: str) -> None:
    times = {"TrainingStartTime": NOON, "TrainingEndTime": after(40), "BillableTimeInSeconds": 40}
    job = seen(account, training(status, **times))
    assert job is not None
    assert (job.seconds, job.work) == (Decimal(40), None)
    with account.engine.begin() as connection:
        assert jobs.like(connection, "Train", "ml.c5.xlarge", 5) == []


def test_what_never_started_cost_nothing(account: Account) -> None:
    assert seen(account, training("Failed")) is None


def test_a_running_job_is_written_and_completed_when_it_ends(account: Account) -> None:
    running = seen(account, training("InProgress", TrainingStartTime=NOON))
    assert running is not None
    assert (running.ended_at, running.seconds) == (None, None)
    assert running.cost(after(3600)) == Decimal("0.204")
    ended = {"TrainingStartTime": NOON, "TrainingEndTime": after(60), "BillableTimeInSeconds": 60}
    job = seen(account, training(**ended), known=True)
    assert job is not None
    assert (len(account.rows()), job.ended_at, job.seconds) == (1, after(60), Decimal(60))


def test_a_look_of_the_monitor_belongs_to_its_endpoint_and_to_whoever_asked(account: Account) -> None:
    arn = NAMES.arn("sagemaker", f"processing-job/{MONITOR}")
    said = EstimateRow("i", arn, "drift report --now", "staging", "T0GC", "U0ML1", None, None, None, "USD", "")
    with account.engine.begin() as connection:
        estimates.put(connection, said)
    job = seen(
        account,
        processing(MONITOR, ProcessingStartTime=NOON, ProcessingEndTime=after(30)),
        "processing",
    )
    assert job is not None
    assert (job.step, job.endpoint, job.environment) == ("Monitor", "groundcrew-staging-detector", "staging")
    assert (job.user_id, job.execution, job.seconds, job.work) == ("U0ML1", None, Decimal(30), {})


def test_a_job_without_anybody_s_command_is_nobody_s(account: Account) -> None:
    job = seen(account, processing(MONITOR, ProcessingStartTime=NOON, ProcessingEndTime=after(30)), "processing")
    assert job is not None
    assert (job.team, job.user_id) == (None, None)


def test_mlflow_that_does_not_answer_costs_the_count_of_photos_only(account: Account) -> None:
    account.tracking.down = True
    times = {"TrainingStartTime": NOON, "TrainingEndTime": after(60), "BillableTimeInSeconds": 60}
    job = seen(account, training(**times))
    assert job is not None
    assert job.work == {"epochs": 4, "image_size": 128}


def test_a_job_is_described_once_until_it_changes(account: Account) -> None:
    times = {"TrainingStartTime": NOON, "TrainingEndTime": after(60), "BillableTimeInSeconds": 60}
    seen(account, training(**times))
    account.lists("training", TRAIN, at=after(1))
    account.nothing_else("processing", "transform")
    assert account.look() == 0.0  # a description would be an unexpected call


def test_a_price_list_that_does_not_answer_is_asked_again_and_the_job_is_written_all_the_same(account: Account) -> None:
    with account.engine.begin() as connection:
        connection.execute(text("DELETE FROM prices"))
    times = {"TrainingStartTime": NOON, "TrainingEndTime": after(60), "BillableTimeInSeconds": 60}
    job = seen(account, training(**times))
    assert job is not None
    assert (job.per_hour, job.cost(NOON)) == (None, None)
    with account.engine.begin() as connection:
        assert bookmarks.get(connection, "jobs/training") is None  # it is read again
        prices.put(connection, "us-east-1", "Training", "ml.c5.xlarge", Decimal("0.204"), "USD")
    account.books._silent_until.clear()  # a minute later
    again = seen(account, training(**times), known=True)
    assert again is not None
    assert again.per_hour == Decimal("0.204")
    with account.engine.begin() as connection:
        assert bookmarks.get(connection, "jobs/training") is not None


def test_after_a_kill_the_next_leader_reads_on_from_the_bookmark(account: Account) -> None:
    account.nothing_else("training", "processing", "transform")
    account.look()
    other = Account(account.engine)
    with account.engine.begin() as connection:
        since = bookmarks.get(connection, "jobs/training")
    assert since is not None
    assert timedelta(minutes=4) < datetime.now(UTC) - since < timedelta(minutes=6)
    expected = {
        "LastModifiedTimeAfter": since,
        "NameContains": "groundcrew-",
        "SortBy": "CreationTime",
        "SortOrder": "Ascending",
    }
    other.answer("list_training_jobs", {"TrainingJobSummaries": []}, **expected)
    other.nothing_else("processing", "transform")
    other.look()


def test_throttling_backs_off_and_the_other_kinds_are_read_all_the_same(account: Account) -> None:
    waits = []
    for _ in range(3):
        account.stub.add_client_error("list_training_jobs", "ThrottlingException", "Rate exceeded")
        account.nothing_else("processing", "transform")
        waits.append(account.look())
    assert 0 < waits[0] < waits[1] < waits[2]
    with account.engine.begin() as connection:
        assert bookmarks.get(connection, "jobs/training") is None
        assert bookmarks.get(connection, "jobs/processing") is not None
    account.nothing_else("training", "processing", "transform")
    assert account.look() == 0.0


# --- endpoints -------------------------------------------------------------------------------------------------------


def serves(account: Account, config: str, kind: str, *, created: datetime = NOON, changed: datetime = NOON) -> None:
    """An account with one endpoint."""
    for each in ("training", "processing", "transform"):
        account.lists(each)
    arn = NAMES.arn("sagemaker", f"endpoint/{ENDPOINT}")
    about = {
        "EndpointName": ENDPOINT,
        "EndpointArn": arn,
        "CreationTime": created,
        "LastModifiedTime": changed,
        "EndpointStatus": "InService",
    }
    account.answer("list_endpoints", {"Endpoints": [about]}, NameContains="groundcrew-")
    if not kind:
        return
    account.answer("describe_endpoint", {**about, "EndpointConfigName": config}, EndpointName=ENDPOINT)
    variant = {"VariantName": "all", "ModelName": "m", "InstanceType": kind, "InitialInstanceCount": 1}
    account.answer(
        "describe_endpoint_config",
        {
            "EndpointConfigName": config,
            "EndpointConfigArn": NAMES.arn("sagemaker", f"endpoint-config/{config}"),
            "ProductionVariants": [variant],
            "CreationTime": created,
        },
        EndpointConfigName=ANY,
    )


def told(account: Account) -> list[tuple[str, datetime, datetime | None, Decimal | None]]:
    return [(row.instance_type, row.started_at, row.ended_at, row.seconds) for row in account.rows()]


def test_an_endpoint_has_a_row_for_each_configuration_and_ends_when_it_is_gone(account: Account) -> None:
    serves(account, "c-1", "ml.m5.large")
    account.look()
    serves(account, "c-1", "")  # unchanged: not described again
    account.look()
    assert told(account) == [("ml.m5.large", NOON, None, None)]
    serves(account, "c-2", "ml.c5.large", changed=after(600))
    account.look()
    assert told(account) == [
        ("ml.m5.large", NOON, after(600), Decimal(600)),
        ("ml.c5.large", after(600), None, None),
    ]
    account.nothing_else("training", "processing", "transform")
    account.look()
    last = account.rows()[-1]
    assert last.ended_at is not None
    assert timedelta() <= datetime.now(UTC) - last.ended_at < timedelta(minutes=1)


def test_an_endpoint_that_was_made_again_keeps_what_its_first_life_cost(account: Account) -> None:
    serves(account, "c-1", "ml.m5.large")
    account.look()
    serves(account, "c-1", "ml.m5.large", created=after(900), changed=after(950))
    account.look()
    assert told(account) == [
        ("ml.m5.large", NOON, after(900), Decimal(900)),
        ("ml.m5.large", after(900), None, None),
    ]


def test_an_endpoint_is_whose_deployment_it_is(account: Account) -> None:
    stack = NAMES.arn("cloudformation", f"stack/{ENDPOINT}/1234")
    said = EstimateRow("i", stack, "deployment create", "dev", "T0GC", "U0DS2", None, None, None, "USD", "")
    created = datetime.now(UTC).replace(microsecond=0)
    with account.engine.begin() as connection:
        estimates.put(connection, said)
    serves(account, "c-1", "ml.m5.large", created=created, changed=created)
    account.look()
    assert account.rows()[0].user_id == "U0DS2"


def test_an_endpoint_that_a_run_deployed_is_whose_run_it_was(account: Account) -> None:
    body = processing(
        f"groundcrew-dev-deploy-{RUN}-x",
        "InProgress",
        ProcessingStartTime=NOON - timedelta(seconds=20),
        ProcessingInputs=[
            {
                "InputName": "report",
                "S3Input": {"S3Uri": f"s3://b/dev/runs/{RUN}/preprocess/r", "S3DataType": "S3Prefix"},
            }
        ],
    )
    seen(account, body, "processing")
    serves(account, "c-1", "ml.m5.large")
    account.look()
    endpoint = next(row for row in account.rows() if row.kind == "endpoint")
    assert (endpoint.team, endpoint.user_id) == ("T0GC", "U0DS1")
