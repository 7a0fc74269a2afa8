"""The message of an alert: what happened, to what, how often, who has it, what next. One message a group, edited."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from commands.reply import Action, Audience, Code, Fact, Inline, Mention, Menu, Moment, Reply, Strong
from commands.wording import shorten
from pipeline.names import ENVIRONMENTS, Environment
from state import alerts
from state.alerts import AlertRow, Entry, History, Mute

SEVERITIES: Mapping[str, str] = MappingProxyType(
    {"critical": "critical: needed at once", "warning": "warning: needed today", "info": "for information"}
)
_LONGEST_TEXT = 1_200
_MOST_FACTS = 9
_ENTRY = 60
"""Characters of one line of the history: 25 of them fit in a section."""


def card(row: AlertRow, *, mute: Mute | None = None, runbook: str | None = None, mention: bool = False) -> Reply:
    """The message as it is now.

    `mention`: ask the people of the route to look. Only the first post of a firing alert does: nobody is called by an
    edit, or by the end of what they were called for.
    """
    called: list[Inline] = [Mention(row.mention), " · "] if mention and row.mention and row.state == "firing" else []
    return Reply(
        title=f"{_word(row)}{shorten(' '.join(row.title.split()), 110)}",
        context=[*called, Code(row.id[:8]), f" · {SEVERITIES.get(row.severity, row.severity)} · {_where(row)}"],
        text=_text(row, mute),
        facts=_facts(row),
        quote="\n".join(_evidence(row).get("lines", ())),
        actions=_actions(row, mute, runbook),
        environment=environment(row),
        audience=Audience.CHANNEL,
        slot=alerts.slot(row.id),
    )


def history_card(row: AlertRow, history: History) -> Reply:
    """The message in the thread: what happened and who did what, newest first."""
    older = f" · {history.more} older ones are not shown" if history.more else ""
    return Reply(
        title=f"History of {row.id[:8]}",
        context=f"newest first{older}",
        text=history_lines(history.entries),
        audience=Audience.CHANNEL,
        slot=f"{alerts.slot(row.id)}-history",
    )


def history_lines(entries: Sequence[Entry]) -> list[Inline]:
    """Entries, newest first, one line each."""
    lines: list[Inline] = []
    for entry in reversed(entries):
        who: list[Inline] = [" by ", Mention(entry.by)] if entry.by else []
        said = shorten(" ".join(entry.title.split()), _ENTRY)
        lines += [Moment(entry.at.timestamp()), f" · {entry.state}", *who, f" · {said}\n" if said else "\n"]
    return lines


def _word(row: AlertRow) -> str:
    if row.state == "firing":
        return "CRITICAL: " if row.severity == "critical" else "Warning: " if row.severity == "warning" else "Firing: "
    return "Resolved: " if row.state == "resolved" else ""


def _where(row: AlertRow) -> str:
    return {"prod": "production"}.get(row.environment or "", row.environment or "no environment")


def _text(row: AlertRow, mute: Mute | None) -> list[Inline]:
    said = shorten(row.text.strip(), _LONGEST_TEXT)
    lines: list[Inline] = [f"{said}\n"] if said else []
    lines += [*_how_often(row), "\n"]
    if row.acknowledged_by and row.acknowledged_at:
        lines += ["Acknowledged by ", Mention(row.acknowledged_by), " ", Moment(row.acknowledged_at.timestamp()), "\n"]
    if row.assigned_to:
        lines += ["Assigned to ", Mention(row.assigned_to), "\n"]
    if mute is not None:
        lines += ["Muted until ", Moment(mute.until.timestamp()), " by ", Mention(mute.user_id)]
        lines += [f": {shorten(mute.reason, 200)}\n" if mute.reason else "\n"]
    return [*lines, *_next(row, mute)]


def _how_often(row: AlertRow) -> list[Inline]:
    first, last = Moment(row.first_at.timestamp()), Moment(row.last_at.timestamp())
    now = "" if row.topic == "unknown" else f", now {row.last_state}"
    if row.count == 1:
        return ["Once, ", first, now]
    return [Strong(f"{row.count} times"), " since ", first, ", last ", last, now]


def _next(row: AlertRow, mute: Mute | None) -> list[Inline]:
    if row.state == "resolved":
        ended: list[Inline] = ["Resolved by ", Mention(row.resolved_by)] if row.resolved_by else ["Resolved by itself"]
        return [*ended, " ", Moment(row.resolved_at.timestamp())] if row.resolved_at else ended
    if row.state == "info" or mute is not None:
        return []
    if row.acknowledged_by is None:
        return ["Next: acknowledge it, so that nobody else is asked."]
    return ["Next: find the cause. It ends with the event that clears it, or with Resolve."]


def _evidence(row: AlertRow) -> Mapping[str, Any]:
    return row.evidence or {}


def _facts(row: AlertRow) -> list[Fact]:
    found = _evidence(row)
    # Facts name it in words; without any the ARN is all there is.
    facts = [] if row.facts else [Fact("What", [Code(shorten(row.subject, 250))])]
    facts += [Fact("Failed step", str(found["step"]))] if found.get("step") else []
    facts += [Fact("Reason", shorten(str(found["reason"]), 280))] if found.get("reason") else []
    facts += [Fact("Not read", shorten(str(found["note"]), 280))] if found.get("note") else []
    return facts + [Fact(label, str(value)) for label, value in [*row.facts.items()][:_MOST_FACTS]]


def _actions(row: AlertRow, mute: Mute | None, runbook: str | None) -> list[Action | Menu]:
    page = [Action("Runbook", url=runbook)] if runbook else []
    if row.state == "resolved":
        return [*_looks(row), *page]
    life: list[Action | Menu] = []
    if row.state == "firing":
        free = row.acknowledged_by is None
        life += [Action("Acknowledge", f"alerts ack {row.id}", "primary")] if free else []
        life += [Action("Assign to me", f"alerts assign {row.id}")] if row.assigned_to is None else []
        life += [Action("Resolve", f"alerts resolve {row.id}")]
    quiet = Action("Unmute", f"alerts unmute {row.id}") if mute is not None else mute_menu(row.id)
    return [*life, quiet, *_retry(row), *_looks(row), *page]


def mute_menu(id: str) -> Menu:
    """For how long an alert may be muted at a click, by the clocks of whoever clicks."""
    return Menu(
        "Mute…",
        [
            Action("for 1 hour", f"alerts mute {id} --for 1h"),
            Action("for 1 day", f"alerts mute {id} --for 1d"),
            Action("until tomorrow 08:00", f'alerts mute {id} --until "tomorrow 08:00"'),
            Action("until Monday 08:00", f'alerts mute {id} --until "monday 08:00"'),
        ],
    )


_EXECUTION = re.compile(r":pipeline/[^/]+/execution/([a-z0-9]+)\Z", re.IGNORECASE)
_VERSION = re.compile(r":model-package/[^/]+/(\d+)\Z", re.IGNORECASE)


def execution_of(row: AlertRow) -> str | None:
    """The id of the pipeline execution that an alert is about, None for anything else."""
    found = _EXECUTION.search(row.subject) if row.topic == "execution" else None
    return found[1].lower() if found else None


def _retry(row: AlertRow) -> list[Action]:
    run = execution_of(row)
    if run is None or environment(row) is None or row.state != "firing":
        return []
    return [Action("Retry the run", f"pipeline retry {run} --env {row.environment}")]


def _looks(row: AlertRow) -> list[Action]:
    """Buttons that only look, by what it is about."""
    env = environment(row)
    if env is None:
        return []
    if run := execution_of(row):
        return [Action("Logs", f"pipeline logs {run} --env {env}")]
    if row.topic == "alarm" and (name := row.subject.lower().rpartition(":")[2]).endswith(("-drift", "-monitor")):
        report = Action("Drift report", f"drift report --env {env}")
        return [report if name.endswith("-drift") else Action("Schedule", f"drift schedule show --env {env}")]
    if row.topic in ("endpoint", "alarm"):
        return [Action("Look at the deployment", f"deployment status --env {env}")]
    version = _VERSION.search(row.subject) if row.topic == "package" else None
    return [Action("Show the model", f"registry show {version[1]} --env {env}")] if version else []


def environment(row: AlertRow) -> Environment | None:
    """The environment of an alert, None for one that belongs to none."""
    return next((env for env in ENVIRONMENTS if env == row.environment), None)
