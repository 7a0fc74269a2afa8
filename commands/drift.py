"""Drift: what the monitor says about an endpoint, how that went over time, and a look at a window now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated

from cyclopts import Parameter

from commands import drift_report, spent, watching
from commands.alert_card import mute_menu
from commands.arguments import Between, Env, Yes
from commands.command import READERS, Approval, Context, Plan, Spend, command
from commands.drift_chart import trend
from commands.drift_report import stamp
from commands.reply import Action, Audience, Code, Document, Fact, Inline, Link, Menu, Picture, Reply
from commands.watching import EndpointName, Window
from commands.wording import day, duration, shorten
from pipeline import explain, looks, reports
from pipeline.deployment import Stack
from pipeline.errors import BadInput, NotFound, Refused
from pipeline.names import Environment
from pipeline.reports import Report
from state import alerts

LINK_LASTS_S = 300
LISTED = 40
"""Windows in the table of a history."""
WHY = ("the season has changed", "a new camera flies", "another area is flown")
"""Usual reasons for taking what is seen now as the new normal."""

At = Annotated[str, Parameter(help="The window that ended then, such as 2026-05-04T08:00:00Z")]


def _plan(
    ctx: Context, *, endpoint: str, env: Environment, window: str, at: str, now: bool, full: bool, yes: bool
) -> Plan:
    stack, span = watching.stack(ctx, endpoint, env), watching.span(window)
    return watching.plan(stack, f"the last {duration(span.total_seconds())}", {"window": window})


def _spends(ctx: Context, *, now: bool, **_: object) -> Spend | None:
    return watching.spends(ctx) if now else None


@command(
    "drift report",
    allowed=READERS,
    needs=[*watching.READ, *watching.start(only="now")],
    audience=Audience.CHANNEL,
    approval=Approval("ml-engineer", when=lambda given: given["env"] == "prod" and bool(given.get("now"))),
    plan=_plan,
    spends=_spends,
    example="drift report --env staging --window 24h",
)
def report(
    ctx: Context,
    endpoint: EndpointName = "",
    *,
    env: Env = "dev",
    window: Window = "24h",
    at: At = "",
    now: Annotated[bool, Parameter(help="Run the monitor over this window now; in prod with an approval")] = False,
    full: Annotated[bool, Parameter(help="The whole report with all columns, as a page for you alone")] = False,
    yes: Yes = False,
) -> Reply:
    """Show whether an endpoint still sees what its model was made for, and what has moved."""
    stack, span = watching.stack(ctx, endpoint, env), watching.span(window)
    until = datetime.now(UTC)
    if now:
        return watching.look(ctx, stack, env, *watching.last(span))
    home = reports.home(ctx.names, env, stack.name)
    if at:
        found = _ended(reports.between(ctx.client("s3"), home, *_around(at)).reports, at, span)
        return _page(ctx, found) if full else shown(ctx, found, env)
    shelf = reports.between(ctx.client("s3"), home, until - span, until)
    if not shelf.reports:
        return _nothing(ctx, stack, env, window, len(shelf.unreadable))
    newest, apart = shelf.reports[0], reports.side_by_side(shelf.reports)
    if full:
        return _page(ctx, newest)
    if newest.end - newest.start >= span or len(apart) == 1:
        return shown(ctx, newest, env)
    return _several(ctx, apart, span, window, len(shelf.unreadable), env)


@command(
    "drift history",
    allowed=READERS,
    needs=watching.READ,
    audience=Audience.CHANNEL,
    example="drift history --env prod --days 14",
)
def history(
    ctx: Context,
    endpoint: EndpointName = "",
    *,
    env: Env = "dev",
    days: Annotated[int, Parameter(help="How far back", validator=Between(1, 31))] = 14,
) -> Reply:
    """Show how far an endpoint was from its baseline over time, as a picture and a table."""
    stack, until = watching.stack(ctx, endpoint, env), datetime.now(UTC)
    since = until - timedelta(days=days)
    shelf = reports.between(ctx.client("s3"), reports.home(ctx.names, env, stack.name), since, until)
    if not shelf.reports:
        return _nothing(ctx, stack, env, f"{days}d", len(shelf.unreadable))
    found = reports.side_by_side(shelf.reports)
    judged = [each for each in found if each.ratio is not None]
    drifting = [each for each in found if each.kind == "drift"]
    worst = max(judged, key=lambda each: each.ratio or 0.0, default=None)
    alt = f"{len(found)} {_windows(found)} in {days} days; {len(drifting)} drift; images per window below."
    if worst is not None:
        alt = f"Largest distance over its limit: at most {worst.ratio:.2f}, on {day(worst.end)}. " + alt
    facts = [Fact("Windows", f"{len(found)}, {len(drifting)} of them drift"), Fact("Images", _images(found))]
    facts += [Fact("Farthest", f"{worst.ratio:.2f} times its limit, {day(worst.end)}")] if worst is not None else []
    left_out = f"{len(shelf.unreadable)} report(s) could not be read and are left out." if shelf.unreadable else ""
    look = worst or found[0]
    return Reply(
        title=f"{stack.name}: drift in {len(drifting)} of {len(found)} {_windows(found)} of the last {days} days",
        context=[Code(stack.name), " · a distance beyond its limit, above 1 in the picture, is drift"],
        text=left_out,
        facts=facts,
        picture=Picture(trend(found, since, until), f"drift_history_{env}.png", alt),
        table=drift_report.listing(found[:LISTED]),
        actions=[
            Action("Farthest window" if worst else "Newest window", _line("drift report", look, env)),
            Action("Now", f"drift report --env {env}"),
            Action("Baseline", f"drift baseline show --env {env}"),
        ],
        environment=env,
    )


def shown(ctx: Context, found: Report, env: Environment) -> Reply:
    """A window with its pictures and with what to do next."""
    s3 = ctx.client("s3")
    reply = drift_report.one(found, reports.file(s3, found, reports.CHART))
    photos = reports.file(s3, found, reports.EXAMPLES)
    also = [replace(drift_report.photos(found, photos), environment=env)] if photos else []
    explained: list[Inline] = ["Explanations of the model: ", Code(explain.home(ctx.names, env))]
    return replace(
        reply,
        text=[*reply.text, *_next(found), *explained],
        actions=_actions(ctx, found, env),
        environment=env,
        also=also,
    )


def monitor_live(ctx: Context, arn: str) -> tuple[Reply, bool]:
    """The message of a monitor's job (by ARN) as it is now, and whether it has ended: then it is the report."""
    job, env = looks.load(ctx.client("sagemaker"), arn), watching.environment(arn)
    cost, counted = spent.of_job(ctx, arn, None if job.running else job.ended or job.created)
    if job.running:
        return watching.running(job, env), False
    found = reports.at(ctx.client("s3"), job.output) if job.status == "Completed" else None
    if found is None:
        failed = watching.failed(ctx, job, env)
        return replace(failed, facts=[*failed.facts, *cost]), counted
    reply = shown(ctx, found, env)
    more = [Action("Photos", _line("drift report", found, env))] if reply.also else []
    return replace(
        reply,
        slot=watching.slot(arn),
        audience=Audience.CHANNEL,
        also=(),
        facts=[*reply.facts, *cost],
        actions=[*reply.actions, *more],
    ), counted


def _several(
    ctx: Context, found: Sequence[Report], span: timedelta, window: str, unreadable: int, env: Environment
) -> Reply:
    """Several windows in place of one: each with its own verdict, the picture of the newest that drifts."""
    reply = drift_report.several(found, span, unreadable)
    drifting = [each for each in found if each.kind == "drift"]
    subject = drifting[0] if drifting else found[0]
    shown_one = drift_report.one(subject, reports.file(ctx.client("s3"), subject, reports.CHART))
    return replace(
        reply,
        picture=shown_one.picture,
        actions=[
            Action(f"Look at all {window} as one", f"drift report --env {env} --window {window} --now"),
            Action("Newest that drifts" if drifting else "Newest", _line("drift report", subject, env)),
            *(_answers(ctx, subject, env) if drifting else ()),
            Action("History", f"drift history --env {env}"),
        ],
        environment=env,
    )


def _nothing(ctx: Context, stack: Stack, env: Environment, window: str, unreadable: int) -> Reply:
    """No report: why that may be, and how to get one."""
    broken = f" {unreadable} report(s) could not be read." if unreadable else ""
    return Reply(
        title=f"No reports about {stack.name} in the last {window}",
        text=f"That is no verdict: nobody has looked.{broken} {_why_not(stack, env)}",
        actions=[
            Action("Look now", f"drift report --env {env} --window {window} --now", "primary"),
            Action("Schedule", f"drift schedule show --env {env}"),
            Action("History", f"drift history --env {env}"),
        ],
        environment=env,
    )


def _why_not(stack: Stack, env: Environment) -> str:
    if not stack.parameters.get("CodeUri"):
        return f"It was deployed before there was a monitor: `deployment create --env {env}` adds one."
    if stack.parameters.get("MonitorState") == "DISABLED":
        return f"Its schedule is paused: `drift schedule resume --env {env}`."
    if not stack.parameters.get("BaselineStatistics"):
        return "It has no baseline either: the monitor can only say how much traffic there was."
    return f"The schedule looks every {stack.parameters.get('MonitorHours', '1')} h; the first look comes after that."


def _page(ctx: Context, found: Report) -> Reply:
    """The report's page: a link for the person alone, or where nobody can be whispered to the file itself."""
    page = f"{found.folder}/{reports.PAGE}"
    if reports.PAGE not in found.files:
        raise NotFound("page of this report", page, advice="`drift report --now` makes a new one.")
    bucket, _, key = page.removeprefix("s3://").partition("/")
    # The page is a job's work: shown as a page, never with the rights of another one.
    asked = {"Bucket": bucket, "Key": key, "ResponseContentType": "text/html; charset=utf-8"}
    url = ctx.client("s3").generate_presigned_url("get_object", Params=asked, ExpiresIn=LINK_LASTS_S)
    reply = Reply(
        title="The whole report",
        context=[Code(found.endpoint), " · ", *drift_report.window(found)],
        text=f"The link is in a message of its own, for your eyes only. It opens within {LINK_LASTS_S // 60} minutes.",
        audience=Audience.PERSON,
    )
    try:
        ctx.whisper(Link(url, "Open the whole report"))
    except Refused:
        body = reports.file(ctx.client("s3"), found, reports.PAGE, reports.LARGEST_PAGE)
        if body is None:
            raise
        document = Document(body.decode("utf-8", "replace"), f"drift_{found.end:%Y%m%dT%H%M}.html")
        return replace(reply, text="", document=document)
    return reply


def _next(found: Report) -> list[Inline]:
    """What to do about a window, in words, below its caveats; where the photos lie that deserve a label."""
    lines: list[Inline] = []
    if found.kind == "warning" and found.images < drift_report.ENOUGH:
        lines.append("Wait for more images, or look at a longer window.\n")
    elif found.kind == "warning":
        lines.append("The baseline is too small to be sure: train on more photos, or accept a large window as one.\n")
    if found.review_photos:
        kept = f"{found.review_photos} photos are kept for labelling: "
        lines += [kept, Code(shorten(found.review, 200)), "\n"]
    if found.kind in ("drift", "warning"):
        lines.append("Retraining takes the data set as it is, no recent photo gets into it by itself: label them, ")
        lines += ["add them to the data set or to one of their own, then ", Code("pipeline run"), ".\n"]
    return lines


def _actions(ctx: Context, found: Report, env: Environment) -> list[Action | Menu]:
    page = (
        [Action("Whole report", _line("drift report", found, env) + " --full")] if reports.PAGE in found.files else []
    )
    if found.kind in ("drift", "warning"):
        return [*_answers(ctx, found, env), *page, Action("History", f"drift history --env {env}")]
    if found.kind == "no verdict" and not found.baseline:
        return [Action("Baseline", f"drift baseline show --env {env}"), *page]
    longer = Action("Look at 7 days", f"drift report --env {env} --window 7d --now")
    return [*page, Action("History", f"drift history --env {env}"), *([] if found.kind == "no drift" else [longer])]


def _answers(ctx: Context, found: Report, env: Environment) -> list[Action | Menu]:
    """The answers to drift: another model, the model before, another normal, or silence."""
    accept = [Action(why, f'{_line("drift baseline accept", found, env)} --reason "{why}"') for why in WHY]
    answers: list[Action | Menu] = [
        Action("Retrain in dev", "pipeline run --env dev", "primary"),
        Action("Roll back…", f"deployment rollback --env {env}", "danger"),
        Menu("Accept as new baseline…", accept),
    ]
    return [*answers, *(mute_menu(id) for id in _alert(ctx, found, env))]


def _alert(ctx: Context, found: Report, env: Environment) -> list[str]:
    """The alert that fires about the endpoint's drift, if one does."""
    rows = alerts.listed(ctx.state, environments=[env])
    about = f":alarm:{found.endpoint}-drift".lower()
    return [row.id for row in rows if row.state == "firing" and row.subject.lower().endswith(about)][:1]


def _line(words: str, found: Report, env: Environment) -> str:
    """A command about exactly this window."""
    minutes = max(1, round((found.end - found.start).total_seconds() / 60))
    length = f"{minutes // 60}h" if minutes % 60 == 0 else f"{minutes}m"
    return f"{words} --env {env} --at {stamp(found.end)} --window {length}"


def ended(ctx: Context, stack: Stack, env: Environment, at: str, span: timedelta) -> Report:
    """The report about the window that ended at `at` and was nearest to `span` long. Raises NotFound."""
    home = reports.home(ctx.names, env, stack.name)
    return _ended(reports.between(ctx.client("s3"), home, *_around(at)).reports, at, span)


def _ended(found: Sequence[Report], at: str, span: timedelta) -> Report:
    if not found:
        raise NotFound("report about a window that ended", at, advice="`drift history` shows the windows there are.")
    return min(found, key=lambda each: abs(each.end - each.start - span))


def _around(at: str) -> tuple[datetime, datetime]:
    """The second that begins at a moment. Raises BadInput for what is none."""
    try:
        moment = datetime.fromisoformat(at)
    except ValueError as error:
        raise BadInput(f"{shorten(at, 40)!r} is no moment.", "Write it as 2026-05-04T08:00:00Z.") from error
    moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment - timedelta(seconds=1), moment


def _windows(found: Sequence[Report]) -> str:
    return "window" if len(found) == 1 else "windows"


def _images(found: Sequence[Report]) -> str:
    total = sum(each.images for each in found)
    silent = sum(each.kind == "no traffic" for each in found)
    return f"{total:,}" + (f"; {silent} without traffic" if silent else "")
