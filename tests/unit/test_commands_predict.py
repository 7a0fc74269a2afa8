"""A photo is sent as it is where it can be, refused where it is none, and drawn so that labels can be read."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from commands.drawing import NARROWEST, WIDEST, annotate
from commands.predict import LARGEST_SIDE, prepare
from pipeline.colours import class_colours
from pipeline.errors import BadInput
from pipeline.inference import Detection


def encoded(size: tuple[int, int], kind: str, **more: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "#101010").save(out, kind, **more)
    return out.getvalue()


@pytest.mark.parametrize(("kind", "content_type"), [("JPEG", "image/jpeg"), ("PNG", "image/png")])
def test_a_usual_photo_is_sent_unchanged(kind: str, content_type: str) -> None:
    data = encoded((80, 60), kind)
    photo, body, sent_as = prepare("a", data)
    assert (photo.size, body, sent_as) == ((80, 60), data, content_type)


def test_other_formats_and_large_photos_are_re_encoded() -> None:
    photo, body, sent_as = prepare("a.bmp", encoded((80, 60), "BMP"))
    assert (photo.size, sent_as, body[:2]) == ((80, 60), "image/jpeg", b"\xff\xd8")
    photo, body, _ = prepare("a.png", encoded((LARGEST_SIDE * 2, 100), "PNG"))
    assert photo.size == Image.open(io.BytesIO(body)).size == (LARGEST_SIDE, 50)


def test_a_turned_photo_is_sent_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo, body, _ = prepare("a.jpg", encoded((80, 60), "JPEG", exif=exif))
    assert photo.size == (60, 80)
    assert Image.open(io.BytesIO(body)).getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("data", [b"", b"hello", encoded((80, 60), "JPEG")[:200], encoded((80, 60), "PNG")[:60]])
def test_what_is_not_a_picture_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(BadInput, match=r"notes\.jpg is not a picture"):
        prepare("notes.jpg", data)


@pytest.mark.parametrize(("width", "drawn"), [(128, NARROWEST), (1000, 1000), (5000, WIDEST)])
def test_boxes_lie_where_the_model_saw_them(width: int, drawn: int) -> None:
    height = width // 2
    found = Detection("vehicle", 0.9, (width * 0.5, height * 0.5, width * 0.75, height * 0.9))
    image = Image.open(io.BytesIO(annotate(Image.new("RGB", (width, height)), [found]))).convert("RGB")
    assert image.size == (drawn, drawn // 2)
    colour = class_colours(["vehicle"])["vehicle"]
    wanted = tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
    seen = image.getpixel((round(drawn * 0.5) + 1, round(drawn * 0.5 * 0.7)))
    assert all(abs(a - b) < 70 for a, b in zip(seen, wanted, strict=True))  # type: ignore[arg-type]
    assert sum(image.getpixel((round(drawn * 0.6), round(drawn * 0.35)))) < 60  # type: ignore[arg-type]


def test_labels_at_the_edges_stay_on_the_picture() -> None:
    corners = [(0.0, 0.0, 10.0, 10.0), (118.0, 0.0, 128.0, 4.0), (120.0, 120.0, 128.0, 128.0), (0.0, 0.0, 128.0, 128.0)]
    annotate(Image.new("L", (128, 128)), [Detection("a long class name", 0.5, box) for box in corners])


def test_two_classes_of_a_picture_never_share_a_colour() -> None:
    names = [f"class {number}" for number in range(10)]
    assert len(set(class_colours(names).values())) == 10
    assert class_colours(["vehicle"])["vehicle"] == class_colours(["vehicle"])["vehicle"]
    assert len(class_colours([f"class {number}" for number in range(40)])) == 40
