"""Two registered versions side by side: metrics with the better marked, what they were trained with, both matrices."""

from __future__ import annotations

from collections.abc import Sequence

from commands.arguments import Env, Version
from commands.command import READERS, Context, command
from commands.model_report import DESCRIBE, LIST, READ_RUNS, evaluated, map50, matrices
from commands.reply import Action, Audience, Mention, Reply, Table
from commands.wording import score
from pipeline import experiments, registry
from pipeline.errors import BadInput, NotFound, Unavailable
from pipeline.experiments import Row
from pipeline.registry import Evaluation, Package


@command(
    "registry compare",
    allowed=READERS,
    needs=[LIST, DESCRIBE, READ_RUNS],
    audience=Audience.CHANNEL,
    example="registry compare 2 3",
)
def compare(ctx: Context, version: Version, other: Version, *, env: Env = "dev") -> Reply:
    """Compare two model versions: metrics, classes, settings of their trainings, confusion matrices."""
    if version == other:
        raise BadInput(f"Version {version} is named twice.", "Name two versions; `registry list` shows them.")
    packages = [registry.load(ctx.client("sagemaker"), ctx.names, env, each) for each in (version, other)]
    reports = [evaluated(ctx, package) for package in packages]
    measured = [report for report, _ in reports]
    settings, trouble = _settings(ctx, packages)
    notes = [f"v{package.version}: {note}" for package, (_, note) in zip(packages, reports, strict=True) if note]
    return Reply(
        title=_verdict(packages),
        context=["asked by ", Mention(ctx.person.user)],
        text="\n".join([*_caveats(packages), *notes, *trouble]),
        picture=matrices(list(zip(packages, measured, strict=True)), env),
        table=_table(packages, measured, settings),
        actions=[Action(f"Show v{each.version}", f"registry show {each.version} --env {env}") for each in packages],
        environment=env,
    )


def _settings(ctx: Context, packages: Sequence[Package]) -> tuple[Sequence[Row], list[str]]:
    """The parameters of the trainings that differ, from MLflow; or why they are not told."""
    ids = [package.metadata.get("mlflow_run_id", "") for package in packages]
    if "untracked" in ids or "" in ids:
        return [], ["Their settings are not compared: a training was not tracked in MLflow."]
    try:
        return experiments.settings([ctx.tracking.get_run(id) for id in ids]), []
    except (NotFound, Unavailable) as error:
        return [], [f"Their settings are not compared: {error.message}"]


def _verdict(packages: Sequence[Package]) -> str:
    first, second = packages
    if not first.metadata.get("map50") or not second.metadata.get("map50"):
        return f"Detector v{first.version} and v{second.version}"
    if first.digest and first.digest == second.digest:
        return f"Detector v{first.version} and v{second.version} are the same model"
    ordered = sorted(packages, key=lambda package: float(package.metadata["map50"]), reverse=True)
    better, worse = ordered
    if map50(better) == map50(worse):
        return f"Detector v{first.version} and v{second.version}: the same mAP50 {map50(better)}"
    return f"Detector v{better.version} is better than v{worse.version}: mAP50 {map50(better)} against {map50(worse)}"


def _caveats(packages: Sequence[Package]) -> list[str]:
    versions = {package.metadata.get("data_version") for package in packages}
    if len(versions) == 1:
        return ["Both were measured on the same version of the data."]
    return ["They used different versions of the data: their metrics were not measured on the same photos."]


def _table(packages: Sequence[Package], reports: Sequence[Evaluation | None], settings: Sequence[Row]) -> Table:
    overall = [
        _metric("mAP50", [report.map50 if report else None for report in reports]),
        _metric("mAP50-95", [report.map50_95 if report else None for report in reports]),
    ]
    classes = sorted({name for report in reports if report for name in report.per_class})
    by_class = [_metric(f"mAP50 of {name}", [_of(report, name) for report in reports]) for name in classes]
    tags = [
        (label, *(package.metadata.get(key, "–")[:12] for package in packages))
        for label, key in (("Data", "data_version"), ("Revision", "code_revision"), ("Computes in", "precision"))
    ]
    differing = [
        (row.name, *("–" if value is None else str(value) for value in row.values))
        for row in settings
        if row.name not in experiments.KEPT_TAGS
    ]
    columns = ("Version", *(f"v{package.version}" for package in packages))
    return Table(columns, [*overall, *by_class, *tags, *differing], "Metrics, and what differs in the trainings")


def _of(report: Evaluation | None, name: str) -> float | None:
    found = report.per_class.get(name) if report else None
    return found[0] if found else None


def _metric(label: str, values: Sequence[float | None]) -> tuple[str, ...]:
    best = experiments.best("map50", values)
    cells = ["–" if value is None else score(value) for value in values]
    return (label, *(cell + (" · better" if at in best else "") for at, cell in enumerate(cells)))
