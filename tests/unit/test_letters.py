"""The strict reader of letters: a suite of replies, and what the authors' rule makes of them."""

import re

import pytest
from tests.helpers.letter_replies import BOOLEAN, MANY, MORE, OPTIONS, PLAIN

from videoespresso.letters import letter_of

CASES = [
    *((reply, OPTIONS, letter) for reply, letter in PLAIN),
    *((reply, MANY, letter) for reply, letter in MORE),
    *((reply, ("Yes", "No"), letter) for reply, letter in BOOLEAN),
]


@pytest.mark.parametrize(
    ("reply", "options", "letter"), CASES, ids=[repr(c[0])[:60] for c in CASES]
)
def test_a_reply(reply: str, options: tuple[str, ...], letter: str | None) -> None:
    assert letter_of(reply, options) == letter


def test_the_suite_is_large_and_speaks_languages() -> None:
    assert len(CASES) >= 80
    assert len({reply for reply, *_ in CASES if not reply.isascii()}) >= 8
    assert sum(letter is None for *_, letter in CASES) >= 30


def test_without_options_no_letter_is_known() -> None:
    assert letter_of("B", ()) is None


def test_two_options_that_read_alike_are_told_by_their_letters_only() -> None:
    assert letter_of("he runs", ("He runs", "he runs.")) is None
    assert letter_of("(B) he runs", ("He runs", "he runs.")) == "B"


@pytest.mark.parametrize(
    "word",
    [
        "A",
        "(B) ",
        "answer: ",
        "not ",
        "<think>",
        '"answer": "',
        "\\boxed{",
        "的",
        "\n",
        "( ",
        "A, ",
    ],
)
def test_a_long_reply_takes_no_long_time(word: str) -> None:
    """No pattern may backtrack without bound: 60,000 signs are read within the suite's timeout."""
    letter_of(word * (60_000 // len(word)), OPTIONS)


def test_the_authors_rule_reads_these_wrongly() -> None:
    """Why there is a reader of our own: the first capital A to D, wherever it stands."""
    first = [re.search("[A-D]", reply) for reply, _ in PLAIN]
    wrong = [
        reply
        for (reply, letter), match in zip(PLAIN, first, strict=True)
        if (match and match[0]) != letter
    ]
    assert len(wrong) > len(PLAIN) / 4
