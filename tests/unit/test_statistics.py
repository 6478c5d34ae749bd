"""Intervals and tests against published values, and the properties that make them worth quoting."""

import random

import numpy as np
import pytest

from videoespresso import statistics
from videoespresso.statistics import difference, mcnemar, mean, paired, ratio, wilson


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [  # Newcombe 1998, "Two-sided confidence intervals for the single proportion", Table I
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0),  # the mirror of 0 of 20
    ],
)
def test_wilson_gives_the_published_intervals(hits: int, n: int, low: float, high: float) -> None:
    found = wilson(hits, n)
    assert (found.value, found.n) == (hits / n, n)
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)


@pytest.mark.parametrize(("hits", "n"), [(0, 0), (3, 2), (-1, 5)])
def test_wilson_refuses_what_is_no_proportion(hits: int, n: int) -> None:
    with pytest.raises(ValueError, match="no proportion"):
        wilson(hits, n)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [  # Newcombe 1998, "Interval estimation for the difference", Table II, method 10
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_newcombe_gives_the_published_intervals(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    found = difference(first, second)
    assert found.value == pytest.approx(first[0] / first[1] - second[0] / second[1])
    assert found.low == pytest.approx(low, abs=1e-4)
    assert found.high == pytest.approx(high, abs=1e-4)


@pytest.mark.parametrize(
    ("b", "c", "p"),
    [(0, 0, 1.0), (1, 1, 1.0), (5, 0, 0.0625), (0, 5, 0.0625), (12, 2, 0.012939453125)],
)
def test_mcnemar_is_the_exact_binomial(b: int, c: int, p: float) -> None:
    assert mcnemar(b, c) == pytest.approx(p, abs=1e-12)
    assert mcnemar(c, b) == mcnemar(b, c)


def test_mcnemar_stays_exact_where_floats_overflow() -> None:
    assert mcnemar(600, 600) == 1.0
    assert 0 < mcnemar(1500, 1300) < 0.001


def test_a_bootstrapped_mean_agrees_with_theory() -> None:
    values = list(np.random.default_rng(1).normal(5.0, 2.0, 400))
    found = mean(values)
    half = statistics.Z * float(np.std(values)) / 20
    assert found.value == pytest.approx(np.mean(values))
    assert found.low == pytest.approx(found.value - half, abs=0.03)
    assert found.high == pytest.approx(found.value + half, abs=0.03)
    assert mean(values) == found, "seeded"


def test_clusters_that_agree_count_once() -> None:
    """Ten copies of each video's value are no more information than one."""
    values = [float(v) for v in np.random.default_rng(2).normal(0.0, 1.0, 50)]
    copied = [v for v in values for _ in range(10)]
    videos = [k for k in range(50) for _ in range(10)]
    once, honest, naive = mean(values), mean(copied, videos), mean(copied)
    assert honest.high - honest.low == pytest.approx(once.high - once.low, rel=0.05)
    assert naive.high - naive.low < 0.5 * (honest.high - honest.low)
    assert (honest.n, honest.interval) == (500, "bootstrap over videos")


def test_clusters_may_come_in_any_order() -> None:
    rows = [(float(k % 3), k % 5) for k in range(60)]
    ordered = sorted(rows, key=lambda row: row[1])
    a = mean([v for v, _ in rows], [c for _, c in rows])
    b = mean([v for v, _ in ordered], [c for _, c in ordered])
    assert a == b


def test_a_ratio_is_of_sums_and_its_interval_holds_it() -> None:
    rng = random.Random(3)
    over = [rng.choice((2.0, 3.0)) for _ in range(200)]
    under = [rng.choice((15.0, 16.0)) for _ in range(200)]
    found = ratio(over, under)
    assert found.value == pytest.approx(sum(over) / sum(under))
    assert found.low < found.value < found.high
    assert found.high - found.low < 0.02


def test_paired_counts_discordant_items_and_is_antisymmetric() -> None:
    first = [True] * 60 + [False] * 20 + [True] * 12 + [False] * 8
    second = [True] * 60 + [False] * 20 + [False] * 12 + [True] * 8
    there, back = paired(first, second), paired(second, first)
    assert (there.first_only, there.second_only) == (12, 8)
    assert there.difference.value == pytest.approx(0.04)
    assert there.difference.low < 0 < there.difference.high
    assert there.p == back.p == pytest.approx(0.5034, abs=1e-4)
    assert back.difference.value == -there.difference.value


def test_sign_flips_of_single_items_come_near_mcnemar() -> None:
    first, second = [True] * 16 + [False] * 5, [False] * 16 + [True] * 5
    found = paired(first, second)
    assert found.p == pytest.approx(0.0266, abs=1e-4)
    assert found.p_clustered == pytest.approx(found.p, abs=0.01)


def test_items_of_one_video_are_not_taken_for_independent() -> None:
    """Sixteen items won in one single video prove nothing about other videos."""
    found = paired([True] * 16 + [True] * 16, [False] * 16 + [True] * 16, [0] * 16 + [1] * 16)
    assert found.p < 0.001
    assert found.p_clustered > 0.5
    assert found.difference.low == 0.0


def test_nothing_measured_is_an_error_and_so_are_unequal_lengths() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        mean([])
    with pytest.raises(ValueError, match="clusters for"):
        mean([1.0, 2.0], ["a"])
    with pytest.raises(ValueError, match="divide"):
        ratio([1.0], [0.0])
    with pytest.raises(ValueError, match="zip"):
        paired([True], [True, False])


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(4)
    held = sum(
        (found := wilson(int(rng.binomial(80, 0.3)), 80)).low <= 0.3 <= found.high
        for _ in range(1000)
    )
    assert 920 <= held <= 980
