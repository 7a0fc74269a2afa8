"""`dataset profile`, `sample`, `versions`: what is asked of AWS and what is said."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import create_engine

from commands.arguments import LONGEST_FOLDER, data_folder
from commands.command import Context, Person
from commands.dataset import profile_live
from commands.parsing import parse
from commands.reply import Action, Code, Follow, Outcome, Reply
from pipeline import profiles, versions
from pipeline.errors import BadInput, NotFound
from pipeline.names import Names
from pipeline.profile.joined import join
from pipeline.profile.rows import rows
from pipeline.steps.profile import write
from tests.unit.fake_aws import FakeClient, refusal
from tests.unit.photos import encoded, names, scene, survey

NAMES = Names("123456789012", "us-east-1")
NOW = datetime(2026, 2, 14, 12, tzinfo=UTC)


class Account:
    """S3 with a data bucket and an artifact bucket, and SageMaker with what the test says of its job."""

    def __init__(self, data: dict[str, bytes] | None = None, job: dict[str, Any] | None = None) -> None:
        self.data, self.own = data or {}, dict[str, bytes]()
        self.times: dict[str, datetime] = {}
        self.running: list[dict[str, Any]] = []
        self.sagemaker = FakeClient(
            list_processing_jobs=lambda **request: {"ProcessingJobSummaries": self.running},
            create_processing_job=lambda **request: {
                "ProcessingJobArn": NAMES.arn("sagemaker", f"processing-job/{request['ProcessingJobName']}")
            },
            describe_processing_job=job or refusal("ValidationException", "Requested resource not found."),
        )
        self.s3 = FakeClient(list_objects_v2=self._list, get_object=self._get, put_object={})
        self.logs = FakeClient(
            describe_log_streams={"logStreams": [{"logStreamName": "x/algo-1"}]},
            get_log_events={"events": [{"message": '{"event": "looked"}'}, {"message": "it fell over"}]},
        )

    def _bucket(self, name: str) -> dict[str, bytes]:
        return self.data if name == NAMES.data_bucket else self.own

    def _list(self, **request: Any) -> dict[str, Any]:
        if request.get("Delimiter"):
            return {"CommonPrefixes": [{"Prefix": p} for p in sorted({key.split("/")[0] + "/" for key in self.data})]}
        found = {
            key: data for key, data in self._bucket(request["Bucket"]).items() if key.startswith(request["Prefix"])
        }
        return {
            "Contents": [
                {"Key": key, "Size": len(data), "ETag": f'"{hash(data)}"', "LastModified": self.times.get(key, NOW)}
                for key, data in found.items()
            ]
        }

    def _get(self, **request: Any) -> dict[str, Any]:
        bucket = self._bucket(request["Bucket"])
        if request["Key"] not in bucket:
            raise refusal("NoSuchKey", "The specified key does not exist.")
        return {"Body": io.BytesIO(bucket[request["Key"]])}

    def context(self, invocation: str = "i") -> Context:
        return Context(
            person=Person("T0GC", "U0DS1", "somebody", "data-scientist"),
            invocation=invocation,
            names=NAMES,
            client={"sagemaker": self.sagemaker, "s3": self.s3, "logs": self.logs}.__getitem__,
            tracking=None,  # type: ignore[arg-type]
            state=create_engine("sqlite://"),
        )

    def ask(self, line: str, invocation: str = "i") -> Reply:
        command, arguments = parse(line)
        return command.handler(self.context(invocation), **arguments)

    def started(self) -> dict[str, Any]:
        (request,) = self.sagemaker.requests("create_processing_job")
        return request


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return survey(tmp_path_factory.mktemp("set"))


def uploaded(folder: Path, prefix: str = "survey/") -> dict[str, bytes]:
    return {prefix + name: (folder / name).read_bytes() for name in names(folder)}


def buttons(reply: Reply) -> dict[str, str]:
    return {each.label: each.command for each in reply.actions if isinstance(each, Action)}


# --- where a data set may lie ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["survey", "survey/", " survey// ", f"s3://{NAMES.data_bucket}/survey"])
def test_a_folder_of_the_data_bucket_is_meant(text: str) -> None:
    assert data_folder(NAMES.data_bucket, text) == "survey/"


@pytest.mark.parametrize(
    "text",
    [
        "s3://other/survey/",
        "/etc",
        "../x",
        "a/../../b",
        "",
        "/",
        "a//b",
        "a\\b",
        "a\nb",
        'a"b',
        "https://x/y",
        "x" * 151,
    ],
)
def test_anywhere_else_is_refused(folder: Path, text: str) -> None:
    assert len("x" * 151) > LONGEST_FOLDER
    with pytest.raises(BadInput, match=r"data bucket|no folder"):
        data_folder(NAMES.data_bucket, text)


def test_a_folder_that_is_not_there_names_what_is(folder: Path) -> None:
    with pytest.raises(NotFound, match="survay") as error:
        Account(uploaded(folder)).ask("dataset profile --prefix survay")
    assert "survey/" in error.value.advice


def test_a_folder_without_photos_says_where_they_belong() -> None:
    with pytest.raises(NotFound, match="no photo below") as error:
        Account({"survey/classes.txt": b"boat"}).ask("dataset profile")
    assert "images/" in error.value.advice


# --- the job --------------------------------------------------------------------------------------------------------


def test_a_profile_is_a_job_that_the_message_follows(folder: Path) -> None:
    account = Account(uploaded(folder))
    reply = account.ask("dataset profile")
    request = account.started()
    assert request["ProcessingResources"]["ClusterConfig"]["InstanceCount"] == 1
    raw = next(each["S3Input"] for each in request["ProcessingInputs"] if each["InputName"] == "raw")
    assert raw["S3Uri"] == f"s3://{NAMES.data_bucket}/survey/"
    assert raw["S3DataDistributionType"] == "FullyReplicated"
    assert isinstance(reply.follow, Follow)
    assert reply.follow.kind == "profile"
    assert reply.follow.arn.endswith(request["ProcessingJobName"])
    assert request["ProcessingJobName"].startswith("groundcrew-dev-profile-")
    assert len(request["ProcessingJobName"]) <= 63
    assert "16 photos" in reply.title


def test_several_machines_share_the_photos_out_by_key(folder: Path) -> None:
    account = Account(uploaded(folder))
    account.ask("dataset profile --instances 3")
    request = account.started()
    assert request["ProcessingResources"]["ClusterConfig"]["InstanceCount"] == 3
    kinds = {each["InputName"]: each["S3Input"]["S3DataDistributionType"] for each in request["ProcessingInputs"]}
    assert kinds == {"code": "FullyReplicated", "raw": "ShardedByS3Key"}


def test_how_many_machines_depends_on_the_photos() -> None:
    def of(photos: int, *, whole: bool = True) -> int:
        objects = {f"images/{number}.jpg": (1, "") for number in range(photos)}
        return profiles.Folder("survey/", objects, whole).instances

    assert [of(1), of(profiles.EACH), of(profiles.EACH + 1), of(20 * profiles.EACH)] == [1, 1, 2, 8]
    assert of(3, whole=False) == profiles.MOST_INSTANCES


def test_a_folder_too_large_to_list_gets_all_machines_and_a_place_of_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles, "MOST_OBJECTS", 5)
    account = Account(uploaded(folder))
    reply = account.ask("dataset profile", "one")
    assert "more than" in reply.title
    cluster = account.started()["ProcessingResources"]["ClusterConfig"]
    assert (cluster["InstanceCount"], cluster["VolumeSizeInGB"]) == (8, profiles.LARGEST_VOLUME_GB)
    account.ask("dataset profile", "two")
    first, second = account.sagemaker.requests("create_processing_job")
    assert first["ProcessingOutputConfig"] != second["ProcessingOutputConfig"]


def test_a_job_that_runs_already_is_joined(folder: Path) -> None:
    account = Account(uploaded(folder))
    account.running = [{"ProcessingJobArn": NAMES.arn("sagemaker", "processing-job/groundcrew-dev-profile-x-1")}]
    reply = account.ask("dataset profile")
    assert reply.follow
    assert reply.follow.arn.endswith("x-1")
    assert not account.sagemaker.requests("create_processing_job")


def finished(folder: Path, tmp_path: Path, status: str = "Completed", **more: Any) -> Account:
    """An account in which the job that the command started has ended, with what it wrote."""
    first = Account(uploaded(folder))
    first.ask("dataset profile")
    request = first.started()
    job = {
        "ProcessingJobArn": NAMES.arn("sagemaker", f"processing-job/{request['ProcessingJobName']}"),
        "ProcessingJobStatus": status,
        "CreationTime": datetime.now(UTC),
        **{key: request[key] for key in ("ProcessingOutputConfig", "Environment", "ProcessingResources")},
        **more,
    }
    account = Account(uploaded(folder), job)
    if status == "Completed":
        write(
            join(rows(names(folder), lambda name: (folder / name).read_bytes())),
            lambda n: (folder / n).read_bytes(),
            tmp_path,
        )
        uri = request["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]
        for path in tmp_path.iterdir():
            account.own[f"{uri.removeprefix(f's3://{NAMES.bucket}/')}/{path.name}"] = path.read_bytes()
    return account


def live(account: Account) -> tuple[Reply, bool]:
    arn = account.sagemaker.answers["describe_processing_job"]["ProcessingJobArn"]  # type: ignore[index]
    return profile_live(account.context(), arn)


def test_the_message_becomes_the_profile_with_the_photos_below_it(folder: Path, tmp_path: Path) -> None:
    reply, done = live(finished(folder, tmp_path))
    assert done
    assert reply.title == "Data set survey/: 16 photos, 32 objects of 2 classes"
    assert reply.text[0] == "Nothing stands out: every photo and label can be used."
    assert reply.picture
    assert reply.picture.data.startswith(b"\x89PNG")
    assert "boat 16" in reply.picture.alt
    assert reply.table
    assert [row[0] for row in reply.table.rows] == ["boat", "car"]
    (photos,) = reply.also
    assert photos.picture
    assert "16 photos" not in photos.title
    assert "12 photos with the boxes" in photos.picture.alt
    assert buttons(reply)["Train on it"] == "pipeline run --env dev --prefix survey/"


def test_what_was_profiled_before_is_shown_at_once_unless_asked_anew(folder: Path, tmp_path: Path) -> None:
    account = finished(folder, tmp_path)
    reply = account.ask("dataset profile")
    assert "profiled before" in str(reply.context)
    assert buttons(reply)["Profile anew"].endswith("--now")
    assert not account.sagemaker.requests("create_processing_job")
    assert account.ask("dataset profile --now").follow
    account.data["survey/images/f9_9.jpg"] = encoded(scene(77))
    assert account.ask("dataset profile").follow  # other photos: another profile


def test_a_job_that_failed_says_why_with_its_last_lines(folder: Path, tmp_path: Path) -> None:
    reply, done = live(finished(folder, tmp_path, "Failed", ExitMessage="algo-2 has not delivered its part."))
    assert (done, reply.outcome) == (True, Outcome.ERROR)
    assert reply.text == "algo-2 has not delivered its part."
    assert reply.quote == "it fell over"
    assert buttons(reply)["Profile again"].endswith("--now")


def test_a_running_job_says_for_how_long(folder: Path, tmp_path: Path) -> None:
    reply, done = live(finished(folder, tmp_path, "InProgress", CreationTime=datetime.now(UTC) - timedelta(seconds=65)))
    assert not done
    assert str(reply.steps[0].detail).startswith("running for 1 min")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: {**body, "findings": [{"level": "shout", "words": "", "names": [], "files": 0}]},
        lambda body: {**body, "facts": 3},
        lambda body: {},
    ],
)
def test_a_result_that_is_none_is_not_shown(folder: Path, tmp_path: Path, spoil: Any) -> None:
    account = finished(folder, tmp_path)
    key = next(key for key in account.own if key.endswith("profile.json"))
    account.own[key] = json.dumps(spoil(json.loads(account.own[key]))).encode()
    reply, done = live(account)
    assert (done, reply.outcome) == (True, Outcome.ERROR)
    assert "cannot be read" in reply.title


def test_a_job_of_something_else_is_no_profile() -> None:
    with pytest.raises(NotFound):
        profile_live(Account().context(), NAMES.arn("sagemaker", "processing-job/groundcrew-dev-explain-1"))


# --- a sample -------------------------------------------------------------------------------------------------------


def test_a_sample_repeats_with_its_seed_and_shows_the_boxes(folder: Path) -> None:
    account = Account(uploaded(folder))
    one, two, other = (account.ask(f"dataset sample --count 4 --seed {seed}") for seed in (5, 5, 6))
    assert one.title == "4 of 16 photos of survey/, 8 labelled objects"
    assert one.picture
    assert two.picture
    assert other.picture
    assert one.picture.alt == two.picture.alt != other.picture.alt
    with Image.open(io.BytesIO(one.picture.data)) as shown:
        assert shown.width == 1248
    assert (
        account.ask("dataset sample", invocation="a").context != account.ask("dataset sample", invocation="b").context
    )


def test_a_sample_of_what_is_broken_bare_or_huge(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account({"odd/images/f1_1.jpg": b"torn", "odd/images/f1_2.jpg": encoded(scene(1))})
    reply = account.ask("dataset sample --prefix odd")
    assert "None of these photos has a label." in str(reply.text)
    monkeypatch.setattr("commands.dataset_sample.LARGEST_PHOTO", 100)
    assert "Too large to show here: images/f1_2.jpg" in str(account.ask("dataset sample --prefix odd").text)
    del account.data["odd/images/f1_1.jpg"]
    with pytest.raises(BadInput, match="too large"):
        account.ask("dataset sample --prefix odd")


def test_a_sample_needs_photos() -> None:
    with pytest.raises(NotFound, match="no photo below"):
        Account({"odd/unlabelled/f1_1.jpg": b""}).ask("dataset sample --prefix odd")


# --- versions -------------------------------------------------------------------------------------------------------


def version(
    account: Account, tmp_path: Path, id: str, samples: dict[str, str], run: str, hours: int, classes: str = "boat"
) -> None:
    """A run's data version as Preprocess writes it, some hours ago."""
    summary = {"prefix": "survey/", "photos": len(samples), "unlabelled": 0, "objects": 9, "classes": [classes]}
    before = set(account.own)
    versions.write(tmp_path, id, {"classes": [classes], "samples": samples}, summary)
    versions.used(tmp_path, id, run)
    for name in names(tmp_path):
        account.own[f"dev/data/{name}"] = (tmp_path / name).read_bytes()
    for key in set(account.own) - before:
        account.times[key] = NOW - timedelta(hours=hours)


def test_versions_name_the_runs_that_used_them(tmp_path: Path) -> None:
    account = Account()
    assert "No run in dev has used any data yet" in account.ask("dataset versions").title
    version(account, tmp_path, "aaa111", {"f1_1.jpg": "1", "f1_2.jpg": "2"}, "run1", 9)
    version(account, tmp_path, "bbb222", {"f1_1.jpg": "1", "f1_2.jpg": "3", "f2_1.jpg": "4"}, "run2", 5)
    version(account, tmp_path, "aaa111", {"f1_1.jpg": "1", "f1_2.jpg": "2"}, "run3", 1)
    reply = account.ask("dataset versions")
    assert reply.title == "Runs in dev have used 2 data versions"
    assert reply.table
    assert [(row[0], row[2], row[5]) for row in reply.table.rows] == [
        ("aaa111", "2", "run3, run1"),
        ("bbb222", "3", "run2"),
    ]
    one = account.ask("dataset versions bbb")
    facts = {fact.label: fact.value for fact in one.facts}
    assert facts["Since aaa111"] == "1 photo added (f2_1.jpg); 1 photo changed (f1_2.jpg)"
    assert facts["From"] == [Code("survey/")]
    assert buttons(one)["The version before"] == "dataset versions aaa111 --env dev"


def test_a_version_that_is_not_there_or_not_one(tmp_path: Path) -> None:
    account = Account()
    for id in ("ab1", "ab2"):
        version(account, tmp_path, id, {}, "run", 1)
    with pytest.raises(NotFound, match="cd"):
        account.ask("dataset versions cd")
    with pytest.raises(BadInput, match="2 data versions begin with ab"):
        account.ask("dataset versions ab")
    account.own["dev/data/ab1/summary.json"] = b"{}"
    with pytest.raises(BadInput, match="cannot be read"):
        account.ask("dataset versions")
