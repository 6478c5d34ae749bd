"""How good a detector is: box F1 at an overlap of 0.5, with a 95 % interval."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from typing_extensions import TypedDict

from lab.detector_data import Labelled
from videoespresso.evidence_scores import overlap
from videoespresso.tools.detectors.base import Detector
from videoespresso.types import Box

HIT = 0.5
"""Intersection over union from which a box counts as found."""

RESAMPLES = 1000
"""Bootstrap resamples of the frames behind an interval."""


class Tally(NamedTuple):
    """Boxes found rightly, reported wrongly, missed."""

    right: int
    wrong: int
    missed: int


class Score(TypedDict):
    """F1 in 0-1; `n` true boxes; `low` and `high` bound the 95 % interval."""

    f1: float
    low: float
    high: float
    n: int


class Report(TypedDict):
    """Scores of one detector on one set of frames.

    things: everything but people, who are most boxes and the easiest. macro_f1: the plain mean over
    labels, rare ones counting as much as common ones.
    """

    frames: int
    overall: Score
    things: Score
    macro_f1: float
    labels: dict[str, Score]


def iou(a: Box, b: Box) -> float:
    """Intersection over union, 0-1."""
    return overlap(a.xyxy, b.xyxy)


def compare(boxes: Sequence[Box], truth: Sequence[Box]) -> dict[str, Tally]:
    """Tallies a label on one frame. The best score picks first; a true box is found only once."""
    tallies = {}
    for label in sorted({box.label for box in (*boxes, *truth)}):
        open_boxes = [box for box in truth if box.label == label]
        total, right, wrong = len(open_boxes), 0, 0
        for box in sorted((b for b in boxes if b.label == label), key=lambda b: -b.score):
            best = max(open_boxes, key=lambda true: iou(box, true), default=None)
            if best is not None and iou(box, best) >= HIT:
                open_boxes.remove(best)
                right += 1
            else:
                wrong += 1
        tallies[label] = Tally(right, wrong, total - right)
    return tallies


def score(detector: Detector, frames: Iterable[Labelled]) -> Report:
    """Runs a detector over labelled frames. Intervals resample whole frames, seeded."""
    tallies = [compare(detector.detect(frame.image), frame.boxes) for frame in frames]
    labels = sorted({label for tally in tallies for label in tally})
    table = np.array(
        [[tally.get(label, Tally(0, 0, 0)) for label in labels] for tally in tallies],
        dtype=np.int64,
    ).reshape(len(tallies), len(labels), 3)
    each = {label: _score(table[:, k]) for k, label in enumerate(labels)}
    return Report(
        frames=len(tallies),
        overall=_score(table.sum(axis=1)),
        things=_score(table[:, [label != "person" for label in labels]].sum(axis=1)),
        macro_f1=round(float(np.mean([s["f1"] for s in each.values()])), 4) if each else 0.0,
        labels=each,
    )


def _f1(sums: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> float:
    right, wrong, missed = (int(v) for v in sums)
    return 2 * right / (2 * right + wrong + missed) if right else 0.0


def _score(rows: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Score:
    """F1 of (frames, 3) tallies with its bootstrap interval."""
    rng = np.random.default_rng(0)
    drawn = (
        [_f1(rows[rng.integers(0, len(rows), len(rows))].sum(axis=0)) for _ in range(RESAMPLES)]
        if len(rows)
        else [0.0]
    )
    low, high = np.quantile(drawn, [0.025, 0.975])
    sums = rows.sum(axis=0)
    return Score(
        f1=round(_f1(sums), 4),
        low=round(float(low), 4),
        high=round(float(high), 4),
        n=int(sums[0] + sums[2]),
    )
