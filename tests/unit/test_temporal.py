"""Equation 3: a paraphrase is placed at the frame whose caption is nearest."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from videoespresso.errors import ToolError
from videoespresso.models.embedders import embedder
from videoespresso.tools.temporal import locate, nearest_frame
from videoespresso.types import Caption, FrameRef

GROUP = [
    Caption(frame_id=f"v@{int(t * 1000)}", time_s=t, text=text)
    for t, text in [
        (0.0, "street: a red car drives; the light is green"),
        (3.003, "street: a red car stops; the light is red"),
        (6.006, "street: a dog crosses the road"),
        (9.009, "kitchen: a woman chops an onion"),
    ]
]


def frame(time_s: float) -> FrameRef:
    return FrameRef(
        id=f"v@{int(time_s * 1000)}", video_id="v", time_s=time_s, index=0, fps=Fraction(30),
        rule="fps=1 static", sha="0", width=2, height=2,
    )  # fmt: skip


def test_a_paraphrase_finds_its_frame() -> None:
    found = locate(
        ["The red car has come to a stop at a red light.", "An onion is being cut by a woman."],
        GROUP,
        embedder(),
    )
    assert [place.time_s for place in found if place] == [3.003, 9.009]
    assert [place.frame_id for place in found if place] == ["v@3003", "v@9009"]
    assert all(place and 0.0 < place.score <= 1.0 for place in found)


def test_a_caption_of_the_group_is_its_own_place() -> None:
    for caption in GROUP:
        (place,) = locate([caption.text], GROUP[::-1], embedder())
        assert place is not None
        assert (place.frame_id, place.time_s) == (caption.frame_id, caption.time_s)
        assert place.score == 1.0


def test_the_instant_is_a_real_frames() -> None:
    frames = [frame(0.0), frame(2.5), frame(9.009)]
    places = locate([GROUP[1].text, GROUP[3].text], GROUP, embedder(), frames)
    assert [(p.frame_id, p.time_s) for p in places if p] == [("v@2500", 2.5), ("v@9009", 9.009)]


def test_nearest_takes_the_earlier_of_two() -> None:
    assert nearest_frame(2.0, [frame(3.0), frame(1.0)]).time_s == 1.0


def test_equal_captions_go_to_the_first() -> None:
    again = [
        c.model_copy(update={"frame_id": f"{c.frame_id}b", "time_s": c.time_s + 20}) for c in GROUP
    ]
    (place,) = locate(["a dog crosses"], again + GROUP, embedder())
    assert place is not None
    assert place.time_s == 6.006


class Same:
    """To this one every text is alike."""

    name = "same"

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.ones((len(texts), 1), np.float32)


def test_blank_texts_have_no_place_and_blank_captions_are_none() -> None:
    blank = Caption(frame_id="v@1", time_s=0.5, text=" ")
    assert locate(["", "a dog"], [blank, *GROUP], embedder())[0] is None
    assert locate([" "], GROUP, embedder()) == [None]
    assert locate([], GROUP, embedder()) == []
    (place,) = locate(["anything"], [blank, *GROUP], Same())
    assert place is not None
    assert place.frame_id == "v@0"


@pytest.mark.parametrize("group", [[], [Caption(frame_id="v@1", time_s=0.5, text="")]])
def test_no_captions_no_place(group: list[Caption]) -> None:
    with pytest.raises(ToolError) as caught:
        locate(["a dog"], group, embedder())
    assert caught.value.hint


def test_a_scene_that_comes_back_is_placed_after_the_text_before() -> None:
    again = Caption(frame_id="v@12000", time_s=12.0, text=GROUP[0].text)
    texts = [GROUP[1].text, GROUP[0].text]
    plain = locate(texts, [*GROUP, again], embedder())
    ordered = locate(texts, [*GROUP, again], embedder(), in_order=True)
    assert [place.time_s for place in plain if place] == [3.003, 0.0]
    assert [place.time_s for place in ordered if place] == [3.003, 12.0]


def test_in_order_a_text_without_a_later_equal_keeps_its_place() -> None:
    found = locate([GROUP[2].text, GROUP[0].text], GROUP, embedder(), in_order=True)
    assert [place.time_s for place in found if place] == [6.006, 0.0]
