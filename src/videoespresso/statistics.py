"""Intervals for what the evaluation measures. Seeded; numpy only. Pairs are in comparison.py.

Independent proportions get Wilson's interval. Questions about one video are not independent: where
`clusters` are given, whole videos vary and the interval says so. Below 30 of them it is Student's
t, above a bootstrap (docs/log.md); below two, and where nothing varied, there is none: no interval
has width zero.
"""

import functools
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
Z = NormalDist().inv_cdf((1 + LEVEL) / 2)
RESAMPLES = 4000
"""Bootstrap resamples and sign flips: the Monte Carlo error of a bound is below its third digit."""
FEW = 30
"""Below as many clusters a bootstrap is too narrow (85 % with 5 videos of ten questions each)."""
MANY = 1000
TOO_FEW, ALIKE = "too few videos", "no variation"
"""Why an estimate has no interval."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; n: what it was computed from; interval: how, or why there is
    none: then low and high are None."""

    value: float
    low: float | None
    high: float | None
    n: int
    interval: str

    def amount(self) -> str:
        """As text, of a thing that is counted: '1,565 (380 to 3,264)', '1.55 (1.01 to 2.09)'."""
        size = abs(self.value)
        digits = 0 if size >= 100 else 2 if size >= 0.1 or not size else 4
        inside = self.interval
        if self.low is not None and self.high is not None:
            inside = f"{self.low:,.{digits}f} to {self.high:,.{digits}f}"
        return f"{self.value:,.{digits}f} ({inside})"

    def text(self, *, scale: float = 100.0, digits: int = 1, unit: str = "") -> str:
        """'75.0 % (62.1 to 84.5)'; where there is no interval, its reason."""
        inside = self.interval
        if self.low is not None and self.high is not None:
            inside = f"{scale * self.low:.{digits}f} to {scale * self.high:.{digits}f}"
        return f"{scale * self.value:.{digits}f}{unit and f' {unit}'} ({inside})"


def wilson(hits: int, n: int) -> Estimate:
    """A proportion with Wilson's score interval. Raises ValueError unless 0 <= hits <= n, n > 0."""
    low, high = wilson_bounds(hits, n)
    return Estimate(hits / n, low, high, n, "Wilson")


def wilson_bounds(hits: int, n: int) -> tuple[float, float]:
    """Both ends of `wilson`, which are always there."""
    if not (n > 0 and 0 <= hits <= n):
        raise ValueError(f"{hits} of {n} is no proportion")
    return _score_interval(hits / n, n)


def clustered(sums: Sequence[Sequence[float]] | Floats) -> Estimate:
    """A proportion from each cluster's (hits, n), hits in whole or in part.

    Wilson's interval for as many independent items as would vary as much as the clusters do
    (linearized variance of the ratio), as wide as Student's t; where they do not vary at all, for
    as many items as there are clusters. For more items than a bootstrap of them could hold. Raises
    ValueError for nothing.
    """
    table, k = np.asarray(sums, dtype=np.float64).reshape(-1, 2), len(sums)
    hits, n = map(float, table.sum(0))
    if n <= 0:
        raise ValueError("nothing was measured")
    p = hits / n
    if k < 2:
        return Estimate(p, None, None, round(n), TOO_FEW)
    off = float(((table[:, 0] - p * table[:, 1]) ** 2).sum())
    variance = off * k / (k - 1) / n**2
    alone = min(n, p * (1 - p) / variance) if variance > 0 else k
    low, high = _score_interval(p, max(1.0, alone), reach(k))
    return Estimate(p, low, high, round(n), "Wilson over videos")


def proportion(hits: Sequence[float], clusters: Sequence[Hashable]) -> Estimate:
    """A share from each item's credit (0 to 1) and its video, as `clustered`."""
    return clustered(by_cluster(clusters, hits, [1.0] * len(hits)))


def reach(k: int) -> float:
    """How many standard errors an interval over k clusters reaches: Student's t, which is the
    normal's to three digits where they are many."""
    return student_quantile((1 + LEVEL) / 2, k - 1) if k <= MANY else Z


def _score_interval(p: float, n: float, z: float = Z) -> tuple[float, float]:
    centre = p + z * z / (2 * n)
    spread = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = max(0.0, (centre - spread) / scale) if p > 0 else 0.0
    high = min(1.0, (centre + spread) / scale) if p < 1 else 1.0
    return low, high


def difference(first: tuple[int, int], second: tuple[int, int]) -> Estimate:
    """Difference of two independent proportions, each (hits, n), with Newcombe's hybrid score
    interval (Newcombe 1998, method 10)."""
    return apart(wilson(*first), wilson(*second))


def apart(a: Estimate, b: Estimate) -> Estimate:
    """a minus b, measured on different items and videos: Newcombe's hybrid of their intervals, so
    that each side brings its own clusters."""
    d, n = a.value - b.value, a.n + b.n
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return Estimate(d, None, None, n, a.interval if a.low is None else b.interval)
    low = d - math.hypot(a.value - a.low, b.high - b.value)
    high = d + math.hypot(a.high - a.value, b.value - b.low)
    how = "over videos" in a.interval and "over videos" in b.interval
    return Estimate(d, low, high, n, "Newcombe over videos" if how else "Newcombe")


def mean(
    values: Sequence[float], clusters: Sequence[Hashable] | None = None, *, seed: int = 0
) -> Estimate:
    """A mean; whole clusters vary where they are given.

    Raises ValueError for no values, or another number of clusters than of values.
    """
    return ratio(values, [1.0] * len(values), clusters, seed=seed)


def amounts(
    values: Sequence[float], clusters: Sequence[Hashable] | None = None, *, most: float = math.inf
) -> Estimate:
    """A mean of what cannot be less than nothing or more than `most`, which Student's t does not
    know. Raises ValueError as `mean`."""
    estimate = mean(values, clusters)
    if estimate.low is None or estimate.high is None:
        return estimate
    return replace(estimate, low=max(0.0, estimate.low), high=min(most, estimate.high))


def ratio(
    over: Sequence[float],
    under: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
) -> Estimate:
    """sum(over) / sum(under) of paired values. Student's t with the linearized variance below FEW
    clusters (values, where none are given), else a percentile bootstrap of them.

    Raises ValueError for no values, unequal lengths, or `under` that sums to zero.
    """
    sums = by_cluster(clusters, over, under)
    if sums[:, 1].sum() == 0:
        raise ValueError("a ratio needs something to divide by")
    value = float(sums[:, 0].sum() / sums[:, 1].sum())
    influence = (sums[:, 0] - value * sums[:, 1]) / sums[:, 1].sum()
    if (none := without_interval(value, influence, len(over), clusters)) is not None:
        return none
    if len(sums) < FEW:
        return student_interval(value, influence, len(over), clusters)
    drawn = _drawn(sums, seed)
    kept = drawn[:, 1] != 0  # a resample of nothing but zeros has no ratio
    low, high = bounds(drawn[kept, 0] / drawn[kept, 1])
    return Estimate(value, low, high, len(over), how("bootstrap", clusters))


def macro(
    values: Sequence[float],
    tasks: Sequence[str],
    clusters: Sequence[Hashable],
    *,
    seed: int = 0,
) -> Estimate:
    """The mean of the tasks' means, each task counting the same.

    Below FEW videos Student's t over videos, else a bootstrap: whole videos are drawn and the means
    taken within tasks. Drawing each task's videos by itself would take the questions of a video for
    independent (it held the truth 85 times in 100). There is no interval while a task has fewer
    than two videos. Raises ValueError as `mean`, and for unequal lengths.
    """
    table, n = _by_task(values, tasks, clusters), len(values)
    sums = table.sum(1)
    means = sums[:, 0] / sums[:, 1]
    many = (table[:, :, 1] > 0).sum(1)
    if many.min() < 2:
        return Estimate(float(means.mean()), None, None, n, f"{TOO_FEW} in a task")
    # k videos show only (k - 1) / k of their variance, which counts where tasks have few
    widen = np.sqrt(many / (many - 1))[:, None]
    off = (table[:, :, 0] - means[:, None] * table[:, :, 1]) / sums[:, 1:] * widen
    influence: Floats = off.mean(0)
    value = float(means.mean())
    if (none := without_interval(value, influence, n, clusters)) is not None:
        return none
    k = len(influence)
    if k < FEW:
        return student_interval(value, influence, n, clusters)
    often = _often(k, seed)
    got, size = (often @ table[:, :, part].T for part in (0, 1))  # (RESAMPLES, tasks)
    again = np.divide(got, size, out=np.broadcast_to(means, got.shape).copy(), where=size > 0)
    low, high = bounds(value + ((again - means) * widen[:, 0]).mean(1))
    return Estimate(value, low, high, n, "bootstrap over videos, means within tasks")


def _by_task(values: Sequence[float], tasks: Sequence[str], clusters: Sequence[Hashable]) -> Floats:
    """(tasks, videos, 2): the sum and the number of a task's values in a video."""
    if not len(values) == len(tasks) == len(clusters):
        raise ValueError(f"{len(tasks)} tasks, {len(clusters)} clusters for {len(values)} values")
    if not values:
        raise ValueError("nothing was measured")
    at = [{name: k for k, name in enumerate(dict.fromkeys(group))} for group in (tasks, clusters)]
    table = np.zeros((len(at[0]), len(at[1]), 2))
    for value, task, cluster in zip(values, tasks, clusters, strict=True):
        table[at[0][task], at[1][cluster]] += (value, 1.0)
    return table


def without_interval(
    value: float, influence: Floats, n: int, clusters: Sequence[Hashable] | None
) -> Estimate | None:
    """The estimate without an interval where clusters are too few, or do not vary; else None."""
    if len(influence) < 2:
        return Estimate(value, None, None, n, TOO_FEW if clusters else "too few values")
    if np.abs(influence).max() <= 1e-12 * max(1.0, abs(value)):
        return Estimate(value, None, None, n, ALIKE)
    return None


def student_interval(
    value: float, influence: Floats, n: int, clusters: Sequence[Hashable] | None
) -> Estimate:
    """Student's t, from what each cluster moves the value by (these sum to zero)."""
    k = len(influence)
    half = reach(k) * math.sqrt(float((influence**2).sum()) * k / (k - 1))
    return Estimate(value, value - half, value + half, n, how("Student's t", clusters))


@functools.cache
def student_quantile(p: float, degrees: int) -> float:
    """Student's t below which a share p lies, 0.5 <= p < 1; degrees of freedom at least 1."""
    low, high = 0.0, 1.0
    while student(high, degrees) < p:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if student(middle, degrees) < p else (low, middle)
    return (low + high) / 2


def student(t: float, degrees: int) -> float:
    """P(T <= t) of Student's t: the finite series (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(degrees))
    cos2, odd = math.cos(angle) ** 2, degrees % 2
    term, total = 1.0, 0.0
    for k in range(2 + odd, degrees + 1, 2):
        total += term
        term *= cos2 * (k - 1) / k
    if odd:
        inner = angle + math.sin(angle) * math.cos(angle) * total if degrees > 1 else angle
        return 0.5 + inner / math.pi
    return 0.5 + math.sin(angle) * total / 2


def by_cluster(clusters: Sequence[Hashable] | None, *columns: Sequence[float]) -> Floats:
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
    """(RESAMPLES, columns): sums over clusters drawn with replacement, one fewer than there are:
    as many as there are would vary too little by that one."""
    drawn: Floats = _often(len(sums), seed) @ sums
    return drawn


def _often(k: int, seed: int) -> Floats:
    """(RESAMPLES, k): how often each of k clusters is drawn, the same for all estimates over as
    many, so that it is kept while it takes 32 MB at most."""
    return (_multinomial if k <= MANY else _multinomial.__wrapped__)(k, seed)


@functools.lru_cache(maxsize=1)
def _multinomial(k: int, seed: int) -> Floats:
    rng = np.random.default_rng(seed)  # as floats, which multiply much faster
    return rng.multinomial(k - 1, np.full(k, 1 / k), RESAMPLES).astype(np.float64)


def bounds(drawn: Floats) -> tuple[float, float]:
    """The middle 95 % of a bootstrap."""
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def how(name: str, clusters: Sequence[Hashable] | None) -> str:
    """The name of an interval, and whether whole videos vary in it."""
    return name if clusters is None else f"{name} over videos"


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
    width = next((power * k for k in (1, 2, 5) if power * k >= least * (1 - 1e-9)), power * 10)
    return max(width, 1.0) if whole else width
