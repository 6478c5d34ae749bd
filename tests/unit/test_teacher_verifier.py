"""The teacher's verifier judges pairs that others wrote."""

import random
from collections import Counter

import pytest
from tests.helpers.teaching import of_story, teacher, told

from videoespresso.agents.verifier import verify
from videoespresso.statistics import wilson
from videoespresso.theatre import make_story
from videoespresso.theatre.truth.planted import Planted, false_pairs, true_pairs

KITCHEN = told(
    "kitchen: man in red chops the onion; girl in blue stands; pan is off",
    "kitchen: man in red fries the onion; girl in blue waves; pan is on",
    "kitchen: man in red serves the soup; girl in blue is happy; pan is on",
)


@pytest.mark.parametrize(
    ("question", "answer", "criterion"),
    [
        ("What does the man in red do after he chops the onion?", "He fries the onion.", ""),
        ("What happens right after the man in red chops the onion?", "The cat waves.", "hallu"),
        ("Who waves after the man in red chops the onion?", "The girl in green.", "hallu"),
        ("Who waves after the man in red chops the onion?", "The man in red.", "accuracy"),
        ("How does the mood of the girl in blue change after she waves?", "She is sad.", "hallu"),
        ("How does the girl in blue feel after she waves?", "She is happy.", ""),
        ("What does the girl in blue do?", "The girl in blue waves.", "single"),
        ("Is it good that the man in red fries the onion?", "Yes, it is great.", "subj"),
        (
            "In which order does the man in red prepare the food?",
            "First he serves the soup, then he chops the onion.",
            "continuity",
        ),
        ("How does the state of the pan change?", "First the pan is off, then it is on.", ""),
        ("How does the state of the pan change?", "First the pan is on, then it is off.", "cont"),
    ],
)
def test_pairs_about_a_kitchen(question: str, answer: str, criterion: str) -> None:
    verdict = verify(teacher("verifier"), KITCHEN, question, answer).value
    assert verdict.accepted == (criterion == ""), verdict
    assert verdict.criterion.startswith(criterion)
    assert verdict.reason


def test_one_caption_is_never_enough() -> None:
    seen = told("room: lamp is on; cat sits", "room: lamp is on; cat sits")
    verdict = verify(teacher("verifier"), seen, "What does the cat do?", "The cat sits.").value
    assert verdict.criterion == "single frame"


def test_planted_pairs_of_stories() -> None:
    """At least 95 of 100 planted false pairs are refused, and 97 of 100 true ones accepted."""
    counts: Counter[tuple[str, bool]] = Counter()
    for seed in range(1_000_500, 1_000_540):
        story = make_story(seed)
        captions = of_story(story)
        planted: list[Planted] = [*true_pairs(story), *false_pairs(story, random.Random(seed))]
        for pair in planted:
            verdict = verify(teacher("verifier"), captions, pair.question, pair.answer).value
            counts[pair.how, verdict.accepted] += 1
    false = {how: counts[how, True] + counts[how, False] for how, _ in counts if how}
    assert set(false) == {"actor", "order", "object", "mood", "cause", "opinion", "single frame"}
    refused = sum(counts[how, False] for how in false)
    assert wilson(refused, sum(false.values())).low > 0.95
    true = counts["", True] + counts["", False]
    assert wilson(counts["", True], true).low > 0.97


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What happens after the man in red chops the onion?", "The girl in blue takes the onion."),
        ("What happens after the man in red chops the onion?", "The cook serves the soup."),
        ("What happens after the man in red chops the onion?", "The girl in blue uses the pan."),
    ],
)
def test_words_of_questions_are_no_way_round(question: str, answer: str) -> None:
    """Words with which questions are asked ("take", "use", "cook") claim something in an answer."""
    assert not verify(teacher("verifier"), KITCHEN, question, answer).value.accepted
