"""Intervals and paired tests for what the evaluation measures. Seeded; numpy only.

Proportions get Wilson's interval, means and ratios a bootstrap, paired comparisons McNemar's exact
test. Questions about one video are not independent: where `clusters` are given, whole videos are
resampled and the interval says so.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
Z = NormalDist().inv_cdf((1 + LEVEL) / 2)
RESAMPLES = 4000
"""Bootstrap resamples and sign flips: the Monte Carlo error of a bound is below its third digit."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; n: what it was computed from; interval: how."""

    value: float
    low: float
    high: float
    n: int
    interval: str


@dataclass(frozen=True)
class Paired:
    """Two yes-or-no outcomes of the same items.

    difference: first minus second, as shares. first_only, second_only: items that one got right
    and the other wrong. p: McNemar's exact test, two-sided, items taken as independent.
    p_clustered: sign flips of whole clusters, two-sided; equal footing with the interval.
    """

    difference: Estimate
    first_only: int
    second_only: int
    p: float
    p_clustered: float


def wilson(hits: int, n: int) -> Estimate:
    """A proportion with Wilson's score interval. Raises ValueError unless 0 <= hits <= n, n > 0."""
    if not (n > 0 and 0 <= hits <= n):
        raise ValueError(f"{hits} of {n} is no proportion")
    low, high = _score_interval(hits / n, n)
    return Estimate(hits / n, low, high, n, "Wilson")


def clustered(sums: Sequence[Sequence[float]]) -> Estimate:
    """A proportion from each cluster's (hits, n), hits in whole or in part.

    Wilson's interval for as many independent items as would vary as much as the clusters do
    (linearized variance of the ratio); where they do not vary at all, for as many items as there
    are clusters. For more items than a bootstrap of them could hold. Raises ValueError for nothing.
    """
    hits, n = (math.fsum(column) for column in zip(*sums, strict=True)) if sums else (0.0, 0.0)
    if n <= 0:
        raise ValueError("nothing was measured")
    p, k = hits / n, len(sums)
    off = math.fsum((got - p * size) ** 2 for got, size in sums)
    variance = off * k / max(1, k - 1) / n**2
    alone = min(n, p * (1 - p) / variance) if variance > 0 else k
    low, high = _score_interval(p, max(1.0, alone) if k > 1 else 1.0)
    return Estimate(p, low, high, round(n), "Wilson over videos")


def _score_interval(p: float, n: float) -> tuple[float, float]:
    centre = p + Z * Z / (2 * n)
    spread = Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    scale = 1 + Z * Z / n
    low = max(0.0, (centre - spread) / scale) if p > 0 else 0.0
    high = min(1.0, (centre + spread) / scale) if p < 1 else 1.0
    return low, high


def difference(first: tuple[int, int], second: tuple[int, int]) -> Estimate:
    """Difference of two independent proportions, each (hits, n), with Newcombe's hybrid score
    interval (Newcombe 1998, method 10)."""
    a, b = wilson(*first), wilson(*second)
    d = a.value - b.value
    low = d - math.hypot(a.value - a.low, b.high - b.value)
    high = d + math.hypot(a.high - a.value, b.value - b.low)
    return Estimate(d, low, high, a.n + b.n, "Newcombe")


def mean(
    values: Sequence[float], clusters: Sequence[Hashable] | None = None, *, seed: int = 0
) -> Estimate:
    """A mean with its percentile bootstrap; whole clusters are resampled where they are given.

    Raises ValueError for no values, or another number of clusters than of values.
    """
    return ratio(values, [1.0] * len(values), clusters, seed=seed)


def ratio(
    over: Sequence[float],
    under: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
) -> Estimate:
    """sum(over) / sum(under) of paired values, bootstrapped as `mean` is.

    Raises ValueError for no values, unequal lengths, or `under` that sums to zero.
    """
    sums = _sums(clusters, over, under)
    if sums[:, 1].sum() == 0:
        raise ValueError("a ratio needs something to divide by")
    drawn = _drawn(sums, seed)
    kept = drawn[:, 1] != 0  # a resample of nothing but zeros has no ratio
    low, high = _bounds(drawn[kept, 0] / drawn[kept, 1])
    value = float(sums[:, 0].sum() / sums[:, 1].sum())
    return Estimate(value, low, high, len(over), _how(clusters))


def paired(
    first: Sequence[bool],
    second: Sequence[bool],
    clusters: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
) -> Paired:
    """Compares two outcomes of the same items, in the same order. Raises ValueError as `ratio`."""
    gaps = [float(a) - float(b) for a, b in zip(first, second, strict=True)]
    first_only, second_only = gaps.count(1.0), gaps.count(-1.0)
    return Paired(
        difference=mean(gaps, clusters, seed=seed),
        first_only=first_only,
        second_only=second_only,
        p=mcnemar(first_only, second_only),
        p_clustered=_flipped(_sums(clusters, gaps)[:, 0], seed),
    )


def mcnemar(first_only: int, second_only: int) -> float:
    """Two-sided exact p: how often a fair coin is at least this far from even."""
    n, fewer = first_only + second_only, min(first_only, second_only)
    tail: int = sum(math.comb(n, k) for k in range(fewer + 1))
    return min(1.0, float(2 * tail / 2**n))


def _flipped(gaps: Floats, seed: int) -> float:
    """How often random signs take the clusters' sums at least as far from zero."""
    rng = np.random.default_rng(seed)
    signs = rng.integers(0, 2, (RESAMPLES, len(gaps))) * 2 - 1
    as_far = np.abs((signs * gaps).sum(1)) >= abs(gaps.sum()) - 1e-9
    return float((as_far.sum() + 1) / (RESAMPLES + 1))


def _sums(clusters: Sequence[Hashable] | None, *columns: Sequence[float]) -> Floats:
    """(clusters, columns): each column's sum in each cluster; every value its own without them."""
    table = np.array(list(zip(*columns, strict=True)), dtype=np.float64)
    if not len(table):
        raise ValueError("nothing was measured")
    if clusters is None:
        return table
    if len(clusters) != len(table):
        raise ValueError(f"{len(clusters)} clusters for {len(table)} values")
    number = {name: k for k, name in enumerate(dict.fromkeys(clusters))}
    sums = np.zeros((len(number), table.shape[1]))
    np.add.at(sums, [number[name] for name in clusters], table)
    return sums


def _drawn(sums: Floats, seed: int) -> Floats:
    """(RESAMPLES, columns): sums over as many clusters as there are, drawn with replacement."""
    rng, k = np.random.default_rng(seed), len(sums)
    often = rng.multinomial(k, np.full(k, 1 / k), RESAMPLES)
    drawn: Floats = often @ sums
    return drawn


def _bounds(drawn: Floats) -> tuple[float, float]:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _how(clusters: Sequence[Hashable] | None) -> str:
    return "bootstrap" if clusters is None else "bootstrap over videos"


def at_least(hits: int, n: int, p: float) -> float:
    """How probable at least `hits` of n are where each has probability p: the exact binomial."""
    if not hits or not 0 < p < 1:
        return 1.0 if not hits or p >= 1 else 0.0
    whole = math.lgamma(n + 1)
    logs = (
        whole - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p)
        + (n - k) * math.log1p(-p)
        for k in range(hits, n + 1)
    )  # fmt: skip
    return min(1.0, math.fsum(math.exp(log) for log in logs))


def round_width(least: float, *, whole: bool = False) -> float:
    """The next 1, 2 or 5 times a power of ten that is at least `least`; whole: 1 at least."""
    if least <= 0:
        return 1.0 if whole else 0.1
    power = 10.0 ** math.floor(math.log10(least))
    found = next((power * k for k in (1, 2, 5) if power * k >= least * (1 - 1e-9)), power * 10)
    return max(found, 1.0) if whole else found
