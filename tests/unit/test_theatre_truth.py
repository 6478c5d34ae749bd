"""The truth of a pair in a story: told from the story alone, and not from a teacher's rules."""

import random
from collections import Counter

import pytest

from videoespresso.theatre import make_story
from videoespresso.theatre.questions import questions
from videoespresso.theatre.truth import carried, contrary, sentence_truth
from videoespresso.theatre.truth.language import read
from videoespresso.theatre.truth.planted import false_pairs, true_pairs
from videoespresso.theatre.truth.verdict import pair_truth

STORY = make_story(1_000_001)  # snow; a woman crosses, the blue car stops, the builder is surprised
RAINY = make_story(1_000_005)  # a box is dropped and given back; rain; the man in green runs away


@pytest.mark.parametrize(
    ("question", "answer", "verdict"),
    [
        ("Why does the blue car stop?", "Because the woman in green crosses the road.", "true"),
        ("Why does the blue car stop?", "Because the builder is surprised.", "false"),
        ("What happens right after the blue car stops?", "The builder is surprised.", "true"),
        ("What happens right after the blue car stops?", "The green car drives past.", "false"),
        ("What happens after the blue car stops?", "The green car drives past.", "true"),
        ("What happens before the blue car stops?", "The green car drives past.", "false"),
        ("Who crosses the road before the blue car stops?", "The woman in green.", "true"),
        ("Who crosses the road before the blue car stops?", "The builder.", "false"),
        ("How does the builder feel after the blue car stops?", "Surprised.", "true"),
        ("How does the builder feel after the blue car stops?", "He is angry.", "false"),
        (
            "In which order do the vehicles come?",
            "First the blue car, then the green car, then the white car.",
            "true",
        ),
        (
            "In which order do the vehicles come?",
            "First the white car, then the blue car.",
            "false",
        ),
        ("What happens after the red car stops?", "The builder is surprised.", "false"),
        ("What happens after the blue car stops?", "The horse crosses the road.", "false"),
        ("What happens after the blue car stops?", "Everybody rejoices.", "undecidable"),
        ("Is the driver in a hurry?", "Yes.", "undecidable"),
        ("How does the weather change?", "From snow to rain.", "false"),
    ],
)
def test_pairs_about_a_street(question: str, answer: str, verdict: str) -> None:
    assert pair_truth(STORY, question, answer).verdict == verdict


LEADS, LINKS = (
    "What does it directly lead to that it starts to rain?",
    "Which object links what the man in purple does with what the man in blue does?",
)


@pytest.mark.parametrize(
    ("question", "answer", "verdict"),
    [
        ("How does the weather in the park change?", "From sun to rain.", "true"),
        ("How does the weather in the park change?", "From rain to sun.", "false"),
        (LEADS, "The man in green runs away.", "true"),
        (LEADS, "The man in green is sad.", "false"),
        (LEADS.replace("directly ", ""), "The man in green is sad.", "true"),
        (LINKS, "The box.", "true"),
        (LINKS, "The ball.", "false"),
    ],
)
def test_pairs_about_a_park(question: str, answer: str, verdict: str) -> None:
    assert pair_truth(RAINY, question, answer).verdict == verdict


def test_core_instants_show_it_or_not() -> None:
    question, answer = "What happens right after the blue car stops?", "The builder is surprised."
    stops, surprised = STORY.phases[3], STORY.phases[4]
    both = [stops.t0, surprised.t0]
    assert pair_truth(STORY, question, answer, both).shown is True
    assert pair_truth(STORY, question, answer, [STORY.phases[0].t0]).shown is False
    assert pair_truth(STORY, question, answer).shown is None


def test_forms_of_verbs_are_read() -> None:
    said, rest = read(
        "Why is the man in a blue car stopping while the dog was crossing the street?"
    )
    assert [(s.who, s.act) for s in said][-1] == ("dog", "crosses the road") or "was" in rest
    said, _ = read("Why does the woman in green give the box to the boy in red?")
    assert [(s.who, s.act) for s in said] == [("woman in green", "gives the box to the boy in red")]


def test_planted_pairs_are_what_they_say() -> None:
    """True pairs are never false, and none of the spoilt ones is true."""
    found: Counter[tuple[str, str]] = Counter()
    for seed in range(1_000_000, 1_000_060):
        story = make_story(seed)
        for pair in [*true_pairs(story), *false_pairs(story, random.Random(seed))]:
            verdict = pair_truth(story, pair.question, pair.answer).verdict
            found[pair.how, verdict] += 1
    assert found["", "true"] > 500
    assert found["", "false"] == found["", "undecidable"] == 0
    for how in ("actor", "order", "object", "mood", "cause"):
        assert found[how, "true"] == 0, how
        assert found[how, "false"] > 10 * found[how, "undecidable"]


@pytest.mark.parametrize(
    ("sentence", "verdict", "wrong"),
    [
        ("The blue car stops.", "true", ""),
        ("The blue car is stopping in the street while it is snow.", "true", ""),
        ("The woman in green can be seen.", "true", ""),
        ("The green car drives past.", "elsewhere", ""),
        ("The builder is surprised.", "elsewhere", ""),
        ("The red car stops.", "contradicted", "actor"),
        ("The builder stops.", "contradicted", "actor"),
        ("The woman in green is angry.", "contradicted", "mood"),
        ("The blue car drives past.", "contradicted", "act"),
        ("The blue car stops in the park.", "contradicted", "place"),
        ("The blue car stops in the rain.", "contradicted", "place"),
        ("The blue car stops because it is polite.", "undecidable", ""),
        ("The blue car does not stop.", "undecidable", ""),
        ("The blue car stops before the builder is surprised.", "undecidable", ""),
        ("Everybody rejoices.", "undecidable", ""),
        ("The blue car.", "undecidable", ""),
    ],
)
def test_a_sentence_at_an_instant(sentence: str, verdict: str, wrong: str) -> None:
    assert sentence_truth(STORY, sentence, STORY.phases[3].t0 + 0.1) == (verdict, wrong)


def test_captions_and_gold_evidence_are_true_and_their_contraries_are_not() -> None:
    found: Counter[str] = Counter()
    for seed in range(1_000_000, 1_000_030):
        story = make_story(seed)
        middle = [(p.t0 + p.t1) / 2 for p in story.phases]
        said = [(p.caption, t) for p, t in zip(story.phases, middle, strict=True)]
        for question in questions(story, 3):
            proof = [text for _, text in question.evidence]
            assert all(carried(text, proof) and not carried(text, ()) for text in proof)
            said += [(text, middle[phase]) for phase, text in question.evidence]
        for text, t in said:
            assert sentence_truth(story, text, t).verdict == "true", text
            other = contrary(story, text, t)
            found["with a contrary" if other else "without"] += 1
            if other:
                assert sentence_truth(story, other, t).verdict == "contradicted", other
    assert found["with a contrary"] > 5 * found["without"]


def test_a_proof_is_carried_by_what_names_somebody_as_closely() -> None:
    assert carried("the car stops", ["The red car stops.", "It rains."])
    assert not carried("the red car stops", ["The car stops."])
    assert carried("the cook can be seen", ["The cook waves."])
    assert not carried(
        "the cook is on the left when the cat sits", ["The cook waves; the cat sits"]
    )
