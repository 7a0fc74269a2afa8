"""How costs are told: in words, as a picture and as a table, wherever they come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from commands.cost_chart import MOST_LAYERS, Layer, daily
from commands.reply import Action, Fact, Inline, Picture, Reply, Strong, Table
from commands.wording import money, shorten
from pipeline import spending
from pipeline.names import PROJECT
from pipeline.tally import CENT, Entry, Row, Tally, tally

LISTED = 25
"""Rows of the table; the smallest beyond are one row."""


@dataclass(frozen=True)
class Account:
    """What a report is drawn from. `begins` is the first day anything is known of, None when nothing is.

    `facts` and `caveats` are said as they are; `source` is where the amounts come from.
    """

    entries: Sequence[Entry]
    currency: str
    begins: date | None
    source: str
    provisional: frozenset[date] = frozenset()
    facts: Sequence[Fact] = ()
    caveats: Sequence[str] = ()


def drawn(account: Account, start: date, end: date, heading: str, actions: Sequence[Action] = ()) -> Reply:
    """A period from `start` to the day before `end`: total, change, what moved most, by `heading`."""
    found, unit, days = tally(account.entries, start, end), account.currency, (end - start).days
    young = account.begins is None or account.begins > start - timedelta(days=days)
    when = f"in {days} days" if days > 1 else f"on {start.day} {start:%B}"
    change = "" if young else f", {compared(found)} the {f'{days} days' if days > 1 else 'day'} before"
    return Reply(
        title=f"{money(found.total, unit)} {when}{change}" if found.rows else f"No costs {when}",
        context=f"{PROJECT} · {span(start, end)} (UTC) · {account.source}",
        text=[
            *(f"{caveat}\n" for caveat in (*account.caveats, *_young(account.begins, start, end))),
            *([] if young else movers(found, unit, "Moved most")),
        ],
        facts=[
            Fact("Total", money(found.total, unit)),
            *([] if young else [Fact("Period before", f"{money(found.before, unit)}; {moved(found, unit)}")]),
            *account.facts,
            *_provisional(start, end, account.provisional),
        ],
        picture=picture(found, unit, heading, account.provisional),
        table=_table(found, unit, heading, young=young) if found.rows else None,
        actions=actions,
    )


def compared(found: Tally) -> str:
    """`12 % more than`, `as much as`: a period against the one before."""
    if found.before <= 0:
        return "more than" if found.total > found.before else "as much as"
    percent = round(found.change * 100 / found.before)
    return f"{abs(percent):,} % {'more' if percent > 0 else 'less'} than" if percent else "as much as"


def moved(row: Row | Tally, unit: str) -> str:
    """`+4.10 USD (+12 %)`; `no change` where it is less than a cent."""
    if abs(row.change) < CENT:
        return "no change"
    share = f" ({round(row.change * 100 / row.before):+,d} %)" if row.before > 0 else " (new)" if row.change > 0 else ""
    return f"{'+' if row.change > 0 else ''}{money(row.change, unit)}{share}"


def span(start: date, end: date) -> str:
    """`29 Oct to 27 Nov 2026`; `end` is the day after the last."""
    last = end - timedelta(days=1)
    first = f"{start.day} {start:%b}" + (f" {start.year}" if start.year != last.year else "")
    return f"{last.day} {last:%b} {last.year}" if start == last else f"{first} to {last.day} {last:%b} {last.year}"


def _young(begins: date | None, start: date, end: date) -> list[str]:
    if begins is None or begins <= start - (end - start):
        return []
    day = f"{begins.day} {begins:%b} {begins.year}"
    return [f"Nothing of ours is known before {day}: there is no full period to compare with."]


def movers(found: Tally, unit: str, heading: str) -> list[Inline]:
    """What changed most, a line each; nothing when nothing did."""
    rows = found.movers()
    lines = "".join(f"\n    {shorten(row.label, 60)} {moved(row, unit)}" for row in rows)
    return [Strong(heading), lines] if rows else []


def _provisional(start: date, end: date, provisional: frozenset[date]) -> Iterator[Fact]:
    days = spending.days(start, end)
    if still := [day for day in days if day in provisional]:
        first = f"from {still[0].day} {still[0]:%b} on"
        yield Fact("Provisional", f"{len(still)} of {len(days)} days, {first}: AWS may still change them")


def picture(found: Tally, unit: str, heading: str, provisional: frozenset[date]) -> Picture | None:
    """The days of a period as bars; None when there was nothing."""
    if not found.rows:
        return None
    few, amounts = found.folded(MOST_LAYERS), found.daily
    layers = [Layer(row.label, row.daily) for row in few.rows]
    image = daily(found.start, layers, f"Cost a day in {unit}, by {heading}", provisional=provisional)
    highest = max(range(len(amounts)), key=amounts.__getitem__)
    top = ", ".join(f"{row.label} {money(row.amount, unit)}" for row in few.rows[:3])
    day = found.start + timedelta(days=highest)
    alt = (
        f"Bars of the cost of each day, {money(found.total, unit)} in all: {top}. "
        f"Highest on {day:%A} {day.day} {day:%B}: {money(amounts[highest], unit)}."
    )
    return Picture(image, f"cost_{span(found.start, found.end).replace(' ', '_')}.png", alt)


def _table(found: Tally, unit: str, heading: str, *, young: bool) -> Table:
    def cells(row: Row) -> list[str]:
        share = f"{row.amount * 100 / found.total:.0f} %" if found.total > 0 else ""
        return [
            row.label,
            money(row.amount, unit),
            share,
            *([] if young else [money(row.before, unit), moved(row, unit)]),
        ]

    columns = [heading[0].upper() + heading[1:], "Cost", "Share", *([] if young else ["Before", "Change"])]
    return Table(columns, [cells(row) for row in found.folded(LISTED).rows], f"Cost by {heading}")
