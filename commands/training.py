"""`pipeline run`: a training with all that it can be told, priced before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from botocore.exceptions import ClientError
from cyclopts import Parameter

from commands import training_cost
from commands.arguments import Between, Env, Yes, data_folder
from commands.command import Context, Need, Spend, command
from commands.execution import short, slot, stop_button
from commands.reply import Audience, Fact, Follow, Mention, Reply
from pipeline import changes, executions, parameters, profiles
from pipeline.errors import NotFound
from pipeline.names import Environment
from pipeline.parameters import BY_OPTION, SPOT
from pipeline.profiles import Folder


def told(option: str) -> Parameter:
    """How a setting is shown and checked: its help with its defaults, and its range."""
    each = BY_OPTION[option]
    same = each.dev == each.staging
    shown = f"{each.dev}" if same else f"{each.dev} in dev, {each.staging} in staging"
    words = each.help if each.dev == "" else f"{each.help}; {shown} if not given"
    span = Between(each.low, each.high, each.step) if each.kind != "String" else None
    return Parameter(help=words, validator=span)


Prefix = Annotated[str | None, told("prefix")]
DataVersion = Annotated[str | None, told("data-version")]
Classes = Annotated[str | None, told("classes")]
MaxImages = Annotated[int | None, told("max-images")]
OnBadData = Annotated[parameters.BadData | None, told("on-bad-data")]
Model = Annotated[parameters.Network | None, told("model")]
Weights = Annotated[str | None, told("weights")]
Epochs = Annotated[int | None, told("epochs")]
ImageSize = Annotated[int | None, told("image-size")]
Batch = Annotated[int | None, told("batch")]
Rate = Annotated[float | None, told("lr")]
Optimizer = Annotated[parameters.Optimizer | None, told("optimizer")]
Patience = Annotated[int | None, told("patience")]
Augmentation = Annotated[parameters.Augmentation | None, told("augmentation")]
Seed = Annotated[int | None, told("seed")]
Precision = Annotated[parameters.Precision | None, told("precision")]
Threshold = Annotated[float | None, told("map-threshold")]
Instance = Annotated[parameters.TrainInstance | None, told("instance-type")]
Spot = Annotated[
    bool | None,
    Parameter(
        help="Train on spot instances: cheaper, may be interrupted and then goes on from its last epoch; "
        "only in staging if not given",
        negative="--no-spot",
    ),
]
DryRun = Annotated[
    bool, Parameter(help="Say what would run and how the pipeline's definition would change; start nothing")
]


def spends(ctx: Context, *, env: Environment, spot: bool | None, dry_run: bool, **given: Any) -> Spend | None:
    """The jobs of a run, and in dev the endpoint that its last step makes, where none serves yet."""
    if dry_run:
        return None
    return training_cost.run(ctx, env, parameters.values(env, given), _spot(env, spot))


@command(
    "pipeline run",
    allowed={"data-scientist": ("dev",), "ml-engineer": ("staging",)},
    needs=[
        Need("sagemaker:StartPipelineExecution", "pipeline/{pipeline}"),
        Need("s3:ListBucket", "arn:aws:s3:::{data_bucket}"),
        Need("sagemaker:DescribePipeline", "pipeline/{pipeline}", only="dry_run"),
    ],
    changes=True,
    audience=Audience.CHANNEL,
    spends=spends,
    example="pipeline run --epochs 4 --image-size 128",
)
def run(
    ctx: Context,
    *,
    env: Env = "dev",
    epochs: Epochs = None,
    image_size: ImageSize = None,
    batch: Batch = None,
    lr: Rate = None,
    seed: Seed = None,
    map_threshold: Threshold = None,
    on_bad_data: OnBadData = None,
    prefix: Prefix = None,
    data_version: DataVersion = None,
    classes: Classes = None,
    max_images: MaxImages = None,
    model: Model = None,
    weights: Weights = None,
    optimizer: Optimizer = None,
    patience: Patience = None,
    augmentation: Augmentation = None,
    precision: Precision = None,
    instance_type: Instance = None,
    spot: Spot = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> Reply:
    """Start a training run: prepare, train, evaluate, register, deploy to dev."""
    given: dict[str, parameters.Value | None] = {
        "epochs": epochs,
        "image_size": image_size,
        "batch": batch,
        "lr": lr,
        "seed": seed,
        "map_threshold": map_threshold,
        "on_bad_data": on_bad_data,
        "prefix": prefix,
        "data_version": data_version,
        "classes": classes,
        "max_images": max_images,
        "model": model,
        "weights": weights,
        "optimizer": optimizer,
        "patience": patience,
        "augmentation": augmentation,
        "precision": precision,
        "instance_type": instance_type,
    }
    chosen = parameters.values(env, given)
    folder = data_folder(ctx.names.data_bucket, str(chosen["prefix"]))
    chosen["prefix"] = folder
    on_spot = _spot(env, spot)
    data = _data(ctx, folder)
    facts = _facts(env, chosen, on_spot)
    if dry_run:
        return _preview(ctx, env, facts, data, folder)
    arn = executions.start(
        ctx.client("sagemaker"),
        ctx.names,
        env,
        {**parameters.sent(chosen), parameters.DATA_STATE: data.state if data and data.state else ctx.token},
        alias="spot" if on_spot else "on-demand",
        token=ctx.token,
        name=f"run-{ctx.token[:8]}",
        about=f"Started from Slack by {ctx.person.team}.{ctx.person.user} as {ctx.person.role}",
    )
    execution = arn.rsplit("/", 1)[-1]
    return Reply(
        title=f"Training run {short(execution)} in {env}: starting",
        context=["started by ", Mention(ctx.person.user), f" · photos s3://{ctx.names.data_bucket}/{folder}"],
        facts=[*facts, Fact("Role", ctx.person.role)],
        actions=[stop_button(execution, env)],
        environment=env,
        slot=slot(arn),
        follow=Follow("execution", arn),
    )


def _data(ctx: Context, folder: str) -> Folder | None:
    """What lies in the folder; None for whoever may not look: AWS then says whether they may start a run.

    Raises NotFound for a folder without photos.
    """
    try:
        data = profiles.folder(ctx.client("s3"), ctx.names, folder)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDenied":
            raise
        return None
    if not data.photos:
        advice = "A data set has images/*.jpg or *.png."
        raise NotFound("photo below", f"s3://{ctx.names.data_bucket}/{folder}", advice=advice)
    return data


def _spot(env: Environment, given: bool | None) -> bool:
    return SPOT.get(env, False) if given is None else given


def _facts(env: Environment, chosen: Mapping[str, parameters.Value], on_spot: bool) -> list[Fact]:
    """What a run does, then whatever else is not as usual in its environment."""
    network = str(chosen["weights"]).rsplit("/", 1)[-1] or str(chosen["model"])
    said = {"epochs", "image_size", "map_threshold", "model", "weights", "prefix", "instance_type"}
    odd = [
        Fact(each.option, each.written(chosen[name]))
        for each in parameters.SETTINGS
        if (name := each.option.replace("-", "_")) not in said and chosen[name] != each.default(env)
    ]
    return [
        Fact("Network", network),
        Fact("Epochs", str(chosen["epochs"])),
        Fact("Image size", f"{chosen['image_size']} px"),
        Fact("Needs mAP50", f"{float(chosen['map_threshold']):.2f}"),
        Fact("Trains on", f"{chosen['instance_type']}{', spot' if on_spot else ''}"),
        *odd,
    ]


def _preview(ctx: Context, env: Environment, facts: list[Fact], data: Folder | None, folder: str) -> Reply:
    """What a run would do, and what publishing this bot's code would change in the definition it runs by."""
    photos = f"{len(data.photos):,} photos" if data else "photos"
    lines = changes.unpublished(ctx.client("sagemaker"), ctx.names, env)
    words = f"Published again, the pipeline would change in {len(lines)} places." if lines else ""
    return Reply(
        title=f"A training run in {env}, not started",
        context=[
            "asked by ",
            Mention(ctx.person.user),
            f" · {photos} in s3://{ctx.names.data_bucket}/{folder}",
        ],
        text=words or "The pipeline is published as this bot's code has it: publishing would change nothing.",
        facts=facts,
        quote="\n".join(lines),
        environment=env,
        audience=Audience.PERSON,
    )
