"""How the monitor's reports read: the verdict in one line, what moved most as facts, caveats in words, pictures.

Everything in a report was written by a job: it is shown as data, shortened, never as markup.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from commands.reply import Code, Fact, Inline, Moment, Outcome, Picture, Reply, Table
from commands.wording import duration, shorten
from pipeline.monitoring import wording
from pipeline.reports import Column, Report

ENOUGH = 200
"""Images from which a window may be called drift (vision of the monitor: `pipeline.monitoring.drift`)."""
NAMED = 4
"""Columns told as facts."""
LISTED = 8
"""Violations in the table; the whole report has all."""
_CAVEAT, _NAME = 400, 40
_DRIFT = "baseline_drift_check"
_CHECKS = {
    _DRIFT: "drift",
    "completeness_check": "missing values",
    "data_type_check": "unusable values",
    "missing_column_check": "column is missing",
    "extra_column_check": "column is new",
    "categorical_values_check": "unknown value",
}


def label(column: str) -> str:
    """A column as people call it: `edge density`, `vehicle per photo`."""
    return shorten(wording.label(column), _NAME)


def verdict(report: Report) -> str:
    """The verdict in one line."""
    moved = _listed([label(column.name) for column in report.moved])
    match report.kind:
        case "drift":
            return f"Drift: {moved} moved"
        case "warning":
            return f"Small {'sample' if report.images < ENOUGH else 'baseline'}: {moved} seem to have moved"
        case "no traffic":
            return "No traffic: nothing was recorded"
        case "no verdict" if not report.baseline:
            return "No verdict: there is no baseline to compare with"
        case "no verdict":
            return f"No verdict: {_images(report.images)}, too few to say anything"
    small = any(caveat.startswith("Small sample") for caveat in report.caveats)
    return f"{'Small sample: no drift' if small else 'No drift'} in {report.images:,} images"


def one(report: Report, chart: bytes | None) -> Reply:
    """A window: what a person wants to know of it, without buttons."""
    return Reply(
        title=verdict(report),
        outcome=Outcome.OK,
        context=[Code(report.endpoint), " · ", *window(report), f" · {_counted(report)}"],
        text=[f"{shorten(caveat, _CAVEAT)}\n" for caveat in report.caveats],
        facts=_facts(report),
        picture=Picture(chart, f"drift_{report.end:%Y%m%dT%H%M}.png", _alt(report)) if chart else None,
        table=_violations(report),
    )


def several(reports: Sequence[Report], length: timedelta, unreadable: int) -> Reply:
    """Windows one after another, newest first: what was said of each, and no verdict made up for all together."""
    kinds = Counter(report.kind for report in reports)
    drifting = [report for report in reports if report.kind == "drift"]
    said = [f"{count} {kind}" for kind, count in kinds.most_common()]
    text = [f"Each of these {len(reports)} windows was judged by itself: {', '.join(said)}."]
    if _in_a_row(reports):
        text.append("The last two windows drift both: that is what somebody is called for.")
    elif drifting:
        text.append("One window alone is a note: one of 200 images is wrong about once in 200 times.")
    if unreadable:
        text.append(f"{unreadable} report(s) could not be read and are not counted.")
    text.append("Look at all of it as one window to judge it together; many small windows say less than one large.")
    spans = [report.end - report.start for report in reports]
    return Reply(
        title=_headline(reports),
        context=[
            Code(reports[0].endpoint),
            f" · {duration(sum(spans, timedelta()).total_seconds())} of the last {duration(length.total_seconds())}"
            f" · {_images(sum(report.images for report in reports))}",
        ],
        text="\n".join(text),
        facts=_facts(drifting[0])[:NAMED] if drifting else [],
        table=listing(reports),
    )


def listing(reports: Sequence[Report]) -> Table:
    """One line for each window."""
    rows = [
        (
            f"{report.start:%m-%d %H:%M} to {report.end:%m-%d %H:%M}",
            report.kind,
            f"{report.images:,}",
            "–" if report.ratio is None else f"{report.ratio:.2f}",
            _listed([label(column.name) for column in report.moved]) or "–",
        )
        for report in reports
    ]
    return Table(("Window (UTC)", "Verdict", "Images", "Distance ÷ limit", "Moved"), rows, "Windows, the newest first")


def photos(report: Report, examples: bytes) -> Reply:
    """The contact sheet of both windows, as a message of its own."""
    alt = "Photos of the baseline on the left, photos of this window on the right; " + verdict(report)
    return Reply(
        title="What it sees: usual photos and photos of this window",
        context=[Code(report.endpoint), " · ", *window(report)],
        picture=Picture(examples, f"photos_{report.end:%Y%m%dT%H%M}.jpg", alt),
    )


def window(report: Report) -> list[Inline]:
    """From when to when, in the reader's own zone."""
    return [Moment(report.start.timestamp()), " to ", Moment(report.end.timestamp())]


def stamp(at: datetime) -> str:
    """A moment as `--at` takes it."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def moved(column: Column) -> str:
    """What one column did: `412 → 280, 2.7 times its limit`."""
    change = f"{column.before:.4g} → {column.now:.4g}"
    if column.ratio is not None:
        return f"{change}, {column.ratio:.2f} times its limit ({column.distance:.2f} of {column.limit:.2f} σ)"
    return f"{change}, {column.distance:.2f} σ" + (", beyond chance" if column.beyond else "")


def _headline(reports: Sequence[Report]) -> str:
    drifting = [report for report in reports if report.kind == "drift"]
    if drifting:
        names = Counter(label(column.name) for report in drifting for column in report.moved)
        return f"Drift in {len(drifting)} of {len(reports)} windows: {_listed([*names])} moved"
    warned = sum(report.kind == "warning" for report in reports)
    if warned:
        return f"Not sure: {warned} of {len(reports)} windows may have moved"
    judged = sum(report.kind == "no drift" for report in reports)
    if judged:
        return f"No drift in {judged} of {len(reports)} windows"
    if all(report.kind == "no traffic" for report in reports):
        return f"No traffic in {len(reports)} windows"
    return f"No verdict in {len(reports)} windows"


def _in_a_row(reports: Sequence[Report]) -> bool:
    judged = [report for report in reports if report.kind not in ("no traffic", "no verdict")]
    return len(judged) > 1 and all(report.kind == "drift" for report in judged[:2])


def _facts(report: Report) -> list[Fact]:
    facts = [Fact(_capital(label(column.name)), moved(column)) for column in report.columns[:NAMED]]
    if report.baseline:
        facts.append(Fact("Baseline", [Code(shorten(report.baseline, 20)), f", {report.baseline_images:,} images"]))
    if report.limit is not None:
        facts.append(Fact("Limit", f"{report.limit:.2f} σ: {shorten(report.limit_from, 200)}"))
    if report.quality:
        shares = [
            f"{name} {report.quality[name]:.3f}" for name in ("precision", "recall", "map50") if name in report.quality
        ]
        facts.append(Fact("Against ground truth", f"{report.quality['pictures']:.0f} photos: {', '.join(shares)}"))
    return facts


def _violations(report: Report) -> Table | None:
    if not report.violations:
        return None
    # What has moved is told above already; what is wrong with the data is not.
    ordered = sorted(report.violations, key=lambda each: each.check == _DRIFT)
    rows = [
        (label(each.column), _CHECKS.get(each.check, shorten(each.check, _NAME)), shorten(each.description, 110))
        for each in ordered[:LISTED]
    ]
    more = f", the first {LISTED} of {len(report.violations)}" if len(report.violations) > LISTED else ""
    return Table(("Column", "Check", "What"), rows, f"Violations{more}")


def _alt(report: Report) -> str:
    told = "; ".join(f"{label(column.name)} {moved(column)}" for column in report.columns[:NAMED])
    return f"How often each value occurs, baseline against now. {told}"


def _counted(report: Report) -> str:
    words = _images(report.images)
    if report.unreadable:
        words += f", {report.unreadable:,} more records could not be read"
    return words


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count:,} images"


def _listed(names: Sequence[str]) -> str:
    shown = list(dict.fromkeys(names))
    if len(shown) > 3:
        return f"{', '.join(shown[:3])} and {len(shown) - 3} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
