"""Pickers that ask for every score once: `top`, `bolt`, `mmr`."""

import numpy as np

from videoespresso.tools.pickers.base import Floats, Frames, Pick, Score, best, evenly

SHARPER = 3.0
"""BOLT's exponent: how much more a good frame weighs."""
RELEVANCE = 0.5
"""MMR's lambda: relevance against likeness to what is picked already."""


def top(score: Score, frames: Frames, k: int) -> list[Pick]:
    """The k highest scores; at even distances where all are equal."""
    scores = np.asarray(score(range(len(frames.times))))
    if np.ptp(scores) == 0:
        return [Pick(at, "all score the same: at even distances") for at in evenly(len(scores), k)]
    ranks = enumerate(best(scores, k), 1)
    return [Pick(at, f"score {scores[at]:.2f}, rank {rank}") for rank, at in ranks]


def bolt(score: Score, frames: Frames, k: int) -> list[Pick]:
    """Inverse transform sampling (BOLT, CVPR 2025): frames at even steps of the scores' sum.

    A frame on which two steps fall is picked once, and the nearest free one for the other.
    """
    scores = np.asarray(score(range(len(frames.times))))
    weights = _unit(scores) ** SHARPER
    if weights.sum() == 0:
        weights = np.ones_like(weights)
    steps = (np.arange(k) + 0.5) / k
    indices = np.searchsorted(np.cumsum(weights) / weights.sum(), steps)
    free = np.ones(len(scores), dtype=bool)
    picks = []
    for at in np.minimum(indices, len(scores) - 1):
        nearest = int(np.argmin(np.where(free, np.abs(np.arange(len(scores)) - at), np.inf)))
        free[nearest] = False
        picks.append(Pick(nearest, f"sampled by relevance, score {scores[nearest]:.2f}"))
    return picks


def mmr(score: Score, frames: Frames, k: int) -> list[Pick]:
    """Maximal marginal relevance: each pick is relevant and unlike those before it. Likeness is
    the vectors' cosine, without vectors nearness in time."""
    scores = _unit(np.asarray(score(range(len(frames.times)))))
    likeness = np.zeros(len(scores))
    free = np.ones(len(scores), dtype=bool)
    picks = []
    for _ in range(k):
        worth = RELEVANCE * scores - (1 - RELEVANCE) * likeness
        at = int(np.argmax(np.where(free, worth, -np.inf)))
        free[at] = False
        picks.append(Pick(at, f"relevance {scores[at]:.2f} of 1, likeness {likeness[at]:.2f}"))
        likeness = np.maximum(likeness, _like(frames, at))
    return picks


def _like(frames: Frames, at: int) -> Floats:
    """How like each frame is to that one, 0-1."""
    if frames.vectors is not None:
        cosines = frames.vectors.astype(np.float64) @ frames.vectors[at].astype(np.float64)
        near: Floats = np.clip(np.nan_to_num(cosines), 0.0, 1.0)
        return near
    span = max(float(np.ptp(frames.times)), 1e-9)
    apart: Floats = np.abs(frames.times - frames.times[at]) / span
    return 1.0 - apart


def _unit(scores: Floats) -> Floats:
    """Scores from 0 to 1; all 0 where they are equal."""
    wide = float(np.ptp(scores))
    return (scores - scores.min()) / wide if wide > 0 else np.zeros(len(scores))
