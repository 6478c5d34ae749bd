"""Released boxes: centre, size, and a scale that nobody wrote down.

The author says [cx, cy, w, h] times 100; another project divides by 1000, and a detector gives
0-1. So the scale is found out from all boxes of a file: a single one says nothing, because a small
box in the corner fits every scale.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, get_args

from videoespresso.dataset_record import FrameBox
from videoespresso.errors import UserError

Scale = Literal[1, 100, 1000]
SCALES: tuple[Scale, ...] = get_args(Scale)
RELEASED: Scale = 100
"""What the author says the release has; what we write."""
OVER = 1.05
"""A detector's box may stick out of the frame by a little."""
MOST = 0.99
"""Share of the boxes that a scale must hold: one slip of an annotator does not change the scale."""
DIGITS = 8
"""Decimals kept of a coordinate in 0-1, so that four decimals at scale 100 come back the same."""

Four = tuple[float, float, float, float]


class ScaleVote:
    """Counts boxes by the smallest scale that holds them."""

    def __init__(self) -> None:
        self._held = dict.fromkeys(SCALES, 0)
        self.boxes = 0

    def add(self, box: Sequence[float]) -> None:
        """Counts one box of a file."""
        self.boxes += 1
        for scale in SCALES:
            self._held[scale] += all(0 <= v <= scale * OVER for v in box)

    def scale(self) -> Scale:
        """The smallest scale that holds nearly all boxes; the released one where there are none.

        Raises UserError where none does: pixels, for instance.
        """
        if not self.boxes:
            return RELEASED
        for scale in SCALES:
            if self._held[scale] >= MOST * self.boxes:
                return scale
        raise UserError(
            f"the boxes are in no known scale: {self.boxes - self._held[1000]} of {self.boxes} "
            "have a number below 0 or above 1000",
            hint="Give --box-scale 1, 100 or 1000; boxes in pixels have to be divided first.",
        )


def from_released(box: Four, scale: Scale) -> tuple[FrameBox, bool] | None:
    """The box in 0-1 as corners, and whether it had to be cut to the frame by more than a hair.

    None for what is no box on the frame: not finite, turned inside out, or beside the frame.
    """
    if not all(map(math.isfinite, box)):
        return None
    cx, cy, w, h = (v / scale for v in box)
    corners = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
    if w < 0 or h < 0 or corners[0] >= 1 or corners[1] >= 1 or corners[2] <= 0 or corners[3] <= 0:
        return None
    x0, y0, x1, y1 = (round(min(1.0, max(0.0, v)), DIGITS) for v in corners)
    cut = any(abs(p - q) > 1e-3 for p, q in zip(corners, (x0, y0, x1, y1), strict=True))
    return FrameBox(xyxy=(x0, y0, x1, y1)), cut


def to_released(box: FrameBox, scale: Scale) -> list[float]:
    """[cx, cy, w, h] at a scale, with the same six digits of the frame whatever the scale."""
    x0, y0, x1, y1 = box.xyxy
    digits = 6 - round(math.log10(scale))
    centred = ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0)
    return [round(v * scale, digits) for v in centred]


def fours(numbers: Iterable[float]) -> Iterator[Four]:
    """The numbers as boxes. Raises ValueError where they do not come in fours."""
    row = list(numbers)
    if len(row) % 4:
        raise ValueError(f"{len(row)} numbers are no boxes of four")
    for at in range(0, len(row), 4):
        yield row[at], row[at + 1], row[at + 2], row[at + 3]
