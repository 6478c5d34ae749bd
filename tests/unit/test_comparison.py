"""Two results on the same items, against published values and simulations."""

import numpy as np
import pytest

from videoespresso import comparison, statistics
from videoespresso.comparison import (
    area,
    area_difference,
    detectable,
    equivalence,
    holm,
    macro_paired,
    mcnemar,
    paired,
    tango,
)


@pytest.mark.parametrize(
    ("b", "c", "p"),  # statsmodels 0.15, contingency_tables.mcnemar(exact=True)
    [(0, 0, 1.0), (1, 1, 1.0), (5, 0, 0.0625), (12, 2, 0.012939453125), (31, 17, 0.05946337525)],
)
def test_mcnemar_is_the_exact_binomial(b: int, c: int, p: float) -> None:
    assert mcnemar(b, c) == pytest.approx(p, abs=1e-10)
    assert mcnemar(c, b) == mcnemar(b, c)


def test_mcnemar_stays_exact_where_floats_overflow() -> None:
    assert mcnemar(600, 600) == 1.0
    assert 0 < mcnemar(1500, 1300) < 0.001


def test_holm_gives_the_published_values() -> None:
    """statsmodels 0.15, multitest.multipletests(method="holm")."""
    ps = {"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005, "e": 0.5}
    assert holm(ps) == pytest.approx({"a": 0.04, "b": 0.09, "c": 0.09, "d": 0.025, "e": 0.5})
    assert list(holm(ps)) == list(ps)
    assert holm({}) == {}


def test_tango_gives_the_ends_where_his_score_is_z() -> None:
    """The interval's definition, with the estimate under a difference d found by search rather
    than by his formula; and without disagreement z² / (n + z²), by hand."""
    b, c, n = 12.0, 2.0, 50.0
    for end in tango(b, c, n):
        second = np.linspace(1e-6, 1 - 1e-6, 2_000_001)
        first = second + end
        fits = (first > 0) & (first + second < 1)
        second, first = second[fits], first[fits]
        likely = b * np.log(first) + c * np.log(second) + (n - b - c) * np.log(1 - first - second)
        best = int(likely.argmax())
        variance = n * (first[best] + second[best] - end**2)
        assert abs(b - c - n * end) / variance**0.5 == pytest.approx(statistics.Z, abs=1e-3)
    z2 = statistics.Z**2
    assert tango(0, 0, 28) == pytest.approx((-z2 / (28 + z2), z2 / (28 + z2)))


def test_paired_counts_discordant_items_and_is_antisymmetric() -> None:
    first = [True] * 60 + [False] * 20 + [True] * 12 + [False] * 8
    second = [True] * 60 + [False] * 20 + [False] * 12 + [True] * 8
    there, back = paired(first, second), paired(second, first)
    assert (there.first_only, there.second_only) == (12, 8)
    assert there.difference.value == pytest.approx(0.04)
    assert there.p == back.p == pytest.approx(0.5034, abs=1e-4)
    assert back.difference.value == -there.difference.value
    low, high = there.difference.low, there.difference.high
    assert low is not None
    assert high is not None
    assert low < 0 < high
    assert (back.difference.high, back.difference.low) == pytest.approx((-low, -high))


def test_pairs_that_all_agree_have_an_interval() -> None:
    found = paired([True] * 28, [True] * 28, [k // 4 for k in range(28)])
    assert found.difference.value == 0.0
    assert found.difference.high is not None
    assert found.difference.high > 0.3, "seven videos"
    assert found.detectable is None
    one = paired([True] * 28, [False] * 28, [0] * 28).difference
    assert (one.low, one.interval) == (None, "too few videos")


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
    assert found.difference.low is not None
    assert found.difference.low < -0.5


def test_unequal_lengths_are_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        paired([True], [True, False])


def test_what_a_table_can_show() -> None:
    """20 % disagreement: 3.4 points at 1,382 items, 4.0 at 1,000, 10.6 at 140."""
    assert detectable(0.2, 1) is None, "there is no larger difference than one of 100 points"
    found = [round(100 * (detectable(0.2, n) or 0), 1) for n in (1382, 1000, 140)]
    assert found == [3.4, 4.0, 10.6]


def test_a_detectable_difference_is_found_eight_times_in_ten() -> None:
    """Simulated: 400 independent pairs, 20 % disagreement, and that very difference."""
    rng, d = np.random.default_rng(3), detectable(0.2, 400)
    draws = rng.multinomial(400, [0.1 + d / 2, 0.1 - d / 2, 0.8], 4000)
    z = (draws[:, 0] - draws[:, 1]) / np.sqrt(draws[:, 0] + draws[:, 1])
    assert 0.78 <= (abs(z) > statistics.Z).mean() <= 0.83


def test_macro_pairs_count_every_task_the_same() -> None:
    first = [True] * 90 + [False] * 10
    second = [True] * 90 + [True] * 10
    tasks = ["often"] * 90 + ["seldom"] * 10
    found = macro_paired(first, second, tasks, list(range(100)))
    assert found.difference.value == -0.5
    assert found.p < 0.01
    same = macro_paired(first, first, tasks, list(range(100)))
    assert (same.difference.value, same.p) == (0.0, 1.0)


def test_equivalence_needs_items_and_not_only_a_small_difference() -> None:
    few = equivalence([True] * 20, [True] * 20, 0.05)
    many = equivalence([True] * 400, [True] * 400, 0.05)
    assert few.p > 0.05 > many.p
    worse = equivalence([False] * 40 + [True] * 360, [True] * 400, 0.05)
    assert worse.p_not_worse > 0.95
    better = equivalence([True] * 400, [False] * 40 + [True] * 360, 0.05)
    assert better.p_not_worse < 0.001
    assert better.p > 0.95, "better by more than the margin is not the same"
    with pytest.raises(ValueError, match="margin"):
        equivalence([True], [True], 0.0)


def test_areas_count_doublings() -> None:
    """By hand: from 2 to 4 half right, from 4 to 8 wholly: (0.5 + 1) / 2."""
    assert area([2, 4, 8], [0, 1, 1]) == pytest.approx(0.75)
    with pytest.raises(ValueError, match="growing"):
        area([4, 2], [0, 1])
    first, second = [[0, 1, 1]] * 10 + [[1, 1, 1]] * 10, [[0, 0, 1]] * 20
    found = area_difference([2, 4, 8], first, second, list(range(20)))
    assert found.value == pytest.approx(0.625)
    assert found.interval == "Student's t over videos"


@pytest.mark.parametrize("videos", [5, 10, 30, 100])
def test_paired_intervals_hold_the_truth(videos: int) -> None:
    """Questions of a video share its difficulty, and how much worse the second is there."""
    rng, runs, held = np.random.default_rng(11), 700, 0
    names = np.repeat(np.arange(videos), 10).tolist()
    comparison_of = comparison.paired
    for _ in range(runs):
        rates = rng.beta(7, 3, videos)[:, None]
        worse = rng.beta(9, 1, videos)[:, None]
        right = [rng.random((videos, 10)) < share for share in (rates, rates * worse)]
        first, second = (side.ravel().tolist() for side in right)
        found = comparison_of(first, second, names).difference
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.7 * 0.1 <= found.high
    assert held >= 0.93 * runs
