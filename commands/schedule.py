"""Schedules: which report is posted where and when. The firing itself is `bot.schedule`'s.

Whoever sets one lets the bot's own eyes, which see every environment, speak in a channel. So it takes a role that may
read all that itself and answers for production: an ML engineer's. Everybody may see what is set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Annotated

from cyclopts import Parameter

from commands import digest, summary
from commands.command import Context, command
from commands.moments import length
from commands.reply import Action, Audience, Channel, Code, Confirm, Fact, Inline, Mention, Moment, Reply
from commands.timetable import Timetable, timetable
from commands.wording import duration
from pipeline.errors import BadInput, NotFound, Refused
from pipeline.names import ENVIRONMENTS
from state import schedules
from state.schedules import RunRow, ScheduleRow

Report = Callable[[Context, datetime], Reply]
"""Draws what is posted: what happened since the given moment, that of the last report."""

REPORTS: Mapping[str, Report] = MappingProxyType(
    {"summary": summary.report, "digest-daily": digest.daily, "digest-weekly": digest.weekly}
)

SETTER = "ml-engineer"
ON_TIME = timedelta(minutes=2)
"""What comes within this is not called late."""
EXAMPLE = "schedule set summary --at 08:30 --days mon-fri --zone Europe/Zurich"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_CHANNEL = re.compile(r"[CGD][A-Z0-9]{2,20}")

Name = Annotated[str, Parameter(help="Name of the schedule")]


@command("schedule list", allowed=None, example="schedule list")
def list_(ctx: Context) -> Reply:
    """List what is posted regularly: where, when next, and how it went last."""
    with ctx.state.begin() as connection:
        rows, runs = schedules.every(connection), schedules.last_runs(connection)
    if not rows:
        return Reply(
            title="Nothing is scheduled",
            text=["An ML engineer sets it: ", Code(EXAMPLE)],
        )
    lines: list[Inline] = []
    for row in rows:
        following = table(row).after(datetime.now(UTC))
        lines += [Code(row.name), f" posts {row.report} into ", Channel(row.channel), f", {table(row).words()}\n"]
        lines += ["next ", Moment(following.at.timestamp()), *_last(row, runs.get(row.name))]
        lines += [" · set by ", Mention(row.user_id), "\n"]
    mine = rows[:5] if ctx.person.holds(SETTER) else []
    return Reply(
        title=f"{len(rows)} schedules" if len(rows) > 1 else "One schedule",
        text=lines,
        actions=[_removal(row) for row in mine],
    )


@command(
    "schedule set",
    allowed={SETTER: ENVIRONMENTS},
    changes=True,
    audience=Audience.CHANNEL,
    example=EXAMPLE,
)
def set_(
    ctx: Context,
    report: Annotated[str, Parameter(help=f"What is posted: {', '.join(REPORTS)}")],
    *,
    at: Annotated[str, Parameter(help="Time of the day, such as 08:30")],
    days: Annotated[str, Parameter(help="daily, mon-fri, mon,thu, monthly:1 or monthly:last")] = "daily",
    zone: Annotated[str, Parameter(help="Time zone, such as Europe/Zurich; that of your Slack profile")] = "",
    channel: Annotated[str, Parameter(help="Channel to post in; this one if not given")] = "",
    late: Annotated[str, Parameter(help="How late it is still worth posting, such as 12h")] = "12h",
    name: Annotated[str, Parameter(help="Name of the schedule; that of the report if not given")] = "",
) -> Reply:
    """Post a report regularly, or change when and where it is posted."""
    _may(ctx)
    if report not in REPORTS:
        raise NotFound("report", report, REPORTS, f"There are: {', '.join(REPORTS)}.")
    when = timetable(at, days, zone or _own_zone(ctx))
    place = _channel(channel or ctx.channel or "")
    row = schedules.put(
        ctx.state,
        name=_name(ctx, name, report, place),
        report=report,
        cron=when.cron,
        zone=when.zone,
        team=ctx.person.team,
        channel=place,
        user=ctx.person.user,
        late_minutes=_late(late),
    )
    following = when.after(datetime.now(UTC))
    return Reply(
        title=f"Schedule {row.name}: {row.report}, {when.words()}",
        context=[Code(row.name), " · set by ", Mention(row.user_id)],
        facts=[
            Fact("Posted into", [Channel(row.channel)]),
            Fact("Next", [Moment(following.at.timestamp())]),
            Fact("When late", f"posted up to {duration(row.late_minutes * 60)} after its time, then left out"),
        ],
        actions=[Action("All schedules", "schedule list")],
    )


@command(
    "schedule remove",
    allowed={SETTER: ENVIRONMENTS},
    changes=True,
    audience=Audience.CHANNEL,
    example="schedule remove summary",
)
def remove(ctx: Context, name: Name) -> Reply:
    """Stop posting a report."""
    _may(ctx)
    row = schedules.remove(ctx.state, name)
    return Reply(
        title=f"Schedule {row.name} is removed",
        context=["removed by ", Mention(ctx.person.user), " · was set by ", Mention(row.user_id)],
        text=[f"It posted {row.report} {table(row).words()} into ", Channel(row.channel), "."],
        actions=[Action("All schedules", "schedule list")],
    )


def table(row: ScheduleRow) -> Timetable:
    """When a schedule fires."""
    return Timetable(row.cron, row.zone)


def _may(ctx: Context) -> None:
    if not ctx.person.holds(SETTER):
        raise Refused(
            f"Schedules are set by somebody with the role {SETTER}; you are {ctx.person.role}.",
            "A report shows every environment to the whole channel. `summary` shows you what you may see, now.",
        )


def _own_zone(ctx: Context) -> str:
    if zone := ctx.zone():
        return zone
    raise BadInput(
        "Your Slack profile does not say in which time zone you are.",
        "Name the zone in which the time counts: `--zone Europe/Zurich`.",
    )


def _channel(words: str) -> str:
    if not words:
        raise BadInput("Here is no channel to post in.", "Name one: `--channel C0123456789`.")
    if not _CHANNEL.fullmatch(words):
        raise BadInput(f"{words!r} is no channel.", "Type `--channel #` and choose one, or give its id: `C0123456789`.")
    return words


def _name(ctx: Context, given: str, report: str, channel: str) -> str:
    """The name given, or the report's, unless that would silently move a schedule away from another channel."""
    if given:
        if not _NAME.fullmatch(given):
            raise BadInput(f"{given!r} is no name for a schedule.", "Use up to 40 small letters, digits and dashes.")
        return given
    with ctx.state.begin() as connection:
        there = schedules.find(connection, report)
    if there is not None and there.channel != channel:
        raise Refused(
            f"There is a schedule {report} for another channel already.",
            f"Add `--name {report}-2` for one more, or `--name {report}` to move that one here.",
        )
    return report


def _late(words: str) -> int:
    """Minutes."""
    late = length(words)
    if late > timedelta(days=7):
        raise BadInput(f"{words} is too late for any report.", "A report may come at most a week late: `--late 1w`.")
    return int(late.total_seconds() // 60)


def _last(row: ScheduleRow, run: RunRow | None) -> list[Inline]:
    if run is None:
        return [" · not yet posted"]
    late = " late" if run.at - run.due_at > ON_TIME and run.outcome in (schedules.POSTED, schedules.QUEUED) else ""
    return [f" · last {run.outcome}{late} ", Moment(run.at.timestamp())]


def _removal(row: ScheduleRow) -> Action:
    question = Confirm(f"Remove {row.name}?", "Nothing more is posted; what was posted stays.", "Remove", "Keep it")
    return Action(f"Remove {row.name}", f"schedule remove {row.name}", "danger", question)
