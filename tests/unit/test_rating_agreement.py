"""Krippendorff's alpha and Spearman's correlation, against published and exact values."""

import math

import pytest

from videoespresso import statistics
from videoespresso.evaluation.agreement import krippendorff, spearman

PUBLISHED = ("123321412...", "1233224125.3", ".33323422510", "123324412510")
"""Krippendorff 2011, "Computing Krippendorff's alpha-reliability", D: four observers, twelve units;
a dot is missing, and here 0, too."""


def units() -> list[list[float]]:
    return [[float(x) for x in unit if x not in ".0"] for unit in zip(*PUBLISHED, strict=True)]


def test_the_published_example() -> None:
    found = krippendorff(units(), range(12))
    assert found is not None
    assert round(found.value, 3) == 0.849
    assert found.n == 11  # the last unit has one rating
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high <= 1


def test_agreement_is_one_and_noise_about_zero() -> None:
    same = krippendorff([(k, k) for k in range(1, 11)], range(10))
    assert same is not None
    assert same.value == 1.0
    noise = krippendorff([(1, 10), (10, 1), (1, 1), (10, 10)] * 25, range(100))
    assert noise is not None
    assert abs(noise.value) < 0.02
    assert noise.low is not None
    assert noise.low < -0.1


def test_where_nothing_varies_there_is_no_alpha() -> None:
    assert krippendorff([(7, 7)] * 5, range(5)) is None
    assert krippendorff([], []) is None
    assert krippendorff([(3,), ()], range(2)) is None
    one = krippendorff([(1, 2), (5, 5)], ["a", "a"])
    assert one is not None
    assert (one.low, one.interval) == (None, statistics.TOO_FEW)


def test_ranks_with_ties_by_hand() -> None:
    found = spearman([1, 2, 2, 4, 5], [3, 1, 4, 4, 9])
    # ranks 1, 2.5, 2.5, 4, 5 and 2, 1, 3.5, 3.5, 5
    a, b = [1, 2.5, 2.5, 4, 5], [2, 1, 3.5, 3.5, 5]
    top = sum((x - 3) * (y - 3) for x, y in zip(a, b, strict=True))
    bottom = math.sqrt(sum((x - 3) ** 2 for x in a) * sum((y - 3) ** 2 for y in b))
    assert found is not None
    assert found.value == pytest.approx(top / bottom)
    assert spearman([1, 1, 1], [1, 2, 3]) is None
    assert spearman([1], [2]) is None
    falling = spearman([1, 2, 3], [9, 5, 1])
    assert falling is not None
    assert falling.value == pytest.approx(-1)
    assert falling.low is None


@pytest.mark.extras
def test_the_correlation_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    a, b = [3.0, 1, 4, 1, 5, 9, 2, 6], [2.0, 7, 1, 8, 2, 8, 1, 8]
    found = spearman(a, b)
    assert found is not None
    assert found.value == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="2"):
        krippendorff([(1, 2), (3, 4)], ["a"])
    with pytest.raises(ValueError, match="2 and 1"):
        spearman([1, 2], [1])
