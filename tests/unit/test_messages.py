"""Turns as messages: order, images, grids; pictures are shown to the model alone."""

import json

import pytest
from langchain_core.load import dumps
from langchain_core.messages import HumanMessage, messages_to_dict
from PIL import Image

from videoespresso.models.client.messages import (
    GRID_SIDE,
    Turn,
    as_one_image,
    data_uri,
    from_data_uri,
    grid,
    images_in,
    messages,
    pixel_sha,
)


@pytest.fixture
def message() -> HumanMessage:
    parts = ("before", Image.new("RGB", (64, 48), "red"), "after")
    made = messages("be brief", [Turn("user", parts)])[1]
    assert isinstance(made, HumanMessage)
    return made


def test_the_model_gets_the_picture(message: HumanMessage) -> None:
    before, picture, after = message.content
    assert (before, after) == (
        {"type": "text", "text": "before"},
        {"type": "text", "text": "after"},
    )
    assert isinstance(picture, dict)
    assert picture["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert message.model_copy().content == message.content


def test_nobody_else_does(message: HumanMessage) -> None:
    shown = [
        dumps(message),
        dumps({"messages": [[message]]}),
        json.dumps(message.model_dump(mode="json")),
        message.model_dump_json(),
        json.dumps(messages_to_dict([message])),
        repr(message),
        str(message),
        message.pretty_repr(),
    ]
    for text in shown:
        assert "base64" not in text
        assert "[image " in text
        assert "before" in text


def test_different_pictures_have_different_names() -> None:
    one, other = (
        messages("", [Turn("user", (Image.new("RGB", (8, 8), colour),))])[1]
        for colour in ("red", "blue")
    )
    assert dumps(one) != dumps(other)


def test_one_image_turns_keep_their_order_and_words() -> None:
    red, blue = Image.new("RGB", (40, 20), "red"), Image.new("RGB", (20, 40), "blue")
    turns = (
        Turn("user", ("Q", red, "one")),
        Turn("assistant", ("A",)),
        Turn("user", (blue, "two")),
    )
    gridded = as_one_image(turns)
    assert len(images_in(gridded)) == 1
    assert [turn.role for turn in gridded] == ["user", "assistant", "user"]
    assert gridded[2].parts == ("[image 2: number 2 in the grid]", "two")
    assert isinstance(gridded[0].parts[1], Image.Image)
    assert gridded[0].parts[2:] == ("[image 1: number 1 in the grid]", "one")
    assert as_one_image(turns[:1]) == turns[:1]


@pytest.mark.parametrize("count", [2, 3, 5, 16, 100])
def test_the_grid_shows_every_image_and_stays_small(count: int) -> None:
    colours = [(255 - n, n, 128) for n in range(count)]
    sheet = grid([Image.new("RGB", (640, 360), colour) for colour in colours])
    assert max(sheet.size) <= GRID_SIDE
    seen = {colour for _, colour in sheet.getcolors(1 << 24) or []}
    assert set(colours) <= seen


def test_labels_are_drawn() -> None:
    plain = Image.new("RGB", (100, 60), "red")
    seen = {colour for _, colour in grid([plain, plain]).getcolors(1 << 16) or []}
    assert (0, 0, 0) in seen


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1", "LA"])
def test_every_mode_survives_the_way_out(mode: str) -> None:
    image = Image.new("RGB", (16, 8), "white").convert(mode)
    back = from_data_uri(data_uri(image))
    assert (back.size, back.mode) == ((16, 8), "RGB")
    assert all(sum(pixel) > 720 for _, pixel in back.getcolors() or [])  # type: ignore[arg-type]


def test_transparent_is_white_and_the_sha_is_of_pixels() -> None:
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert from_data_uri(data_uri(clear)).getpixel((4, 4)) == (255, 255, 255)
    assert pixel_sha(clear) == pixel_sha(clear.copy())
    assert pixel_sha(clear) != pixel_sha(clear.convert("RGB"))
    with pytest.raises(ValueError, match="data URI"):
        from_data_uri("https://example.com/x.jpg")


def test_the_messages_keep_the_order_of_parts() -> None:
    image = Image.new("RGB", (8, 8))
    sent = messages("sys", [Turn("user", ("a", image, "b")), Turn("assistant", ("c",))])
    assert [message.type for message in sent] == ["system", "human", "ai"]
    assert [block["type"] for block in sent[1].content] == ["text", "image_url", "text"]  # type: ignore[index]
    assert sent[0].content == "sys"
    assert sent[2].content == "c"
