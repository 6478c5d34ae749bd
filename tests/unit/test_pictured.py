"""A message with pictures shows them to the model alone."""

import json

import pytest
from langchain_core.load import dumps
from langchain_core.messages import HumanMessage, messages_to_dict
from PIL import Image

from videoespresso.models.client.messages import Turn, messages


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
