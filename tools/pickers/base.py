"""What pickers share: their input, their result, and the laws that hold for all of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

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
