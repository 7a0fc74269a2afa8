"""A data set in one picture: six plots that stay readable in a message 600 pixels wide."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pipeline.colours import class_colours
from pipeline.dataset import SPLITS
from pipeline.profile.joined import Joined
from pipeline.profile.numbers import AT, SMALL, Numbers, side
from pipeline.profile.sheet import printable

WIDTH, ROW, DPI = 6.4, 2.35, 200
"""Inches, and pixels of an inch: twice as many as a message shows."""
INK, BAR, FAINT, ALARM = "#1d2530", "#3b6fb6", "#c9ced6", "#d9480f"
MOST_CLASSES = 8
NAME = 14


def plots(data: Joined, numbers: Numbers) -> bytes:
    """A PNG of objects by class and split, objects per photo, their sizes and places, light and sharpness, flights.

    Raises `ValueError` when there is no usable photo.
    """
    if not numbers.usable and not numbers.unlabelled:
        raise ValueError("there is no usable photo to plot")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 3 * ROW), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(3, 2)
    drawn: Sequence[tuple[str, Callable[[Any, Joined, Numbers], None]]] = (
        ("Objects by class", _classes),
        ("Classes by split", _splits),
        ("Objects on a photo", _per_photo),
        (f"Object side, px at {AT}", _sides),
        ("Where objects lie", _where),
        ("Light and sharpness", _light),
    )
    for axes, (title, draw) in zip(grid.flat, drawn, strict=True):
        axes.set_title(title, fontsize=10.5, color=INK, fontweight="bold", loc="left")
        axes.tick_params(labelsize=8.5, colors=INK, length=2)
        for edge in ("top", "right"):
            axes.spines[edge].set_visible(False)
        draw(axes, data, numbers)
    figure.tight_layout(h_pad=1.6, w_pad=1.6)
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _classes(axes: Any, data: Joined, numbers: Numbers) -> None:
    ordered = sorted(numbers.classes, key=lambda each: -each.objects)
    shown = ordered[:MOST_CLASSES]
    if not shown:
        return _nothing(axes)
    colours = class_colours([each.name for each in numbers.classes])
    bars = axes.barh(
        range(len(shown)),
        [each.objects for each in shown],
        color=[colours[each.name] for each in shown],
        edgecolor=INK,
        linewidth=0.6,
    )
    axes.bar_label(bars, [f"{each.objects:,}" for each in shown], fontsize=8, padding=3, color=INK)
    axes.set_yticks(range(len(shown)), [_name(each.name) for each in shown], parse_math=False)
    axes.margins(x=0.18)
    axes.invert_yaxis()
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    if len(ordered) > len(shown):
        axes.set_xlabel(f"and {len(ordered) - len(shown)} more classes", fontsize=8.5, color=INK)
    return None


def _splits(axes: Any, data: Joined, numbers: Numbers) -> None:
    if not numbers.splits or not numbers.objects:
        return _nothing(axes, "there are no splits")
    colours = class_colours([each.name for each in numbers.classes])
    totals = [max(1, sum(each.splits[part] for each in numbers.classes)) for part in SPLITS]
    left = np.zeros(len(SPLITS))
    for each in sorted(numbers.classes, key=lambda one: -one.objects)[:MOST_CLASSES]:
        shares = np.array([each.splits[part] / total for part, total in zip(SPLITS, totals, strict=True)]) * 100
        axes.barh(range(len(SPLITS)), shares, left=left, color=colours[each.name], edgecolor=INK, linewidth=0.6)
        left += shares
    axes.set_yticks(range(len(SPLITS)), [f"{part}\n{numbers.splits[part]:,} photos" for part in SPLITS])
    axes.invert_yaxis()
    axes.set_xlabel("% of its objects", fontsize=8.5, color=INK)
    return None


def _per_photo(axes: Any, data: Joined, numbers: Numbers) -> None:
    counts = [len(each.boxes) for each in data.labelled]
    if not counts:
        return _nothing(axes)
    most = max(counts)
    step = max(1, -(-(most + 1) // 24))
    edges = np.arange(0, most + step + 1, step) - 0.5
    axes.hist(counts, bins=edges, color=BAR, edgecolor="white", linewidth=0.5)
    axes.set_ylabel("photos", fontsize=8.5, color=INK)
    axes.locator_params(axis="x", integer=True, nbins=7)
    return None


def _sides(axes: Any, data: Joined, numbers: Numbers) -> None:
    sides = [max(0.5, side(each, box[3], box[4])) for each in data.labelled for box in each.boxes]
    if not sides:
        return _nothing(axes)
    low, high = min(sides), max(sides)
    axes.hist(sides, bins=list(np.geomspace(low * 0.99, high * 1.01, 25)), color=BAR, edgecolor="white", linewidth=0.5)
    axes.set_xscale("log")
    marks = [mark for mark in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512) if low * 0.8 <= mark <= high * 1.25]
    axes.set_xticks(marks, [str(mark) for mark in marks])
    axes.minorticks_off()
    if low < SMALL:
        axes.axvline(SMALL, color=ALARM, linewidth=1.3, linestyle=(0, (4, 2)))
        axes.text(SMALL, 1.0, " too small", color=ALARM, fontsize=8, transform=axes.get_xaxis_transform(), va="top")
    axes.set_ylabel("objects", fontsize=8.5, color=INK)
    return None


def _where(axes: Any, data: Joined, numbers: Numbers) -> None:
    if not numbers.objects:
        return _nothing(axes)
    width, height, _ = numbers.sizes[0]
    axes.imshow(numbers.where, cmap="Blues", aspect="auto", extent=(0, 100, 100, 0), vmin=0)
    axes.set_box_aspect(min(1.0, max(0.5, height / width)))
    axes.set_xlabel("% from the left", fontsize=8.5, color=INK)
    axes.set_ylabel("% from the top", fontsize=8.5, color=INK)
    return None


def _light(axes: Any, data: Joined, numbers: Numbers) -> None:
    looks = {each.name: each.picture.look for each in (*data.labelled, *data.unlabelled)}
    odd = {each.name for each in numbers.outliers}
    for names, color, label in (
        ([name for name in looks if name not in odd], BAR, "usual"),
        (sorted(odd), ALARM, "stands out"),
    ):
        if names:
            xs = [looks[name].brightness for name in names]
            ys = [looks[name].sharpness + 1 for name in names]
            axes.scatter(xs, ys, s=7, color=color, alpha=0.55, linewidths=0, label=label)
    if odd:
        axes.legend(fontsize=8, frameon=False, handletextpad=0.1, borderpad=0, loc="best")
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    marks = [step * 10**power for power in range(6) for step in (1, 2, 5) if low <= step * 10**power <= high]
    if len(marks) > 1:
        axes.set_yticks(marks, [f"{mark:,}" for mark in marks])
        axes.minorticks_off()
    else:
        axes.set_yscale("linear")
    axes.set_xlabel("brightness, grey levels", fontsize=8.5, color=INK)
    axes.set_ylabel("sharpness", fontsize=8.5, color=INK)


def _nothing(axes: Any, words: str = "nothing is labelled") -> None:
    axes.text(0.5, 0.5, words, ha="center", va="center", fontsize=9, color=FAINT, transform=axes.transAxes)
    axes.set_xticks([])
    axes.set_yticks([])


def _name(name: str) -> str:
    shown = printable(name)
    return shown if len(shown) <= NAME else shown[: NAME - 1] + "…"
