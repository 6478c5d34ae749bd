"""The paper's step 3, and the guard that keeps it from losing a change."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from videoespresso.errors import ToolError
from videoespresso.models.embedders import embedder
from videoespresso.tools.semantic_filter import (
    TAU,
    CaptionGuard,
    calibrate_tau,
    clauses,
    semantic_filter,
)
from videoespresso.types import Caption


class Angles:
    """An embedder whose text is an angle in degrees, so that every cosine is known."""

    name = "angles"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked += texts
        angles = np.radians([float(text) for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def captions(*texts: str) -> list[Caption]:
    return [Caption(frame_id=f"v@{k}000", time_s=float(k), text=t) for k, t in enumerate(texts)]


def plain(*degrees: float, tau: float) -> list[float]:
    """The instants that stay under the paper's plain rule."""
    result = semantic_filter(captions(*map(str, degrees)), Angles(), tau, guard=False)
    return [caption.time_s for caption in result.kept]


TAU_30 = 0.866  # just below cos(30 degrees): up to 30 degrees apart is the same


def test_of_a_run_of_likes_the_earliest_stays() -> None:
    assert plain(0, 5, 0, 5, 90, 95, tau=TAU_30) == [0.0, 4.0]


def test_a_slow_change_is_kept() -> None:
    """Steps of 20 degrees: each is like the one before, every second unlike the last kept."""
    assert plain(0, 20, 40, 60, 80, tau=TAU_30) == [0.0, 2.0, 4.0]


def test_it_compares_with_what_was_kept_last_not_with_everything() -> None:
    """What comes back after something else is told again: it is another event."""
    assert plain(0, 90, 0, tau=TAU_30) == [0.0, 1.0, 2.0]


def test_a_cosine_of_exactly_tau_is_dropped() -> None:
    assert plain(0, 60, tau=0.5) == [0.0]
    assert plain(0, 60, tau=0.500001) == [0.0, 1.0]


def test_every_frame_is_kept_or_dropped_with_its_reason() -> None:
    given = captions("0", "14", "90", "", "90")
    result = semantic_filter(given, Angles(), 0.95, guard=False)
    assert [c.time_s for c in result.kept] == [0.0, 2.0, 3.0]
    assert [d.frame_id for d in result.dropped] == ["v@1000", "v@4000"]
    assert {d.stage for d in result.dropped} == {"filter"}
    assert result.dropped[0].reason == "0.97 >= tau 0.95 with 0.0 s"
    assert result.dropped[1].reason == "1.00 >= tau 0.95 with 2.0 s"  # past the blank one
    assert len(result.kept) + len(result.dropped) == len(given)


def test_order_in_time_counts_not_order_of_arrival() -> None:
    given = captions("0", "5", "90")
    assert semantic_filter(given[::-1], Angles(), 0.9, guard=False) == semantic_filter(
        given, Angles(), 0.9, guard=False
    )


def test_a_static_hour_costs_one_embedding() -> None:
    embed = Angles()
    result = semantic_filter(captions(*["7"] * 3600), embed, guard=False)
    assert embed.asked == ["7"]
    assert len(result.kept) == 1
    assert len(result.dropped) == 3599


def test_nothing_in_nothing_out() -> None:
    assert semantic_filter([], Angles()).kept == ()
    assert semantic_filter(captions("", " "), Angles()).dropped == ()


@pytest.mark.parametrize("tau", [1.5, -2.0])
def test_a_tau_that_is_no_cosine_is_an_error(tau: float) -> None:
    with pytest.raises(ToolError) as caught:
        semantic_filter(captions("0"), Angles(), tau)
    assert caught.value.hint


STREET = "street, rain: red car stops; dog crosses; light is red; man in blue is sad"
DECISIVE = [
    STREET.replace("stops", "moves"),
    STREET.replace("sad", "happy"),
    STREET.replace("light is red", "light is green"),
    STREET.replace("red car", "blue car").replace("man in blue", "man in red"),
    STREET.replace("dog crosses", "dog waits"),
    STREET.replace("dog crosses; ", ""),
    STREET.replace("rain", "snow"),
    STREET.replace("man", "woman"),
]
SAME = [
    STREET,
    "street, rain: the man in blue is sad; the light is red; a dog crosses; a red car stops.",
    "Street, rain: red car stops, dog crosses, light is red and man in blue is sad",
    STREET.replace("stops", "stopped"),
]


@pytest.mark.parametrize("other", DECISIVE)
@pytest.mark.parametrize("tau", [TAU, 0.5])
def test_the_guard_keeps_a_decisive_word(other: str, tau: float) -> None:
    result = semantic_filter(captions(STREET, other), embedder(), tau)
    assert len(result.kept) == 2


def test_without_the_guard_those_words_are_lost() -> None:
    """Why it is on: the plain rule merges most of these at any usable tau."""
    lost = [
        other
        for other in DECISIVE
        if semantic_filter(captions(STREET, other), embedder(), TAU, guard=False).dropped
    ]
    assert len(lost) >= 6
    swapped = DECISIVE[3]
    assert semantic_filter(captions(STREET, swapped), embedder(), 1.0, guard=False).dropped


@pytest.mark.parametrize("other", SAME)
def test_what_says_the_same_is_dropped_with_the_guard_too(other: str) -> None:
    assert len(semantic_filter(captions(STREET, other), embedder()).kept) == 1


def test_the_guard_alone_drops_nothing() -> None:
    """It only forbids: captions of the same words still have to be at least tau alike."""
    given = captions("0", "90")

    class Yes(CaptionGuard):
        def similar(self, a: str, b: str) -> bool:
            return True

    assert len(semantic_filter(given, Angles(), guard=Yes()).kept) == 2


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("a man walks", "the man is walking", True),
        ("two dogs", "three dogs", False),
        ("a man is not smiling", "a man is smiling", False),
        ("cat on the table", "cat under the table", False),
        ("man gives the cat to the girl", "girl gives the cat to the man", False),
        ("a red car; a red car", "a red car", False),
        ("", "a car", False),
        ("a car", "", False),
        ("there is a", "the", True),
        ("at 12.5 degrees", "at 12.6 degrees", False),
        ("a husband waits", "a wife waits", False),
        ("red car; blue hat", "blue hat. Red car!", True),
    ],
)
def test_agreement_reads_the_words_both_ways(a: str, b: str, same: bool) -> None:
    guard = CaptionGuard()
    assert guard.similar(a, b) is same
    assert guard.similar(b, a) is same


def test_clauses_keep_the_order_of_content_words() -> None:
    assert clauses("Street, rain: the man's DOG runs; it isn't 2.5 m long.") == [
        ("street",),
        ("rain",),
        ("man's", "dog", "runs"),
        ("it", "isn't", "2.5", "m", "long"),
    ]


def pairs(different: Sequence[float], same: Sequence[float]) -> list[tuple[str, str, bool]]:
    """Pairs by the angle between their captions."""
    return [("0", str(d), False) for d in different] + [("0", str(s), True) for s in same]


def test_calibration_keeps_what_differs_and_then_merges_all_it_can() -> None:
    found = calibrate_tau(pairs(range(30, 130), [*range(20), 60]), Angles(), keep=1.0)
    assert np.cos(np.radians(30)) < found.tau < np.cos(np.radians(19))
    assert found.kept_different == 1.0
    assert found.dropped_same == pytest.approx(20 / 21)
    assert (found.different, found.same) == (100, 21)


def test_calibration_gives_up_the_share_it_may() -> None:
    """1 % of 100 different pairs: the likest one, at 2 degrees, may be merged; the next not."""
    found = calibrate_tau(pairs([2, *range(31, 130)], range(20)), Angles(), keep=0.99)
    assert np.cos(np.radians(31)) < found.tau < np.cos(np.radians(19))
    assert found.kept_different == pytest.approx(0.99)
    assert found.dropped_same == 1.0
    strict = calibrate_tau(pairs([2, *range(31, 130)], range(20)), Angles(), keep=1.0)
    assert strict.tau > np.cos(np.radians(2))


def test_the_calibrated_tau_does_in_the_filter_what_it_promised() -> None:
    given = pairs(range(30, 130, 3), range(0, 60, 2))
    found = calibrate_tau(given, Angles(), keep=0.9)
    merged = [
        (same, bool(semantic_filter(captions(a, b), Angles(), found.tau, guard=False).dropped))
        for a, b, same in given
    ]
    apart = [not dropped for same, dropped in merged if not same]
    together = [dropped for same, dropped in merged if same]
    assert sum(apart) / len(apart) == pytest.approx(found.kept_different)
    assert sum(together) / len(together) == pytest.approx(found.dropped_same)


def test_calibration_says_when_no_tau_will_do() -> None:
    given = [("red car; blue hat", "blue car; red hat", False), ("a dog", "a dog", True)]
    found = calibrate_tau(given, embedder())
    assert found.tau <= 1.0
    assert found.kept_different == 0.0


@pytest.mark.parametrize("given", [[], pairs([10], []), pairs([], [10])])
def test_calibration_needs_both_kinds(given: list[tuple[str, str, bool]]) -> None:
    with pytest.raises(ToolError) as caught:
        calibrate_tau(given, Angles())
    assert caught.value.hint
