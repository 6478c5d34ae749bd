"""Refusals for what a request holds, told apart from refusals of its form and of the caller."""

from pathlib import Path

import pytest
import tests.helpers.chat_server as fake
from PIL import Image
from tests.helpers.server_agent import GOOD, PROMPT, QUESTION, Picked, agent

from videoespresso.agents import captioner
from videoespresso.agents.base import Agent
from videoespresso.errors import ModelError
from videoespresso.memory.replies import ReplyCache
from videoespresso.models.client.errors import RefusedError

AZURE = "The response was filtered due to the prompt triggering content management policy."
OPENROUTER = "Your input was moderated {'flagged_input': 'a picture'}"
PICTURES = [Image.new("RGB", (32, 32), (40 * k, 0, 0)) for k in range(3)]


@pytest.mark.parametrize(
    "trouble",
    [
        fake.status(400, AZURE, error_code="content_filter"),
        fake.status(400, "Input data may be inappropriate", error_code="data_inspection_failed"),
        fake.status(403, OPENROUTER),
    ],
    ids=["azure", "dashscope", "openrouter"],
)
def test_a_refused_content_says_nothing_about_the_form(
    trouble: fake.Behaviour, tmp_path: Path
) -> None:
    replies = ReplyCache(tmp_path / "replies.sqlite")
    with fake.Server([trouble, fake.say(GOOD)]) as server:
        asker = agent(server, replies=replies)
        with pytest.raises(RefusedError) as caught:
            asker.typed(PROMPT, QUESTION, Picked)
        assert len(server.requests) == 1, "another form would be refused, too"
        assert not caught.value.retryable
        assert asker.typed(PROMPT, QUESTION, Picked).how == ("json_schema: ok",)


@pytest.mark.parametrize("code", [400, 401, 403, 422, 500])
def test_other_refusals_are_not_about_the_content(code: int) -> None:
    with fake.Server([fake.status(code, "no such thing")]) as server:
        with pytest.raises(ModelError) as caught:
            captioner.caption(agent(server), PICTURES, silent := [])
        assert not isinstance(caught.value, RefusedError)
        assert silent == []


def alone(server: fake.Server) -> Agent:
    """Asks one thing after the other."""
    asker = agent(server)
    asker.concurrency = 1
    return asker


@pytest.mark.parametrize(
    "trouble",
    [[fake.status(400, AZURE, error_code="content_filter")], [fake.say(""), fake.say("")]],
    ids=["refused", "empty"],
)
def test_a_frame_without_a_caption_leaves_the_others_theirs(trouble: list[fake.Behaviour]) -> None:
    with fake.Server([*trouble, fake.say("a red wall")]) as server:
        silent: list[ModelError] = []
        assert captioner.caption(alone(server), PICTURES, silent) == [
            "",
            "a red wall",
            "a red wall",
        ]
        assert len(silent) == 1
    with fake.Server([*trouble, fake.say("a red wall")]) as server, pytest.raises(ModelError):
        captioner.caption(alone(server), PICTURES)
