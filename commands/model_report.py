"""How a registered version reads: its figures, where it comes from, who asked for it and who agreed."""

from __future__ import annotations

from collections.abc import Sequence

from botocore.exceptions import ClientError

from commands.command import Context, Need
from commands.confusion_chart import confusions, shown
from commands.reply import Code, Fact, Inline, Picture, Table
from commands.wording import score, who
from pipeline import executions, registry
from pipeline.names import Environment
from pipeline.registry import Confusion, Evaluation, Package

LIST = Need("sagemaker:ListModelPackages")
DESCRIBE = Need("sagemaker:DescribeModelPackage", "model-package/groundcrew-*-detector/*")
READ_RUNS = Need("s3:GetObject", "arn:aws:s3:::{bucket}/*/runs/*/evaluate/evaluation/*")
RUN = Need("sagemaker:DescribePipelineExecution", "pipeline/groundcrew-*-detector/execution/*")


def approval(package: Package) -> str:
    """The registry's word for it, shorter: `approved`, `rejected`, `pending`."""
    return package.approval.removesuffix("ManualApproval").lower()


def map50(package: Package) -> str:
    """The mAP50 it was registered with."""
    return score(package.metadata["map50"]) if package.metadata.get("map50") else "unknown"


def execution(package: Package) -> str:
    """Id of the pipeline execution that made it; empty when it is not known."""
    return package.metadata.get("pipeline_execution", "").rpartition("/")[2]


def facts(ctx: Context, package: Package, report: Evaluation | None) -> list[Fact]:
    """Everything about a version that is no figure by class."""
    metadata = package.metadata
    told = [
        Fact("mAP50", map50(package)),
        Fact("mAP50-95", score(metadata["map50_95"]) if metadata.get("map50_95") else "unknown"),
        Fact("Approval", approval(package)),
        Fact("Digest", [Code(package.digest or "none")]),
        Fact(
            "Data",
            metadata.get("data_version", "unknown") + (f", {sum(report.images.values())} photos" if report else ""),
        ),
        Fact("Revision", metadata.get("code_revision", "unknown")[:12]),
        # What was registered before there was a choice computes in f32.
        Fact("Computes in", metadata.get("precision", "fp32")),
    ]
    if id := execution(package):
        by = executions.starter(ctx.client("sagemaker"), metadata["pipeline_execution"])
        told.append(Fact("Run", [Code(id), *([", started by ", who(by)] if by else [])]))
    if metadata.get("mlflow_run_id"):
        told.append(Fact("MLflow run", [Code(metadata["mlflow_run_id"])]))
    return [*told, *agreed(package)]


def agreed(package: Package) -> list[Fact]:
    """Who agreed to the promotion that brought it here, and who asked; nothing for one that was trained here."""
    metadata = package.metadata
    if not metadata.get("approved_by"):
        return []
    asked: list[Inline] = [" asked by ", who(metadata.get("requested_by")), f" ({metadata.get('approval', '')})"]
    return [Fact("Approved by", [who(metadata["approved_by"]), ",", *asked])]


def evaluated(ctx: Context, package: Package) -> tuple[Evaluation | None, str]:
    """What Evaluate measured, or a word on why it is not shown."""
    if package.evaluation is None:
        return None, "No evaluation report was registered with this version."
    try:
        return registry.evaluation(ctx.client("s3"), package.evaluation), ""
    except ClientError as error:
        return None, f"The evaluation report is not shown: {error.response['Error']['Message']}"


def matrices(found: Sequence[tuple[Package, Evaluation | None]], env: Environment) -> Picture | None:
    """The confusion matrices of one version or two, as far as their reports hold the counts."""
    known = [(each, report.confusion) for each, report in found if report and report.confusion]
    if not known:
        return None
    alt = "; ".join(f"Confusion matrix of detector v{each.version}: {_in_words(counted)}" for each, counted in known)
    named = "_".join(f"v{each.version}" for each, _ in known)
    return Picture(
        confusions([(f"Detector v{each.version} in {env}", counted) for each, counted in known]),
        f"confusion_{named}.png",
        alt,
    )


def _in_words(counted: Confusion) -> str:
    """How many of each class's labelled objects were found as such."""
    drawn = shown(counted)
    labelled = [sum(row[at] for row in drawn.counts) for at in range(len(drawn.labels))]
    return ", ".join(f"{label} {drawn.counts[at][at]} of {labelled[at]}" for at, label in enumerate(drawn.labels[:-1]))


def by_class(report: Evaluation) -> Table:
    """mAP50 and mAP50-95 of each class."""
    unseen = ("not in the held-out photos", "")
    rows = [(name, *(map(score, found) if found else unseen)) for name, found in sorted(report.per_class.items())]
    return Table(("Class", "mAP50", "mAP50-95"), rows, "Metrics by class")
