"""`serving.*`: the server against ultralytics predicting with the same weights: CPU, memory, time to ready, mAP.

The weights are those of a real run of the pipeline in a sandbox. Served is what the pipeline serves, its graph exported
for 640 pixels; both sides get the same JPEGs on one thread, each in a process of its own. The server's CPU is that of
its whole process, HTTP, features and answer included. The mAP of the graph is the pipeline's own evaluation.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import cv2
import psutil

from benchmarks.figures import ROOT, Figure, Figures, main, sandbox, say
from benchmarks.train import first_job
from pipeline import dataset
from pipeline.steps import yolo
from sandbox import imagery
from sandbox.aws.sagemaker.fleet import free_port
from sandbox.environment import Environments, Ports
from sandbox.record import Record

SIZE = 640
PHOTOS = 61
READY_SECONDS = 120
MIB = 1 << 20


def measure() -> Figures:
    """One process a side; CPU is the mean over the pictures after the first."""
    with sandbox() as state:
        env = Environments(state, Ports(**Record(state).read("ports.json"))).aws("ab")
        os.environ.update({name: value for name, value in env.items() if name.startswith("AWS_")})
        session = boto3.Session()
        first_job(state, session)
        work = state / "bench"
        evaluation = fetch(session, work)
        photos = encoded(work / "photos")
        export(work)
        ours = serve(work, photos)
        theirs = bare(work, work / "best.pt", SIZE)
        data = yolo.describe(work, evaluation["model"]["classes"], train="test/images", val="test/images")
        pt = bare(work, work / "best.pt", int(evaluation["model"]["image_size"]), str(data))["map50_95"]
    graph = float(evaluation["metrics"]["map50_95"]["value"])
    say(f"mAP50-95: graph {graph:.4f}, .pt {pt:.4f}")
    return {
        "serving.cpu": Figure(ours["each"] * 1000, "ms", theirs["each"] * 1000),
        "serving.rss": Figure(ours["rss"] / MIB, "MiB", theirs["rss"] / MIB),
        "serving.ready_cpu": Figure(ours["ready"], "s", theirs["ready"]),
        "serving.map_gap": Figure(abs(graph - pt) * 100, "points"),
    }


def fetch(session: boto3.Session, work: Path) -> dict[str, Any]:
    """The registered weights and the held-out photos, unpacked; the pipeline's evaluation of them."""
    sagemaker, s3 = session.client("sagemaker"), session.client("s3")
    arn = sagemaker.list_model_packages(ModelPackageGroupName="groundcrew-dev-detector")["ModelPackageSummaryList"][0]
    package = sagemaker.describe_model_package(ModelPackageName=arn["ModelPackageArn"])
    with tarfile.open(
        fileobj=io.BytesIO(read(s3, package["InferenceSpecification"]["Containers"][0]["ModelDataUrl"]))
    ) as tar:
        tar.extract("best.pt", work, filter="data")
    jobs = sagemaker.list_processing_jobs(NameContains="evaluate", SortBy="CreationTime")["ProcessingJobSummaries"]
    job = sagemaker.describe_processing_job(ProcessingJobName=jobs[0]["ProcessingJobName"])
    uri = next(each["S3Input"]["S3Uri"] for each in job["ProcessingInputs"] if each["InputName"] == "test")
    place, packed = urlsplit(uri), work / "packed"
    packed.mkdir()
    for item in s3.list_objects_v2(Bucket=place.netloc, Prefix=place.path.lstrip("/"))["Contents"]:
        s3.download_file(place.netloc, item["Key"], str(packed / item["Key"].rsplit("/", 1)[-1]))
    dataset.unpack(packed, work / "test")
    report: dict[str, Any] = json.loads(read(s3, package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"]))
    return report


def read(s3: Any, uri: str) -> bytes:
    """An object's bytes."""
    place = urlsplit(uri)
    return bytes(s3.get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))["Body"].read())


def encoded(folder: Path) -> list[bytes]:
    """Survey photos of 640 pixels as JPEG; they lie in the folder too."""
    folder.mkdir(parents=True)
    found = []
    for number in range(PHOTOS):
        # Square: ultralytics would pad a wide picture less than a graph of fixed size can.
        square = cv2.resize(imagery.photo(number, SIZE // 4), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        data = cv2.imencode(".jpg", square)[1].tobytes()
        (folder / f"{number:03}.jpg").write_bytes(data)
        found.append(data)
    return found


def export(work: Path) -> None:
    """Pack the weights as the pipeline does, for 640 pixels, in a process of its own."""
    program = (
        "import sys, pathlib, json; from benchmarks.features import pack;"
        "pack(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))"
    )
    argv = [sys.executable, "-c", program, str(work / "best.pt"), str(work / "model")]
    subprocess.run(argv, cwd=ROOT, check=True, stdout=sys.stderr)


def serve(work: Path, photos: list[bytes]) -> dict[str, Any]:
    """The server's side: CPU-seconds to its first answer and of each later picture, resident bytes at the end."""
    with server(work) as (process, connection):
        ready = 0.0
        for place, photo in enumerate(photos):
            connection.request("POST", "/invocations", photo, {"Content-Type": "image/jpeg"})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"the server answered {answer.status}: {body[:200]!r}")
            if place == 0:
                ready = spent(process)
        each = (spent(process) - ready) / (len(photos) - 1)
        return {"ready": ready, "each": each, "rss": process.memory_info().rss}


@contextmanager
def server(work: Path) -> Iterator[tuple[psutil.Process, HTTPConnection]]:
    """The real server in a process of its own, once it is healthy."""
    port = free_port()
    env = {**os.environ, "ML_ROOT": str(work), "SAGEMAKER_BIND_TO_PORT": str(port), "SERVING_THREADS": "1"}
    child = subprocess.Popen(
        [sys.executable, "-m", "pipeline.serving.server"], cwd=ROOT, env=env, stdout=subprocess.DEVNULL
    )
    try:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        until = time.monotonic() + READY_SECONDS
        while not healthy(connection):
            if time.monotonic() > until or child.poll() is not None:
                raise RuntimeError("the server did not become healthy")
            time.sleep(0.2)
        yield psutil.Process(child.pid), connection
    finally:
        child.terminate()
        child.wait(30)


def healthy(connection: HTTPConnection) -> bool:
    """Whether it answers /ping with 200."""
    try:
        connection.request("GET", "/ping")
        answer = connection.getresponse()
        answer.read()
        return answer.status == 200
    except OSError:
        connection.close()
        return False


def spent(process: psutil.Process) -> float:
    """Its CPU-seconds."""
    times = process.cpu_times()
    return float(times.user + times.system)


def bare(work: Path, weights: Path, size: int, data: str = "") -> dict[str, Any]:
    """The other side."""
    argv = [sys.executable, "-m", "benchmarks.bare_serving", str(weights), str(work / "photos"), str(size), str(work)]
    ran = subprocess.run([*argv, *([data] if data else [])], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main(__doc__ or "", measure)
