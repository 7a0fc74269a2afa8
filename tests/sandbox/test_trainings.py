"""Trainings as the local AWS runs them: versions to start from, interruptions, checkpoints, quotas, tuning jobs."""

from __future__ import annotations

import io
import json
import tarfile
import urllib.error
import urllib.request
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.test_sagemaker import (
    BUCKET,
    ROLE,
    Cloud,
    cloud,
    create,
    ended,
    events_of,
    log_of,
    over,
    start,
    steps,
    story,
    training,
    wait,
)

__all__ = ["cloud"]
COUNT = """
import os, pathlib, sys, time
root = pathlib.Path(os.environ["ML_ROOT"])
kept = root / "checkpoints" / "epoch"
done = int(kept.read_text()) if kept.exists() else 0
print("begins after", done, flush=True)
for epoch in range(done + 1, 4):
    kept.write_text(str(epoch))
    print("epoch", epoch, flush=True)
    if epoch == 2 and not done:
        if "DIES" in os.environ:
            sys.exit(1)
        time.sleep(60)
(root / "model" / "epochs").write_text("3 after " + str(done))
"""
SCORE = """
import json, os, pathlib
root = pathlib.Path(os.environ["ML_ROOT"])
told = json.loads((root / "input/config/hyperparameters.json").read_text())
assert told["_tuning_objective_metric"] == "loss", told
rate = float(told["rate"])
if told["kind"] == "bad":
    raise SystemExit(1)
(root / "model" / "rate").write_text(str(rate))
print("loss=%.6f" % abs(rate - 0.01), flush=True)
"""
CHECKPOINTS = {"S3Uri": f"s3://{BUCKET}/checkpoints/"}
SPOT = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 120},
}


@pytest.fixture(scope="module", autouse=True)
def scripts(cloud: Cloud) -> None:
    for name, script in (("count", COUNT), ("score", SCORE)):
        cloud.client("s3").put_object(Bucket=BUCKET, Key=f"code/{name}.py", Body=script.encode())


def checkpoints(name: str) -> dict[str, Any]:
    return {"CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/checkpoints/{name}"}}


def interrupt(cloud: Cloud, job: str) -> Any:
    body, headers = json.dumps({"job": job}).encode(), {"X-Sandbox": "1"}
    with urllib.request.urlopen(urllib.request.Request(f"{cloud.url}/_sandbox/interruptions", body, headers)) as told:
        return json.load(told)


def epochs(cloud: Cloud, job: dict[str, Any]) -> str:
    bucket, _, key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").partition("/")
    packed = cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        file = archive.extractfile("epochs")
        assert file
        return file.read().decode()


def test_an_interrupted_spot_training_starts_again_with_its_checkpoints(cloud: Cloud) -> None:
    sagemaker = cloud.client("sagemaker")
    sagemaker.create_training_job(TrainingJobName="dev-spot", **{**training("count.py"), **SPOT, **checkpoints("spot")})
    wait(lambda: "epoch 2" in log_of(cloud, "dev-spot"))
    assert interrupt(cloud, "dev-spot")
    job = wait(lambda: over(sagemaker, "dev-spot"))
    assert job["TrainingJobStatus"] == "Completed"
    assert epochs(cloud, job) == "3 after 2"
    walked = [each["Status"] for each in job["SecondaryStatusTransitions"]]
    assert walked[walked.index("Interrupted") :] == [
        *("Interrupted", "Restarting", "Downloading", "Training", "Uploading", "Completed")
    ]
    assert job["BillableTimeInSeconds"] <= job["TrainingTimeInSeconds"]
    told = [event["detail"] for event in events_of(cloud) if event["detail"].get("TrainingJobName") == "dev-spot"]
    assert "Restarting" in [detail["SecondaryStatus"] for detail in told]


def test_what_is_no_spot_training_is_not_interrupted(cloud: Cloud) -> None:
    sagemaker = cloud.client("sagemaker")
    sagemaker.create_training_job(TrainingJobName="dev-firm", **training("wait.py"))
    wait(lambda: "waiting" in log_of(cloud, "dev-firm"))
    with pytest.raises(urllib.error.HTTPError):
        interrupt(cloud, "dev-firm")
    sagemaker.stop_training_job(TrainingJobName="dev-firm")
    wait(lambda: over(sagemaker, "dev-firm"))


def test_checkpoints_outlive_a_training_that_dies_and_a_retry_goes_on_from_them(cloud: Cloud) -> None:
    definition = story()
    train = training("count.py", Environment={"DIES": "1"}, **checkpoints("dies"))
    definition["Steps"][1]["Arguments"] = train
    create(cloud, "dev-dies", definition)
    arn = start(cloud, "dev-dies")
    assert ended(cloud, arn)["PipelineExecutionStatus"] == "Failed"
    sagemaker = cloud.client("sagemaker")
    sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken="r" * 32)
    wait(lambda: steps(cloud, arn).get("Train", {}).get("StepStatus") == "Succeeded")
    name = steps(cloud, arn)["Train"]["Metadata"]["TrainingJob"]["Arn"].split("/")[1]
    assert epochs(cloud, sagemaker.describe_training_job(TrainingJobName=name)) == "3 after 2"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"StoppingCondition": SPOT["StoppingCondition"]}, "only supported when EnableManagedSpotTraining is set"),
        ({"EnableManagedSpotTraining": True}, "must be present and be greater than or equal"),
    ],
)
def test_a_longest_wait_goes_with_spot_and_with_nothing_else(cloud: Cloud, change: dict[str, Any], words: str) -> None:
    with pytest.raises(ClientError, match=words):
        cloud.client("sagemaker").create_training_job(TrainingJobName="dev-odd", **{**training("train.py"), **change})


def test_an_instance_type_without_quota_is_refused_in_awss_words(cloud: Cloud) -> None:
    request = training("train.py")
    request["ResourceConfig"]["InstanceType"] = "ml.g5.xlarge"
    with pytest.raises(ClientError, match=r"ml\.g5\.xlarge for training job usage' is 0 Instances") as error:
        cloud.client("sagemaker").create_training_job(TrainingJobName="dev-gpu", **request)
    assert error.value.response["Error"]["Code"] == "ResourceLimitExceeded"


def test_a_run_starts_from_the_version_that_an_alias_names(cloud: Cloud) -> None:
    sagemaker = cloud.client("sagemaker")
    first, second = json.dumps(story()), json.dumps(story(train="wait.py"))
    request = {"PipelineName": "dev-versions", "RoleArn": ROLE}
    sagemaker.create_pipeline(
        **request, PipelineDefinition=first, PipelineVersionAliases=["calm"], ClientRequestToken="v" * 32
    )
    made = sagemaker.update_pipeline(**request, PipelineDefinition=second, PipelineVersionAliases=["slow"])
    assert made["PipelineVersionId"] == 2
    assert sagemaker.describe_pipeline(PipelineName="dev-versions")["PipelineDefinition"] == second
    calm = sagemaker.describe_pipeline(PipelineName="dev-versions", PipelineVersionAlias="calm")
    assert (calm["PipelineDefinition"], calm["PipelineVersionAliases"]) == (first, ["calm"])
    begun = sagemaker.start_pipeline_execution(
        PipelineName="dev-versions", PipelineVersionAlias="calm", ClientRequestToken="w" * 32
    )["PipelineExecutionArn"]
    described = sagemaker.describe_pipeline_execution(PipelineExecutionArn=begun)
    assert (described["PipelineVersionId"], described["PipelineVersionAliases"]) == (1, ["calm"])
    listed = sagemaker.list_pipeline_versions(PipelineName="dev-versions")["PipelineVersionSummaries"]
    assert [(each["PipelineVersionId"], each["PipelineVersionAliases"]) for each in listed] == [
        (2, ["slow"]),
        (1, ["calm"]),
    ]
    with pytest.raises(ClientError, match="assigned to version 1"):
        sagemaker.update_pipeline(**request, PipelineDefinition=first, PipelineVersionAliases=["calm"])
    with pytest.raises(ClientError, match="only when the pipeline definition changes"):
        sagemaker.update_pipeline(**request, PipelineDefinition=second, PipelineVersionAliases=["new"])
    with pytest.raises(ClientError, match="ResourceNotFound"):
        sagemaker.start_pipeline_execution(
            PipelineName="dev-versions", PipelineVersionAlias="none", ClientRequestToken="x" * 32
        )
    arn = calm["PipelineArn"]
    sagemaker.update_pipeline_version(
        PipelineArn=arn, PipelineVersionId=1, PipelineVersionAliasOperations={"Remove": ["calm"]}
    )
    moved = sagemaker.update_pipeline(**request, PipelineDefinition=first, PipelineVersionAliases=["calm"])
    assert moved["PipelineVersionId"] == 3
    ended(cloud, begun)


def tuning(**more: Any) -> dict[str, Any]:
    trial = training("score.py")
    trial["AlgorithmSpecification"].pop("ContainerEntrypoint")
    return {
        "HyperParameterTuningJobConfig": {
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 2, **more},
            "ParameterRanges": {
                "ContinuousParameterRanges": [
                    {"Name": "rate", "MinValue": "0.001", "MaxValue": "0.1", "ScalingType": "Logarithmic"}
                ],
                "CategoricalParameterRanges": [{"Name": "kind", "Values": ["good", "bad"]}],
            },
            "RandomSeed": 3,
        },
        "TrainingJobDefinition": {**trial, "StaticHyperParameters": {"epochs": "1"}},
    }


def tuned(cloud: Cloud, name: str) -> dict[str, Any]:
    sagemaker = cloud.client("sagemaker")

    def done() -> Any:
        found = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        return found if found["HyperParameterTuningJobStatus"] not in ("InProgress", "Stopping") else None

    found: dict[str, Any] = wait(done, 40)
    return found


def test_a_tuning_job_runs_its_trials_and_names_the_best(cloud: Cloud) -> None:
    """The image's own `train` starts a trial: a tuning job has no place for an entrypoint."""
    sagemaker = cloud.client("sagemaker")
    sagemaker.create_hyper_parameter_tuning_job(HyperParameterTuningJobName="dev-tune", **tuning())
    found = tuned(cloud, "dev-tune")
    trials = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName="dev-tune")
    rows = trials["TrainingJobSummaries"]
    assert len(rows) == 4
    assert len({row["TunedHyperParameters"]["rate"] for row in rows}) == 4
    good = [row for row in rows if row["TunedHyperParameters"]["kind"] == "good"]
    assert 0 < len(good) < 4, "another RandomSeed makes both kinds"
    assert found["TrainingJobStatusCounters"]["Completed"] == len(good)
    assert found["TrainingJobStatusCounters"]["NonRetryableError"] == 4 - len(good)
    metric = "FinalHyperParameterTuningJobObjectiveMetric"
    assert found["BestTrainingJob"][metric]["Value"] == pytest.approx(min(row[metric]["Value"] for row in good))
    one = sagemaker.describe_training_job(TrainingJobName=rows[0]["TrainingJobName"])
    assert one["TuningJobArn"] == found["HyperParameterTuningJobArn"]
    kinds = [event["detail-type"] for event in events_of(cloud)]
    assert "SageMaker HyperParameter Tuning Job State Change" in kinds


def test_a_tuning_job_is_refused_or_stopped_like_any(cloud: Cloud) -> None:
    sagemaker = cloud.client("sagemaker")
    with pytest.raises(ClientError, match="among the metric definitions"):
        request = tuning()
        request["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"] = "map"
        sagemaker.create_hyper_parameter_tuning_job(HyperParameterTuningJobName="dev-odd", **request)
    with pytest.raises(ClientError, match="1 to 20"):
        sagemaker.create_hyper_parameter_tuning_job(
            HyperParameterTuningJobName="dev-odd", **tuning(MaxNumberOfTrainingJobs=21)
        )
    slow = tuning(MaxNumberOfTrainingJobs=20, MaxParallelTrainingJobs=1)
    sagemaker.create_hyper_parameter_tuning_job(HyperParameterTuningJobName="dev-slow-tune", **slow)
    sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="dev-slow-tune")
    assert tuned(cloud, "dev-slow-tune")["HyperParameterTuningJobStatus"] == "Stopped"
