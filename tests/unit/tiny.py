"""A network whose answers are known, and capture files as SageMaker writes them."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipeline.hush import hush
from pipeline.monitoring.features import image_features, prediction_features
from pipeline.serving.detector import Detector, decode
from sandbox.aws.sagemaker import capture

SIZE = 64
CLASSES = ["boat", "car"]
ROWS = np.array(
    [[8, 8, 40, 24, 0.5, 1], [16, 20, 48, 44, 0.9, 0], [-4, 0, 70, 64, 0.3, 1]] + [[0] * 6] * 297, np.float32
)[None]
AT = datetime(2026, 2, 14, 17, 0, tzinfo=UTC)
CAPTURE = {
    "DestinationS3Uri": "s3://b/dev/capture",
    "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
    "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
}


def model(folder: Path) -> Path:
    """A folder with model.onnx, which answers ROWS to every picture, and model.json."""
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "nought"], ["nothing"]),
        helper.make_node("Add", ["rows", "nothing"], ["output0"]),
    ]
    constants = [numpy_helper.from_array(ROWS, "rows"), numpy_helper.from_array(np.float32(0), "nought")]
    graph = helper.make_graph(
        nodes,
        "known",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 300, 6])],
        constants,
    )
    known = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    known.ir_version = 8
    onnx.save(known, str(folder / "model.onnx"))
    (folder / "model.json").write_text(json.dumps({"classes": CLASSES, "image_size": SIZE}))
    return folder


PLAIN = np.array(
    [
        [32, 32, 32, 24, 0.9, 0.1],
        [32, 31, 32, 24, 0.6, 0.2],  # the same boat again
        [32, 32, 32, 24, 0.0, 0.5],  # a car at the same place
        [24, 16, 32, 16, 0.0, 0.2],  # too little for an answer
    ],
    np.float32,
).T[None]
"""What a network without suppression says: centre and size of each box, then the classes' scores."""


def quantised(folder: Path) -> Path:
    """A folder with a model for OpenVINO, whose network says PLAIN of every picture."""
    hush()
    import openvino
    from openvino import opset13 as opset

    image = opset.parameter([1, 3, SIZE, SIZE], np.float32, name="images")
    nothing = opset.multiply(opset.reduce_mean(image, np.arange(4), False), np.float32(0))
    network = openvino.Model([opset.add(opset.constant(PLAIN), nothing)], [image], "known")
    openvino.save_model(network, folder / "model.xml", compress_to_fp16=False)
    facts = {"classes": CLASSES, "image_size": SIZE, "runtime": "openvino", "confidence": 0.25, "overlap": 0.7}
    (folder / "model.json").write_text(json.dumps(facts))
    return folder


def answer(detector: Detector, data: bytes, digest: str) -> dict[str, Any]:
    """What the server says about a picture (test_serving compares it with the server's own answer)."""
    picture = decode(data)
    found = detector.detect(picture)
    height, width = picture.shape[:2]
    return {
        "image": {"width": width, "height": height},
        "detections": [{"class": item.name, "confidence": item.confidence, "box": list(item.box)} for item in found],
        "features": image_features(picture),
        "prediction": prediction_features(found, detector.classes, width, height),
        "model": {"digest": digest},
    }


def line(body: object, at: datetime, data: bytes = b"", inference: str | None = None) -> str:
    """A line of a capture file, written by the stand-in for AWS."""
    exchange = capture.Exchange(
        "watched", "main", "role", at, ("image/jpeg", data), ("application/json", json.dumps(body).encode()),
        None, inference,
    )  # fmt: skip
    return json.dumps(capture.record(CAPTURE, exchange))


def put(root: Path, lines: Iterable[str], at: datetime = AT, name: str = "a.jsonl") -> Path:
    """A capture file below `root`, in the folder of its hour."""
    file = root / "watched" / "main" / f"{at:%Y/%m/%d/%H}" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(each + "\n" for each in lines))
    return file


def seconds(number: int) -> datetime:
    """A moment inside of the hour."""
    return AT + timedelta(seconds=number)
