"""The baseline of an endpoint: what it is compared with, and taking what is seen now as the new normal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from commands import approvals as deciding
from commands import drift, watching
from commands.arguments import Env, Reason, Yes
from commands.command import READERS, Approval, Context, Need, Plan, command
from commands.deployment import CHANGERS, PACKAGES, UPDATE
from commands.drift import At
from commands.drift_report import label, moved, stamp
from commands.reply import Action, Audience, Code, Fact, Inline, Reply
from commands.watching import EndpointName, Window
from commands.wording import day, short_digest, shorten, who
from pipeline import baselines, deployment, registry, reports
from pipeline.baselines import Baseline
from pipeline.deployment import Stack
from pipeline.errors import BadInput, NotFound, Refused
from pipeline.names import Environment
from pipeline.reports import Report

SIZES = (30, 50, 200, 1000)
"""Window sizes whose limits are shown, of those for which the baseline is large enough to have one."""
NAMED = 4
"""Columns named that become normal."""


def outside_dev(arguments: Mapping[str, Any]) -> bool:
    """What is normal is decided by two people everywhere but in dev."""
    return bool(arguments["env"] != "dev")


@command(
    "drift baseline show",
    allowed=READERS,
    needs=[
        watching.FIND,
        watching.READ[1],
        Need("s3:GetObject", "arn:aws:s3:::{bucket}/{env}/runs/*/baseline/baseline/*"),
        Need("s3:GetObject", "arn:aws:s3:::{bucket}/{env}/models/*.json"),
        Need("s3:GetObject", "arn:aws:s3:::{bucket}/{env}/baselines/*"),
        *PACKAGES,
    ],
    example="drift baseline show --env prod",
)
def show(ctx: Context, endpoint: EndpointName = "", *, env: Env = "dev") -> Reply:
    """Show what an endpoint is compared with: images, limits, from which run, accepted by whom."""
    stack = watching.stack(ctx, endpoint, env)
    folder = folder_of(stack)
    if not folder:
        return Reply(
            title=f"{stack.name} has no baseline",
            text="The monitor tells how much traffic there is, and never drift. A baseline comes with a trained model.",
            actions=[Action("Train a model", "pipeline run --env dev"), Action("Reports", f"drift report --env {env}")],
            environment=env,
        )
    found = baselines.load(ctx.client("s3"), folder)
    return Reply(
        title=f"The baseline of {stack.name}: {found.images:,} images",
        context=[Code(stack.name), f" · made {day(found.made)}"],
        text=" ".join(_caveats(found, stack)),
        facts=[*_facts(found), *_origin(ctx, found, env)],
        actions=[Action("Report", f"drift report --env {env}"), Action("History", f"drift history --env {env}")],
        environment=env,
    )


def _plan(ctx: Context, *, endpoint: str, env: Environment, at: str, window: str, reason: str, yes: bool) -> Plan:
    stack, found, chosen = _chosen(ctx, endpoint, env, at, window, reason)
    normal = [Fact(f"Normal from now on: {label(each.name)}", moved(each)) for each in found.moved[:NAMED]]
    facts = [
        Fact("Endpoint", stack.name),
        Fact("Window", f"{stamp(found.start)} to {stamp(found.end)}, {found.images:,} images"),
        Fact("Verdict on it", found.kind),
        *normal,
        *_facts(chosen),
        Fact("Replaces", [Code(found.baseline or "none")]),
        Fact("Why", reason),
    ]
    bound = {
        "stack": stack.id,
        "model": stack.digest,
        "replaces": folder_of(stack),
        "candidate": chosen.folder,
        **watching.code(),
        **{f"content of {name}": tag for name, tag in chosen.tags.items()},
    }
    return Plan(f"make {found.images:,} images seen lately the new normal of {env}", facts, bound)


@command(
    "drift baseline accept",
    allowed=CHANGERS,
    needs=[
        *UPDATE,
        *watching.READ[1:],
        Need("s3:PutObject", "arn:aws:s3:::{bucket}/{env}/baselines/*"),
    ],
    changes=True,
    audience=Audience.CHANNEL,
    approval=Approval("ml-engineer", when=outside_dev),
    confirm=True,
    plan=_plan,
    example='drift baseline accept --env staging --window 7d --reason "the season has changed"',
)
def accept(
    ctx: Context,
    endpoint: EndpointName = "",
    *,
    env: Env = "dev",
    at: At = "",
    window: Window = "24h",
    reason: Reason = "",
    yes: Yes = False,
) -> Reply:
    """Take a window of traffic as the new normal of an endpoint; outside of dev a second person agrees."""
    stack, found, chosen = _chosen(ctx, endpoint, env, at, window, reason)
    consent = deciding.consent(ctx)
    me, now = f"{ctx.person.team}.{ctx.person.user}", datetime.now(UTC)
    record = {
        "accepted_at": stamp(now),
        "accepted_by": (consent.agreed if consent else None) or me,
        "requested_by": consent.asked if consent else me,
        "approval": consent.id if consent else "none needed in dev",
        "reason": reason,
        "window": f"{stamp(found.start)} to {stamp(found.end)}",
        "verdict": found.kind,
        "report": found.folder,
        "replaces": folder_of(stack) or "none",
    }
    s3 = ctx.client("s3")
    # Refused while the stack is busy before anything is written.
    deployment.changeable(ctx.client("cloudformation"), ctx.names, env)
    folder = baselines.accept(s3, ctx.names, env, stack.name, chosen, record)
    changes = {
        "BaselineStatistics": f"{folder}/{baselines.STATISTICS}",
        "BaselineConstraints": f"{folder}/{baselines.CONSTRAINTS}",
    }
    reply = watching.change(ctx, env, changes)
    return replace(
        reply,
        title=f"{found.images:,} images seen lately become the normal of {env}",
        context=["accepted by ", who(record["accepted_by"]), ", asked by ", who(record["requested_by"])],
        text=[
            f"Why: {reason}. ",
            "From its next window on the monitor compares with them; a new model brings its own.",
        ],
        facts=[Fact("Baseline", [Code(chosen.id)]), Fact("Replaces", [Code(found.baseline or "none")])],
    )


def folder_of(stack: Stack) -> str:
    """Where a deployment's baseline lies; empty when it has none."""
    return stack.parameters.get("BaselineStatistics", "").removesuffix(f"/{baselines.STATISTICS}")


def _chosen(
    ctx: Context, endpoint: str, env: Environment, at: str, window: str, reason: str
) -> tuple[Stack, Report, Baseline]:
    """The deployment, the window and the window as a baseline. Raises what a person can mend."""
    stack, span = watching.stack(ctx, endpoint, env), watching.span(window)
    if not reason.strip():
        raise BadInput(
            "Say why this is normal now: it is kept with the baseline.",
            f'`drift baseline accept --env {env} --reason "the season has changed"`',
        )
    if at:
        found = drift.ended(ctx, stack, env, at, span)
    else:
        until = datetime.now(UTC)
        home = reports.home(ctx.names, env, stack.name)
        shelf = reports.between(ctx.client("s3"), home, until - span, until)
        found = max(shelf.reports, key=lambda report: report.images, default=None)  # type: ignore[assignment]
        if found is None:
            raise NotFound("report in the last", window, advice="`drift report --now` looks at a window first.")
    chosen = baselines.candidate(ctx.client("s3"), found)
    if chosen.model != stack.digest:
        raise Refused(
            f"This window was answered by {short_digest(chosen.model)}, and {short_digest(stack.digest)} is deployed.",
            "Take a window that lies after the last deployment.",
        )
    return stack, found, chosen


def _facts(found: Baseline) -> list[Fact]:
    drawn = f"drawn by {found.drawn_by}" + (f", {found.flights} flights" if found.flights else "")
    limits = [f"{limit:.2f} at {size}" for size, limit in found.limits if size in SIZES]
    return [
        Fact("Baseline", [Code(shorten(found.id, 40) or "unnamed"), f", {found.images:,} images"]),
        Fact(
            "Limits", f"{', '.join(limits)} images, in σ; {shorten(drawn, 100)}" if limits else "too small for limits"
        ),
        Fact("Classes", shorten(", ".join(found.classes), 200) or "none"),
        Fact("Model", short_digest(found.model)),
    ]


def _origin(ctx: Context, found: Baseline, env: Environment) -> list[Fact]:
    """By whom or what it was made."""
    told = found.accepted
    if told:
        asked: list[Inline] = [who(told.get("accepted_by")), ", asked by ", who(told.get("requested_by"))]
        return [
            Fact("Accepted by", [*asked, f", {told.get('accepted_at', 'at an unknown time')}"]),
            Fact("Approval", shorten(told.get("approval", "none"), 60)),
            Fact("Why", shorten(told.get("reason", ""), 250)),
            Fact("Window", shorten(told.get("window", "unknown"), 80)),
        ]
    package = registry.with_digest(ctx.client("sagemaker"), ctx.names, env, found.model)
    run = (package.metadata.get("pipeline_execution", "") if package else "").rsplit("/", 1)[-1]
    return [Fact("Made by", ["run ", Code(run)] if run else "a pipeline run that is not in the registry")]


def _caveats(found: Baseline, stack: Stack) -> list[str]:
    caveats = []
    if found.images < baselines.ENOUGH:
        caveats.append(f"Fewer than {baselines.ENOUGH} images: the monitor warns, and never calls it drift.")
    if found.drawn_by != "flight":
        caveats.append("Its limits were drawn image by image; they are too low where images of one flight look alike.")
    if found.model != stack.digest:
        caveats.append("Its predictions are another model's than the one deployed: only image columns are compared.")
    return caveats
