"""A number and the words beside it: the words win where they are clearly somewhere else."""

import pytest

from videoespresso.agents.prompt_parts import placed, share

CAPTIONS = (
    "street, sun: red car drives; dog sits",
    "street, sun: red car drives; dog crosses the road",
    "street, sun: red car stops; dog crosses the road",
)


@pytest.mark.parametrize(
    ("number", "text", "expected"),
    [
        (2, "the dog crosses the road", 1),  # right
        (3, "the dog crosses the road", 2),  # both captions say it: the number decides
        (1, "the dog crosses the road", 1),  # its caption does not: the first that does
        (1, "the red car stops", 2),
        (2, "the vase breaks", 1),  # nobody says it: the number is all there is
        (9, "the red car stops", 2),  # no such number, but the words are there
        (9, "the vase breaks", None),
        (0, "", None),
        (1, "", 0),
    ],
)
def test_placed(number: int, text: str, expected: int | None) -> None:
    assert placed(number, text, CAPTIONS) == expected


def test_share_ignores_small_words_and_case() -> None:
    assert share("The Dog", "a dog") == 1.0
    assert share("the", "the dog") == 0.0
    assert share("dog barks", "dog") == 0.5
