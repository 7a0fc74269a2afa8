"""The model card of a version, for people to read and as the file that SageMaker keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from cyclopts import Parameter

from commands.arguments import Env, Version
from commands.command import READERS, Context, command
from commands.model_report import DESCRIBE, LIST
from commands.reply import Action, Audience, Code, Document, Fact, Inline, Mention, Reply, Strong, Table
from commands.wording import shorten
from pipeline import card, registry
from pipeline.errors import NotFound

_LABELS = (
    ("purpose_of_model", "What for"),
    ("intended_uses", "How to use it"),
    ("factors_affecting_model_efficiency", "What makes it worse"),
)
_CUSTOM = 200


@command(
    "registry card",
    allowed=READERS,
    needs=[LIST, DESCRIBE],
    audience=Audience.CHANNEL,
    example="registry card 3 --env dev",
)
def show(
    ctx: Context,
    version: Version,
    *,
    file: Annotated[bool, Parameter(help="As SageMaker keeps it (JSON), to you alone")] = False,
    env: Env = "dev",
) -> Reply:
    """Show a version's model card: what it is for, how it was made and measured, what to beware of."""
    package = registry.load(ctx.client("sagemaker"), ctx.names, env, version)
    if not package.card:
        raise NotFound(
            f"model card in {env} of version", str(version), advice="It was registered before there were cards."
        )
    name = f"model_card_{env}_v{version}.json"
    if file:
        return Reply(
            title=f"Model card of detector v{version} in {env}",
            document=Document(package.card, name),
            audience=Audience.PERSON,
        )
    body = card.read(package.card)
    return Reply(
        title=f"Model card of detector v{version} in {env}: {_status(package.card_status)}",
        context=["asked by ", Mention(ctx.person.user)],
        text=_words(body),
        facts=_facts(body),
        table=_metrics(body),
        actions=[
            Action("As a file", f"registry card {version} --file --env {env}"),
            Action("The version", f"registry show {version} --env {env}"),
            Action("Lineage", f"registry lineage {version} --env {env}"),
        ],
        environment=env,
    )


def _status(status: str) -> str:
    return {"PendingReview": "waits for a review", "Approved": "approved"}.get(status, status.lower() or "no status")


def _words(body: Mapping[str, Any]) -> list[Inline]:
    uses, more = body.get("intended_uses", {}), body.get("additional_information", {})
    told = [(label, uses[key]) for key, label in _LABELS if uses.get(key)]
    told += [("Beware", more["caveats_and_recommendations"])] if more.get("caveats_and_recommendations") else []
    return [part for label, words in told for part in (Strong(label), f": {words}\n")]


def _facts(body: Mapping[str, Any]) -> list[Fact]:
    training = body.get("training_details", {})
    jobs = training.get("training_job_details", {})
    settings = " · ".join(f"{item['name']} {item['value']}" for item in jobs.get("user_provided_hyper_parameters", []))
    measured: Sequence[Mapping[str, Any]] = body.get("evaluation_details", [])
    custom = body.get("additional_information", {}).get("custom_details", {})
    told = [
        ("Made by", body.get("model_overview", {}).get("model_creator", "")),
        ("Photos", training.get("training_observations", "")),
        ("Settings", settings),
        *((each.get("name", ""), each.get("evaluation_observation", "")) for each in measured),
    ]
    facts = [Fact(label, words) for label, words in told if words]
    return facts + [Fact(key.replace("_", " "), [Code(shorten(str(value), _CUSTOM))]) for key, value in custom.items()]


def _metrics(body: Mapping[str, Any]) -> Table | None:
    rows = [
        (str(metric["name"]), f"{metric['value']:.3f}")
        for each in body.get("evaluation_details", [])
        for group in each.get("metric_groups", [])
        for metric in group.get("metric_data", [])
        if metric.get("type") == "number"
    ]
    return Table(("Metric", "Value"), rows, "Metrics of the card") if rows else None
