"""Registered models: list, show, and promote into the next environment with a second person's approval."""

from __future__ import annotations

from typing import Annotated, Literal

from botocore.exceptions import ClientError
from cyclopts import Parameter

from commands import approvals as deciding
from commands import estimate
from commands.arguments import Env, Reason, Version
from commands.command import READERS, Approval, Context, Need, Plan, command
from commands.parsing import parse
from commands.reply import Action, Audience, Code, Fact, Inline, Mention, Picture, Reply, Table
from commands.wording import day, score, short_digest, who
from pipeline import deployment, registry
from pipeline.errors import BadInput, NotFound, Refused
from pipeline.names import ENVIRONMENTS, Environment
from pipeline.registry import Evaluation, Package
from state import approvals
from state.approvals import ApprovalRow

LIST = Need("sagemaker:ListModelPackages")
DESCRIBE = Need("sagemaker:DescribeModelPackage", "model-package/groundcrew-*-detector/*")
READ_RUNS = Need("s3:GetObject", "arn:aws:s3:::{bucket}/*/runs/*/evaluate/evaluation/*")
To = Annotated[Literal["staging", "prod"], Parameter(help="Environment to promote into, from the one before it")]


@command("registry list", allowed=READERS, needs=[LIST, DESCRIBE], example="registry list --env dev")
def list_(ctx: Context, *, env: Env = "dev") -> Reply:
    """List the latest model versions."""
    found = registry.versions(ctx.client("sagemaker"), ctx.names, env)
    if not found:
        first = (
            Action("Train one", "pipeline run", style="primary")
            if env == "dev"
            else Action("Models in dev", "registry list")
        )
        return Reply(title=f"No model in {env} yet", actions=[first], environment=env)
    rows = [
        (f"v{item.version}", _map50(item), approval(item), short_digest(item.digest), day(item.created))
        for item in found
    ]
    return Reply(
        title=f"The latest {len(found)} models in {env}" if len(found) > 1 else f"One model in {env}",
        table=Table(("Version", "mAP50", "Approval", "Digest", "Registered"), rows, f"Model versions in {env}"),
        actions=[Action(f"Show v{found[0].version}", f"registry show {found[0].version} --env {env}")],
        environment=env,
    )


@command(
    "registry show",
    allowed=READERS,
    needs=[LIST, DESCRIBE, READ_RUNS],
    audience=Audience.CHANNEL,
    example="registry show 3 --env dev",
)
def show(ctx: Context, version: Version, *, env: Env = "dev") -> Reply:
    """Show a model version: metrics, where it comes from, who approved it."""
    package = registry.load(ctx.client("sagemaker"), ctx.names, env, version)
    report, picture, note = _report(ctx, package)
    return Reply(
        title=f"Detector v{version} in {env}: mAP50 {_map50(package)}",
        context=["asked by ", Mention(ctx.person.user), f" · registered {day(package.created)}"],
        text=note,
        facts=_facts(package, report),
        table=_per_class(report) if report else None,
        picture=picture,
        actions=_next(package, env),
        environment=env,
    )


def comparison(env: Environment, package: Package, before: Package | None, *, serving: str = "") -> list[Fact]:
    """What an approval shows of a model: which exactly, how good against what is there now.

    `serving` is the digest of what is deployed, for when no registered version has it.
    """
    now = f"{_map50(before)} (v{before.version})" if before else f"unknown ({short_digest(serving)})"
    metric = f"{now} → {_map50(package)}" if before or serving else f"nothing there yet → {_map50(package)}"
    return [
        Fact("Model", f"detector v{package.version}, {short_digest(package.digest)}"),
        Fact(f"mAP50 in {env}", metric),
    ]


def _current(ctx: Context, env: Environment) -> Package | None:
    """The newest usable model of an environment, seen with the bot's own eyes: who asks may not look there."""
    try:
        return registry.newest(ctx.eyes("sagemaker"), ctx.names, env)
    except NotFound:
        return None


def _plan(ctx: Context, *, version: int, to: Environment) -> Plan:
    source = registry.PREVIOUS[to]
    package = registry.load(ctx.client("sagemaker"), ctx.names, source, version)
    if package.approval == "Rejected" or not package.digest:
        reason = "was rejected" if package.approval == "Rejected" else "carries no digest, so it cannot be checked"
        raise Refused(f"Version {version} in {source} {reason}.", f"`registry list --env {source}` shows the others.")
    before = _current(ctx, to)
    facts = [
        Fact("From", f"{source} v{version}"),
        Fact("To", to),
        *comparison(to, package, before),
        Fact("Estimated monthly cost", f"once deployed {estimate.monthly(ctx, deployment.INSTANCE_TYPE)}"),
        Fact("Data", package.metadata.get("data_version", "unknown")),
        Fact("Revision", package.metadata.get("code_revision", "unknown")[:7]),
    ]
    bound = {
        "package": package.arn,
        "digest": package.digest,
        "artifact": package.model,
        "content": registry.content_tag(ctx.client("s3"), package.model),
        "metric": _map50(package),
        "compared_with": before.digest if before else "",
        "to": to,
    }
    return Plan(f"promote detector v{version} from {source} to {to}", facts, bound)


@command(
    "registry request",
    allowed={"ml-engineer": ("staging", "prod")},
    needs=[
        LIST,
        DESCRIBE,
        Need("sagemaker:CreateModelPackage", "model-package-group/groundcrew-{to}-detector"),
        Need("sagemaker:CreateModelPackage", "model-package/groundcrew-{to}-detector/*"),
        Need("s3:GetObject", "arn:aws:s3:::{bucket}/*/model.tar.gz"),
        Need("s3:GetObject", "arn:aws:s3:::{bucket}/*/baseline/*"),
        Need("s3:GetObject", "arn:aws:s3:::{bucket}/*/explain/*"),
        Need("s3:GetObject", "arn:aws:s3:::{bucket}/*/models/*"),
        Need("s3:PutObject", "arn:aws:s3:::{bucket}/{to}/models/*"),
    ],
    changes=True,
    audience=Audience.CHANNEL,
    approval=Approval("ml-engineer", asked_by={"data-scientist": ("staging",)}),
    plan=_plan,
    example="registry request 3 --to staging",
)
def request(ctx: Context, version: Version, *, to: To = "staging") -> Reply:
    """Promote a model into the next environment, once another person agrees."""
    consent = deciding.consent(ctx)
    if consent is None:
        raise Refused(
            "A promotion runs only with an approval.", f"`registry request {version} --to {to}` asks for one."
        )
    sagemaker = ctx.client("sagemaker")
    package = registry.load(sagemaker, ctx.names, registry.PREVIOUS[to], version)
    promoted = registry.promote(
        sagemaker,
        ctx.client("s3"),
        ctx.names,
        package,
        to,
        token=ctx.token[:36],
        metadata=consent.metadata,
    )
    agreed: list[Inline] = ["approved by ", who(consent.agreed), " · "] if consent.agreed else []
    return Reply(
        title=f"Detector v{version} of {registry.PREVIOUS[to]} is now v{promoted.version} in {to}",
        context=[*agreed, "asked by ", who(consent.asked), f" · {consent.id}"],
        text="The artifact was read, its sha256 compared with the registered digest, and copied.",
        facts=[
            Fact("mAP50", _map50(promoted)),
            Fact("Digest", short_digest(promoted.digest)),
            Fact("Data", promoted.metadata.get("data_version", "unknown")),
        ],
        actions=[
            Action(f"Deploy to {to}", f"deployment create --env {to} --version {promoted.version}", style="primary"),
            Action("Show it", f"registry show {promoted.version} --env {to}"),
        ],
        environment=to,
    )


Which = Annotated[str, Parameter(help="Version asked for, or id of the approval")]


@command(
    "registry approve",
    allowed={"ml-engineer": ENVIRONMENTS},
    changes=True,
    audience=Audience.CHANNEL,
    example="registry approve 3",
)
def approve(ctx: Context, which: Which) -> Reply:
    """Agree to a promotion that somebody else asked for; it then runs in your session."""
    return deciding.decide(ctx, _pending(ctx, which), approve=True)


@command(
    "registry reject",
    allowed={"data-scientist": ENVIRONMENTS, "ml-engineer": ENVIRONMENTS},
    changes=True,
    audience=Audience.CHANNEL,
    example='registry reject 3 --reason "too few photos"',
)
def reject(ctx: Context, which: Which, *, reason: Reason = "") -> Reply:
    """Turn a promotion down, or withdraw your own request."""
    return deciding.decide(ctx, _pending(ctx, which), approve=False, reason=reason)


def _pending(ctx: Context, which: str) -> ApprovalRow:
    """The request meant by an approval's id or by a version."""
    wanted = which.lower().removeprefix("v")
    if not wanted.isdecimal():
        return approvals.get(ctx.state, ctx.person.team, which)
    open_ = {row.id: parse(row.command) for row in approvals.list(ctx.state, ctx.person.team, limit=200)}
    promotions = {
        id: arguments["version"] for id, (found, arguments) in open_.items() if found.name == "registry request"
    }
    matching = [id for id, version in promotions.items() if version == int(wanted)]
    if not matching:
        raise NotFound(
            "open request for version",
            wanted,
            [str(version) for version in promotions.values()],
            "`approvals list` shows all.",
        )
    if len(matching) > 1:
        raise BadInput(f"{len(matching)} requests are about version {wanted}.", f"Say which: {', '.join(matching)}.")
    return approvals.get(ctx.state, ctx.person.team, matching[0])


def approval(package: Package) -> str:
    """The registry's word for it, shorter: `approved`, `rejected`, `pending`."""
    return package.approval.removesuffix("ManualApproval").lower()


def _map50(package: Package) -> str:
    return score(package.metadata["map50"]) if package.metadata.get("map50") else "unknown"


def _facts(package: Package, report: Evaluation | None) -> list[Fact]:
    metadata = package.metadata
    facts = [
        Fact("mAP50", _map50(package)),
        Fact("mAP50-95", score(metadata["map50_95"]) if metadata.get("map50_95") else "unknown"),
        Fact("Approval", approval(package)),
        Fact("Digest", [Code(package.digest or "none")]),
        Fact(
            "Data",
            metadata.get("data_version", "unknown") + (f", {sum(report.images.values())} photos" if report else ""),
        ),
        Fact("Revision", metadata.get("code_revision", "unknown")[:12]),
    ]
    if metadata.get("pipeline_execution"):
        facts.append(Fact("Run", [Code(metadata["pipeline_execution"].rsplit("/", 1)[-1])]))
    if metadata.get("mlflow_run_id"):
        facts.append(Fact("MLflow run", [Code(metadata["mlflow_run_id"])]))
    if metadata.get("approved_by"):
        asked: list[Inline] = [" asked by ", who(metadata.get("requested_by")), f" ({metadata.get('approval', '')})"]
        facts.append(Fact("Approved by", [who(metadata["approved_by"]), ",", *asked]))
    return facts


def _report(ctx: Context, package: Package) -> tuple[Evaluation | None, Picture | None, str]:
    """The evaluation with its confusion matrix, or a word on why it is not shown."""
    if package.evaluation is None:
        return None, None, "No evaluation report was registered with this version."
    s3 = ctx.client("s3")
    try:
        report = registry.evaluation(s3, package.evaluation)
        matrix = registry.read_object(s3, f"{report.folder}/confusion_matrix.png")
    except ClientError as error:
        return None, None, f"The evaluation report is not shown: {error.response['Error']['Message']}"
    alt = f"Confusion matrix of detector v{package.version}: {', '.join(report.per_class)}"
    return report, Picture(matrix, f"confusion_matrix_v{package.version}.png", alt), ""


def _per_class(report: Evaluation) -> Table:
    unseen = ("not in the held-out photos", "")
    rows = [(name, *(map(score, found) if found else unseen)) for name, found in sorted(report.per_class.items())]
    return Table(("Class", "mAP50", "mAP50-95"), rows, "Metrics by class")


def _next(package: Package, env: Environment) -> list[Action]:
    onward = {source: to for to, source in registry.PREVIOUS.items()}
    actions = [Action(f"Deploy to {env}", f"deployment create --env {env} --version {package.version}")]
    if env in onward:
        to = onward[env]
        actions.insert(
            0, Action(f"Request promotion to {to}", f"registry request {package.version} --to {to}", style="primary")
        )
        actions.append(Action("Explain", f"drift explain --env {env} --version {package.version}"))
    return actions
