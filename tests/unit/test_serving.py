"""The server and the detector, with a tiny network whose answers are known."""

import base64
import json
import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import BadInput
from pipeline.monitoring.features import IMAGE
from pipeline.serving import bodies
from pipeline.serving import server as serving
from pipeline.serving.detector import Detector, Letterbox, decode
from tests.unit.tiny import SIZE, answer, model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[serving.Server]:
    with serving.Server(("127.0.0.1", 0), "d1gest") as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        server.detector = Detector(folder)
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def connection(server: serving.Server) -> Iterator[HTTPConnection]:
    connection = HTTPConnection("127.0.0.1", server.server_address[1], timeout=5)
    yield connection
    connection.close()


def picture(width: int = 128, height: int = 64, suffix: str = ".jpg") -> bytes:
    return cv2.imencode(suffix, np.full((height, width, 3), 90, np.uint8))[1].tobytes()


def ask(connection: HTTPConnection, body: bytes, kind: str = "image/jpeg") -> tuple[int, dict[str, object]]:
    connection.request("POST", "/invocations", body, {"Content-Type": kind})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def test_boxes_come_back_in_pixels_of_the_sent_picture_most_confident_first(folder: Path) -> None:
    wide = np.zeros((64, 128, 3), np.uint8)  # scale 0.5, 16 pixels of padding above
    found = Detector(folder).detect(wide)
    assert [(item.name, round(item.confidence, 2)) for item in found] == [("boat", 0.9), ("car", 0.5), ("car", 0.3)]
    assert found[0].box == (32.0, 8.0, 96.0, 56.0)
    assert found[2].box == (0.0, 0.0, 128.0, 64.0)  # cut at the edges


@pytest.mark.parametrize(("width", "height"), [(1, 1000), (1000, 1), (64, 64), (31, 77), (800, 600)])
def test_letterbox_fills_the_square_and_undoes_itself(width: int, height: int) -> None:
    fitted = Letterbox.fit(width, height, SIZE)
    assert fitted.apply(np.zeros((height, width, 3), np.uint8), SIZE).shape == (SIZE, SIZE, 3)
    corner = np.array([[fitted.left, fitted.top, fitted.left, fitted.top]], np.float32)
    assert np.allclose(fitted.undo(corner, width, height), 0)


@pytest.mark.parametrize("data", [b"", b"not a picture", picture()[:20]])
def test_what_is_not_a_picture_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        decode(data)


@pytest.mark.parametrize(("suffix", "kind"), [(".jpg", "image/jpeg"), (".png", "image/png; charset=binary")])
def test_invocations_answers_with_detections(connection: HTTPConnection, suffix: str, kind: str) -> None:
    status, answer = ask(connection, picture(suffix=suffix), kind)
    assert status == 200
    assert answer["image"] == {"width": 128, "height": 64}
    assert answer["model"] == {"digest": "d1gest"}
    assert answer["detections"][0] == {  # type: ignore[index]
        "class": "boat",
        "confidence": 0.9,
        "box": [32.0, 8.0, 96.0, 56.0],
    }
    assert answer["milliseconds"] >= 0  # type: ignore[operator]


def test_the_answer_carries_the_columns_that_a_monitor_watches(connection: HTTPConnection, folder: Path) -> None:
    sent = cv2.imencode(".png", np.random.default_rng(1).integers(0, 256, (90, 120, 3), np.uint8))[1].tobytes()
    _, told = ask(connection, sent, "image/png")
    expected = answer(Detector(folder), sent, "d1gest")
    assert told["features"] == pytest.approx(expected["features"], abs=1e-6)
    assert told["prediction"] == pytest.approx(expected["prediction"], abs=1e-6)
    assert set(told["features"]) == set(IMAGE)  # type: ignore[call-overload]
    assert {name: told["prediction"][name] for name in ("objects", "class_boat", "class_car")} == {  # type: ignore[index]
        "objects": 3,
        "class_boat": 1,
        "class_car": 2,
    }


def test_errors_keep_the_connection_usable(connection: HTTPConnection) -> None:
    assert ask(connection, b"text", "text/plain")[0] == 415
    assert ask(connection, b"text")[0] == 400
    assert ask(connection, picture(), "")[0] == 415
    assert ask(connection, picture())[0] == 200


def test_a_body_over_the_limit_is_refused_unread(server: serving.Server) -> None:
    with socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=5) as sock:
        sock.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
        assert sock.recv(1000).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("length", ["", "Content-Length: -4\r\n", "Content-Length: many\r\n"])
def test_a_body_without_a_length_is_refused(server: serving.Server, length: str) -> None:
    with socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=5) as sock:
        sock.sendall(f"POST /invocations HTTP/1.1\r\nHost: x\r\n{length}\r\n".encode())
        assert sock.recv(1000).startswith(b"HTTP/1.1 411")


def test_ping_says_whether_the_model_is_there(server: serving.Server, connection: HTTPConnection) -> None:
    loaded = server.detector
    server.detector = None
    connection.request("GET", "/ping")
    answer = connection.getresponse()
    assert (answer.status, answer.read() != b"") == (503, True)
    assert ask(connection, picture())[0] == 503
    server.detector = loaded
    connection.request("GET", "/ping")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"")


def test_unknown_paths(connection: HTTPConnection) -> None:
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert (answer.status, b"/invocations" in answer.read()) == (404, True)


def packed(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_base64_and_json_are_answered_like_the_picture_itself(connection: HTTPConnection) -> None:
    sent = picture(suffix=".png")
    _, plain = ask(connection, sent, "image/png")
    for body, kind in (
        (packed(sent).encode(), "application/base64"),
        (f"data:image/png;base64,{packed(sent)}".encode(), "application/base64"),
        (json.dumps({"image": packed(sent)}).encode(), "application/json"),
    ):
        status, told = ask(connection, body, kind)
        assert status == 200
        assert told | {"milliseconds": 0} == plain | {"milliseconds": 0}


def test_several_pictures_are_answered_in_their_order(connection: HTTPConnection) -> None:
    sent = [picture(128, 64), picture(40, 90, ".png"), picture(64, 64)]
    status, told = ask(connection, json.dumps({"images": [packed(each) for each in sent]}).encode(), "application/json")
    assert status == 200
    answers = told["answers"]
    assert [each["image"]["width"] for each in answers] == [128, 40, 64]  # type: ignore[attr-defined]
    assert all(set(each) == set(answers[0]) for each in answers)  # type: ignore[attr-defined,index]


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"%%%", "application/base64", "The body is not base64"),
        (b"", "application/base64", "not a picture"),
        (b"{", "application/json", "not JSON"),
        (b"\xff", "application/json", "not JSON"),
        (b"[" * 100_000, "application/json", "not JSON"),
        (b"[]", "application/json", "neither an image nor images"),
        (b"{}", "application/json", "neither an image nor images"),
        (b'{"image": "", "images": []}', "application/json", "neither an image nor images"),
        (b'{"images": []}', "application/json", "not an empty one"),
        (b'{"images": "x"}', "application/json", "a list of texts"),
        (b'{"images": [1]}', "application/json", "a list of texts"),
        (b'{"image": "*"}', "application/json", "The image is not base64"),
        (
            json.dumps({"images": ["QUJD", packed(b"x")]}).encode(),
            "application/json",
            "Image 1 of 2: The bytes are not",
        ),
        (json.dumps({"images": ["QUJD", "*"]}).encode(), "application/json", "Image 2 of 2 is not base64"),
        (json.dumps({"images": ["QUJD"] * 33}).encode(), "application/json", "at most 32"),
    ],
)
def test_what_is_no_body_of_pictures_is_400_with_the_reason(
    connection: HTTPConnection, body: bytes, kind: str, words: str
) -> None:
    status, told = ask(connection, body, kind)
    assert (status, words in str(told["error"])) == (400, True), told
    assert ask(connection, picture())[0] == 200


@given(st.lists(st.binary(max_size=64), min_size=1, max_size=bodies.MOST))
def test_what_is_packed_is_what_is_looked_at(sent: list[bytes]) -> None:
    body = json.dumps({"images": [packed(each) for each in sent]}).encode()
    assert bodies.pictures("application/json", body) == (sent, True)
    assert bodies.pictures("application/base64", packed(sent[0]).encode()) == ([sent[0]], False)


def test_a_model_that_fails_answers_500_and_goes_on(server: serving.Server, connection: HTTPConnection) -> None:
    loaded = server.detector
    assert loaded is not None
    classes, loaded.classes = loaded.classes, []
    status, told = ask(connection, picture())
    loaded.classes = classes
    assert (status, "IndexError" in str(told["error"])) == (500, True)
    assert ask(connection, picture())[0] == 200
