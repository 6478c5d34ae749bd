"""Two results on the same items: intervals, tests, and what a table of that size can show.

The clusters of a comparison are videos. Pairs of yes and no have Tango's score interval (Tango
1998), which has width where nobody disagrees; p values by McNemar's exact test take items as
independent, those by sign flips take whole videos.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

import numpy as np

from videoespresso import statistics
from videoespresso.statistics import Estimate, Floats

POWER = 0.8


@dataclass(frozen=True)
class Paired:
    """Two yes-or-no outcomes of the same items.

    difference: first minus second, as shares. first_only, second_only: items that one got right
    and the other wrong. p: McNemar's exact test, two-sided, items taken as independent.
    p_clustered: sign flips of whole clusters, two-sided; equal footing with the interval.
    detectable: the smallest true difference that as many items in as many videos, with as much
    disagreement, would show 8 times in 10; None where nobody disagreed.
    """

    difference: Estimate
    first_only: int
    second_only: int
    p: float
    p_clustered: float
    detectable: float | None


def paired(
    first: Sequence[bool],
    second: Sequence[bool],
    clusters: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
) -> Paired:
    """Compares two outcomes of the same items, in the same order. Raises ValueError for none, and
    for unequal lengths."""
    gaps = [float(a) - float(b) for a, b in zip(first, second, strict=True)]
    sums = statistics.by_cluster(clusters, gaps, [1.0] * len(gaps))
    b, c = gaps.count(1.0), gaps.count(-1.0)
    alone = _alone(sums, b, c)
    return Paired(
        difference=_difference(b, c, len(gaps), alone, None if clusters is None else len(sums)),
        first_only=b,
        second_only=c,
        p=mcnemar(b, c),
        p_clustered=sign_flips(sums[:, 0], seed),
        detectable=detectable((b + c) / len(gaps), alone) if b + c else None,
    )


def _alone(sums: Floats, b: int, c: int) -> float:
    """How many independent pairs vary as much as the clusters' (gaps, n) do; as many as there are
    clusters where nothing varies."""
    k, n = len(sums), float(sums[:, 1].sum())
    if k < 2:
        return 1.0
    d = (b - c) / n
    variance = float(((sums[:, 0] - d * sums[:, 1]) ** 2).sum()) * k / (k - 1) / n**2
    return max(1.0, min(n, ((b + c) / n - d * d) / variance)) if variance > 0 else float(k)


def _difference(b: int, c: int, n: int, alone: float, videos: int | None) -> Estimate:
    """(b - c) / n with Tango's interval. alone: independent pairs; videos: None without them."""
    if videos is not None and videos < 2:
        return Estimate((b - c) / n, None, None, n, statistics.TOO_FEW)
    z = statistics.Z if videos is None else statistics.reach(videos)
    scale = 1.0 if videos is None else alone / n
    low, high = tango(b * scale, c * scale, n * scale, z)
    return Estimate((b - c) / n, low, high, n, "Tango" if videos is None else "Tango over videos")


def tango(b: float, c: float, n: float, z: float = statistics.Z) -> tuple[float, float]:
    """Tango's score interval for the difference of two paired proportions: b pairs only the first
    got right, c only the second, of n."""
    return _root(b, c, n, z, -1.0), _root(b, c, n, -z, 1.0)


def _root(b: float, c: float, n: float, z: float, end: float) -> float:
    """The difference at which the score is z, between `end` and what was measured."""
    outer, inner = end, (b - c) / n
    for _ in range(50):
        middle = (outer + inner) / 2
        outside = abs(_score(b, c, n, middle)) > abs(z)
        outer, inner = (middle, inner) if outside else (outer, middle)
    return (outer + inner) / 2


def _score(b: float, c: float, n: float, d: float) -> float:
    """Tango's statistic for a true difference d: standard normal where it is true."""
    half = -b - c + (2 * n - b + c) * d
    root = math.sqrt(max(0.0, half * half + 8 * n * c * d * (1 - d)))
    second_only = max(0.0, (root - half) / (4 * n))
    variance = n * (2 * second_only + d * (1 - d))
    gap = b - c - n * d
    if variance <= 0:
        return 0.0 if abs(gap) < 1e-12 else math.copysign(math.inf, gap)
    return gap / math.sqrt(variance)


def mcnemar(first_only: int, second_only: int) -> float:
    """Two-sided exact p: how often a fair coin is at least this far from even."""
    n, fewer = first_only + second_only, min(first_only, second_only)
    tail: int = sum(math.comb(n, k) for k in range(fewer + 1))
    return min(1.0, float(2 * tail / 2**n))


def sign_flips(gaps: Floats, seed: int = 0) -> float:
    """Two-sided p: how often random signs take the clusters' sums at least as far from zero."""
    rng = np.random.default_rng(seed)
    signs = rng.integers(0, 2, (statistics.RESAMPLES, len(gaps))) * 2 - 1
    as_far = np.abs((signs * gaps).sum(1)) >= abs(gaps.sum()) - 1e-9
    return float((as_far.sum() + 1) / (statistics.RESAMPLES + 1))


def holm(ps: Mapping[str, float]) -> dict[str, float]:
    """p values corrected for how many there are (Holm 1979), in the order given."""
    corrected: dict[str, float] = {}
    highest = 0.0
    for k, name in enumerate(sorted(ps, key=ps.__getitem__)):
        highest = max(highest, min(1.0, (len(ps) - k) * ps[name]))
        corrected[name] = highest
    return {name: corrected[name] for name in ps}


@dataclass(frozen=True)
class MacroPaired:
    """Two macro averages of the same items; p: sign flips of whole videos, two-sided."""

    difference: Estimate
    p: float


def macro_paired(
    first: Sequence[bool],
    second: Sequence[bool],
    tasks: Sequence[str],
    clusters: Sequence[Hashable],
    *,
    seed: int = 0,
) -> MacroPaired:
    """First minus second, every task counting the same. Raises ValueError as `statistics.macro`."""
    gaps = [float(a) - float(b) for a, b in zip(first, second, strict=True)]
    estimate = statistics.macro(gaps, tasks, clusters, seed=seed)
    many = {task: tasks.count(task) for task in dict.fromkeys(tasks)}
    shares = [gap / many[task] / len(many) for gap, task in zip(gaps, tasks, strict=True)]
    return MacroPaired(estimate, sign_flips(statistics.by_cluster(clusters, shares)[:, 0], seed))


def detectable(disagreement: float, n: float) -> float | None:
    """The smallest difference that n pairs show 8 times in 10, two-sided at 5 %, where the two
    disagree on that share of them (0 to 1); None where not even one of 100 points would show."""
    least = (statistics.Z + NormalDist().inv_cdf(POWER)) * math.sqrt(disagreement / n)
    return least if least <= 1 else None


@dataclass(frozen=True)
class Equivalence:
    """Whether two results are as good as the same. margin: what difference would matter, as a
    share. p_not_worse: of the first being worse than the second by it; p: of any such difference
    (two one-sided tests), the larger of both sides."""

    margin: float
    p_not_worse: float
    p: float


def equivalence(
    first: Sequence[bool],
    second: Sequence[bool],
    margin: float,
    clusters: Sequence[Hashable] | None = None,
) -> Equivalence:
    """Two one-sided tests by Tango's statistic at -margin and +margin; over videos as `paired`.

    Raises ValueError for a margin that is not between 0 and 1, and as `paired`; with fewer than
    two videos both p are 1.
    """
    if not 0 < margin < 1:
        raise ValueError(f"a margin of {margin} is not between 0 and 1")
    gaps = [float(a) - float(b) for a, b in zip(first, second, strict=True)]
    sums = statistics.by_cluster(clusters, gaps, [1.0] * len(gaps))
    k = len(sums)
    if k < 2:
        return Equivalence(margin, 1.0, 1.0)
    b, c = gaps.count(1.0), gaps.count(-1.0)
    scale = 1.0 if clusters is None else _alone(sums, b, c) / len(gaps)
    below, above = (
        _score(b * scale, c * scale, len(gaps) * scale, edge) for edge in (-margin, margin)
    )
    few = clusters is not None and k <= statistics.MANY
    under = (lambda z: statistics.student(z, k - 1)) if few else NormalDist().cdf
    worse, better = 1 - under(below), under(above)
    return Equivalence(margin, worse, max(worse, better))


def area(frames: Sequence[int], right: Sequence[float]) -> float:
    """The area under one item's accuracy against frames: 0 to 1, doublings of frames counting the
    same (trapezoids over log2). Raises ValueError unless frames grow and each has a value."""
    steps = list(pairwise(frames))
    if len(steps) < 1 or len(frames) != len(right) or any(not 0 < a < b for a, b in steps):
        raise ValueError("an area needs two numbers of frames or more, growing, a value each")
    widths = [math.log2(b / a) for a, b in steps]
    heights = [(a + b) / 2 for a, b in pairwise(right)]
    return sum(w * h for w, h in zip(widths, heights, strict=True)) / sum(widths)


def area_difference(
    frames: Sequence[int],
    first: Sequence[Sequence[float]],
    second: Sequence[Sequence[float]],
    clusters: Sequence[Hashable],
) -> Estimate:
    """First minus second: mean over items of the difference of their areas; videos vary. first,
    second: of each item its value at each number of frames. Raises ValueError as `area`."""
    gaps = [area(frames, a) - area(frames, b) for a, b in zip(first, second, strict=True)]
    return statistics.mean(gaps, clusters)
