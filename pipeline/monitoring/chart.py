"""The columns that moved most, baseline against now, as a picture for a message 600 pixels wide."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from pipeline.monitoring.drift import Moved, Reference, Verdict
from pipeline.monitoring.sketch import Distribution, Values
from pipeline.monitoring.summary import Profile
from pipeline.monitoring.wording import label

SHOWN = 4
"""Columns drawn: two rows of two stay readable at 600 pixels."""
WIDTH, ROW, HEAD, DPI = 6.0, 2.15, 0.42, 200
"""Inches, and pixels of an inch: twice as many as a message shows."""
BINS = 24
WHOLE = 16
"""Most different whole numbers that get a bar each."""
BEFORE, NOW, INK = "#8a93a0", "#d9480f", "#1d2530"
TAILS = (0.002, 0.998)


def chart(verdict: Verdict, reference: Reference, window: Profile) -> bytes:
    """A PNG of up to SHOWN columns, the one that moved most first. Raises ValueError when nothing was compared."""
    if not verdict.columns:
        raise ValueError("nothing was compared: there is nothing to draw")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    shown = verdict.columns[:SHOWN]
    rows = (len(shown) + 1) // 2
    height = ROW * rows + HEAD
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, 2, squeeze=False)
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    for axes, moved in zip(grid.flat, shown, strict=False):
        _draw(axes, moved, reference, window)
    was, now = reference.profile.images, verdict.images
    legend = {f"baseline, {was} images": (BEFORE, 0.45), f"now, {now} images": (NOW, 0.55)}
    handles = [Patch(facecolor=color, alpha=alpha) for color, alpha in legend.values()]
    figure.legend(handles, list(legend), loc="upper center", ncols=2, frameon=False, fontsize=9.5)
    figure.tight_layout(rect=(0, 0, 1, 1 - HEAD / height), h_pad=1.2, w_pad=1.5)
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _draw(axes: Any, moved: Moved, reference: Reference, window: Profile) -> None:
    column = reference.profile.columns[moved.column]
    sides = (column.values, window.columns[moved.column].values)
    edges = _edges(*sides, whole=column.whole)
    for side, color, alpha in zip(sides, (BEFORE, NOW), (0.45, 0.55), strict=True):
        shares = np.diff(side.share_below(edges)) * 100
        axes.stairs(shares, edges, fill=True, color=color, alpha=alpha, linewidth=0)
        axes.stairs(shares, edges, color=color, linewidth=1.3)
    for mean, color in ((moved.before, BEFORE), (moved.now, NOW)):
        axes.axvline(mean, color=color, linewidth=1.4, linestyle=(0, (4, 2)))
    title = label(moved.column)
    axes.set_title(title, fontsize=11, color=INK, fontweight="bold", loc="left", pad=17, parse_math=False)
    moves = f"{moved.before:.4g} → {moved.now:.4g}   {moved.distance:.2f} σ"
    moves += f" (limit {moved.limit:.2f})" if moved.limit else ""
    color = NOW if moved.beyond else INK
    axes.text(0, 1.03, moves, transform=axes.transAxes, fontsize=9, color=color, parse_math=False)
    axes.set_ylabel("% of images", fontsize=8.5, color=INK)
    axes.tick_params(labelsize=8.5, colors=INK, length=2)
    axes.locator_params(axis="x", nbins=5)
    axes.locator_params(axis="y", nbins=4)
    for side_name in ("top", "right"):
        axes.spines[side_name].set_visible(False)


def _edges(was: Distribution, now: Distribution, *, whole: bool) -> Values:
    """Common bins over both sides; a rare far value must not squeeze the rest into one bin."""
    ends = np.concatenate([side.quantile(np.array(TAILS)) for side in (was, now)])
    low, high = float(ends.min()), float(ends.max())
    if whole and high - low <= WHOLE:
        return np.arange(np.floor(low) - 0.5, np.ceil(high) + 1)
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    # An edge belongs to the bin below it: the first bin must hold the smallest value.
    return np.linspace(low - (high - low) * 1e-6, high, BINS + 1)
