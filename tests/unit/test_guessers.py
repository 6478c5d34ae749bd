"""Guessers who see no video find the leaks that were put in, and nothing where there is none."""

import math
import random
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from tests.helpers.records import item, video

from videoespresso.dataset.inspect.blind_baselines import BAYES, LETTER, Guess, credits, guesses
from videoespresso.dataset_record import DatasetItem
from videoespresso.statistics import clustered, wilson

ALIKE = "the option most like the others"


def asked(k: int, options: Sequence[str], right: int, film: int | None = None) -> DatasetItem:
    told = {"options": tuple(options), "letter": "ABCD"[right], "answer": options[right]}
    film = k // 2 if film is None else film
    return item(k, video=video(film)).model_copy(update=told | {"question": "Which?"})


def credited(items: Iterable[DatasetItem], guesser: str) -> list[float]:
    kept = list(items)
    return [credit[guesser] for _, credit in credits(lambda: kept)]


def shares(items: Iterable[DatasetItem]) -> dict[str, Guess]:
    kept = list(items)
    return {guess.guesser: guess for guess in guesses(lambda: kept)}


def test_options_that_tell_nothing() -> None:
    fair = [asked(k, ("a x", "b x", "c x", "d x"), k % 4) for k in range(8)]
    assert set(credited(fair, ALIKE)) == {0.25}
    assert set(credited(fair, "the longest option")) == {0.25}


def test_one_change_each_shows_which_option_was_changed() -> None:
    mixed = [asked(k, ("a y", "a z", "a x", "b x"), 2) for k in range(8)]
    assert set(credited(mixed, ALIKE)) == {1.0}
    assert sum(credited(mixed, LETTER)) == 6 + 2 / 4, "nothing is known of the first video's two"


def test_words_are_learned_from_other_videos_only() -> None:
    options = ("real x", "fake x", "fake y", "fake z")
    assert set(credited((asked(k, options, 0) for k in range(8)), BAYES)) == {1.0}
    alone = credited((asked(k, options, 0, film=1) for k in range(8)), BAYES)
    assert set(alone) == {0.25}


def test_the_letter_is_learned_from_other_videos_only() -> None:
    alone = [asked(k, ("a", "b", "c", "d"), 2, film=1) for k in range(8)]
    assert set(credited(alone, LETTER)) == {0.25}
    uneven = [asked(k, ("a", "b", "c", "d"), 0 if k % 4 else 1, film=k) for k in range(200)]
    assert sum(credited(uneven, LETTER)) == pytest.approx(150, abs=3)


def test_fair_letters_are_seldom_called_unfair() -> None:
    """By chance in 2.5 of 100 sets: more than 6 of them have p < 0.02. A letter that is chosen on
    the records it is scored on seems to be better than chance in 12 of these."""
    draw, above = random.Random(5), 0
    some = [asked(k, ("a", "b", "c", "d"), 0, film=k) for k in range(60)]
    for _ in range(100):
        told = [one.model_copy(update={"letter": draw.choice("ABCD")}) for one in some]
        above += shares(told)[LETTER].low > 0.25
    assert above <= 6


def test_shares_are_of_records_with_a_letter_and_know_their_chance() -> None:
    open_ended = item(90).model_copy(update={"letter": None, "options": ()})
    found = shares([*(asked(k, ("a", "bb", "cc", "dd"), 0) for k in range(40)), open_ended])
    longest, shortest = found["the longest option"], found["the shortest option"]
    assert (longest.n, longest.value, longest.chance) == (40, 0.0, 0.25)
    assert (shortest.value, shortest.high) == (1.0, 1.0)
    assert 0.8 < shortest.low < 1, "twenty videos are not certainty"
    assert shares([open_ended]) == {} == shares([])


def test_shares_do_not_depend_on_the_order() -> None:
    rng = random.Random(3)
    some = [
        asked(k, rng.sample(("a x", "b", "c y", "d z"), 4), rng.randrange(4)) for k in range(60)
    ]
    mixed = rng.sample(some, len(some))
    for name, guess in shares(some).items():
        other = shares(mixed)[name]
        assert (other.value, other.low, other.high) == pytest.approx(
            (guess.value, guess.low, guess.high)
        )


def test_clusters_of_one_are_wilsons_interval() -> None:
    found, plain = clustered([(1.0, 1.0)] * 30 + [(0.0, 1.0)] * 70), wilson(30, 100)
    assert (found.value, found.n) == (0.3, 100)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=0.002)


def test_clusters_that_are_all_alike_inside_count_once() -> None:
    found, plain = clustered([(10.0, 10.0)] * 30 + [(0.0, 10.0)] * 70), wilson(30, 100)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=0.002)
    assert clustered([(3.0, 10.0)]).low is None, "one video says nothing of others"
    with pytest.raises(ValueError, match="nothing"):
        clustered([])


def test_the_interval_holds_the_truth_19_times_in_20() -> None:
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(400):
        rates = rng.beta(3, 7, 60)  # videos differ, and their records with them
        sums = [(float(rng.binomial(6, rate)), 6.0) for rate in rates]
        found = clustered(sums)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.3 <= found.high
    assert 0.92 <= held / 400 <= 0.98, math.sqrt(0.95 * 0.05 / 400)
