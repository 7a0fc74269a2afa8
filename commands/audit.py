"""The audit log for people: what was done, whether the record of it is intact, and the record as a file.

Each command first lists the anchors with the person's own session: who may look into the log is decided by AWS.
"""

from __future__ import annotations

import re
import shlex
import time
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from commands import cloudtrail
from commands.arguments import Between
from commands.command import Allowed, Context, Need, command
from commands.export import Format, as_file
from commands.proof import Anchors, Finding, Proof, prove
from commands.reply import Action, Code, Document, Fact, Inline, Mention, Moment, Outcome, Reply, Table, Text
from commands.wording import day, duration, shorten
from pipeline.errors import BadInput, NotFound
from pipeline.names import ENVIRONMENTS
from state import anchors, audit
from state.audit import AuditRow, Filter

AUDITORS: Allowed = MappingProxyType({"ml-engineer": ENVIRONMENTS, "stakeholder": ENVIRONMENTS})
READ = (Need("s3:ListBucketVersions", "arn:aws:s3:::groundcrew-audit-{account}-{region}"),)
LATE = timedelta(minutes=10)
"""Records that wait so long for an anchor are worth a word."""

_SPAN = re.compile(r"(\d{1,4})([mhdw])")
_UNITS = MappingProxyType({"m": "minutes", "h": "hours", "d": "days", "w": "weeks"})
_ID = re.compile(r"[0-9a-f]{6,32}")


def _moment(since: str) -> datetime:
    """`30m`, `12h`, `7d`, `2w` ago, or an ISO date (UTC unless it says otherwise). Raises ValueError."""
    if span := _SPAN.fullmatch(since):
        return datetime.now(UTC) - timedelta(**{_UNITS[span[2]]: int(span[1])})
    given = datetime.fromisoformat(since)
    return given if given.tzinfo else given.replace(tzinfo=UTC)


def _is_moment(type_: Any, value: Any) -> None:
    """Cyclopts' validator protocol."""
    try:
        _moment(value or "1d")
    except ValueError:
        raise ValueError("Must be a time ago such as 12h, 7d or 4w, or a date such as 2026-01-31.") from None


Since = Annotated[str, Parameter(help="From when on: 12h, 7d, 4w, or a date such as 2026-01-31", validator=_is_moment)]
Ended = Literal["ok", "denied", "error", "expired", "interrupted", "needs_confirmation", "pending_approval"]


@command(
    "audit log",
    allowed=AUDITORS,
    needs=[*READ, Need("cloudtrail:LookupEvents")],
    example="audit log --since 7d --outcome denied",
)
def log(
    ctx: Context,
    *,
    user: Annotated[str, Parameter(help="Whose: a Slack user id or mention")] = "",
    command: Annotated[str, Parameter(help="How the command begins, such as registry or 'pipeline run'")] = "",
    outcome: Annotated[Ended | None, Parameter(help="How it ended")] = None,
    since: Since = "",
    limit: Annotated[int, Parameter(help="How many", validator=Between(1, 50))] = 15,
    before: Annotated[
        int | None, Parameter(help="Only records before this number", validator=Between(1, 10**12))
    ] = None,
    aws: Annotated[str, Parameter(help="An invocation: what it called in AWS, as CloudTrail has it")] = "",
) -> Reply:
    """Show what was done, by whom and how it ended, newest first."""
    anchored = _admitted(ctx)
    if aws:
        return _in_aws(ctx, aws.lower())
    wanted = Filter(
        user=user.strip("<@>").upper() or None,
        command=command or None,
        outcome=outcome,
        since=_moment(since) if since else None,
        before=before,
    )
    with ctx.state.connect() as connection:
        rows = audit.find(connection, wanted, limit + 1)
    shown = rows[:limit]
    if not shown:
        return Reply(title="The audit log has nothing like that", context=anchored, text="Fewer filters show more.")
    filters = {"user": user, "command": command, "outcome": outcome, "since": since, "limit": limit}
    given = [f"--{name} {shlex.quote(str(value))}" for name, value in filters.items() if value]
    older = Action("Older", " ".join(["audit log", *given, f"--before {shown[-1].id}"]))
    return Reply(
        title=f"Audit log: {len(shown)} entries, newest first" if len(shown) > 1 else "Audit log: one entry",
        context=anchored,
        table=Table(
            ("Record", "When", "Who", "Role", "Command", "Outcome", "Invocation"), [*map(_entry, shown)], "Audit log"
        ),
        actions=[
            *([older] if len(rows) > limit else []),
            Action("Newest in AWS", f"audit log --aws {shown[0].invocation[:8]}"),
            Action("Verify", "audit verify"),
        ],
    )


@command("audit verify", allowed=AUDITORS, needs=READ, example="audit verify")
def verify(ctx: Context) -> Reply:
    """Prove that no record was changed, removed or cut off since it was written."""
    began = time.monotonic()
    proof = prove(ctx.state, Anchors(ctx.client("s3"), ctx.names.audit_bucket))
    took = time.monotonic() - began
    facts = [
        Fact("Records", f"{proof.walk.records:,}" + (" before the break" if proof.walk.broken else "")),
        Fact("Anchors", f"{proof.anchors:,} in the locked bucket"),
        Fact("Checked in", f"{took:.1f} s"),
    ]
    if proof.finding:
        look = Action("What is recorded there", f"audit log --before {proof.finding.first + 8}")
        return Reply(
            title=_broken(proof.finding),
            outcome=Outcome.ERROR,
            context=_up_to(proof),
            text=_explained(proof.finding),
            facts=facts,
            actions=[look],
        )
    return Reply(
        title=f"Audit log: {proof.walk.records:,} records, unbroken",
        context=_up_to(proof),
        text=_not_anchored(ctx, proof),
        facts=facts,
        actions=[Action("Audit log", "audit log"), Action("Export", "audit export")],
    )


@command("audit export", allowed=AUDITORS, needs=READ, example="audit export --since 30d")
def export(
    ctx: Context,
    *,
    since: Since = "30d",
    format: Annotated[Format, Parameter(help="JSON lines can be verified, CSV is for a spreadsheet")] = "jsonl",
) -> Reply:
    """Send you the audit records as a file, and to nobody else."""
    _admitted(ctx)
    start = _moment(since)
    with ctx.state.connect() as connection:
        text, count = as_file(audit.every(connection, since=start), format)
    if not count:
        return Reply(title=f"The audit log has no records since {day(start)}")
    recipe = (
        "Each line, without its field hash, gives that hash: SHA-256 of the JSON with its fields sorted, no spaces "
        "between, and everything beyond ASCII escaped. The field previous is the hash of the line before."
    )
    return Reply(
        title=f"{count:,} audit records since {day(start)}",
        context=["for ", Mention(ctx.person.user)],
        text=recipe if format == "jsonl" else "For a spreadsheet. JSON lines can be verified without Groundcrew.",
        document=Document(text, f"audit-{start:%Y%m%d}-{datetime.now(UTC):%Y%m%d}.{format}"),
    )


def _admitted(ctx: Context) -> Text:
    """Up to where the log is anchored, asked of S3 as the person: whom AWS refuses this is refused the log."""
    with ctx.state.connect() as connection:
        last = anchors.newest(connection)
    bucket = Anchors(ctx.client("s3"), ctx.names.audit_bucket)
    if last is None:
        list(bucket.anchors())
        return "not anchored yet"
    if not list(bucket.anchors(last.key)):
        return ["the anchor of record ", Code(f"{last.record}"), " is gone: ", Code("audit verify"), " says more"]
    return [f"anchored up to record {last.record:,} at ", Moment(last.at.timestamp())]


def _entry(row: AuditRow) -> tuple[str, ...]:
    ended = row.outcome or "not ended"
    return (
        str(row.id),
        day(row.at),
        row.user_id,
        row.role or "none",
        shorten(row.command, 60),
        f"{ended} ({row.approval})" if row.approval else ended,
        row.invocation[:8],
    )


def _in_aws(ctx: Context, invocation: str) -> Reply:
    """What an invocation called in AWS, joined by its session's name and its request ids."""
    if not _ID.fullmatch(invocation):
        raise BadInput(f"{invocation!r} is no invocation.", "`audit log` shows them: eight characters, 0 to 9, a to f.")
    with ctx.state.connect() as connection:
        rows = audit.of_invocation(connection, invocation)
    if not rows:
        raise NotFound("invocation", invocation, advice="`audit log` shows them.")
    if len({row.invocation for row in rows}) > 1:
        raise BadInput(f"Several invocations begin with {invocation}.", "Type more of it.")
    first, last = rows[0], rows[-1]
    about: list[Inline] = [Code(shorten(last.command, 80)), " by ", Mention(last.user_id), f" · {day(first.at)}"]
    if last.phase == "opened":
        return Reply(title="It has not ended yet", context=about, text="What it called is recorded when it ends.")
    if not last.session or not last.requests:
        return Reply(title="It asked nothing of AWS", context=about)
    found = cloudtrail.events(ctx.client("cloudtrail"), last.session, last.requests, first.at, last.at)
    missing = len(last.requests) - len(found)
    why = (
        "CloudTrail shows a call up to 15 minutes later. Objects of S3 and calls of endpoints are data events: they "
        "are only in the trail's files, in the audit bucket under cloudtrail/."
    )
    return Reply(
        title=f"{len(found)} of {len(last.requests)} requests are in CloudTrail's event history",
        context=about,
        text=why if missing else "",
        facts=[Fact("Session", [Code(last.session)]), Fact("Role", last.role or "none")],
        table=Table(
            ("When", "Event", "Resource", "Error", "Request id"),
            [(f"{e.at:%H:%M:%S} UTC", e.name, e.resource or "–", e.error or "none", e.request) for e in found],
            f"CloudTrail events of {last.session}",
        )
        if found
        else None,
    )


def _up_to(proof: Proof) -> Text:
    if proof.anchored is None:
        return "not anchored" if proof.walk.broken is None else ""
    return [f"anchored up to record {proof.anchored.record:,} at ", Moment(proof.anchored.at.timestamp())]


def _not_anchored(ctx: Context, proof: Proof) -> str:
    """A word on the records after the last anchor, if they wait longer than they should."""
    end = proof.walk.head
    last = proof.anchored
    if end is None or (last is not None and last.record >= end.record):
        return ""
    with ctx.state.connect() as connection:
        waiting = audit.written(connection, last.record + 1 if last else 1)
    since = datetime.now(UTC) - waiting if waiting else timedelta()
    if since < LATE:
        return ""
    count = end.record - (last.record if last else 0)
    return (
        f"{count:,} records since then wait for an anchor, the first for {duration(since.total_seconds())}. "
        "The leading worker writes one a minute: its log says what keeps it from the bucket."
    )


def _records(finding: Finding) -> str:
    if finding.last <= finding.first:
        return f"record {finding.first:,}"
    return f"records {finding.first:,} to {finding.last:,}"


def _broken(finding: Finding) -> str:
    words = {
        "edited": f"Audit log: {_records(finding)} was edited",
        "replaced": f"Audit log: {_records(finding)} was replaced",
        "deleted": f"Audit log: {_records(finding)} deleted",
        "truncated": f"Audit log: cut off, {_records(finding)} missing",
        "rewritten": f"Audit log: rewritten in {_records(finding)}",
        "anchor missing": f"Audit log: the anchor of record {finding.first:,} is missing",
    }
    return words[finding.fault]


def _explained(finding: Finding) -> Text:
    shown: list[Inline] = [" ", Code(finding.anchor)] if finding.anchor else []
    words = {
        "edited": "What stands there now does not give the hash that was written with it. Everything before is intact.",
        "replaced": "It agrees with itself, but the record after it knew another one. Everything before is intact.",
        "deleted": "The numbers are missing, and the next record does not follow. Everything before is intact.",
        "truncated": "The log ends before what was anchored outside the database:",
        "rewritten": "The chain fits in itself, but not to what was anchored outside the database:",
        "anchor missing": "The chain is unbroken, but the bucket no longer has what was put there:",
    }
    return [words[finding.fault], *shown]
