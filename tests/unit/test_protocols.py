"""Scores of replies: the letter protocol, the paper's Algorithm 1, and the authors' rule."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.helpers.released import item

from videoespresso import statistics
from videoespresso.dataset_record import DatasetItem, SourceVideo
from videoespresso.errors import UserError
from videoespresso.evaluation.protocols import (
    TAU,
    distractors,
    letter,
    official,
    official_letter,
    open_ended,
)
from videoespresso.models.embedders import embedder

RIGHT, WRONG, SILENT = "(B)", "The answer is C.", "I cannot tell."


def asked(*videos: str, **more: Any) -> list[DatasetItem]:
    """A question about each of the videos; the right letter is B of four."""
    return [
        item(k, video=SourceVideo(path=video), id=f"{k:016x}", **more)
        for k, video in enumerate(videos)
    ]


class Angles:
    """An encoder by hand: a text is a direction in degrees, so that cosines are known."""

    name = "angles"

    def __init__(self, degrees: dict[str, float]) -> None:
        self._degrees = degrees

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        at = [math.radians(self._degrees[text]) for text in texts]
        return np.array([(math.cos(a), math.sin(a)) for a in at], np.float32).reshape(-1, 2)


# ---- letter


def test_right_wrong_unparsed_and_not_measured() -> None:
    scores = letter(asked("a", "a", "b", "c", "d"), [RIGHT, WRONG, SILENT, None, RIGHT])
    assert [v.why for v in scores.verdicts] == [
        "right",
        "wrong",
        "unparsed",
        "not measured",
        "right",
    ]
    assert [v.letter for v in scores.verdicts] == ["B", "C", None, None, "B"]
    assert (scores.items, scores.measured, scores.videos) == (5, 4, 3)
    assert scores.micro is not None
    assert scores.over_all is not None
    assert (scores.micro.value, scores.micro.n) == (0.5, 4)
    assert (scores.over_all.value, scores.over_all.n) == (0.4, 5)
    assert scores.whys == {"right": 2, "wrong": 1, "unparsed": 1, "not measured": 1}
    assert scores.headline == scores.micro


@pytest.mark.parametrize(("options", "share"), [(4, Fraction(1, 4)), (2, Fraction(1, 2))])
def test_a_guess_counts_its_share(options: int, share: Fraction) -> None:
    items = asked("a", "b", options=("no", "yes", "maybe", "never")[:options])
    scores = letter(items, ["B", SILENT], unparsed="guess")
    assert scores.micro is not None
    assert scores.micro.value == float((1 + share) / 2)
    assert scores.verdicts[1].why == "unparsed"


def test_macro_counts_tasks_alike_and_folds_no_unknown_one() -> None:
    tasks: list[Any] = ["Causal Inference"] * 3 + ["Traffic Analysis", None]
    items = [
        one.model_copy(update={"task": task, "extra": {} if task else {"task": "Weather"}})
        for one, task in zip(asked("a", "b", "c", "d", "e"), tasks, strict=True)
    ]
    scores = letter(items, [RIGHT, RIGHT, RIGHT, WRONG, WRONG])
    assert scores.macro is not None
    assert scores.macro.value == 0.5
    assert scores.micro is not None
    assert scores.micro.value == 0.6
    assert [(t.task, t.n, t.accuracy.value) for t in scores.tasks] == [
        ("Causal Inference", 3, 1.0),
        ("Traffic Analysis", 1, 0.0),
    ]
    assert scores.unknown_tasks == {"Weather": 1}


def test_an_interval_takes_videos_as_what_varies() -> None:
    replies = [RIGHT, RIGHT, WRONG, WRONG] * 3
    apart = letter(asked(*"abcdefghijkl"), replies).micro
    together = letter(asked(*"aabbccddeeff"), replies).micro
    alone = letter(asked(*["a"] * 12), replies).micro
    assert apart == statistics.proportion([1, 1, 0, 0] * 3, [*range(12)])
    for estimate in (apart, together, alone):
        assert estimate is not None
        assert estimate.value == 0.5
    assert apart is not None
    assert together is not None
    assert alone is not None
    assert together.low is not None
    assert apart.low is not None
    assert together.low < apart.low
    assert (alone.low, alone.interval) == (None, "too few videos")


def test_nothing_measured_has_no_accuracy_and_counts_as_wrong() -> None:
    scores = letter(asked("a", "b"), [None, None])
    assert (scores.micro, scores.macro, scores.detectable, scores.measured) == (None,) * 3 + (0,)
    assert scores.over_all is not None
    assert scores.over_all.value == 0


def test_the_detectable_difference_shrinks_with_the_root_of_the_items() -> None:
    few, many = (letter(asked(*map(str, range(n))), [RIGHT] * n).detectable for n in (35, 140))
    assert few is not None
    assert many is not None
    assert round(100 * many, 1) == 10.6
    assert few / many == pytest.approx(2)


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"options": (), "letter": None}, "no options"),
        ({"letter": None}, "no right letter"),
        ({"options": ("(A): x", "(B): y", "(B): z", "(C): w")}, "the same letter"),
    ],
)
def test_what_has_no_letter_is_refused(more: dict[str, Any], what: str) -> None:
    with pytest.raises(UserError, match=f"1 of 3 items have .*{what}") as caught:
        letter([*asked("a", "b"), *asked("c", **more)], ["A", "B", "C"])
    assert caught.value.hint


def test_a_reply_an_item() -> None:
    with pytest.raises(UserError, match="1 replies to 2 items"):
        letter(asked("a", "b"), ["B"])


# ---- open

ANSWER = item(0).answer
OTHERS = distractors(item(0))


def near(said: float, *others: float, tau: float = TAU) -> tuple[str, float | None]:
    """(why, credit) of a reply at an angle from the reference, which is at 0."""
    one = asked("a", answer=ANSWER)
    degrees = dict(zip(OTHERS, others, strict=True)) | {ANSWER: 0.0, "said": said}
    (verdict,) = open_ended(one, ["said"], encoder=Angles(degrees), tau=tau).verdicts
    return verdict.why, verdict.credit


def test_the_distractors_are_the_other_options() -> None:
    assert OTHERS == ["it is out of fuel", "a dog runs by", "it is parked"]
    assert distractors(item(0, letter=None)) == OTHERS


def test_algorithm_1() -> None:
    far = (90.0, 120.0, 150.0)
    assert near(0, *far) == ("right", 1.0)
    assert near(36, *far) == ("right", 1.0)  # cos 36° = 0.809
    assert near(37, *far) == ("threshold", 0.0)  # cos 37° = 0.799
    assert near(37, *far, tau=0.79) == ("right", 1.0)
    assert near(30, 40, 120, 150) == ("distractor", 0.0)
    assert near(30, -20, 120, 150) == ("right", 1.0)
    assert near(60, 61, 120, 150) == ("threshold", 0.0), "the threshold is asked first"


def test_what_is_at_the_threshold_does_not_exceed_it() -> None:
    assert near(0, 90, 90, 90, tau=1.0) == ("threshold", 0.0)


def test_a_tie_with_a_distractor_is_right() -> None:
    assert near(10, 20, 90, 90) == ("right", 1.0)
    items = asked("a", options=("the same", "the same", "x", "y"), answer="the same")
    assert open_ended(items, ["the same"], encoder=embedder()).verdicts[0].credit == 1.0


def test_the_curve_falls_and_meets_the_number() -> None:
    degrees = dict.fromkeys(OTHERS, 170.0) | {f"said {k}": 9.0 * k for k in range(10)}
    items = [
        one.model_copy(update={"answer": ANSWER, "options": item(0).options})
        for one in asked(*"abcdefghij")
    ]
    scores = open_ended(
        items, [f"said {k}" for k in range(10)], encoder=Angles(degrees | {ANSWER: 0.0})
    )
    values = [point.micro.value for point in scores.curve]
    assert values == sorted(values, reverse=True)
    assert {p.tau: p.macro for p in scores.curve}[0.8] == scores.macro.value == 0.5  # type: ignore[union-attr]
    assert scores.whys == {"right": 5, "threshold": 5}
    assert scores.headline == scores.macro


def test_without_a_reply_there_is_no_similarity() -> None:
    scores = open_ended(asked("a", "b"), [None, ANSWER], encoder=embedder())
    assert scores.verdicts[0].reference is None
    assert (scores.measured, scores.whys["not measured"]) == (1, 1)
    assert open_ended(asked("a"), [None], encoder=embedder()).curve == ()


@pytest.mark.parametrize(
    ("name", "tau", "beside"),
    [("hf:BAAI/bge-m3", 0.8, True), ("hf:BAAI/bge-m3", 0.7, False), ("wordllama:l2", 0.8, False)],
)
def test_only_the_papers_encoder_and_tau_are_set_beside_it(
    name: str, tau: float, beside: bool
) -> None:
    encoder = Angles(dict.fromkeys((ANSWER, *OTHERS), 0.0))
    encoder.name = name
    scores = open_ended(asked("a", answer=ANSWER), [ANSWER], encoder=encoder, tau=tau)
    assert scores.beside_paper is beside
    assert (scores.encoder, scores.tau) == (name, tau)


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"answer": " "}, "no reference answer"),
        ({"options": ("x", "y"), "letter": "A"}, "fewer than 2 distractors"),
        ({"options": (), "letter": None}, "fewer than 2 distractors"),
    ],
)
def test_what_has_no_reference_is_refused(more: dict[str, Any], what: str) -> None:
    with pytest.raises(UserError, match=what):
        open_ended(asked("a", **more), ["x"], encoder=embedder())


@pytest.mark.parametrize("tau", [-0.1, 1.1, math.nan])
def test_a_tau_that_is_no_cosine_is_refused(tau: float) -> None:
    with pytest.raises(UserError, match="tau"):
        open_ended(asked("a"), ["x"], encoder=embedder(), tau=tau)


# ---- the authors' rule

QUIRKS = [
    ("Answer: B", "A"), ("Based on the frames, C", "B"), ("Considering it, A", "C"), ("(C)", "C"),
    ("Description: A", "D"), ("b", None), ("(b)", None), ("The correct option is C", "C"),
    ("A cat jumps.", "A"), ("E", None), ("", None), (None, None), (2, None), (["A"], None),
]  # fmt: skip
"""The examples of the description, and what is no text."""


@pytest.mark.parametrize(("said", "read"), QUIRKS)
def test_the_first_capital_anywhere(said: object, read: str | None) -> None:
    assert official_letter(said) == read


FILES: list[tuple[list[tuple[object, object]], float]] = [
    ([], 0.0),
    ([("(A)", "(A)")], 100.0),
    ([("no letters", "(A)"), ("none", "(B)")], 0.0),
    ([("a", "(A)"), ("(b)", "(B)"), ("C", "(C)")], 33.33),
    ([("Answer: B", "(B)"), ("Answer: B", "(A)")], 50.0),
    ([(None, "(A)"), ("A", "(A)"), ("A", "(A)")], 66.67),
    ([("A", None), (None, None), ("", "")], 0.0),
    ([("D" * (k % 2), "(D)") for k in range(7)], 42.86),
    ([("C", "C: he sits")] * 8 + [("B", "(C)")], 88.89),
    ([({"answer": "A"}, "(A)"), (1, "(B)"), ("B.", "(B)"), ("x", "x")], 25.0),
]


@pytest.mark.parametrize(("outputs", "accuracy"), FILES)
def test_their_accuracy_to_two_decimals(
    outputs: list[tuple[object, object]], accuracy: float
) -> None:
    found = official(outputs)
    assert (found.accuracy, found.items) == (accuracy, len(outputs))
