"""Ask a deployed model about one photo and draw what it found."""

from __future__ import annotations

import io
import warnings
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

from botocore.exceptions import ClientError
from cyclopts import Parameter
from PIL import Image, ImageOps, UnidentifiedImageError

from commands.command import Context, Need, command
from commands.deployed import version
from commands.drawing import annotate
from commands.model_report import DESCRIBE, LIST
from commands.reply import Action, Audience, Code, Fact, Inline, Mention, Picture, Reply, Table
from commands.wording import short_digest
from pipeline import deployment, inference
from pipeline.errors import BadInput, NotFound
from pipeline.inference import LARGEST_PICTURE, Prediction
from pipeline.names import ENVIRONMENTS, Environment

FOLDER = "survey/images/"
LARGEST_SIDE = 4096
"""Pixels of the longer side of what is sent to the model."""

NEAREST: Mapping[str, Environment] = {"ml-engineer": "staging"}
"""The most production-like environment a role may ask without approval; dev for the others."""

Key = Annotated[str, Parameter(help="A photo in the data bucket: its key, or its name below survey/images/")]


@command(
    "deployment predict",
    allowed={"data-scientist": ("dev",), "ml-engineer": ENVIRONMENTS},
    needs=[
        LIST,
        DESCRIBE,
        Need("s3:GetObject", "arn:aws:s3:::{data_bucket}/*"),
        Need("s3:ListBucket", "arn:aws:s3:::{data_bucket}"),
        Need(("sagemaker:DescribeEndpoint", "sagemaker:InvokeEndpoint"), "endpoint/groundcrew-*-detector"),
        Need(
            "cloudformation:DescribeStacks",
            "arn:aws:cloudformation:{region}:{account}:stack/groundcrew-*-detector/*",
        ),
    ],
    audience=Audience.CHANNEL,
    example="deployment predict survey/images/flight03_0012.jpg --env dev",
)
def predict(
    ctx: Context,
    key: Key = "",
    *,
    env: Annotated[
        Environment | None, Parameter(help="Environment; the most production-like one you may ask if not given")
    ] = None,
) -> Reply:
    """Detect objects on a photo: of the data bucket, of a message, or any photo of the survey."""
    chosen = env or NEAREST.get(ctx.person.role, "dev")
    endpoint = inference.ready(ctx.client("sagemaker"), ctx.client("cloudformation"), ctx.names, chosen)
    name, data = _photo(ctx, key)
    photo, body, content_type = prepare(name, data)
    found = inference.ask(ctx.client("sagemaker-runtime"), endpoint, body, content_type)
    count = len(found.detections)
    return Reply(
        title=f"{count or 'No'} object{'' if count == 1 else 's'} on {name}",
        context=_context(ctx, endpoint, chosen, found),
        facts=[Fact("Classes", _classes(found))] if count else [],
        table=_table(found) if count else None,
        picture=Picture(
            annotate(photo, found.detections), f"{name.rsplit('.', 1)[0]}_detections.jpg", _alt(name, found)
        ),
        actions=[
            Action("Another photo", f"deployment predict --env {chosen}"),
            Action("Status of the endpoint", f"deployment status --env {chosen}"),
        ],
        environment=chosen,
    )


def prepare(name: str, data: bytes) -> tuple[Image.Image, bytes, str]:
    """A picture upright, the bytes to send and their content type; re-encoded only where the original will not do.

    Raises BadInput for what is not a JPEG, PNG or other picture, and for one too large to be a photo.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            original = Image.open(io.BytesIO(data))
            original.load()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise BadInput(f"{name} is not a picture that can be read.", "Choose a JPEG or PNG.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadInput(f"{name} has too many pixels.", f"Make it at most {LARGEST_SIDE} pixels wide.") from error
    upright = ImageOps.exif_transpose(original)
    turned = original.getexif().get(0x0112, 1) != 1
    fits = len(data) <= LARGEST_PICTURE and max(upright.size) <= LARGEST_SIDE
    if original.format in ("JPEG", "PNG") and fits and not turned:
        return upright, data, f"image/{original.format.lower()}"
    upright = upright.convert("RGB")
    upright.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    out = io.BytesIO()
    upright.save(out, "JPEG", quality=90)
    return upright, out.getvalue(), "image/jpeg"


def _photo(ctx: Context, key: str) -> tuple[str, bytes]:
    """Name and bytes of the photo meant. Raises NotFound with the nearest keys."""
    if not key and ctx.attachment is not None:
        return ctx.attachment.name, ctx.attachment.data
    s3, bucket = ctx.client("s3"), ctx.names.data_bucket
    if not key:
        known = _keys(s3, bucket)
        if not known:
            raise NotFound("photo below", f"s3://{bucket}/{FOLDER}", advice="Fill the data set first.")
        key = known[int(ctx.token, 16) % len(known)]
    key = key.removeprefix(f"s3://{bucket}/").lstrip("/")
    key = key if "/" in key else FOLDER + key
    try:
        data = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchKey":
            folder, _, name = key.rpartition("/")
            known = [found.removeprefix(FOLDER) for found in _keys(s3, bucket)]
            raise NotFound(f"photo below s3://{bucket}/{folder}/", name, known) from error
        raise
    return key.rsplit("/", 1)[-1], data


def _keys(s3: Any, bucket: str) -> list[str]:
    found = s3.list_objects_v2(Bucket=bucket, Prefix=FOLDER)
    return [item["Key"] for item in found.get("Contents", []) if item["Size"]]


def _context(ctx: Context, endpoint: str, env: Environment, found: Prediction) -> list[Inline]:
    stack = deployment.find(ctx.client("cloudformation"), endpoint)
    # During an update the stack may already name the next model while the old one still answers.
    known = stack is not None and stack.digest == found.digest
    name = version(ctx, stack, env) if stack is not None and known else short_digest(found.digest)
    return [
        "endpoint ",
        Code(endpoint),
        f" · {name} · {found.milliseconds:.0f} ms · asked by ",
        Mention(ctx.person.user),
    ]


def _classes(found: Prediction) -> str:
    return ", ".join(
        f"{count} {label}" for label, count in Counter(item.label for item in found.detections).most_common()
    )


def _alt(name: str, found: Prediction) -> str:
    return f"{name} with boxes around {_classes(found)}" if found.detections else f"{name}; nothing was detected"


def _table(found: Prediction) -> Table:
    surest = sorted(found.detections, key=lambda item: -item.confidence)[:20]
    rows = [(item.label, f"{item.confidence:.2f}", " ".join(f"{edge:.0f}" for edge in item.box)) for item in surest]
    return Table(("Object", "Confidence", "Box (px)"), rows, "Objects found, the surest first")
