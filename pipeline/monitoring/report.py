"""The monitor's report: one HTML file that needs nothing else, neither scripts nor addresses."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence

from pipeline.monitoring.drift import Reference, Verdict
from pipeline.monitoring.quality import Violation
from pipeline.monitoring.summary import Profile
from pipeline.monitoring.wording import label

EXAMPLES = 12
"""Most example pictures of a side: the file must stay small enough to be opened from a message."""
KINDS: tuple[tuple[bytes, str], ...] = ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n\x1a\n", "image/png"))
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1d2530;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:.2rem 0}h2{font-size:1.1rem;margin:2rem 0 .5rem}img{max-width:100%}
.kind{display:inline-block;padding:.1rem .6rem;border-radius:1rem;color:#fff;background:#5b6675;font-weight:600}
.drift{background:#c92a2a}.warning{background:#b35c00}.no-drift{background:#2b8a3e}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #dde2e8}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}tr.beyond td{background:#fff0eb;font-weight:600}
.side{display:flex;gap:1.5rem;flex-wrap:wrap}.side>div{flex:1;min-width:16rem}.side img{margin:2px;max-width:48%}
"""


def report(
    verdict: Verdict,
    reference: Reference,
    window: Profile,
    violations: Sequence[Violation] = (),
    facts: Mapping[str, str] | None = None,
    chart: bytes | None = None,
    examples: Mapping[str, Sequence[bytes]] | None = None,
) -> str:
    """The whole page.

    `facts` are lines about the window (endpoint, window, model version, …); `chart` a PNG; `examples` JPEG or PNG
    pictures by the side they belong to. Raises ValueError for a picture that is neither.
    """
    parts = [
        f'<span class="kind {verdict.kind.replace(" ", "-")}">{_text(verdict.kind)}</span>',
        f"<h1>{_text(verdict.headline)}</h1>",
        *(f"<p>{_text(caveat)}</p>" for caveat in verdict.caveats),
        _facts({**(facts or {}), **_own_facts(verdict, reference, window)}),
    ]
    if chart is not None:
        parts += ["<h2>What moved most</h2>", f'<img width="600" alt="Baseline against now" src="{_embedded(chart)}">']
    if examples:
        parts += ["<h2>Examples</h2>", _examples(examples)]
    if verdict.columns:
        parts += ["<h2>All columns</h2>", _columns(verdict)]
    parts += ["<h2>Violations</h2>", _violations(violations)]
    if window.malformed:
        rows = [(reason, str(count)) for reason, count in window.malformed.items()]
        parts += ["<h2>Records that could not be read</h2>", _table(("Reason", "Records"), rows)]
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{_text(verdict.headline)}</title>'
        f'<meta name="viewport" content="width=device-width"><meta http-equiv="Content-Security-Policy" '
        f'content="{policy}"><style>{STYLE}</style></head>\n<body>\n' + "\n".join(parts) + "\n</body></html>\n"
    )


def _own_facts(verdict: Verdict, reference: Reference, window: Profile) -> dict[str, str]:
    limits = reference.limits
    origin = f"99th percentile of the baseline's own windows, drawn by {limits.by}"
    if limits.flights:
        origin += f" ({limits.flights} flights)"
    return {
        "Images": f"{verdict.images} of {window.records} records",
        "Baseline": f"{reference.id or 'unnamed'}, {reference.profile.images} images",
        "Limit": f"{limits.at(verdict.images):.3f} deviations; at least 0.3, else the {origin}",
    }


def _facts(facts: Mapping[str, str]) -> str:
    return _table((), facts.items())


def _columns(verdict: Verdict) -> str:
    head = ("Column", "Baseline mean", "Now", "Distance (σ)", "Limit", "PSI", "KS p")
    rows = []
    for moved in verdict.columns:
        limit = f"{moved.limit:.3f}" if moved.limit else "–"
        figures = (moved.before, moved.now)
        cells = [label(moved.column), *(f"{figure:.4g}" for figure in figures), f"{moved.distance:.3f}", limit]
        cells += [f"{moved.psi:.3f}", f"{moved.p:.2g}"]
        rows.append(f'<tr class="{"beyond" if moved.beyond else "within"}">{_cells(cells, numbers=True)}</tr>')
    names = "".join(
        f'<th class="n">{_text(name)}</th>' if index else f"<th>{name}</th>" for index, name in enumerate(head)
    )
    return f"<table><tr>{names}</tr>{''.join(rows)}</table>"


def _violations(found: Sequence[Violation]) -> str:
    if not found:
        return "<p>None.</p>"
    rows = [(label(item.feature_name), item.constraint_check_type, item.description) for item in found]
    return _table(("Column", "Check", "What"), rows)


def _examples(examples: Mapping[str, Sequence[bytes]]) -> str:
    sides = [
        f"<div><p>{_text(side)}</p>"
        + "".join(f'<img alt="{_text(side)}" src="{_embedded(picture)}">' for picture in pictures[:EXAMPLES])
        + "</div>"
        for side, pictures in examples.items()
    ]
    return f'<div class="side">{"".join(sides)}</div>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    names = f"<tr>{''.join(f'<th>{_text(name)}</th>' for name in head)}</tr>" if head else ""
    return f"<table>{names}{''.join(f'<tr>{_cells(row)}</tr>' for row in rows)}</table>"


def _cells(cells: Sequence[str], *, numbers: bool = False) -> str:
    kinds = ['<td class="n">' if numbers and index else "<td>" for index in range(len(cells))]
    return "".join(f"{kind}{_text(cell)}</td>" for kind, cell in zip(kinds, cells, strict=True))


def _embedded(picture: bytes) -> str:
    kind = next((kind for start, kind in KINDS if picture.startswith(start)), None)
    if kind is None:
        raise ValueError("an example is neither JPEG nor PNG")
    return f"data:{kind};base64,{base64.b64encode(picture).decode()}"


def _text(words: str) -> str:
    return html.escape(words, quote=True)
