"""Which of several boxes has the colour that the name says."""

import pytest
from PIL import Image

from videoespresso.theatre.style import NAMED
from videoespresso.tools.detectors.label_check import (
    LEAST,
    ColorCheck,
    Unchecked,
    agreed,
    color_of,
    label_check,
    share_of,
)
from videoespresso.types import Box, KeyItem

WHITE_SHADE = ("white", 0.75)
"""White in the shade is grey, and is not told from it."""
SKY = (150, 190, 205)
LEFT, MIDDLE, RIGHT = (
    (0.05, 0.1, 0.25, 0.9),
    (0.4, 0.1, 0.6, 0.9),
    (0.75, 0.1, 0.95, 0.9),
)


def street(*shirts: tuple[int, int, int]) -> Image.Image:
    """Three figures whose middle third is their shirt; the rest of a box is skin, dark and sky."""
    image = Image.new("RGB", (400, 200), SKY)
    for box, shirt in zip((LEFT, MIDDLE, RIGHT), shirts, strict=False):
        x0, y0, x1, y1 = (round(v * side) for v, side in zip(box, (400, 200) * 2, strict=True))
        third = (y1 - y0) // 3
        image.paste((225, 180, 150), (x0 + 10, y0, x1 - 10, y0 + third))
        image.paste(shirt, (x0 + 10, y0 + third, x1 - 10, y0 + 2 * third))
        image.paste((60, 50, 40), (x0 + 10, y0 + 2 * third, x1 - 10, y1))
    return image


def boxes(label: str, *places: tuple[float, float, float, float]) -> list[Box]:
    return [Box(label=label, xyxy=place, score=0.9) for place in places or (LEFT, MIDDLE, RIGHT)]


@pytest.mark.parametrize(
    ("color", "light"),
    [
        (c, light)
        for c in NAMED
        if c != "black"
        for light in (0.75, 1.0)
        if (c, light) != WHITE_SHADE
    ],
)
def test_the_one_of_that_colour_stays(color: str, light: float) -> None:
    others = [c for c in NAMED if c not in (color, "black", "white")]
    for other in others:
        shades = [tuple(round(v * light) for v in NAMED[c]) for c in (other, color, other)]
        kept = ColorCheck().keep(street(*shades), boxes(f"man in {color}"))
        assert [box.xyxy for box in kept] == [MIDDLE], other


def test_two_of_that_colour_both_stay() -> None:
    image = street(NAMED["red"], NAMED["blue"], (180, 30, 35))
    assert [b.xyxy for b in ColorCheck().keep(image, boxes("red car"))] == [LEFT, RIGHT]


def test_what_cannot_be_told_is_kept() -> None:
    image = street(NAMED["red"], NAMED["blue"], NAMED["green"])
    check = ColorCheck()
    for name in ("man", "man in purple", "man in red with a blue hat", "the cook", "infrared lamp"):
        assert check.keep(image, boxes(name)) == boxes(name), name
    assert check.keep(image, boxes("man in blue", LEFT)) == boxes("man in blue", LEFT)
    assert check.keep(image, []) == []
    grey = image.convert("L")
    assert check.keep(grey, boxes("man in red")) == boxes("man in red")


def test_names_are_judged_by_themselves() -> None:
    image = street(NAMED["red"], NAMED["blue"], NAMED["green"])
    mixed = [*boxes("man in red"), *boxes("man in blue"), *boxes("dog")]
    kept = ColorCheck().keep(image, mixed)
    assert [(b.label, b.xyxy) for b in kept] == [
        ("man in red", LEFT),
        ("man in blue", MIDDLE),
        *(("dog", place) for place in (LEFT, MIDDLE, RIGHT)),
    ]


@pytest.mark.parametrize(
    ("name", "color"),
    [
        ("the Red car", "red"),
        ("gray cat", "grey"),
        ("light-blue bag", "blue"),
        ("golden retriever", "yellow"),
        ("red and white flag", None),
        ("red red wine", "red"),
        ("bored man", None),
        ("", None),
    ],
)
def test_colours_of_names(name: str, color: str | None) -> None:
    assert color_of(name) == color


@pytest.mark.parametrize(
    "place", [(0.0, 0.0, 0.001, 0.001), (0.999, 0.0, 1.0, 1.0), (0.3, 0.3, 0.3, 0.3)]
)
def test_boxes_of_hardly_a_pixel(place: tuple[float, float, float, float]) -> None:
    image = Image.new("RGB", (20, 20), NAMED["red"])
    assert share_of(image, Box(label="red car", xyxy=place, score=0.5), "red") == 1.0


def test_an_item_keeps_the_detectors_labels() -> None:
    image = street(NAMED["red"], NAMED["blue"], NAMED["green"])
    item = KeyItem(name="man in blue", boxes=tuple(boxes("person")))
    found = agreed(ColorCheck(), image, item)
    assert [(b.label, b.xyxy) for b in found.boxes] == [("person", MIDDLE)]
    assert share_of(image, found.boxes[0], "blue") > LEAST
    nothing = KeyItem(name="man in blue", boxes=())
    assert agreed(ColorCheck(), image, nothing) == nothing


def test_it_is_the_default_check() -> None:
    assert isinstance(label_check(""), ColorCheck)
    assert isinstance(label_check("colors"), ColorCheck)
    assert isinstance(label_check("off"), Unchecked)
