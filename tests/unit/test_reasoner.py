"""Reading the reasoner's conclusion."""

import pytest

from videoespresso.agents.reasoner import Conclusion, Item, _answer_listener, choice_of, written

OPTIONS = ("the dog", "the cat", "the bird", "the fish")


@pytest.mark.parametrize(
    ("choice", "answer", "expected"),
    [
        ("B", "", 1), ("(b)", "", 1), ("C.", "", 2), ("D: the fish", "", 3), ("A", "the cat", 1),
        ("Answer: C", "", 2), ("A cat", "", None), ("A or C", "", None),
        ("Because", "the cat", 1), (None, "The bird ", 2), ("E", "", None),
        (None, "a dog", None), ("", "", None),
    ],
)  # fmt: skip
def test_choice(choice: str | None, answer: str, expected: int | None) -> None:
    assert choice_of(Conclusion(answered=True, answer=answer, choice=choice), OPTIONS) == expected


def test_without_options_there_is_no_choice() -> None:
    assert choice_of(Conclusion(answered=True, answer="A", choice="A"), ()) is None


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", ""), ("Sure: ", ""), ("{", ""), ('{"answered": tr', ""), ('{"answered": true, "a', ""),
        ('{"answered": true, "answer": "the m', "the m"), ('{"answer": "she said \\', "she said "),
        ('```json\n{"answer": "a man", "choice": "B', "a man"), ('{"answer": nul', ""), ("{[", ""),
        ('Draft: {"answer": "a man"', ""), ('Draft: ```{"answer": "a man"', ""),
        ('```\n{"answer": "a draft"}\n```\nNo:\n```json\n{"answer": "a m', "a m"),
        ('{"answer": "a ```b', "a ```b"),
    ],
)  # fmt: skip
def test_the_answer_as_far_as_it_is_written(said: str, expected: str) -> None:
    assert written(said).strip() == expected.strip()


def test_an_answer_is_told_when_it_grows_or_begins_anew() -> None:
    told: list[str] = []
    hear = _answer_listener(told.append)
    for said in ('{"ans', '{"answer": "a', '{"answer": "a", "choice": null', "", '{"answer": "b'):
        hear(said)
    assert told == ["a", "", "b"]


@pytest.mark.parametrize(
    "box", [None, "left", [1, 2, 3], ["a", "b", "c", "d"], {}, [0, 0, 1, 10**400]]
)
def test_a_box_that_is_none_costs_the_item_nothing(box: object) -> None:
    assert Item.model_validate({"name": "dog", "box": box}).box == []
