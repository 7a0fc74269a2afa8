"""A network as the server runs it: the square picture in, rows of objects out, whatever runtime it was exported for.

    onnxruntime   model.onnx: f32, with the suppression of overlapping boxes in the graph
    openvino      model.xml and model.bin: int8, without it, so that what was measured is what is served

Which of the two a model is for, Evaluate decided and model.json says.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.hush import hush

Array = NDArray[np.float32]
Network = Callable[[Array], Array]
"""From a blob (1, 3, size, size; RGB, 0..1) to rows (n, 6): x0, y0, x1, y1 in the square, score, number of the class.

May be called from several threads at once."""
ONNX, OPENVINO = "onnxruntime", "openvino"
MOST = 300
"""Objects of an answer, as in the graph with suppression."""


def load(folder: Path, facts: Mapping[str, Any], threads: int) -> Network:
    """The network of a model's folder; `threads` is what one request may use. `facts` is the content of model.json."""
    hush()
    # Models registered before there were two say nothing.
    if facts.get("runtime", ONNX) == OPENVINO:
        return _openvino(folder / "model.xml", threads, float(facts["confidence"]), float(facts["overlap"]))
    return _onnx(folder / "model.onnx", threads)


def suppress(output: Array, confidence: float, overlap: float) -> Array:
    """The rows of a plain YOLO output (4 + classes, anchors: centre and size, then scores), the best ones first.

    Boxes of one class that overlap by more than `overlap` (IoU) with a better one are dropped, as are scores not above
    `confidence`; at most MOST are left.
    """
    scores = output[4:].max(axis=0)
    kept = scores > confidence
    classes, scores, (x, y, width, height) = output[4:, kept].argmax(axis=0), scores[kept], output[:4, kept]
    boxes = np.stack([x - width / 2, y - height / 2, width, height], axis=1)
    chosen = np.asarray(
        cv2.dnn.NMSBoxesBatched(boxes.tolist(), scores.tolist(), classes.tolist(), confidence, overlap), np.intp
    ).reshape(-1)[:MOST]
    boxes[:, 2:] += boxes[:, :2]
    return np.column_stack([boxes[chosen], scores[chosen], classes[chosen]]).astype(np.float32)


def _onnx(path: Path, threads: int) -> Network:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    # Waiting threads would otherwise spin and take the core from the next request.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(blob: Array) -> Array:
        rows = np.asarray(session.run(None, {name: blob})[0][0], np.float32)
        found = rows[rows[:, 4] > 0]  # the graph fills its 300 rows up with zeros
        return found[np.argsort(-found[:, 4], kind="stable")]

    return run


def _openvino(path: Path, threads: int, confidence: float, overlap: float) -> Network:
    import openvino

    streams = max(1, (os.cpu_count() or 1) // threads)
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads * streams,
        "NUM_STREAMS": streams,
        # A processor that has bf16 would otherwise answer differently from one that has not.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    model = openvino.Core().compile_model(str(path), "CPU", options)
    idle: SimpleQueue[Any] = SimpleQueue()  # a request holds the memory of one picture and serves one thread at a time
    for _ in range(streams):
        idle.put(model.create_infer_request())

    def run(blob: Array) -> Array:
        request = idle.get()
        try:
            return suppress(np.asarray(request.infer([blob])[0][0], np.float32), confidence, overlap)
        finally:
            idle.put(request)

    return run
