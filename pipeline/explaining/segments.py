"""Superpixels: a picture cut into compact pieces of like colour.

SLIC (Achanta et al., "SLIC Superpixels Compared to State-of-the-Art Superpixel Methods", IEEE TPAMI 34, 2012): k-means
over colour (CIELAB) and place, from a regular grid of seeds. Without randomness: same picture, same segments.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.serving.detector import Picture

Labels = NDArray[np.int32]
"""The number of each pixel's segment, from 0 without gaps; height × width."""

LONGEST = 160
"""Pixels of the longer side on which segments are found: their number is small, their outline need not be finer."""
ROUNDS = 10
"""Of k-means; the paper's own number."""


def segments(picture: Picture, count: int, compactness: float) -> Labels:
    """About `count` connected segments (fewer where pieces are lost, at least one).

    `compactness` weighs distance in place against distance in CIELAB colour (Clarify's `segment_compactness`): large
    values give squares, small ones follow colour.
    """
    height, width = picture.shape[:2]
    scale = min(1.0, LONGEST / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if scale < 1 else picture
    lab = cv2.cvtColor(np.asarray(small, np.float32) / 255, cv2.COLOR_BGR2LAB)
    labels = _connected(_clustered(np.asarray(lab, np.float32), count, compactness))
    return np.asarray(cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), np.int32)


def _clustered(lab: NDArray[np.float32], count: int, compactness: float) -> Labels:
    height, width = lab.shape[:2]
    spacing = math.sqrt(height * width / count)
    rows = min(count, max(1, round(height / spacing)))
    columns = max(1, round(count / rows))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    weight = np.float32(compactness / spacing)
    points = np.dstack([lab, y * weight, x * weight]).reshape(-1, 5)
    at_y = ((np.arange(rows) + 0.5) * height / rows).astype(int)
    at_x = ((np.arange(columns) + 0.5) * width / columns).astype(int)
    centres = points.reshape(height, width, 5)[np.ix_(at_y, at_x)].reshape(-1, 5)
    labels = np.zeros(len(points), np.int64)
    for _ in range(ROUNDS):
        # Every centre sees every pixel: with so few the paper's search window would save little.
        labels = np.stack([((points - centre) ** 2).sum(1) for centre in centres]).argmin(0)
        sizes = np.bincount(labels, minlength=len(centres))
        sums = np.stack([np.bincount(labels, column, len(centres)) for column in points.T], 1)
        moved = np.where(sizes[:, None] > 0, sums / np.maximum(1, sizes)[:, None], centres)
        centres = moved.astype(np.float32)
    return np.asarray(labels.reshape(height, width), np.int32)


def _connected(labels: Labels) -> Labels:
    """Of each cluster its largest piece stays; the others are taken over by the segments around them."""
    kept = np.full(labels.shape, -1, np.int32)
    for number, label in enumerate(np.unique(labels)):
        pieces, drawn, stats, _ = cv2.connectedComponentsWithStats((labels == label).astype(np.uint8), connectivity=4)
        largest = 1 + int(stats[1:pieces, cv2.CC_STAT_AREA].argmax())
        kept[drawn == largest] = number
    while (kept < 0).any():
        around = np.pad(kept, 1, constant_values=-1)
        for neighbour in (around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]):
            kept = np.where(kept < 0, neighbour, kept)
    return kept
