"""SageMaker's serving contract: `GET /ping`, `POST /invocations`; `python3 -m pipeline.serving.server`.

What may be sent is in `bodies`. Several pictures are answered as `{"answers": [...]}`, in their order; one that is no
picture refuses the request.
An answer holds the objects found and, for the monitor that reads captured answers, numbers of the picture (`features`)
and of the prediction (`prediction`): `pipeline.monitoring.features`.
The model lies in `$ML_ROOT/model` (default `/opt/ml`); the port is SAGEMAKER_BIND_TO_PORT (default 8080).
`/ping` answers 503 until the model is loaded; a model that cannot be loaded ends the process with the reason.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from pipeline.content import TYPES
from pipeline.errors import BadInput
from pipeline.serving.bodies import named, pictures

if TYPE_CHECKING:
    from pipeline.serving.detector import Detector

LARGEST = 6_291_456
"""Bytes of a request body: InvokeEndpoint's own limit (service model of SageMaker Runtime)."""
PIXELS = 1 << 26
"""Largest picture to decode, 67 million pixels: a small file may claim to be a huge one."""
IDLE_SECONDS = 75
DIGITS = 6


class Server(ThreadingHTTPServer):
    """Threads share one model; `detector` is None until it is loaded."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], digest: str) -> None:
        super().__init__(address, Handler)
        self.detector: Detector | None = None
        self.digest = digest

    def handle_error(self, request: object, client_address: object) -> None:
        """Say in one line what went wrong with a connection; a caller who hung up is nothing to report."""
        error = sys.exception()
        if not isinstance(error, (ConnectionError, TimeoutError)):
            say("error", message=f"{type(error).__name__}: {error}")


class Handler(BaseHTTPRequestHandler):
    """One connection; kept open between requests."""

    protocol_version = "HTTP/1.1"
    server: Server
    timeout = IDLE_SECONDS
    wbufsize = 1 << 16  # head and body leave in one packet
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Health."""
        if self.path != "/ping":
            self._answer(404, {"error": f"There is no {self.path}; ask /ping or /invocations."})
        elif self.server.detector is None:
            self._answer(503, {"error": "The model is still being loaded."})
        else:
            self._answer(200, None)

    def do_POST(self) -> None:
        """Detect objects in the picture or pictures of the body."""
        body = self._body()
        if body is None:
            return
        if self.path != "/invocations":
            self._answer(404, {"error": f"There is no {self.path}; ask /ping or /invocations."})
            return
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind not in TYPES:
            self._answer(415, {"error": f"Content type {kind or 'none'} is not one of {', '.join(TYPES)}."})
        elif self.server.detector is None:
            self._answer(503, {"error": "The model is still being loaded."})
        else:
            self._detect(self.server.detector, kind, body)

    def _detect(self, detector: Detector, kind: str, body: bytes) -> None:
        try:
            sent, several = pictures(kind, body)
            answers = []
            for place, data in enumerate(sent):
                try:
                    answers.append(self._seen(detector, data))
                except BadInput as error:
                    if not several:
                        raise
                    raise BadInput(f"{named(place, len(sent))}: {error.message}", error.advice) from error
        except BadInput as error:
            self._answer(400, {"error": f"{error.message} {error.advice}"})
        except Exception as error:  # noqa: BLE001 (whatever it is: the caller is told, and an alarm counts it)
            say("error", message=f"{type(error).__name__}: {error}")
            self._answer(500, {"error": f"The model failed on this picture: {type(error).__name__}: {error}"})
        else:
            self._answer(200, {"answers": answers} if several else answers[0])

    def _seen(self, detector: Detector, data: bytes) -> dict[str, Any]:
        """The answer about one picture. Raises BadInput when it is none."""
        began = time.perf_counter()
        from pipeline.monitoring.features import image_features, prediction_features
        from pipeline.serving.detector import decode

        picture = decode(data)
        found = detector.detect(picture)
        detections = [
            {"class": item.name, "confidence": round(item.confidence, 4), "box": [round(edge, 1) for edge in item.box]}
            for item in found
        ]
        height, width = picture.shape[:2]
        return {
            "image": {"width": width, "height": height},
            "detections": detections,
            "features": _rounded(image_features(picture)),
            "prediction": _rounded(prediction_features(found, detector.classes, width, height)),
            "model": {"digest": self.server.digest},
            "milliseconds": round((time.perf_counter() - began) * 1000, 1),
        }

    def _body(self) -> bytes | None:
        """The body, or None after an error was answered and the connection is to be closed (the body is unread)."""
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            self.close_connection = True
            self._answer(411, {"error": "Send a Content-Length."})
            return None
        if int(length) > LARGEST:
            self.close_connection = True
            self._answer(413, {"error": f"The picture has {length} bytes; at most {LARGEST} are allowed."})
            return None
        return self.rfile.read(int(length))

    def _answer(self, status: int, body: Mapping[str, Any] | None) -> None:
        data = json.dumps(body).encode() if body is not None else b""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Keep health checks out of the log; say the rest as JSON."""
        if self.path != "/ping":
            say("request", line=format % args)


def _rounded(columns: Mapping[str, float]) -> dict[str, float]:
    """As many digits as a drift baseline can tell apart."""
    return {name: round(value, DIGITS) for name, value in columns.items()}


def say(event: str, **fields: object) -> None:
    """Print one JSON line."""
    print(json.dumps({"event": event, **fields}), flush=True)


def load(server: Server, folder: Path, threads: int) -> None:
    """Load the model into a running server; a failure ends the process, with the reason in the log."""
    began = time.perf_counter()
    try:
        from pipeline.serving.detector import Detector

        server.detector = Detector(folder, threads)
    except Exception as error:  # noqa: BLE001 (whatever it is, this process will never be able to answer)
        say("failed", message=f"The model in {folder} cannot be loaded: {type(error).__name__}: {error}")
        os._exit(1)
    say("ready", seconds=round(time.perf_counter() - began, 2), size=server.detector.size)


def serve(environment: Mapping[str, str]) -> None:
    """Serve until SIGTERM or SIGINT."""
    threads = int(environment.get("SERVING_THREADS", "1"))
    # Both are read when the libraries are imported, which `load` does.
    os.environ.update(OMP_NUM_THREADS=str(threads), OPENCV_IO_MAX_IMAGE_PIXELS=str(PIXELS))
    port = int(environment.get("SAGEMAKER_BIND_TO_PORT", "8080"))
    host = environment.get("SERVING_HOST", "127.0.0.1")  # the image opens it to the outside of its container
    try:
        server = Server((host, port), environment.get("MODEL_DIGEST", ""))
    except OSError as error:
        say("failed", message=f"Port {port} on {host} cannot be taken: {error}")
        sys.exit(1)

    def stop(number: int, frame: FrameType | None) -> None:
        threading.Thread(target=server.shutdown, daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    folder = Path(environment.get("ML_ROOT", "/opt/ml")) / "model"
    threading.Thread(target=load, args=(server, folder, threads), daemon=True).start()
    with server:
        server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    serve(dict(os.environ))
