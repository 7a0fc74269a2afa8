"""`drift explain`: one job for the same question, its message until it has ended, and what the result says."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from commands.command import Context, Person
from commands.explain import explanation_live
from commands.parsing import parse
from commands.reply import Action, Code, Follow, Outcome, Reply
from pipeline import explain
from pipeline.errors import BadInput, NotFound, Refused
from pipeline.names import Monitor, Names
from tests.unit.fake_aws import FakeClient, refusal

NAMES = Names("123456789012", "us-east-1")
DIGEST = "91ce4f02" + "0" * 56
MODEL = "s3://groundcrew-123456789012-us-east-1/dev/runs/r1/evaluate/model/model.tar.gz"
SHEET = b"\xff\xd8\xff\xe0 heat maps"
KEYS = [f"survey/images/flight{number:02d}_0000.jpg" for number in range(12)]
CLARIFY = "123456789013.dkr.ecr.us-east-1.amazonaws.com/sagemaker-clarify-processing:1.0"


def analysis(**more: Any) -> dict[str, Any]:
    def row(image: str, score: float, own: float | None) -> dict[str, Any]:
        return {"image": image, "score": score, "expected_value": 0.0, "own_share": own}

    rows = {"vehicle": [row("a.jpg", 0.55, 0.31)], "pool": [row("b.jpg", 0.83, 0.99), row("a.jpg", 0.7, None)]}
    images = [{"image": "a.jpg", "reason": ""}, {"image": "b.jpg", "reason": ""}, {"image": "c.jpg", "reason": "torn"}]
    return {"explanations": {"kernel_shap": rows}, "images": images, **more}


class Books:
    """Where the job records lie that the messages read: a database of the test's own."""

    state: Engine


@pytest.fixture(autouse=True)
def books(engine: Engine) -> None:
    Books.state = engine


class Account:
    """SageMaker and S3 with one registered model, photos, and what the test puts there."""

    def __init__(self, *, objects: dict[str, bytes] | None = None, job: dict[str, Any] | None = None) -> None:
        self.objects = objects or {}
        self.running: list[dict[str, Any]] = []
        package = {
            "ModelPackageArn": NAMES.arn("sagemaker", "model-package/groundcrew-dev-detector/3"),
            "ModelPackageVersion": 3,
            "ModelPackageStatus": "Completed",
            "ModelApprovalStatus": "Approved",
            "CreationTime": datetime.now(UTC),
            "InferenceSpecification": {"Containers": [{"Image": "i", "ModelDataUrl": MODEL}]},
            "CustomerMetadataProperties": {"digest": DIGEST, "classes": "vehicle/pool"},
        }
        self.sagemaker = FakeClient(
            list_model_packages={"ModelPackageSummaryList": [package]},
            describe_model_package=package,
            list_processing_jobs=lambda **request: {"ProcessingJobSummaries": self.running},
            create_processing_job=lambda **request: {
                "ProcessingJobArn": NAMES.arn("sagemaker", f"processing-job/{request['ProcessingJobName']}")
            },
            describe_processing_job=job or refusal("ValidationException", "Requested resource not found."),
        )
        self.s3 = FakeClient(list_objects_v2=self._list, get_object=self._get, put_object={}, copy_object={})
        self.logs = FakeClient(
            describe_log_streams={"logStreams": [{"logStreamName": "x/algo-1"}]},
            get_log_events={"events": [{"message": "Traceback: it fell over"}]},
        )

    def _list(self, **request: Any) -> dict[str, Any]:
        if request["Bucket"] == NAMES.data_bucket:
            names = [*KEYS, "survey/images/notes.txt"]
        else:
            names = [key for key in self.objects if key.startswith(request["Prefix"])]
        return {"Contents": [{"Key": key, "ETag": f'"{key}"', "Size": 9} for key in names]}

    def _get(self, **request: Any) -> dict[str, Any]:
        if request["Key"] not in self.objects:
            raise refusal("NoSuchKey", "The specified key does not exist.")
        return {"Body": io.BytesIO(self.objects[request["Key"]])}

    def context(self, invocation: str = "i", *, monitor: Monitor = "processing", image: str = "") -> Context:
        return Context(
            person=Person("T0GC", "U0DS1", "somebody", "data-scientist"),
            invocation=invocation,
            names=NAMES,
            client={"sagemaker": self.sagemaker, "s3": self.s3, "logs": self.logs}.__getitem__,
            tracking=None,  # type: ignore[arg-type]
            state=Books.state,
            monitor=monitor,
            clarify_image=image,
        )

    def ask(self, line: str, **more: Any) -> Reply:
        command, arguments = parse(line)
        return command.handler(self.context(**more), **arguments)

    def started(self) -> dict[str, Any]:
        (request,) = self.sagemaker.requests("create_processing_job")
        return request


def prefix(account: Account) -> str:
    """The key below which the explanation that was started lies."""
    uri = account.started()["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]
    return str(uri).removeprefix(f"s3://{NAMES.bucket}/").removesuffix("/analysis_result")


def finished(status: str = "Completed", **more: Any) -> Account:
    """An account in which the job that the command starts has ended."""
    first = Account()
    first.ask("drift explain")
    request, place = first.started(), prefix(first)
    job = {
        "ProcessingJobArn": NAMES.arn("sagemaker", f"processing-job/{request['ProcessingJobName']}"),
        "ProcessingJobStatus": status,
        "CreationTime": datetime.now(UTC) - timedelta(minutes=3),
        "ProcessingOutputConfig": request["ProcessingOutputConfig"],
        **more,
    }
    objects = {
        f"{place}/analysis_result/analysis.json": json.dumps(analysis()).encode(),
        f"{place}/analysis_result/explanations_shap/heat_maps.jpg": SHEET,
    }
    return Account(objects=objects, job=job)


def look(account: Account) -> tuple[Reply, bool]:
    arn = account.sagemaker.answers["describe_processing_job"]["ProcessingJobArn"]  # type: ignore[index]
    return explanation_live(account.context(), arn)


def test_it_starts_our_job_with_clarifys_inputs_and_output_and_follows_it() -> None:
    account = Account()
    reply = account.ask("drift explain")
    job = account.started()
    assert job["RoleArn"] == NAMES.role("dev-execution")
    assert job["ProcessingJobName"].startswith("groundcrew-dev-explain-v3-")
    assert len(job["ProcessingJobName"]) <= 63
    assert job["AppSpecification"]["ImageUri"] == NAMES.image()
    assert job["AppSpecification"]["ContainerEntrypoint"][-1].endswith("exec python3 -m pipeline.steps.explain")
    assert job["Environment"] == {"MODEL_DIGEST": DIGEST}
    place = f"s3://{NAMES.bucket}/{prefix(account)}"
    inputs = {each["InputName"]: each["S3Input"] for each in job["ProcessingInputs"]}
    assert {name: each["LocalPath"].removeprefix("/opt/ml/processing/input/") for name, each in inputs.items()} == {
        "analysis_config": "config",
        "dataset": "data",
        "code": "code",
        "model": "model",
    }
    assert inputs["analysis_config"]["S3Uri"] == f"{place}/input/config/analysis_config.json"
    assert inputs["dataset"]["S3Uri"] == f"{place}/input/data/"
    assert inputs["model"]["S3Uri"] == MODEL
    assert prefix(account).startswith(f"dev/explain/v3-{DIGEST[:12]}/")
    arn = NAMES.arn("sagemaker", f"processing-job/{job['ProcessingJobName']}")
    assert reply.follow == Follow("explanation", arn)
    assert reply.slot == f"explanation-{job['ProcessingJobName']}"


def test_the_photos_are_copied_as_they_were_when_they_were_chosen() -> None:
    account = Account()
    account.ask("drift explain --photos 2")
    copied = account.s3.requests("copy_object")
    assert len(copied) == 2
    for each in copied:
        key = each["CopySource"]["Key"]
        assert key in KEYS
        assert each["CopySourceIfMatch"] == f'"{key}"'
        assert each["Key"] == f"{prefix(account)}/input/data/{key.rsplit('/', 1)[-1]}"
    (asked,) = [each for each in account.s3.requests("put_object") if each["Key"].endswith("analysis_config.json")]
    assert json.loads(asked["Body"])["methods"]["shap"]["image_config"]["model_type"] == "OBJECT_DETECTION"
    assert json.loads(asked["Body"])["predictor"]["label_headers"] == ["vehicle", "pool"]


def test_native_starts_clarifys_own_image_with_nothing_that_it_forbids() -> None:
    account = Account()
    account.ask("drift explain", monitor="native", image=CLARIFY)
    job = account.started()
    assert job["AppSpecification"] == {"ImageUri": CLARIFY}  # neither entrypoint nor arguments may be set
    assert "Environment" not in job
    inputs = {each["InputName"]: each["S3Input"]["LocalPath"] for each in job["ProcessingInputs"]}
    assert inputs == {
        "analysis_config": "/opt/ml/processing/input/config",
        "dataset": "/opt/ml/processing/input/data",
    }
    (output,) = job["ProcessingOutputConfig"]["Outputs"]
    assert output["OutputName"] == "analysis_result"
    assert output["S3Output"]["LocalPath"] == "/opt/ml/processing/output"
    assert output["S3Output"]["S3UploadMode"] == "EndOfJob"
    (asked,) = account.s3.requests("put_object")  # no code of ours
    # The model as a deployment's stack calls it (pipeline/deployment.yaml).
    assert json.loads(asked["Body"])["predictor"]["model_name"] == "groundcrew-dev-detector-91ce4f02"


def test_native_without_clarifys_image_says_what_to_set() -> None:
    account = Account()
    with pytest.raises(Refused, match="CLARIFY_IMAGE is not set"):
        account.ask("drift explain", monitor="native")
    assert not account.sagemaker.requests("create_processing_job")


def test_the_same_question_is_answered_again_without_a_job_unless_asked_for() -> None:
    account = finished()
    reply = account.ask("drift explain")
    assert not account.sagemaker.requests("create_processing_job")
    assert reply.picture is not None
    assert reply.picture.data == SHEET
    assert reply.follow is None
    again = account.ask("drift explain --now", invocation="j")
    assert again.follow is not None
    assert not finished().ask("drift explain --photos 2").picture  # other photos are another question


def test_what_came_with_a_model_is_shown_and_costs_nothing() -> None:
    account = finished()
    folder = f"s3://{NAMES.bucket}/dev/explain/run1/analysis_result"
    key = next(key for key in account.objects if key.endswith("analysis.json"))
    account.objects |= {"dev/explain/run1/analysis_result/analysis.json": account.objects[key]}
    package = account.sagemaker.answers["describe_model_package"]
    assert isinstance(package, dict)
    package["ModelMetrics"] = {"Explainability": {"Report": {"S3Uri": f"{folder}/analysis.json"}}}
    command, arguments = parse("drift explain")
    assert command.spends is not None
    assert not command.spends(account.context(), **arguments).uses
    reply = account.ask("drift explain")
    assert not account.sagemaker.requests("create_processing_job")
    assert reply.title == "Detector v3 in dev: what carried 3 detections"
    assert Code(folder) in list(reply.text)
    (more, *_) = reply.actions
    assert isinstance(more, Action)
    assert parse(more.command)[1]["photos"] == 3
    account.ask(more.command)
    account.ask("drift explain --now")
    assert len(account.sagemaker.requests("create_processing_job")) == 1


def test_who_asks_while_it_is_being_explained_follows_the_same_job() -> None:
    account = Account()
    account.running = [{"ProcessingJobArn": NAMES.arn("sagemaker", "processing-job/groundcrew-dev-explain-v3-x-1")}]
    reply = account.ask("drift explain --now")
    assert not account.sagemaker.requests("create_processing_job")
    assert reply.follow == Follow("explanation", account.running[0]["ProcessingJobArn"])
    (asked,) = account.sagemaker.requests("list_processing_jobs")
    assert asked["StatusEquals"] == "InProgress"
    assert asked["NameContains"].startswith("groundcrew-dev-explain-v3-")


def test_the_result_says_in_words_what_the_heat_maps_show() -> None:
    account = finished()
    reply, done = look(account)
    assert done
    assert reply.outcome is Outcome.OK
    assert reply.title == "Detector v3 in dev: what carried 3 detections"
    assert reply.picture is not None
    alt = reply.picture.alt
    assert "vehicle on a.jpg, 0.550 sure, 31% carried by the segments it occupies" in alt
    assert "pool on a.jpg, 0.700 sure, carried by no segment" in alt
    assert "1 of 3 were carried more by their surroundings" in str(reply.text)
    assert "vehicle on a.jpg" in str(reply.text)
    assert "c.jpg was left out: torn" in str(reply.text)
    place = f"s3://{NAMES.bucket}/dev/explain/v3-{DIGEST[:12]}/"
    files, page = (part for part in reply.text if isinstance(part, Code))
    assert files.text.startswith(place)
    assert page.text == "report.html"
    assert reply.table is not None
    assert [row[:2] for row in reply.table.rows] == [("a.jpg", "pool"), ("a.jpg", "vehicle"), ("b.jpg", "pool")]


def test_a_job_at_work_is_shown_as_such() -> None:
    reply, done = look(finished("InProgress"))
    assert not done
    assert reply.steps[0].state == "running"
    assert reply.slot == look(finished())[0].slot


def test_a_job_that_fails_says_why_and_how_to_go_on() -> None:
    said = "None of the photos can be read: a.jpg: The bytes are not a picture. Choose others."
    reply, done = look(finished("Failed", ExitMessage=said, FailureReason="AlgorithmError: exit code 1"))
    assert done
    assert (reply.outcome, reply.text) == (Outcome.ERROR, said)
    assert reply.quote == "Traceback: it fell over"
    (again,) = [each for each in reply.actions if isinstance(each, Action)]
    assert parse(again.command)[1]["version"] == 3
    silent, _ = look(finished("Failed", FailureReason="ClientError: image not found"))
    assert silent.text == "ClientError: image not found"


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"[]",
        b'{"explanations": {}}',
        json.dumps(analysis(images=[{}])).encode(),
        json.dumps({"explanations": {"kernel_shap": {"car": [{"image": "a"}]}}}).encode(),
        json.dumps(analysis()).replace("0.55", "NaN").encode(),
    ],
)
def test_a_result_that_cannot_be_read_is_an_error_with_its_place(written: bytes) -> None:
    account = finished()
    key = next(key for key in account.objects if key.endswith("analysis.json"))
    account.objects[key] = written
    reply, done = look(account)
    assert done
    assert reply.outcome is Outcome.ERROR
    assert "analysis.json cannot be read" in str(reply.text)
    with pytest.raises(BadInput):
        account.ask("drift explain")
    del account.objects[key]
    assert "does not exist" in str(look(account)[0].text)


def test_clarifys_own_result_is_shown_as_far_as_it_reads() -> None:
    """AWS documents no more of analysis.json for pictures than its outer members."""
    account = finished()
    key = next(key for key in account.objects if key.endswith("analysis.json"))
    account.objects = {key: json.dumps({"explanations": {"kernel_shap": {"label0": {"x": 1}}}}).encode()}
    reply, _ = look(account)
    assert reply.outcome is Outcome.OK
    assert reply.picture is None
    assert "each lies with the files" in str(reply.text)


def test_what_is_no_explanation_is_not_found() -> None:
    with pytest.raises(NotFound):
        explanation_live(Account().context(), "arn:x:processing-job/gone")
    other = {"S3Output": {"S3Uri": f"s3://{NAMES.bucket}/dev/runs/r/evaluate"}, "OutputName": "analysis_result"}
    account = finished(ProcessingOutputConfig={"Outputs": [other]})
    with pytest.raises(NotFound):
        look(account)


def test_without_photos_or_with_an_unknown_environment_it_says_so() -> None:
    account = Account()
    account.s3.answers["list_objects_v2"] = {}
    with pytest.raises(NotFound, match="photo below"):
        account.ask("drift explain")
    with pytest.raises(BadInput):
        parse("drift explain --env prod")
    with pytest.raises(BadInput):
        parse("drift explain --photos 0")


def test_photos_are_the_same_ones_until_one_of_them_changes() -> None:
    places = []
    for tag in ("x", "x", "y"):
        account = Account()
        account.s3.answers["list_objects_v2"] = lambda tag=tag, **request: {
            "Contents": [{"Key": key, "ETag": tag, "Size": 9} for key in KEYS if request["Bucket"] != NAMES.bucket]
        }
        account.ask("drift explain")
        places.append(prefix(account))
    assert places[0] == places[1] != places[2]
    chosen = explain.choose(Account().s3, NAMES, "survey/images/", 3)
    assert [photo.key for photo in chosen] == sorted(photo.key for photo in chosen)
    assert set(chosen) < set(explain.choose(Account().s3, NAMES, "survey/images/", 5))
