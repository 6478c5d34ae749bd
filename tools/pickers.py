"""Pickers: scores, instants and a budget -> the frames worth showing, each with its reason.

    picks = pick_frames(picker("focus"), score, Frames(times), 4)

`score` is asked in rounds, so that a picker can look coarse and then fine. Whatever a picker does,
`pick_frames` holds the laws: exactly min(k, instants) different ones, in time order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from videoespresso.errors import SettingsError
from videoespresso.models import plugins

# ---- what they share


Floats = NDArray[np.float64]

Score: TypeAlias = Callable[[Sequence[int]], Sequence[float] | Floats]
"""Positions of frames -> the relevance of each, higher is better; NaN where nothing is known."""


@dataclass(frozen=True)
class Frames:
    """What there is to pick from, in time order.

    times: (n,) seconds. vectors: (n, d) rows of length 1, for likeness; None where there are none.
    cuts: positions at which a shot begins, without the first.
    """

    times: Floats
    vectors: NDArray[np.float32] | None = None
    cuts: tuple[int, ...] = ()


class Pick(NamedTuple):
    """A frame by its position, and why it was picked."""

    at: int
    why: str


Picker: TypeAlias = Callable[[Score, Frames, int], Sequence[Pick]]
"""(score, frames, k) -> at most k picks."""


def pick_frames(picker: Picker, score: Score, frames: Frames, k: int) -> list[Pick]:
    """Exactly min(k, different instants) picks in time order, each instant once.

    NaN counts as the lowest score of its round. Positions that do not exist, and picks that repeat
    an instant, are left out; what is then missing is filled up at even distances. Raises what
    `score` raises, and ValueError where it gives another number of scores than it was asked for.
    """
    times, first = np.unique(np.asarray(frames.times, dtype=np.float64), return_index=True)
    k = min(k, len(times))
    if k < 1:
        return []
    own = Frames(
        times,
        None if frames.vectors is None else frames.vectors[first],
        tuple(sorted({int(np.searchsorted(first, cut)) for cut in frames.cuts} - {0, len(first)})),
    )

    def rate(positions: Sequence[int]) -> Floats:
        return known_scores(score([int(first[p]) for p in positions]), len(positions))

    picked: dict[int, str] = {}
    for pick in picker(rate, own, k):
        if 0 <= pick.at < len(times) and len(picked) < k:
            picked.setdefault(int(pick.at), pick.why)
    for at in spread(times, sorted(picked), k - len(picked)):
        picked[at] = "far from the others"
    return [Pick(int(first[at]), why) for at, why in sorted(picked.items())]


def known_scores(scores: Sequence[float] | Floats, count: int) -> Floats:
    """Scores as finite numbers; what is none becomes the lowest of them. Raises ValueError."""
    values = np.asarray(scores, dtype=np.float64).reshape(-1)
    if len(values) != count:
        raise ValueError(f"a scorer gave {len(values)} scores for {count} frames")
    finite = np.isfinite(values)
    lowest = float(values[finite].min()) if finite.any() else 0.0
    return np.where(finite, values, lowest)


def spread(times: Floats, picked: Sequence[int], count: int) -> list[int]:
    """`count` more positions, each as far from all others as can be; the earliest of equals."""
    more: list[int] = []
    middle = float(times[0] + times[-1]) / 2
    near = -np.abs(times - middle) if not picked else np.full(len(times), np.inf)
    for at in picked:
        near = np.minimum(near, np.abs(times - times[at]))
    free = np.ones(len(times), dtype=bool)
    free[list(picked)] = False
    for _ in range(count):
        at = int(np.argmax(np.where(free, near, -np.inf)))
        more.append(at)
        free[at] = False
        distance = np.abs(times - times[at])
        near = distance if not picked and len(more) == 1 else np.minimum(near, distance)
    return more


def best(scores: Floats, count: int) -> list[int]:
    """Positions of the `count` highest scores, the earlier of equals first."""
    return [int(i) for i in np.argsort(-scores, kind="stable")[: max(0, count)]]


def evenly(count: int, most: int) -> list[int]:
    """Positions of `most` of `count` things, the middle of each of `most` parts."""
    if count <= most:
        return list(range(count))
    return [int((k + 0.5) * count / most) for k in range(most)]


# ---- that ask for every score once


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


# ---- that pass over no part of a film


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


# ---- by name


GROUP = "videoespresso.pickers"
"""The entry point group for pickers of other packages."""
PICKERS: dict[str, Picker] = {
    "aks": aks, "bolt": bolt, "focus": focus, "mmr": mmr, "segments": segments, "top": top,
}  # fmt: skip


def picker(name: str) -> Picker:
    """Ours first, then a plug-in's. Raises SettingsError for a name that is none."""
    if name in PICKERS:
        return PICKERS[name]
    made: Picker | None = plugins.plugin(GROUP, name)
    if made is None:
        raise SettingsError(f"no picker {name!r}", hint=f"Known: {', '.join(known())}.")
    return made


def known() -> list[str]:
    """All names, ours and plug-ins'."""
    return sorted({*PICKERS, *(entry.name for entry in entry_points(group=GROUP))})
