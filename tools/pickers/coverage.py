"""Pickers that see to it that no part of a film is passed over: `aks`, `focus`, `segments`."""

from itertools import pairwise

import numpy as np

from videoespresso.tools.pickers.base import Floats, Frames, Pick, Score, best, evenly

STANDS_OUT = 0.8
"""AKS: where the best k are this much above the mean (of scores from 0 to 1), no more halving."""
DEEPEST = 5
"""AKS: halvings at most."""
COARSE_S = 16.0
"""FOCUS: seconds between the first looks."""
FINER = 0.25
"""FOCUS: the share of stretches that is looked at again."""


def aks(score: Score, frames: Frames, k: int) -> list[Pick]:
    """Adaptive key frames (AKS, CVPR 2025): relevance where it stands out, else both halves get
    their share, down to 32nds. The better half gets the odd frame."""
    raw = np.asarray(score(range(len(frames.times))))
    wide = float(np.ptp(raw))
    scores = (raw - raw.min()) / wide if wide > 0 else np.zeros(len(raw))

    def halved(start: int, end: int, count: int, depth: int) -> list[int]:
        part = scores[start:end]
        if count < 1:
            return []
        chosen = best(part, count) if np.ptp(part) > 0 else evenly(len(part), count)
        stands_out = part[chosen].mean() - part.mean() > STANDS_OUT
        if count == 1 or depth == 0 or len(part) <= count or stands_out:
            return [start + at for at in chosen]
        middle = (start + end) // 2
        left_is_better = scores[start:middle].max() >= scores[middle:end].max()
        left = (count + 1) // 2 if left_is_better else count // 2
        left = min(max(left, count - (end - middle)), middle - start)
        return [
            *halved(start, middle, left, depth - 1),
            *halved(middle, end, count - left, depth - 1),
        ]

    indices = halved(0, len(scores), k, DEEPEST)
    return [Pick(at, f"best of its part, score {raw[at]:.2f}") for at in indices]


def focus(score: Score, frames: Frames, k: int) -> list[Pick]:
    """Coarse, then fine (after FOCUS, 2510.27280): a frame every 16 s, then every frame of the
    best quarter of the stretches, at least as many as frames are wanted."""
    stretch = ((frames.times - frames.times[0]) // COARSE_S).astype(int)
    members = [np.flatnonzero(stretch == s) for s in np.unique(stretch)]
    coarse = [int(m[len(m) // 2]) for m in members]
    first = np.asarray(score(coarse))
    closer = max(int(np.ceil(FINER * len(coarse))), min(k, len(coarse)))
    some = best(first, closer) if np.ptp(first) > 0 else evenly(len(coarse), closer)
    fine = [int(at) for s in sorted(some) for at in members[s] if int(at) != coarse[s]]
    known: dict[int, float] = dict(zip(coarse, map(float, first), strict=True))
    if fine:
        known |= dict(zip(fine, map(float, np.asarray(score(fine))), strict=True))
    positions = sorted(known)
    scores: Floats = np.array([known[at] for at in positions])
    rows = best(scores, k) if np.ptp(scores) > 0 else evenly(len(positions), k)
    return [Pick(positions[r], f"found coarse to fine, score {scores[r]:.2f}") for r in rows]


def segments(score: Score, frames: Frames, k: int) -> list[Pick]:
    """One a shot, its best frame. Of more shots than k, the best of each of k equal groups; with
    fewer, the rest are what lies furthest from the others (`pick_frames`)."""
    scores = np.asarray(score(range(len(frames.times))))
    bounds = [0, *frames.cuts, len(scores)]
    shots = [(a, b) for a, b in pairwise(bounds) if a < b]
    winners = [a + int(np.argmax(scores[a:b])) for a, b in shots]
    edges = np.linspace(0, len(shots), min(k, len(shots)) + 1).astype(int)
    picks = []
    for start, end in pairwise(edges):
        group = winners[start:end]
        at = group[int(np.argmax(scores[group]))]
        picks.append(Pick(at, f"shot {winners.index(at) + 1} of {len(shots)}"))
    return picks
