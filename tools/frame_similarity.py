"""Are two frames so similar that nobody would see a difference?

A fingerprint is a small colour picture of the frame: means over cells. Two frames are similar if
no cell differs by more than `THRESHOLD`. A 64-bit hash of the whole frame would call a red light
and a green one the same; a comparison pixel by pixel would call codec noise a change.
"""

from collections import deque
from collections.abc import Iterable
from typing import NewType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GRID = (96, 54)
"""Cells across and down. At 320x180 a cell is 3.3 pixels wide, so that a mouth, ten pixels wide
and one and a half thick, fills cells; at 64x36 it drowned in codec noise (docs/log.md)."""

THRESHOLD = 40.0
"""The largest difference of a cell (levels, 0-255) that counts as noise. Drawn 320x180 scenes with
texture through H.264 at crf 18-33: unchanged cells differed by at most 25, with sensor noise
(sigma 4) too by at most 39; a mouth ten pixels wide that turned from smile to frown by at least 65.
Theatre videos at crf 23-33: noise at most 16 (1,560 pairs), another mood at least 128 (144), a
light at least 173 (12). Lower, noise costs captions; higher, missed changes cost answers."""

AREA_GAIN = 2.0
"""Over an area noise averages out, so there a change of 40 / 2 = 20 levels over 3x3 cells counts: a
figure in fog, a door opened in the dark. Noise reached 18 (crf 33 with sensor noise), else 13."""

Fingerprint = NewType("Fingerprint", NDArray[np.uint8])
"""(54, 96, 3) uint8: 15.6 kB a frame."""


def fingerprint(image: NDArray[np.uint8] | Image.Image) -> Fingerprint:
    """The frame as `GRID` colour means. Compare frames of one size: a cell is whole pixels.

    image: RGB, (height, width, 3) uint8, or a PIL image.
    """
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image.convert("RGB")
    return Fingerprint(np.asarray(picture.resize(GRID, Image.Resampling.BOX), dtype=np.uint8))


def difference(a: Fingerprint, b: Fingerprint) -> NDArray[np.float32]:
    """How much every cell changed: (54, 96) float32 in levels, to be held against `THRESHOLD`.

    The larger of the cell's own change and `AREA_GAIN` times that of the 3x3 cells around it, in
    the colour that changed most. The area's is signed until it is averaged: noise cancels out.
    """
    delta = a.astype(np.int16) - b.astype(np.int16)
    rows = delta[:-2] + delta[1:-1] + delta[2:]
    area = np.abs(rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]).max(axis=2)
    changed: NDArray[np.float32] = np.abs(delta).max(axis=2).astype(np.float32)
    inner = changed[1:-1, 1:-1]
    np.maximum(inner, area * np.float32(AREA_GAIN / 9), out=inner)
    return changed


def similar_frames(a: Fingerprint, b: Fingerprint, threshold: float = THRESHOLD) -> bool:
    """True if no cell differs by more than `threshold` levels."""
    return bool(difference(a, b).max() <= threshold)


def changed_share(a: Fingerprint, b: Fingerprint, threshold: float = THRESHOLD) -> float:
    """The share of the frame, 0-1, in which a difference can be seen."""
    return float((difference(a, b) > threshold).mean())


def first_of_similar(
    frames: Iterable[tuple[str, NDArray[np.uint8] | Image.Image]], compared: int
) -> dict[str, str]:
    """Frame id -> id of an earlier similar frame, itself where there is none.

    frames: ids and pictures in time order; one picture is held at a time. compared: with how many
    of the latest different frames each is compared, the nearest first.
    """
    recent: deque[tuple[str, Fingerprint]] = deque(maxlen=compared)
    first: dict[str, str] = {}
    for name, image in frames:
        mark = fingerprint(image)
        similar = (other for other, seen in reversed(recent) if similar_frames(mark, seen))
        first[name] = next(similar, name)
        if first[name] == name:
            recent.append((name, mark))
    return first
