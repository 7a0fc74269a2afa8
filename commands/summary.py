"""The summary: runs since yesterday, what is open, what waits for somebody. Typed by a person, or posted by a schedule.

A person sees one environment, with their own rights. A schedule's report is drawn with the bot's own eyes and goes over
all environments; what does not answer is named in it, and the rest is still told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from botocore.exceptions import BotoCoreError, ClientError

from commands.arguments import Env
from commands.command import READERS, Context, command
from commands.execution import STATES, short
from commands.pipeline import LIST
from commands.reply import Action, Code, Fact, Inline, Mention, Menu, Moment, Reply, Step, Strong
from commands.wording import duration, score, shorten
from pipeline import executions
from pipeline.errors import GroundcrewError, NotFound, Unavailable
from pipeline.executions import Summary
from pipeline.names import ENVIRONMENTS, Environment
from state import alerts, approvals, grants
from state.alerts import AlertRow

DAY = timedelta(days=1)
LOOK_AT = 40
"""Runs of an environment looked at, newest first."""
COUNTED = 200
"""Open alerts counted; beyond it is said that there are more."""
NAMED = 10
"""Alerts and requests named one by one; the others are counted."""
_WORDS = {"Succeeded": "done", "Executing": "running", "CompletedWithFailures": "failed"}


@dataclass(frozen=True)
class Runs:
    """The runs of one environment. `scores` is the mAP50 by ARN, `trouble` what could not be asked and why."""

    env: Environment
    found: Sequence[Summary] = ()
    scores: Mapping[str, float] | None = None
    trouble: str = ""


@command("summary", allowed=READERS, needs=[LIST], example="summary --env dev")
def summary(ctx: Context, *, env: Env = "dev") -> Reply:
    """Sum up the last day: runs of an environment, open alerts, what waits for somebody."""
    since = datetime.now(UTC) - DAY
    return _drawn(ctx, since, [_runs(ctx, env, since)])


def report(ctx: Context, since: datetime) -> Reply:
    """What a schedule posts: all environments since `since`, with the context's own eyes. Raises nothing of AWS's."""
    return _drawn(ctx, since, [_runs_or_trouble(ctx, env, since) for env in ENVIRONMENTS])


def _runs_or_trouble(ctx: Context, env: Environment, since: datetime) -> Runs:
    try:
        return _runs(ctx, env, since)
    except ClientError as error:
        return Runs(env, trouble=f"AWS refuses to list its runs: {error.response['Error'].get('Message', error)}")
    except (BotoCoreError, GroundcrewError) as error:
        return Runs(env, trouble=f"AWS does not answer: {error}")


def _runs(ctx: Context, env: Environment, since: datetime) -> Runs:
    """What began since then or still runs; nothing where no pipeline was ever published."""
    try:
        recent = executions.recent(ctx.client("sagemaker"), ctx.names, env, limit=LOOK_AT)
    except NotFound:
        return Runs(env)
    found = [item for item in recent if item.started >= since or item.status in executions.RUNNING]
    if not found:
        return Runs(env)
    try:
        logged = ctx.tracking.search_runs([ctx.names.pipeline(env)])
    except Unavailable as error:
        return Runs(env, found, trouble=f"MLflow does not answer, so no metrics: {error.message}")
    scores = {run.tags.get("execution", ""): run.metrics["test/map50"] for run in logged if "test/map50" in run.metrics}
    return Runs(env, found, scores)


def _drawn(ctx: Context, since: datetime, parts: Sequence[Runs]) -> Reply:
    one = parts[0].env if len(parts) == 1 else None
    open_alerts = alerts.listed(ctx.state, environments=[one, None] if one else None, limit=COUNTED)
    waiting = approvals.list(ctx.state, ctx.person.team)
    reviews = grants.unreviewed(ctx.state, ctx.person.team)
    runs = [(part, item) for part in parts for item in part.found]
    words = [
        _count(len(runs), "run"),
        _count(len(open_alerts), "open alert"),
        *([f"{len(waiting) + len(reviews)} waiting for somebody"] if waiting or reviews else []),
    ]
    text = [*_alert_lines(open_alerts), *_review_lines(reviews), *_approval_lines(waiting)]
    return Reply(
        title=f"Summary: {', '.join(words)}",
        context=[f"{one or 'all environments'} · since ", Moment(since.timestamp())],
        text=text or "No alert is open, and nothing waits for an approval or a review.",
        steps=[_line(part, item) for part, item in runs],
        facts=[*(Fact(f"Runs in {part.env}", _outcomes(part)) for part in parts), *_severities(open_alerts)],
        actions=_actions(runs, open_alerts, bool(waiting)),
        environment=one,
    )


def _line(part: Runs, item: Summary) -> Step:
    words = [_word(item.status)]
    if part.scores and item.arn in part.scores:
        words.append(f"mAP50 {score(part.scores[item.arn])}")
    if item.reason:
        words.append(shorten(item.reason, 120))
    detail: list[Inline] = [" · ".join(words), " · started ", Moment(item.started.timestamp())]
    return Step(f"{part.env} {short(item.id)}", STATES.get(item.status, "failed"), detail)


def _outcomes(part: Runs) -> str:
    counts = Counter(_word(item.status) for item in part.found)
    told = ", ".join(f"{count} {word}" for word, count in counts.most_common())
    return " · ".join(words for words in (told or ("" if part.trouble else "none"), part.trouble) if words)


def _word(status: str) -> str:
    return _WORDS.get(status, status.lower())


def _alert_lines(rows: Sequence[AlertRow]) -> list[Inline]:
    now, lines = datetime.now(UTC), _heading("Open alerts", rows)
    for row in rows[:NAMED]:
        has: list[Inline] = ["nobody has it"]
        if who := row.assigned_to or row.acknowledged_by:
            has = ["with " if row.assigned_to else "seen by ", Mention(who)]
        age = duration((now - row.first_at).total_seconds())
        lines += [Code(row.id[:8]), f" {row.severity} · {row.title} · for {age} · ", *has, "\n"]
    return lines + _rest(rows)


def _review_lines(rows: Sequence[grants.Grant]) -> list[Inline]:
    lines = _heading("Break-glass to be reviewed", rows)
    for row in rows[:NAMED]:
        lines += [Code(row.id), f" on {row.resource} by ", Mention(row.user_id), f": {row.reason}\n"]
    return lines + _rest(rows)


def _approval_lines(rows: Sequence[approvals.ApprovalRow]) -> list[Inline]:
    lines = _heading("Waiting for an approval", rows)
    for row in rows[:NAMED]:
        lines += [Code(row.id), f" {row.title} · asked by ", Mention(row.requester), f" · needs {row.role} · until "]
        lines += [Moment(row.expires_at.timestamp()), "\n"]
    return lines + _rest(rows)


def _heading(words: str, rows: Sequence[object]) -> list[Inline]:
    return [Strong(words), "\n"] if rows else []


def _rest(rows: Sequence[object]) -> list[Inline]:
    return [f"… {len(rows) - NAMED} more\n"] if len(rows) > NAMED else []


def _count(number: int, what: str) -> str:
    return f"{number or 'no'}{' or more' if number == COUNTED else ''} {what}{'' if number == 1 else 's'}"


def _severities(rows: Sequence[AlertRow]) -> list[Fact]:
    counts = Counter(row.severity for row in rows)
    return [Fact("Open alerts", ", ".join(f"{count} {severity}" for severity, count in counts.items()))] if rows else []


def _actions(
    runs: Sequence[tuple[Runs, Summary]], open_alerts: Sequence[AlertRow], waiting: bool
) -> list[Action | Menu]:
    shown = [
        Action(f"{part.env} {short(item.id)}: {_word(item.status)}", f"pipeline show {item.id} --env {part.env}")
        for part, item in runs[:NAMED]
    ]
    return [
        *([Action("Alerts", "alerts list")] if open_alerts else []),
        *([Action("Approvals", "approvals list")] if waiting else []),
        *([Menu("Show a run…", shown)] if shown else []),
    ]
