"""SageMaker as the local AWS executes it: real requests over a socket, real processes behind them."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

ACCOUNT, REGION, BUCKET = "123456789012", "us-east-1", "sagemaker-test"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/groundcrew:1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/execution"

COPY = """
import json, os, pathlib, sys
root = pathlib.Path(os.environ["ML_ROOT"])
config = json.loads((root / "config/processingjobconfig.json").read_text())
print("copying for", os.environ["GREETING"], flush=True)
folder = root / "processing/in"
names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
for name in names:
    target = root / "processing/out" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes((root / "processing/in" / name).read_bytes())
(root / "processing/out/report.json").write_text(json.dumps({"metrics": {"score": {"value": len(names) / 4}}}))
(root / "output").mkdir(exist_ok=True)
(root / "output/message").write_text("copied %d files for %s" % (len(names), config["ProcessingJobName"]))
assert "HOSTNAME_SECRET" not in os.environ
"""
TRAIN = """
import json, os, pathlib
root = pathlib.Path(os.environ["ML_ROOT"])
parameters = json.loads((root / "input/config/hyperparameters.json").read_text())
assert all(isinstance(value, str) for value in parameters.values()), parameters
seen = sorted(p.name for p in (root / "input/data/train").iterdir())
(root / "model/model.json").write_text(json.dumps({"epochs": parameters["epochs"], "seen": seen}))
print("loss=0.25", flush=True)
"""
FAIL = """
import os, pathlib, sys
root = pathlib.Path(os.environ["ML_ROOT"])
(root / "output/failure").write_text("the labels are broken" + "!" * 2000)
print("last words", flush=True)
sys.exit(3)
"""
WAIT = """
import os, pathlib, signal, sys, time
def stop(*_):
    (pathlib.Path(os.environ["ML_ROOT"]) / "model/partial").write_text("kept")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("waiting", flush=True)
time.sleep(60)
"""
SHARE = """
import json, os, pathlib, sys, time
root = pathlib.Path(os.environ["ML_ROOT"])
hosts = json.loads((root / "config/resourceconfig.json").read_text())
me = hosts["current_host"]
if os.environ.get("FAILS") == me:
    sys.exit(3)
if os.environ.get("FAILS"):
    time.sleep(60)
found = {name: sorted(p.name for p in (root / "processing" / name).rglob("*.txt")) for name in ("share", "whole")}
(root / "processing/out" / (me + ".json")).write_text(json.dumps({**hosts, **found}))
print("shared by", me, flush=True)
"""
SERVER = """
import http.server, os, pathlib
root = pathlib.Path(os.environ["ML_ROOT"])
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(200, b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"die":
            os._exit(1)
        if self.headers["Content-Type"] != "image/jpeg":
            return self.answer(415, b'{"error":"not an image"}', Content_Type="application/json")
        model = (root / "model/model.json").read_bytes()
        seen = self.headers.get("X-Amzn-SageMaker-Custom-Attributes", "")
        names = {"Content_Type": "application/json", "X_Amzn_SageMaker_Custom_Attributes": seen}
        self.answer(200, model + bytes(reversed(body)), **names)
    def log_message(self, *_):
        pass
print("serving", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""

LAUNCH = """
import os, pathlib, sys
os.environ.update(MOTO_DISABLE_GLOBAL_CORS="1", MOTO_ACCOUNT_ID="123456789012")
from sandbox.aws.sagemaker import images
from sandbox.aws.server import serve
images.FILE = pathlib.Path(sys.argv[1])
serve(0, pathlib.Path(sys.argv[2]), "us-east-1")
"""


@dataclass
class Cloud:
    """The running server and the operator's way into it."""

    url: str
    process: subprocess.Popen[bytes]
    state: Path
    session: boto3.Session

    def client(self, service: str) -> Any:
        return self.session.client(
            service, endpoint_url=self.url, region_name=REGION, config=Config(retries={"total_max_attempts": 1})
        )


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    state = tmp_path_factory.mktemp("aws")
    environment = {**os.environ, "HOSTNAME_SECRET": "must not reach a job", "PYTHONUNBUFFERED": "1"}
    server, images = state / "model_server.py", state / "images.json"
    server.write_text(SERVER)
    trial = ["/bin/sh", "-c", "exec python3 $ML_ROOT/input/data/code/score.py"]
    images.write_text(json.dumps({"groundcrew": {"serve": ["python3", str(server)], "train": trial}}))
    process = subprocess.Popen([sys.executable, "-c", LAUNCH, str(images), str(state)], env=environment)
    try:
        wait(lambda: (state / "config").exists(), 30)
        url = (state / "config").read_text().partition("endpoint_url = ")[2].split()[0]
        keys = dict(line.split(" = ") for line in (state / "credentials").read_text().split("\n\n")[0].splitlines()[1:])
        running = Cloud(url, process, state, boto3.Session(**keys))
        prepare(running)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def prepare(cloud: Cloud) -> None:
    s3, iam, sqs, events = (cloud.client(name) for name in ("s3", "iam", "sqs", "events"))
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for name, script in (("copy", COPY), ("train", TRAIN), ("fail", FAIL), ("wait", WAIT), ("share", SHARE)):
        s3.put_object(Bucket=BUCKET, Key=f"code/{name}.py", Body=script.encode())
    for name in ("a.txt", "b.txt", "deep/c.txt"):
        s3.put_object(Bucket=BUCKET, Key=f"in/{name}", Body=name.encode())
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    allow = [
        {"Effect": "Allow", "Action": "s3:*", "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"]},
        {
            "Effect": "Allow",
            "Action": ["sagemaker:Create*", "sagemaker:AddTags"],
            "Resource": "arn:aws:sagemaker:*:*:*/dev*",
        },
        {"Effect": "Allow", "Action": ["sagemaker:Create*Job"], "Resource": "arn:aws:sagemaker:*:*:*/pipelines-*"},
        {"Effect": "Allow", "Action": "iam:PassRole", "Resource": ROLE},
    ]
    for name, statements in (("execution", allow), ("foreign", allow)):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))
        iam.put_role_policy(RoleName=name, PolicyName="work", PolicyDocument=policy(*statements))
    send = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
    sqs.create_queue(QueueName="events", Attributes={"Policy": policy({**send, "Resource": "*"})})
    events.put_rule(Name="all", EventPattern=json.dumps({"source": ["aws.sagemaker"]}))
    events.put_targets(Rule="all", Targets=[{"Id": "queue", "Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:events"}])
    cloud.client("sagemaker").create_model_package_group(ModelPackageGroupName="dev-detector")
    cloud.client("sagemaker").create_model_package_group(ModelPackageGroupName="prod-detector")


def policy(*statements: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def wait(condition: Callable[[], Any], seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)
    return found


def shell(path: str) -> list[str]:
    return ["/bin/sh", "-c", f"exec python3 ${{ML_ROOT:-/opt/ml}}/{path}"]


def source(script: str) -> dict[str, Any]:
    return {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/code/{script}"}


def processing(script: str, inputs: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    code = {**source(script), "LocalPath": "/opt/ml/processing/code", "S3InputMode": "File"}
    return {
        "AppSpecification": {"ImageUri": IMAGE, "ContainerEntrypoint": shell(f"processing/code/{script}")},
        "ProcessingInputs": [{"InputName": "code", "S3Input": code}, *inputs],
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.t3.medium", "VolumeSizeInGB": 1}
        },
        "RoleArn": ROLE,
        **more,
    }


def training(script: str, inputs: tuple[dict[str, Any], ...] = (), **more: Any) -> dict[str, Any]:
    return {
        "InputDataConfig": [{"ChannelName": "code", "DataSource": {"S3DataSource": source(script)}}, *inputs],
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": shell(f"input/data/code/{script}"),
            "MetricDefinitions": [{"Name": "loss", "Regex": r"loss=([\d.]+)"}],
        },
        "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1},
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/models"},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        "RoleArn": ROLE,
        **more,
    }


def copy_arguments(out: Any) -> dict[str, Any]:
    given = {
        "S3Uri": f"s3://{BUCKET}/in/",
        "LocalPath": "/opt/ml/processing/in",
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
    }
    target = {"S3Uri": out, "LocalPath": "/opt/ml/processing/out", "S3UploadMode": "EndOfJob"}
    return processing(
        "copy.py",
        [{"InputName": "in", "S3Input": given}],
        Environment={"GREETING": {"Get": "Parameters.Greeting"}},
        ProcessingOutputConfig={"Outputs": [{"OutputName": "out", "S3Output": target}]},
    )


def join(*parts: Any) -> dict[str, Any]:
    return {"Std:Join": {"On": "/", "Values": list(parts)}}


def story(group: str = "dev-detector", train: str = "train.py") -> dict[str, Any]:
    """Copy, train on what was copied, register if the score suffices, else fail."""
    out = join(f"s3://{BUCKET}/runs", {"Get": "Execution.PipelineExecutionId"}, "Copy")
    copied = {"Get": "Steps.Copy.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri"}
    score = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Copy.PropertyFiles.Report"}, "Path": "metrics.score.value"}}
    register = {
        "ModelPackageGroupName": group,
        "InferenceSpecification": {
            "Containers": [{"Image": IMAGE, "ModelDataUrl": {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}}],
            "SupportedContentTypes": ["image/jpeg"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        "CustomerMetadataProperties": {"score": {"Std:Join": {"On": "", "Values": [score]}}},
    }
    train_arguments = training(
        train,
        HyperParameters={"epochs": {"Std:Join": {"On": "", "Values": [{"Get": "Parameters.Epochs"}]}}},
        inputs=({"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": copied}}},),
    )
    return {
        "Version": "2020-12-01",
        "Parameters": [
            {"Name": "Greeting", "Type": "String", "DefaultValue": "nobody"},
            {"Name": "Epochs", "Type": "Integer", "DefaultValue": 3},
            {"Name": "Threshold", "Type": "Float", "DefaultValue": 0.6},
        ],
        "Steps": [
            {
                "Name": "Copy",
                "Type": "Processing",
                "Arguments": copy_arguments(out),
                "PropertyFiles": [{"PropertyFileName": "Report", "OutputName": "out", "FilePath": "report.json"}],
                "CacheConfig": {"Enabled": True, "ExpireAfter": "P1D"},
            },
            {"Name": "Train", "Type": "Training", "Arguments": train_arguments},
            {
                "Name": "Check",
                "Type": "Condition",
                "DependsOn": ["Train"],
                "Arguments": {
                    "Conditions": [
                        {
                            "Type": "GreaterThanOrEqualTo",
                            "LeftValue": score,
                            "RightValue": {"Get": "Parameters.Threshold"},
                        }
                    ],
                    "IfSteps": [{"Name": "Register", "Type": "RegisterModel", "Arguments": register}],
                    "ElseSteps": [
                        {
                            "Name": "Below",
                            "Type": "Fail",
                            "Arguments": {
                                "ErrorMessage": {"Std:Join": {"On": " ", "Values": ["score", score, "is too low"]}}
                            },
                        }
                    ],
                },
            },
        ],
    }


def create(cloud: Cloud, name: str, definition: dict[str, Any]) -> str:
    answer = cloud.client("sagemaker").create_pipeline(
        PipelineName=name, PipelineDefinition=json.dumps(definition), RoleArn=ROLE, ClientRequestToken="t" * 32
    )
    return str(answer["PipelineArn"])


def start(cloud: Cloud, name: str, **parameters: str) -> str:
    given = [{"Name": key, "Value": value} for key, value in parameters.items()]
    answer = cloud.client("sagemaker").start_pipeline_execution(
        PipelineName=name, PipelineParameters=given, ClientRequestToken=str(uuid.uuid4())
    )
    return str(answer["PipelineExecutionArn"])


def ended(cloud: Cloud, arn: str) -> dict[str, Any]:
    sagemaker = cloud.client("sagemaker")

    def over() -> Any:
        answer = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        return answer if answer["PipelineExecutionStatus"] not in ("Executing", "Stopping") else None

    return dict(wait(over, 40))


def steps(cloud: Cloud, arn: str) -> dict[str, dict[str, Any]]:
    answer = cloud.client("sagemaker").list_pipeline_execution_steps(PipelineExecutionArn=arn, SortOrder="Ascending")
    return {step["StepName"]: step for step in answer["PipelineExecutionSteps"]}


@pytest.fixture(scope="module")
def finished(cloud: Cloud) -> str:
    """A pipeline that ran through once: execution ARN."""
    create(cloud, "dev-story", story())
    arn = start(cloud, "dev-story", Greeting="the crew")
    assert ended(cloud, arn)["PipelineExecutionStatus"] == "Succeeded", steps(cloud, arn)
    return arn


def test_an_execution_walks_its_definition(cloud: Cloud, finished: str) -> None:
    sagemaker, s3 = cloud.client("sagemaker"), cloud.client("s3")
    ran = steps(cloud, finished)
    assert list(ran) == ["Copy", "Train", "Check", "Register"]
    assert {step["StepStatus"] for step in ran.values()} == {"Succeeded"}
    assert ran["Check"]["Metadata"]["Condition"]["Outcome"] == "True"
    job = sagemaker.describe_processing_job(
        ProcessingJobName=ran["Copy"]["Metadata"]["ProcessingJob"]["Arn"].split("/")[1]
    )
    assert job["ExitMessage"] == f"copied 3 files for {job['ProcessingJobName']}"
    assert job["ProcessingStartTime"] <= job["ProcessingEndTime"]
    identifier = finished.rpartition("/")[2]
    keys = {entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET, Prefix=f"runs/{identifier}/")["Contents"]}
    assert keys == {f"runs/{identifier}/Copy/{name}" for name in ("a.txt", "b.txt", "deep/c.txt", "report.json")}
    package = sagemaker.describe_model_package(ModelPackageName=ran["Register"]["Metadata"]["RegisterModel"]["Arn"])
    assert package["CustomerMetadataProperties"] == {"score": "0.75"}
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert package["MetadataProperties"]["GeneratedBy"] == finished


def test_a_training_job_keeps_the_contract(cloud: Cloud, finished: str) -> None:
    name = steps(cloud, finished)["Train"]["Metadata"]["TrainingJob"]["Arn"].split("/")[1]
    job = cloud.client("sagemaker").describe_training_job(TrainingJobName=name)
    transitions = [entry["Status"] for entry in job["SecondaryStatusTransitions"]]
    assert transitions == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert job["FinalMetricDataList"][0]["Value"] == 0.25
    archive = model(cloud, job["ModelArtifacts"]["S3ModelArtifacts"])
    assert json.load(archive.extractfile("model.json")) == {  # type: ignore[arg-type]
        "epochs": "3",
        "seen": ["a.txt", "b.txt", "deep", "report.json"],
    }
    events = cloud.client("logs").filter_log_events(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=name
    )
    assert [event["message"] for event in events["events"]] == ["loss=0.25"]
    leftover = [path.name for path in (cloud.state / "jobs" / name).iterdir()]
    assert leftover == ["log.txt"]


def model(cloud: Cloud, uri: str) -> tarfile.TarFile:
    key = uri.removeprefix(f"s3://{BUCKET}/")
    body = cloud.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return tarfile.open(fileobj=io.BytesIO(body), mode="r:gz")


def events_of(cloud: Cloud) -> list[dict[str, Any]]:
    """The events that wait in the queue."""
    sqs, seen = cloud.client("sqs"), []
    wanted = {"QueueUrl": f"{cloud.url}/{ACCOUNT}/events", "MaxNumberOfMessages": 10, "WaitTimeSeconds": 1}
    while messages := sqs.receive_message(**wanted).get("Messages"):
        seen += [json.loads(message["Body"]) for message in messages]
    return seen


def test_events_tell_every_change_in_documented_shapes(cloud: Cloud, finished: str) -> None:
    sqs = cloud.client("sqs")
    seen: list[dict[str, Any]] = []

    def all_there() -> bool:
        messages = sqs.receive_message(QueueUrl=f"{cloud.url}/{ACCOUNT}/events", MaxNumberOfMessages=10).get(
            "Messages", []
        )
        seen.extend(json.loads(message["Body"]) for message in messages)
        return any(event["detail"].get("currentPipelineExecutionStatus") == "Succeeded" for event in seen)

    wait(all_there)
    mine = [event for event in seen if event["detail"].get("pipelineExecutionArn") == finished]
    kinds = [event["detail-type"] for event in mine]
    assert kinds.count("SageMaker Model Building Pipeline Execution Status Change") == 2
    train = [event["detail"] for event in mine if event["detail"].get("stepName") == "Train"]
    assert [detail["currentStepStatus"] for detail in train] == ["Starting", "Executing", "Succeeded"]
    assert train[-1]["stepType"] == "Training"
    assert train[-1]["metadata"]["trainingJob"]["arn"].startswith("arn:aws:sagemaker")
    jobs = [event["detail"] for event in seen if event["detail-type"] == "SageMaker Training Job State Change"]
    assert [detail["SecondaryStatus"] for detail in jobs][:5] == [
        "Starting",
        "Downloading",
        "Training",
        "Uploading",
        "Completed",
    ]
    assert jobs[0]["CreationTime"].isdigit()
    packages = [event["detail"] for event in seen if event["detail-type"] == "SageMaker Model Package State Change"]
    assert packages[0]["ModelApprovalStatus"] == "PendingManualApproval"


def test_a_second_run_with_the_same_inputs_hits_the_cache_and_a_low_score_fails(cloud: Cloud, finished: str) -> None:
    arn = start(cloud, "dev-story", Greeting="the crew", Threshold="0.9")
    execution = ended(cloud, arn)
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert execution["FailureReason"] == "Step failure: One or multiple steps failed."
    ran = steps(cloud, arn)
    assert ran["Copy"]["CacheHitResult"]["SourcePipelineExecutionArn"] == finished
    assert ran["Check"]["Metadata"]["Condition"]["Outcome"] == "False"
    assert ran["Below"]["Metadata"]["Fail"]["ErrorMessage"] == "score 0.75 is too low"
    assert ran["Below"]["FailureReason"] == "score 0.75 is too low"
    assert "Register" not in ran


def test_a_script_that_dies_fails_step_and_execution_with_its_reason(cloud: Cloud) -> None:
    create(cloud, "dev-broken", story(train="fail.py"))
    arn = start(cloud, "dev-broken")
    assert ended(cloud, arn)["PipelineExecutionStatus"] == "Failed"
    step = steps(cloud, arn)["Train"]
    assert step["FailureReason"].startswith("AlgorithmError: the labels are broken!!!")
    assert step["FailureReason"].endswith(", exit code: 3")
    assert len(step["FailureReason"]) <= 1024
    cloud.client("sagemaker").update_pipeline(PipelineName="dev-broken", PipelineDefinition=json.dumps(story()))
    for _ in range(2):
        cloud.client("sagemaker").retry_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken="r" * 32)
    assert ended(cloud, arn)["PipelineExecutionStatus"] == "Failed", "a retry keeps the definition it started with"
    mine = [event["detail"] for event in events_of(cloud) if event["detail"].get("pipelineExecutionArn") == arn]
    walk = [detail for detail in mine if "currentPipelineExecutionStatus" in detail]
    moves = [
        (detail.get("previousPipelineExecutionStatus"), detail["currentPipelineExecutionStatus"]) for detail in walk
    ]
    assert moves == [(None, "Executing"), ("Executing", "Failed"), ("Failed", "Executing"), ("Executing", "Failed")]
    assert [detail["currentStepStatus"] for detail in mine if detail.get("stepName") == "Copy"].count("Succeeded") == 1


def test_stopping_sends_sigterm_and_keeps_what_was_written(cloud: Cloud) -> None:
    create(cloud, "dev-waiting", story(train="wait.py"))
    sagemaker, arn = cloud.client("sagemaker"), start(cloud, "dev-waiting")
    job = wait(lambda: steps(cloud, arn).get("Train", {}).get("Metadata"))["TrainingJob"]["Arn"].split("/")[1]
    wait(lambda: "waiting" in log_of(cloud, job))
    sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken="s" * 32)
    assert ended(cloud, arn)["PipelineExecutionStatus"] == "Stopped"
    assert steps(cloud, arn)["Train"]["StepStatus"] == "Stopped"
    described = sagemaker.describe_training_job(TrainingJobName=job)
    assert described["TrainingJobStatus"] == "Stopped"
    assert model(cloud, described["ModelArtifacts"]["S3ModelArtifacts"]).getnames() == ["partial"]
    with pytest.raises(ClientError, match=r"ConflictException.*'Executing' status"):
        sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken="s" * 32)


def log_of(cloud: Cloud, job: str) -> str:
    file = cloud.state / "jobs" / job / "log.txt"
    return file.read_text() if file.exists() else ""


def test_a_job_that_takes_too_long_is_stopped(cloud: Cloud) -> None:
    sagemaker = cloud.client("sagemaker")
    sagemaker.create_training_job(
        TrainingJobName="dev-slow", **training("wait.py", StoppingCondition={"MaxRuntimeInSeconds": 1})
    )
    job = wait(lambda: over(sagemaker, "dev-slow"))
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def shared(instances: int, **environment: str) -> dict[str, Any]:
    inputs = [
        {
            "InputName": name,
            "S3Input": {
                "S3Uri": f"s3://{BUCKET}/in/",
                "LocalPath": f"/opt/ml/processing/{name}",
                "S3DataType": "S3Prefix",
                "S3InputMode": "File",
                "S3DataDistributionType": distribution,
            },
        }
        for name, distribution in (("share", "ShardedByS3Key"), ("whole", "FullyReplicated"))
    ]
    target = {"S3Uri": f"s3://{BUCKET}/shared", "LocalPath": "/opt/ml/processing/out", "S3UploadMode": "EndOfJob"}
    request = processing(
        "share.py",
        inputs,
        Environment=environment,
        ProcessingOutputConfig={"Outputs": [{"OutputName": "out", "S3Output": target}]},
    )
    request["ProcessingResources"]["ClusterConfig"]["InstanceCount"] = instances
    return request


def processed(cloud: Cloud, name: str) -> dict[str, Any]:
    sagemaker = cloud.client("sagemaker")

    def over() -> Any:
        job = sagemaker.describe_processing_job(ProcessingJobName=name)
        return job if job["ProcessingJobStatus"] not in ("InProgress", "Stopping") else None

    return dict(wait(over))


def test_instances_share_an_input_out_by_key_and_know_each_other(cloud: Cloud) -> None:
    sagemaker, s3 = cloud.client("sagemaker"), cloud.client("s3")
    sagemaker.create_processing_job(ProcessingJobName="dev-shared", **shared(4))
    assert processed(cloud, "dev-shared")["ProcessingJobStatus"] == "Completed"
    keys = [row["Key"] for row in s3.list_objects_v2(Bucket=BUCKET, Prefix="shared/")["Contents"]]
    assert [key.rpartition("/")[2] for key in keys] == [f"algo-{number}.json" for number in (1, 2, 3, 4)]
    told = [json.loads(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()) for key in keys]
    assert {tuple(each["hosts"]) for each in told} == {("algo-1", "algo-2", "algo-3", "algo-4")}
    assert [each["whole"] for each in told] == [["a.txt", "b.txt", "c.txt"]] * 4
    # Three objects for four instances: the last has none, and that is no error.
    assert [each["share"] for each in told] == [["a.txt"], ["b.txt"], ["c.txt"], []]
    streams = cloud.client("logs").describe_log_streams(
        logGroupName="/aws/sagemaker/ProcessingJobs", logStreamNamePrefix="dev-shared/"
    )["logStreams"]
    assert len({row["logStreamName"].split("/")[1].rpartition("-")[0] for row in streams}) == 4


def test_one_instance_that_fails_ends_the_job_of_all(cloud: Cloud) -> None:
    sagemaker = cloud.client("sagemaker")
    sagemaker.create_processing_job(ProcessingJobName="dev-torn", **shared(2, FAILS="algo-2"))
    assert processed(cloud, "dev-torn")["ProcessingJobStatus"] == "Failed"


def over(sagemaker: Any, name: str) -> Any:
    job = sagemaker.describe_training_job(TrainingJobName=name)
    return job if job["TrainingJobStatus"] not in ("InProgress", "Stopping") else None


def test_the_pipeline_role_decides_what_a_definition_may_reach(cloud: Cloud) -> None:
    create(cloud, "dev-foreign-group", story(group="prod-detector"))
    arn = start(cloud, "dev-foreign-group")
    assert ended(cloud, arn)["PipelineExecutionStatus"] == "Failed"
    reason = steps(cloud, arn)["Register"]["FailureReason"]
    assert reason.startswith("ClientError: Failed to invoke sagemaker:CreateModelPackage. Error Details: User: ")
    assert "assumed-role/execution/" in reason
    foreign = story()
    foreign["Steps"][1]["Arguments"]["RoleArn"] = ROLE.replace("execution", "foreign")
    create(cloud, "dev-foreign-role", foreign)
    arn = start(cloud, "dev-foreign-role")
    assert ended(cloud, arn)["PipelineExecutionStatus"] == "Failed"
    assert "iam:PassRole" in steps(cloud, arn)["Train"]["FailureReason"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(Steps=[]), "list of 'Steps'"),
        (lambda d: d["Steps"].append(dict(d["Steps"][0])), "unique: Copy"),
        (lambda d: d["Steps"][1]["Arguments"].pop("RoleArn"), "RoleArn"),
        (lambda d: d["Steps"][1]["Arguments"].update(Rol="x"), "Rol"),
        (lambda d: d["Steps"][0].update(Type="Lambda"), "'Lambda'"),
        (lambda d: d["Steps"][0].update(DependsOn=["Check"]), "wait for each other"),
        (lambda d: d["Steps"][1].update(DependsOn=["Nobody"]), "'Nobody'"),
        (
            lambda d: d["Steps"][1]["Arguments"].update(HyperParameters={"a": {"Get": "Parameters.Epochs"}}),
            "HyperParameters",
        ),
        (lambda d: d["Steps"][0]["PropertyFiles"][0].update(OutputName="x"), "unknown output 'x'"),
        (lambda d: d["Steps"][1]["Arguments"]["ResourceConfig"].update(InstanceType="ml.laptop"), "enum value set"),
    ],
)
def test_a_definition_that_cannot_run_is_refused(cloud: Cloud, change: Callable[[Any], Any], words: str) -> None:
    definition = story()
    change(definition)
    with pytest.raises(ClientError) as error:
        create(cloud, "dev-refused", definition)
    assert error.value.response["Error"]["Code"] == "ValidationException"
    assert words in error.value.response["Error"]["Message"]


def test_refusals_are_awss(cloud: Cloud, finished: str) -> None:
    sagemaker, runtime = cloud.client("sagemaker"), cloud.client("sagemaker-runtime")
    unknown = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:pipeline/nope/execution/abc"
    cases: list[tuple[Callable[[], Any], str]] = [
        (lambda: create(cloud, "dev-story", story()), "ValidationException.*already exists"),
        (lambda: create(cloud, "dev-x", {}), "ValidationException.*Unable to parse pipeline definition"),
        (lambda: sagemaker.describe_pipeline(PipelineName="nope"), "ResourceNotFound.*pipeline/nope"),
        (lambda: start(cloud, "dev-story", Epochs="many"), "ValidationException.*not a valid Integer"),
        (lambda: start(cloud, "dev-story", Nope="1"), "ValidationException.*Nope"),
        (lambda: sagemaker.describe_pipeline_execution(PipelineExecutionArn=unknown), "ResourceNotFound"),
        (lambda: sagemaker.describe_training_job(TrainingJobName="nope"), "ValidationException.*not found"),
        (lambda: sagemaker.describe_endpoint(EndpointName="nope"), "ValidationException.*Could not find endpoint"),
        (lambda: sagemaker.create_model_package_group(ModelPackageGroupName="dev-detector"), "already exists"),
        (lambda: runtime.invoke_endpoint(EndpointName="nope", Body=b"1"), "ValidationError.*not found"),
        (
            lambda: sagemaker.create_training_job(TrainingJobName="bad name", **training("train.py")),
            "regular expression",
        ),
        (
            lambda: sagemaker.create_auto_ml_job(
                AutoMLJobName="a",
                InputDataConfig=[{"TargetAttributeName": "t"}],
                OutputDataConfig={"S3OutputPath": "s3://b/p"},
                RoleArn=ROLE,
            ),
            "UnknownOperationException",
        ),
    ]
    for call, words in cases:
        with pytest.raises(ClientError, match=words):
            call()


def test_pipelines_answer_to_name_and_arn_and_honour_tokens(cloud: Cloud, finished: str) -> None:
    sagemaker, arn = cloud.client("sagemaker"), finished.partition("/execution/")[0]
    assert sagemaker.describe_pipeline(PipelineName=arn)["PipelineName"] == "dev-story"
    token = str(uuid.uuid4())
    one, two = (sagemaker.start_pipeline_execution(PipelineName=arn, ClientRequestToken=token) for _ in range(2))
    assert one["PipelineExecutionArn"] == two["PipelineExecutionArn"]
    summaries = sagemaker.list_pipeline_executions(PipelineName="dev-story", MaxResults=1)
    assert summaries["PipelineExecutionSummaries"][0]["PipelineExecutionArn"] == one["PipelineExecutionArn"]
    assert "NextToken" in summaries
    values = sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=one["PipelineExecutionArn"])
    assert {"Name": "Epochs", "Value": "3"} in values["PipelineParameters"]
    definition = sagemaker.describe_pipeline_definition_for_execution(PipelineExecutionArn=finished)
    assert json.loads(definition["PipelineDefinition"]) == story()
    ended(cloud, one["PipelineExecutionArn"])


def test_a_package_is_approved_and_its_properties_are_merged(cloud: Cloud, finished: str) -> None:
    sagemaker = cloud.client("sagemaker")
    arn = sagemaker.list_model_packages(ModelPackageGroupName="dev-detector")["ModelPackageSummaryList"][0][
        "ModelPackageArn"
    ]
    sagemaker.update_model_package(
        ModelPackageArn=arn,
        ModelApprovalStatus="Approved",
        ApprovalDescription="looked at it",
        CustomerMetadataProperties={"approved_by": "somebody"},
    )
    package = sagemaker.describe_model_package(ModelPackageName=arn)
    assert package["CustomerMetadataProperties"] == {"score": "0.75", "approved_by": "somebody"}
    assert (package["ModelApprovalStatus"], package["ApprovalDescription"]) == ("Approved", "looked at it")
    sagemaker.update_model_package(ModelPackageArn=arn, CustomerMetadataPropertiesToRemove=["score"])
    assert sagemaker.describe_model_package(ModelPackageName=arn)["CustomerMetadataProperties"] == {
        "approved_by": "somebody"
    }
    for value in ("one", "two"):
        sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "k", "Value": value}])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "k", "Value": "two"}]


def make_endpoint(cloud: Cloud, name: str, key: str, **variant: Any) -> None:
    sagemaker = cloud.client("sagemaker")
    sagemaker.create_model(
        ModelName=name,
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/{key}"},
    )
    first = {"VariantName": "main", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[{**first, **variant}],
        DataCaptureConfig={
            "EnableCapture": True,
            "InitialSamplingPercentage": 100,
            "DestinationS3Uri": f"s3://{BUCKET}/capture",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
        },
    )


def put_model(cloud: Cloud, key: str, content: bytes) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("model.json")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    cloud.client("s3").put_object(Bucket=BUCKET, Key=key, Body=packed.getvalue())


def settled(cloud: Cloud, name: str) -> dict[str, Any]:
    def over() -> Any:
        answer = cloud.client("sagemaker").describe_endpoint(EndpointName=name)
        return answer if answer["EndpointStatus"] not in ("Creating", "Updating") else None

    return dict(wait(over, 30))


def test_an_endpoint_serves_updates_survives_a_crash_and_ends(cloud: Cloud) -> None:
    sagemaker, runtime = cloud.client("sagemaker"), cloud.client("sagemaker-runtime")
    put_model(cloud, "models/one.tar.gz", b"one:")
    put_model(cloud, "models/two.tar.gz", b"two:")
    make_endpoint(cloud, "dev-one", "models/one.tar.gz")
    make_endpoint(cloud, "dev-two", "models/two.tar.gz")
    sagemaker.create_endpoint(EndpointName="dev-served", EndpointConfigName="dev-one")
    with pytest.raises(ClientError, match=r"ValidationError.*not found"):
        runtime.invoke_endpoint(EndpointName="dev-served", Body=b"early")
    with pytest.raises(ClientError, match="in-progress endpoint"):
        sagemaker.delete_endpoint(EndpointName="dev-served")
    endpoint = settled(cloud, "dev-served")
    assert endpoint["EndpointStatus"] == "InService", endpoint
    assert endpoint["DataCaptureConfig"]["CaptureStatus"] == "Started"
    assert endpoint["ProductionVariants"][0]["CurrentInstanceCount"] == 1
    blob = bytes(range(256))
    picture = {"EndpointName": "dev-served", "ContentType": "image/jpeg"}
    answer = runtime.invoke_endpoint(Body=blob, CustomAttributes="trace=7", InferenceId="i-1", **picture)
    assert answer["Body"].read() == b"one:" + bytes(reversed(blob))
    assert (answer["InvokedProductionVariant"], answer["CustomAttributes"]) == ("main", "trace=7")
    with pytest.raises(ClientError) as error:
        runtime.invoke_endpoint(EndpointName="dev-served", Body=b"text", ContentType="text/plain")
    assert error.value.response["Error"]["Code"] == "ModelError"
    assert error.value.response["OriginalStatusCode"] == 415
    assert error.value.response["OriginalMessage"] == '{"error":"not an image"}'
    assert captured(cloud)[0]["eventMetadata"]["inferenceId"] == "i-1"

    sagemaker.update_endpoint(EndpointName="dev-served", EndpointConfigName="dev-two")
    assert runtime.invoke_endpoint(Body=b"x", **picture)["Body"].read() in (b"one:x", b"two:x")
    assert settled(cloud, "dev-served")["EndpointConfigName"] == "dev-two"
    assert runtime.invoke_endpoint(Body=b"x", **picture)["Body"].read() == b"two:x"
    deployed = [
        event for event in events_of(cloud) if event["detail-type"].endswith("Endpoint Deployment State Change")
    ]
    pending = [event["detail"]["PendingDeploymentSummary"] for event in deployed]
    stages = [summary["ProductionVariants"][0]["VariantStatus"][0]["Status"] for summary in pending]
    assert stages == ["Creating", "ActivatingTraffic"]
    assert {event["detail"]["EndpointStatus"] for event in deployed} == {"UPDATING"}
    assert pending[0]["EndpointConfigName"] == "dev-two"
    assert isinstance(pending[0]["StartTime"], int)

    with pytest.raises(ClientError, match="ModelError"):
        runtime.invoke_endpoint(Body=b"die", **picture)

    def answers() -> Any:
        try:
            return runtime.invoke_endpoint(Body=b"x", **picture)["Body"].read() == b"two:x"
        except ClientError:
            return False

    wait(answers)
    sagemaker.delete_endpoint(EndpointName="dev-served")
    with pytest.raises(ClientError, match="Could not find endpoint"):
        sagemaker.describe_endpoint(EndpointName="dev-served")
    wait(lambda: not list((cloud.state / "endpoints").iterdir()))


def captured(cloud: Cloud) -> list[dict[str, Any]]:
    s3 = cloud.client("s3")
    entry = wait(lambda: s3.list_objects_v2(Bucket=BUCKET, Prefix="capture/dev-served/main/").get("Contents"))[0]
    body = s3.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read().decode()
    assert entry["Key"].endswith(".jsonl")
    return [json.loads(line) for line in body.splitlines()]


def test_an_endpoint_that_does_not_come_up_says_why(cloud: Cloud) -> None:
    sagemaker, s3 = cloud.client("sagemaker"), cloud.client("s3")
    s3.put_object(Bucket=BUCKET, Key="models/broken.tar.gz", Body=b"no archive")
    make_endpoint(cloud, "dev-broken", "models/broken.tar.gz")
    sagemaker.create_endpoint(EndpointName="dev-broken", EndpointConfigName="dev-broken")
    endpoint = settled(cloud, "dev-broken")
    assert endpoint["EndpointStatus"] == "Failed"
    assert "Failed to extract model data archive" in endpoint["FailureReason"]
    with pytest.raises(ClientError, match="Could not access model data"):
        make_endpoint(cloud, "dev-absent", "models/absent.tar.gz")
    sagemaker.delete_endpoint(EndpointName="dev-broken")
