"""Every number by hand."""

import math

import pytest

from videoespresso import evidence_scores as scores
from videoespresso.evidence_scores import Chain, Placed

LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
QUARTER = (0.25, 0.0, 0.75, 1.0)  # shares a quarter with LEFT; both together cover 0.75


def test_frames_count_on_both_sides_and_each_once() -> None:
    found = scores.frames([1.0, 1.1, 9.0], [1.2, 5.0], within_s=0.25)
    assert found == pytest.approx((1 / 3, 1 / 2, 0.4)), "1.0 takes 1.2; 1.1 has none left"
    assert scores.frames([], [1.0], 1.0) == (0.0, 0.0, 0.0)
    assert scores.frames([2.0], [1.0, 3.0], 1.0) == pytest.approx((1.0, 0.5, 2 / 3))
    with pytest.raises(ValueError, match="nothing is true"):
        scores.frames([1.0], [], 1.0)


def test_later_is_as_far_as_earlier() -> None:
    """The fault of a published reward: any claim after the key frame passed."""
    assert scores.frames([9.0], [1.0], 1.0) == scores.frames([1.0], [9.0], 1.0) == (0, 0, 0)


def test_instants_inside_intervals() -> None:
    found = scores.inside([1.0, 2.0, 7.0], [(0.0, 2.0), (4.0, 5.0)])
    assert found == pytest.approx((2 / 3, 1 / 2, 4 / 7))


def test_temporal_iou_is_of_unions() -> None:
    assert scores.temporal_iou([(0.0, 4.0)], [(2.0, 6.0)]) == pytest.approx(2 / 6)
    overlapping = [(0.0, 3.0), (2.0, 4.0)]
    assert scores.union(overlapping) == [(0.0, 4.0)]
    assert scores.temporal_iou(overlapping, [(2.0, 6.0)]) == pytest.approx(2 / 6)
    assert scores.temporal_iou([(0, 1), (3, 4)], [(0, 4)]) == pytest.approx(0.5)
    assert scores.temporal_iou([], [(0, 1)]) == 0.0
    assert scores.temporal_iou([(1, 1)], [(1, 1)]) == 0.0


def test_boxes_count_only_on_the_right_frame() -> None:
    assert scores.overlap(LEFT, QUARTER) == pytest.approx(1 / 3)
    true = [Placed(1.0, LEFT)]
    assert scores.boxes([Placed(1.0, LEFT)], true, 0.5) == 1.0
    assert scores.boxes([Placed(9.0, LEFT)], true, 0.5) == 0.0
    spare = [Placed(1.0, LEFT), Placed(1.0, RIGHT)]
    assert scores.boxes(spare, true, 0.5) == 0.5, "a spare box is not free"
    assert scores.boxes([Placed(1.0, LEFT)], spare, 0.5) == 0.5, "nor is a missing one"
    both = [Placed(1.0, QUARTER), Placed(1.0, LEFT)]
    assert scores.boxes(both, spare, 0.5) == pytest.approx((1 + 1 / 3) / 2), "best pairs first"
    with pytest.raises(ValueError, match="no box"):
        scores.boxes([], [], 0.5)


def test_found_boxes_overlap_by_half() -> None:
    both, true = [Placed(1.0, QUARTER), Placed(1.0, LEFT)], [Placed(1.0, LEFT), Placed(1.0, RIGHT)]
    assert scores.boxes_found(both, true, 0.5) == (0.5, 0.5, 0.5), "a third is not enough"
    assert scores.boxes_found([Placed(1.0, LEFT)], true, 0.5).f1 == pytest.approx(2 / 3)
    assert scores.boxes_found([], true, 0.5).f1 == 0.0


def test_right_for_the_right_reason() -> None:
    there = [(1.0, 2.0)]
    assert scores.right_with_evidence(True, [1.5], there)
    assert not scores.right_with_evidence(False, [1.5], there)
    assert not scores.right_with_evidence(True, [2.5], there)
    assert not scores.right_with_evidence(True, [], there)
    box = [Placed(1.5, LEFT)]
    assert scores.right_with_evidence(True, [1.5], there, [Placed(1.4, QUARTER)], box)
    assert not scores.right_with_evidence(True, [1.5], there, [Placed(1.4, RIGHT)], box)
    assert not scores.right_with_evidence(True, [1.5], there, [], box)
    with pytest.raises(ValueError, match="no interval"):
        scores.right_with_evidence(True, [1.5], [])


@pytest.mark.parametrize(("iou", "value"), [(0.0, 0.0), (0.1, 0.2), (0.3, 0.6), (0.9, 1.0)])
def test_cg_bench_counts_the_steps(iou: float, value: float) -> None:
    assert scores.acc_at_iou(True, iou) == pytest.approx(value)
    assert scores.acc_at_iou(False, iou) == 0.0


def test_v_star_means() -> None:
    chain = Chain(0.5, 0.2, 0.0)
    assert scores.arithmetic_mean(chain) == pytest.approx(0.7 / 3)
    assert scores.logarithmic_mean(chain) == pytest.approx((math.log(2) - math.log(0.8)) / 3)
    assert scores.logarithmic_mean(Chain(1.0, 0.0, 0.0)) == pytest.approx(6 * math.log(10) / 3)


def test_selection_by_itself() -> None:
    """Scenes of 2 and 6 s; three picks in the long one, one in the short one, one outside."""
    found = scores.selection([0.5, 11, 12, 13, 50], [[(0.0, 2.0)], [(10.0, 13.0), (13.0, 16.0)]])
    assert (found.kfr, found.shr, found.bsr) == pytest.approx((0.8, 1.0, 1.0))
    assert found.bds == pytest.approx(1.0), "1 and 3, as 2 and 6"
    assert found.ukss == pytest.approx(0.8 ** (1 / 3))


def test_selection_needs_balance() -> None:
    """Two equal scenes, all four picks in one: half of the scenes, cosine 1/√2."""
    found = scores.selection([1, 2, 3, 4], [[(0.0, 5.0)], [(10.0, 15.0)]])
    assert found[:4] == pytest.approx((1.0, 0.5, 0.5, 1 / math.sqrt(2)))
    lopsided = scores.selection([1, 2, 3, 11], [[(0.0, 5.0)], [(10.0, 15.0)]])
    assert lopsided.bsr == 0.5, "an equal share of four is two"
    assert scores.selection([99.0], [[(0.0, 5.0)]]) == (0, 0, 0, 0, 0)


def test_one_question_of_nothing_does_not_sink_the_mean() -> None:
    assert scores.ukss([1.0, 0.0]) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="nothing"):
        scores.ukss([])
