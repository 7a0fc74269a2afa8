"""`train.overhead`: wall time of the Train job against the same `YOLO.train` called directly, in pairs.

The job is the pipeline's own, started again as it was: it fetches code and data from S3, logs to MLflow and CloudWatch,
and uploads its model. The direct call gets the same data and the same resolved arguments in a fresh process.
"""

from __future__ import annotations

import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3

from benchmarks.figures import ROOT, Figure, Figures, main, sandbox, say
from pipeline import dataset
from pipeline.steps import yolo
from sandbox.environment import Environments, Ports
from sandbox.person import Slack
from sandbox.record import Record

PAIRS = 3
COPIED = (
    "AlgorithmSpecification",
    "HyperParameters",
    "InputDataConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "StoppingCondition",
    "RoleArn",
    "Environment",
)


def measure() -> Figures:
    """Medians of the pairs; which side goes first alternates."""
    with sandbox() as state:
        env = Environments(state, Ports(**Record(state).read("ports.json"))).aws("ab")
        os.environ.update({name: value for name, value in env.items() if name.startswith("AWS_")})
        session = boto3.Session()
        original = first_job(state, session)
        data, arguments = fetch(session, original, state / "bench")
        jobs, direct = [], []
        for number in range(PAIRS):
            if number % 2:
                direct.append(bare(data, arguments))
            jobs.append(job(session, original, number))
            if not number % 2:
                direct.append(bare(data, arguments))
            say(f"pair {number + 1}: job {jobs[-1]:.1f} s, direct {direct[-1]:.1f} s")
    return {"train.overhead": Figure(statistics.median(jobs), "s", statistics.median(direct))}


def first_job(state: Path, session: boto3.Session, options: str = "") -> dict[str, Any]:
    """Run the pipeline once, as a person; its training job as AWS describes it."""
    slack = Slack(Record(state).url())
    person = slack.person("U0DS1")
    live = person.asks(f"pipeline run {options}".strip(), "Training run", "in dev")
    person.sees("in dev: done", ts=live["ts"], seconds=600)
    slack.close()
    sagemaker = session.client("sagemaker")
    name = sagemaker.list_training_jobs()["TrainingJobSummaries"][0]["TrainingJobName"]
    described: dict[str, Any] = sagemaker.describe_training_job(TrainingJobName=name)
    return described


def job(session: boto3.Session, original: dict[str, Any], number: int) -> float:
    """Start the job again and wait for it; seconds from its start to its end, downloads and uploads included."""
    sagemaker = session.client("sagemaker")
    name = f"groundcrew-dev-benchmark-{number}"
    sagemaker.create_training_job(TrainingJobName=name, **{key: original[key] for key in COPIED if key in original})
    while (now := sagemaker.describe_training_job(TrainingJobName=name))["TrainingJobStatus"] == "InProgress":
        time.sleep(0.5)
    if now["TrainingJobStatus"] != "Completed":
        raise RuntimeError(f"{name}: {now['TrainingJobStatus']} {now.get('FailureReason')}")
    return float((now["TrainingEndTime"] - now["TrainingStartTime"]).total_seconds())


def fetch(session: boto3.Session, original: dict[str, Any], folder: Path) -> tuple[Path, Path]:
    """The job's data, unpacked, as a data.yaml; and the arguments it resolved, from its model."""
    s3 = session.client("s3")
    channels = {c["ChannelName"]: c["DataSource"]["S3DataSource"]["S3Uri"] for c in original["InputDataConfig"]}
    for name in ("train", "validation"):
        target = urlsplit(channels[name])
        packed = folder / "packed" / name
        packed.mkdir(parents=True)
        for item in s3.list_objects_v2(Bucket=target.netloc, Prefix=target.path.lstrip("/"))["Contents"]:
            s3.download_file(target.netloc, item["Key"], str(packed / item["Key"].rsplit("/", 1)[-1]))
        dataset.unpack(packed, folder / name)
    model = urlsplit(original["ModelArtifacts"]["S3ModelArtifacts"])
    packed_model = s3.get_object(Bucket=model.netloc, Key=model.path.lstrip("/"))["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(packed_model)) as archive:
        archive.extract("args.yaml", folder, filter="data")
        archive.extract("training.json", folder, filter="data")
    classes = json.loads((folder / "training.json").read_text())["classes"]
    return yolo.describe(folder, classes, train="train/images", val="validation/images"), folder / "args.yaml"


def bare(data: Path, arguments: Path) -> float:
    """Seconds of the direct call, from starting its process to its end."""
    work = data.parent / f"bare-{time.monotonic_ns()}"
    work.mkdir()
    argv = [sys.executable, "-m", "benchmarks.bare_train", str(data), str(arguments), str(work)]
    began = time.perf_counter()
    subprocess.run(argv, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


if __name__ == "__main__":
    main(__doc__ or "", measure)
