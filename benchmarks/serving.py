"""`serving.*`: the server against ultralytics predicting with the same weights: CPU, memory, time to ready, mAP.

The weights are those of a real run of the pipeline in a sandbox, asked for int8. Served is what the pipeline serves,
its graph exported for 640 pixels, in f32 and in int8; all sides get the same JPEGs on one thread, each in a process of
its own. The server's CPU is that of its whole process, HTTP, features and answer included. The mAP of both graphs is
the pipeline's own evaluation, and whether int8 passes its gate is the pipeline's own word. What int8 saves depends on
the processor: half and more with AVX-512 VNNI.
"""

from __future__ import annotations

import io
import json
import os
import shutil
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
from pipeline.serving.networks import OPENVINO
from pipeline.steps import yolo
from pipeline.steps.container import Container
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
        first_job(state, session, "--precision int8")
        work = state / "bench"
        evaluation = fetch(session, work)
        photos = encoded(work / "photos")
        for name in ("whole", "small"):
            apart(name, work)
        ours, small = serve(work / "whole", photos), serve(work / "small", photos)
        theirs = bare(work, work / "best.pt", SIZE)
        data = yolo.describe(work, evaluation["model"]["classes"], train="test/images", val="test/images")
        pt = bare(work, work / "best.pt", int(evaluation["model"]["image_size"]), str(data))["map50_95"]
    measured, own = evaluation["precision"], float(evaluation["metrics"]["map50_95"]["value"])
    graph = measured["fp32"]["map50_95"] if "fp32" in measured else own
    int8 = measured["int8"]["map50_95"] if "int8" in measured else own
    say(f"mAP50-95: graph {graph:.4f}, int8 {int8:.4f}, .pt {pt:.4f}; served is {measured['served']}")
    say(f"int8 in memory: {small['rss'] / MIB:.0f} MiB, ready after {small['ready']:.2f} CPU-seconds")
    return {
        "serving.cpu": Figure(ours["each"] * 1000, "ms", theirs["each"] * 1000),
        "serving.cpu_int8": Figure(small["each"] * 1000, "ms", theirs["each"] * 1000),
        "serving.rss": Figure(ours["rss"] / MIB, "MiB", theirs["rss"] / MIB),
        "serving.ready_cpu": Figure(ours["ready"], "s", theirs["ready"]),
        "serving.map_gap": Figure(abs(graph - pt) * 100, "points"),
        "serving.map_gap_int8": Figure((graph - int8) * 100, "points"),
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
    shutil.copytree(packed, work / "box" / "processing" / "input" / "test")
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


def apart(name: str, work: Path) -> None:
    """Call `whole` or `small` below in a process of its own: what they import stays out of this one."""
    program = f"import sys, pathlib; from benchmarks.serving import {name}; {name}(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", program, str(work)], cwd=ROOT, check=True, stdout=sys.stderr)


def whole(work: Path) -> None:
    """The weights in f32 as the pipeline packs them, for 640 pixels."""
    from benchmarks.features import pack

    (work / "whole").mkdir()
    pack(work / "best.pt", work / "whole" / "model")


def small(work: Path) -> None:
    """The same in int8; its ranges come from the held-out photos here, which makes no difference to the time."""
    from pipeline.steps.bench import CONFIDENCE, OVERLAP, Bench

    facts = json.loads((work / "whole" / "model" / "model.json").read_text())
    bench = Bench(Container(work / "box", {}), facts["classes"])
    (graph,) = bench.quantise(work / "best.pt", SIZE, work / "packed").glob("*.xml")
    model = work / "small" / "model"
    model.mkdir(parents=True)
    shutil.copy(graph, model / "model.xml")
    shutil.copy(graph.with_suffix(".bin"), model / "model.bin")
    facts |= {"runtime": OPENVINO, "confidence": CONFIDENCE, "overlap": OVERLAP}
    (model / "model.json").write_text(json.dumps(facts))


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
