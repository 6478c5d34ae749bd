"""How far ratings agree: Krippendorff's alpha (interval data), and Spearman's rank correlation."""

import math
from collections.abc import Hashable, Sequence

import numpy as np

from videoespresso import statistics
from videoespresso.statistics import Estimate, Floats

FEWEST = 4
"""Pairs below which a correlation has no interval."""


def krippendorff(
    units: Sequence[Sequence[float]], clusters: Sequence[Hashable], *, seed: int = 0
) -> Estimate | None:
    """Alpha for interval data (Krippendorff 2011): 1 is agreement, 0 what chance gives.

    units: the ratings of each item, missing ones left out; those of fewer than two do not count.
    Its interval is a bootstrap over whole clusters. None where nothing varies, so that there is no
    alpha. Raises ValueError for another number of clusters than of units.
    """
    if len(units) != len(clusters):
        raise ValueError(f"{len(clusters)} clusters for {len(units)} units")
    kept = [(list(u), c) for u, c in zip(units, clusters, strict=True) if len(u) >= 2]
    if not kept:
        return None
    columns = [
        (_apart(u), math.fsum(u), math.fsum(x * x for x in u), float(len(u))) for u, _ in kept
    ]
    sums = statistics.by_cluster([c for _, c in kept], *zip(*columns, strict=True))
    value = float(_alpha(sums.sum(0)[None])[0])
    if math.isnan(value):
        return None
    k = len(sums)
    if k < 2:
        return Estimate(value, None, None, len(kept), statistics.TOO_FEW)
    often = np.random.default_rng(seed).multinomial(k, np.full(k, 1 / k), statistics.RESAMPLES)
    drawn = _alpha(often @ sums)
    low, high = statistics.bounds(drawn[~np.isnan(drawn)])
    return Estimate(value, low, high, len(kept), "bootstrap over videos")


def _apart(ratings: Sequence[float]) -> float:
    """Sum of the squared differences of all ordered pairs of a unit, over its ratings less one."""
    n, total = len(ratings), math.fsum(ratings)
    return 2 * (n * math.fsum(x * x for x in ratings) - total * total) / (n - 1)


def _alpha(sums: Floats) -> Floats:
    """(rows,) from (rows, 4): differences within units, ratings, their squares, their number; NaN
    where all ratings are the same."""
    within, total, squares, n = sums.T
    observed = within / n
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = 2 * (n * squares - total * total) / (n * (n - 1))
        alpha: Floats = np.where(expected > 1e-12, 1 - observed / expected, np.nan)
    return alpha


def spearman(first: Sequence[float], second: Sequence[float]) -> Estimate | None:
    """The rank correlation, ties at their mean rank, with Fisher's interval (Bonett and Wright
    2000), items taken as independent; None where one of them does not vary. Raises ValueError for
    unequal lengths."""
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} values")
    a, b = _ranks(first), _ranks(second)
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    rho = float(np.corrcoef(a, b)[0, 1])
    if len(a) < FEWEST or abs(rho) >= 1 - 1e-12:
        return Estimate(rho, None, None, len(a), "too few values")
    half = statistics.Z * math.sqrt((1 + rho * rho / 2) / (len(a) - 3))
    centre = math.atanh(rho)
    low, high = math.tanh(centre - half), math.tanh(centre + half)
    return Estimate(rho, low, high, len(a), "Fisher's z")


def _ranks(values: Sequence[float]) -> Floats:
    given = np.asarray(values, dtype=np.float64)
    _, at, many = np.unique(given, return_inverse=True, return_counts=True)
    last = np.cumsum(many)
    ranks: Floats = (last - (many - 1) / 2)[at]
    return ranks
