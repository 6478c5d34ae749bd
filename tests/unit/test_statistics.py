"""Intervals and tests against published values, and the properties that make them worth quoting."""

import random

import numpy as np
import pytest

from videoespresso import statistics
from videoespresso.statistics import (
    Estimate,
    amounts,
    apart,
    clustered,
    difference,
    macro,
    mean,
    proportion,
    ratio,
    wilson,
)


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
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


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
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


def test_a_bootstrapped_mean_agrees_with_theory() -> None:
    values = list(np.random.default_rng(1).normal(5.0, 2.0, 400))
    found = mean(values)
    half = statistics.Z * float(np.std(values)) / 20
    assert found.value == pytest.approx(np.mean(values))
    assert ends(found) == pytest.approx((found.value - half, found.value + half), abs=0.03)
    assert mean(values) == found, "seeded"


def test_clusters_that_agree_count_once() -> None:
    """Ten copies of each video's value are no more information than one."""
    values = [float(v) for v in np.random.default_rng(2).normal(0.0, 1.0, 50)]
    copied = [v for v in values for _ in range(10)]
    videos = [k for k in range(50) for _ in range(10)]
    once, honest, naive = mean(values), mean(copied, videos), mean(copied)
    assert width(honest) == pytest.approx(width(once), rel=0.05)
    assert width(naive) < 0.5 * width(honest)
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
    low, high = ends(found)
    assert low < found.value < high
    assert high - low < 0.02


def test_nothing_measured_is_an_error_and_so_are_unequal_lengths() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        mean([])
    with pytest.raises(ValueError, match="clusters for"):
        mean([1.0, 2.0], ["a"])
    with pytest.raises(ValueError, match="divide"):
        ratio([1.0], [0.0])


def test_no_interval_has_width_zero() -> None:
    """One video says nothing of others; videos that are all alike do not say how others vary."""
    one = mean([1.0, 0.0, 1.0, 1.0], ["a"] * 4)
    assert (one.value, one.low, one.high, one.interval) == (0.75, None, None, "too few videos")
    assert clustered([(3.0, 4.0)]).interval == "too few videos"
    alike = mean([16.0] * 40, list(range(40)))
    assert (alike.value, alike.low, alike.interval) == (16.0, None, "no variation")
    assert width(proportion([1.0] * 8, list("aabbccdd"))) > 0.3, "four videos"
    assert one.text(unit="%") == "75.0 % (too few videos)"
    assert wilson(3, 4).text(unit="%") == "75.0 % (30.1 to 95.4)"


@pytest.mark.parametrize(
    ("degrees", "t"),  # scipy 1.17, stats.t.ppf(0.975, degrees)
    [(1, 12.706205), (4, 2.776445), (9, 2.262157), (28, 2.048407)],
)
def test_students_t_has_the_tabled_quantiles(degrees: int, t: float) -> None:
    assert statistics.student_quantile(0.975, degrees) == pytest.approx(t, abs=1e-6)


def test_students_t_has_the_tabled_shares() -> None:
    """scipy 1.17, stats.t.cdf."""
    assert statistics.student(1.3, 5) == pytest.approx(0.8748496829, abs=1e-9)
    assert statistics.student(-2.2, 8) == pytest.approx(0.0294969540, abs=1e-9)
    assert statistics.student(0.4, 1) == pytest.approx(0.6211189416, abs=1e-9)


def test_few_videos_have_students_interval() -> None:
    """By hand: 1, 2, 3, 4, 5 have mean 3, standard error 0.7071, t of 4 degrees 2.7764."""
    found = mean([1.0, 2.0, 3.0, 4.0, 5.0], list("abcde"))
    assert ends(found) == pytest.approx((3 - 1.9632, 3 + 1.9632), abs=1e-4)
    assert found.interval == "Student's t over videos"


def test_a_drop_knows_the_clusters_of_both_sides() -> None:
    """Ten questions about each video which stand or fall together are as one."""
    hits = [1.0] * 30 + [0.0] * 10
    ones, tens = (proportion(hits * k, [*range(40)] * k) for k in (1, 10))
    drop, copied = apart(ones, ones), apart(tens, tens)
    assert width(copied) == pytest.approx(width(drop), rel=0.05)
    assert width(copied) > 2 * width(difference((300, 400), (300, 400)))
    assert apart(ones, clustered([(1.0, 2.0)])).interval == "too few videos"


def test_every_task_counts_the_same_in_a_macro_average() -> None:
    values = [1.0] * 90 + [0.0] * 10
    tasks = ["often"] * 90 + ["seldom"] * 10
    found = macro(values, tasks, list(range(100)))
    assert (found.value, mean(values).value) == (0.5, 0.9)
    few = macro([1.0, 0.0, 1.0], ["a", "a", "b"], ["x", "y", "z"])
    assert (few.low, few.interval) == (None, "too few videos in a task")


def test_one_task_is_its_mean() -> None:
    values = [float(v) for v in np.random.default_rng(5).normal(0.0, 1.0, 12)]
    one, plain = macro(values, ["a"] * 12, list(range(12))), mean(values, list(range(12)))
    assert one.value == pytest.approx(plain.value)
    assert width(one) == pytest.approx(width(plain) * (12 / 11) ** 0.5), "the correction of a task"


@pytest.mark.parametrize("videos", [5, 10, 30, 100])
def test_intervals_hold_the_truth_about_as_often_as_they_say(
    videos: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Videos that differ, ten questions each of five tasks: at least 93 times in 100; means at most
    97, where score intervals may hold it more often."""
    monkeypatch.setattr(statistics, "RESAMPLES", 400)
    rng, runs = np.random.default_rng(11), 700
    names = np.repeat(np.arange(videos), 10).tolist()
    tasks = [str(k % 5) for k in range(10 * videos)]
    held = dict.fromkeys(("mean", "macro", "share"), 0)
    for _ in range(runs):
        rates = rng.beta(7, 3, videos)[:, None]
        right = (rng.random((videos, 10)) < rates).ravel().astype(float).tolist()
        for name, found in (
            ("mean", mean(right, names)),
            ("macro", macro(right, tasks, names)),
            ("share", proportion(right, names)),
        ):
            low, high = ends(found)
            held[name] += low <= 0.7 <= high
    assert min(held.values()) >= 0.93 * runs, held
    assert max(held["mean"], held["macro"]) <= 0.97 * runs, held


def ends(found: Estimate) -> tuple[float, float]:
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


def width(found: Estimate) -> float:
    low, high = ends(found)
    return high - low


def test_an_amount_has_no_interval_beyond_what_can_be() -> None:
    values, videos = [0.0, 0.2, 0.5, 1.0], ["a", "a", "b", "c"]
    plain, bounded = mean(values, videos), amounts(values, videos, most=1.0)
    assert (plain.low or 0) < 0
    assert (plain.high or 0) > 1
    assert (bounded.value, bounded.low, bounded.high) == (plain.value, 0.0, 1.0)
