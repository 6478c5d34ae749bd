"""How well what a reply cites agrees with what is true: numbers from 0 to 1, no model, no pixels.

Instants are seconds from the stream's start, an interval is (from, to) in seconds, both ends in it,
a box xyxy in 0-1. Shared by the evaluation, the checks of datasets and rewards of training.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

Interval = tuple[float, float]
Corners = tuple[float, float, float, float]

TIOU_STEPS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Overlaps at which CG-Bench asks, whose mean is its acc@IoU."""
BOX_IOU = 0.3
"""From which overlap a cited box counts as the true one in acc@evidence."""
FOUND_IOU = 0.5
"""The same in the F1 of boxes, as detection benchmarks count."""
FLOOR = 0.01
"""What a question counts at least in KFS-Bench's geometric mean."""
_NEARLY = 1e-9


class Agreement(NamedTuple):
    """precision: share of what was cited that is true; recall: share of what is true that was
    cited; f1: their harmonic mean. All 0 where nothing was cited."""

    precision: float
    recall: float
    f1: float


class Placed(NamedTuple):
    """A box at an instant."""

    time_s: float
    xyxy: Corners


def agreement(right_cited: int, cited: int, right_true: int, true: int) -> Agreement:
    """From counts. Raises ValueError where nothing is true: then there is nothing to agree with."""
    if true < 1:
        raise ValueError("nothing is true, so nothing can be cited rightly")
    precision = right_cited / cited if cited else 0.0
    recall = right_true / true
    both = precision + recall
    return Agreement(precision, recall, 2 * precision * recall / both if both else 0.0)


def frames(cited: Sequence[float], true: Sequence[float], within_s: float) -> Agreement:
    """Cited instants against true ones at most `within_s` away, each counted once, in time order.

    Both sides count, so that one safe claim does not beat complete evidence. Raises ValueError for
    no true instant.
    """
    left, hits = sorted(true), 0
    for instant in sorted(cited):
        while left and left[0] < instant - within_s - _NEARLY:
            left.pop(0)
        if left and left[0] <= instant + within_s + _NEARLY:
            left.pop(0)
            hits += 1
    return agreement(hits, len(cited), hits, len(true))


SIGMA_S = (4.0, 1.0)
"""How far in seconds a cited instant may be at the begin and at the end of a training run: what
Open-o3 takes at both, which shrinks it in three quarters of the run."""


def sigma_s(progress: float) -> float:
    """The width of `nearness` in seconds, shrinking evenly over a run. progress: 0-1."""
    begin, end = SIGMA_S
    return begin + (end - begin) * min(1.0, max(0.0, progress))


def nearness(cited: Sequence[float], true: Sequence[float], sigma: float) -> float:
    """How near cited instants are to true ones, 0-1: exp(-d²/2σ²) of pairs d seconds apart, nearest
    first, each instant once; twice their sum by the number of all instants, cited and true.

    So earlier is as far as later, and neither a missing nor a spare instant is free. sigma: in
    seconds, above 0. Raises ValueError for no true instant.
    """
    if not true:
        raise ValueError("no instant is true, so none can be cited rightly")
    pairs = sorted((abs(c - t), i, j) for i, c in enumerate(cited) for j, t in enumerate(true))
    used: tuple[set[int], set[int]] = (set(), set())
    total = 0.0
    for apart, i, j in pairs:
        if i not in used[0] and j not in used[1]:
            used[0].add(i)
            used[1].add(j)
            total += math.exp(-((apart / sigma) ** 2) / 2) if math.isfinite(apart) else 0.0
    return 2 * total / (len(cited) + len(true))


def inside(cited: Sequence[float], true: Sequence[Interval]) -> Agreement:
    """Cited instants within any true interval, and true intervals with any cited instant in them.

    Its precision and recall are KFS-Bench's key-frame rate and scene hit rate. Raises ValueError
    for no true interval.
    """
    right = sum(any(a <= t <= b for a, b in true) for t in cited)
    hit = sum(any(a <= t <= b for t in cited) for a, b in true)
    return agreement(right, len(cited), hit, len(true))


def union(intervals: Sequence[Interval]) -> list[Interval]:
    """The same stretch of time as intervals that do not touch, in order."""
    merged: list[Interval] = []
    for start, end in sorted((min(i), max(i)) for i in intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def temporal_iou(cited: Sequence[Interval], true: Sequence[Interval]) -> float:
    """Intersection over union of two stretches of time, each of one interval or more; 0 where
    both are only instants."""
    a, b = union(cited), union(true)
    both = sum(max(0.0, min(x[1], y[1]) - max(x[0], y[0])) for x in a for y in b)
    either = sum(end - start for start, end in (*a, *b)) - both
    return both / either if either > 0 else 0.0


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two xyxy rectangles, 0-1; 0 where either has no area."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / both if both > 0 else 0.0


def boxes(cited: Sequence[Placed], true: Sequence[Placed], within_s: float) -> float:
    """Mean best overlap of boxes: of their `_matched` pairs, divided by the larger number of boxes,
    so that neither a missing nor a spare box is free. Raises ValueError for no true box."""
    return sum(_matched(cited, true, within_s)) / max(len(cited), len(true))


def boxes_found(cited: Sequence[Placed], true: Sequence[Placed], within_s: float) -> Agreement:
    """Boxes whose `_matched` pair overlaps by FOUND_IOU. Raises ValueError for no true box."""
    hits = sum(iou >= FOUND_IOU for iou in _matched(cited, true, within_s))
    return agreement(hits, len(cited), hits, len(true))


def _matched(cited: Sequence[Placed], true: Sequence[Placed], within_s: float) -> list[float]:
    """Overlaps of pairs of the same frame (at most `within_s` apart, on either side), best pairs
    first, each box once. Raises ValueError for no true box."""
    if not true:
        raise ValueError("no box is true, so none can be cited rightly")
    pairs = sorted(
        (
            (overlap(c.xyxy, t.xyxy), i, j)
            for i, c in enumerate(cited)
            for j, t in enumerate(true)
            if abs(c.time_s - t.time_s) <= within_s + _NEARLY
        ),
        key=lambda pair: (-pair[0], pair[1], pair[2]),
    )
    used: tuple[set[int], set[int]] = (set(), set())
    matched = []
    for iou, i, j in pairs:
        if i not in used[0] and j not in used[1]:
            used[0].add(i)
            used[1].add(j)
            matched.append(iou)
    return matched


# ---- a right answer for the right reason


def right_with_evidence(
    right: bool,
    cited: Sequence[float],
    true: Sequence[Interval],
    cited_boxes: Sequence[Placed] = (),
    true_boxes: Sequence[Placed] = (),
    within_s: float = 0.5,
) -> bool:
    """acc@evidence of one item: the right letter, and an instant within a true interval, and, where
    boxes are true, one of them overlapped by BOX_IOU at its frame. Raises ValueError for no true
    interval."""
    if not true:
        raise ValueError("no interval is true, so no instant can be cited rightly")
    if not (right and any(a <= t <= b for t in cited for a, b in true)):
        return False
    return not true_boxes or any(
        overlap(c.xyxy, t.xyxy) >= BOX_IOU
        for c in cited_boxes
        for t in true_boxes
        if abs(c.time_s - t.time_s) <= within_s + _NEARLY
    )


def acc_at_iou(right: bool, iou: float) -> float:
    """CG-Bench's acc@IoU of one item: the share of TIOU_STEPS at which the answer is right and the
    cited time overlaps at least as much."""
    return sum(right and iou >= step - _NEARLY for step in TIOU_STEPS) / len(TIOU_STEPS)


class Chain(NamedTuple):
    """V-STaR's means over items: what (share of right answers), when (temporal IoU), where (IoU of
    boxes over frames), in one order of its questions."""

    what: float
    when: float
    where: float


def arithmetic_mean(chain: Chain) -> float:
    """V-STaR's AM; its mAM is the mean over the two orders of the questions."""
    return sum(chain) / 3


def logarithmic_mean(chain: Chain, *, highest: float = 1 - 1e-6) -> float:
    """V-STaR's LGM: minus the mean of ln(1 - x). It grows without end towards 1, so that values
    above `highest` count as that. Its mLGM is the mean over the two orders of the questions."""
    return -sum(math.log(1 - min(x, highest)) for x in chain) / 3


# ---- which frames were picked, whatever is answered (KFS-Bench)


class Selection(NamedTuple):
    """KFS-Bench's numbers of one question. kfr: picked frames in any true scene; shr: scenes with a
    picked frame; bsr: scenes with enough of them; bds: how evenly they lie, at best for equal
    scenes, for scenes by length or between; ukss: (kfr · bsr · bds)^(1/3)."""

    kfr: float
    shr: float
    bsr: float
    bds: float
    ukss: float


_EXPONENTS = tuple(k / 10 for k in range(11))


def selection(picked: Sequence[float], scenes: Sequence[Sequence[Interval]]) -> Selection:
    """Picked instants against disjoint true scenes, each of one interval or more.

    A scene has enough where its frames are at least as many as the smaller of its share by length
    and an equal share of those in any scene, and one at least; `bds` is the best cosine of the
    scenes' counts with their lengths to a power of 0 to 1. Raises ValueError for no scene.
    """
    counts = [sum(any(a <= t <= b for a, b in scene) for t in picked) for scene in scenes]
    lengths = [sum(b - a for a, b in union(scene)) for scene in scenes]
    hits, span = sum(counts), sum(lengths)
    agreed = agreement(min(hits, len(picked)), len(picked), sum(map(bool, counts)), len(scenes))
    shares = [min(x / span if span else 1.0, 1 / len(scenes)) for x in lengths]
    enough = [
        n >= max(1.0, share * hits) - _NEARLY for n, share in zip(counts, shares, strict=True)
    ]
    bsr = sum(enough) / len(scenes)
    bds = max(_cosine(counts, [x**power for x in lengths]) for power in _EXPONENTS)
    return Selection(
        agreed.precision, agreed.recall, bsr, bds, (agreed.precision * bsr * bds) ** (1 / 3)
    )


def _cosine(a: Sequence[float], b: Sequence[float]) -> float:
    sizes = math.hypot(*a) * math.hypot(*b)
    return min(1.0, sum(x * y for x, y in zip(a, b, strict=True)) / sizes) if sizes else 0.0


def ukss(values: Sequence[float]) -> float:
    """KFS-Bench's mean over questions: geometric, each at least FLOOR. ValueError for none."""
    if not values:
        raise ValueError("nothing was measured")
    return math.exp(math.fsum(math.log(max(FLOOR, v)) for v in values) / len(values))
