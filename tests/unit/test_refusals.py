"""Refusals for what a request holds, told apart from refusals of its form and of the caller."""

from pathlib import Path

import pytest
import tests.helpers.misbehaving as bad
from PIL import Image
from tests.unit.test_misbehaving_server import ASKED, GOOD, PROMPT, Picked, agent

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
        bad.status(400, AZURE, error_code="content_filter"),
        bad.status(400, "Input data may be inappropriate", error_code="data_inspection_failed"),
        bad.status(403, OPENROUTER),
    ],
    ids=["azure", "dashscope", "openrouter"],
)
def test_a_refused_content_says_nothing_about_the_form(
    trouble: bad.Behaviour, tmp_path: Path
) -> None:
    replies = ReplyCache(tmp_path / "replies.sqlite")
    with bad.Server([trouble, bad.say(GOOD)]) as server:
        asker = agent(server, replies=replies)
        with pytest.raises(RefusedError) as caught:
            asker.typed(PROMPT, ASKED, Picked)
        assert len(server.requests) == 1, "another form would be refused, too"
        assert not caught.value.retryable
        assert asker.typed(PROMPT, ASKED, Picked).how == ("json_schema: ok",)


@pytest.mark.parametrize("code", [400, 401, 403, 422, 500])
def test_other_refusals_are_not_about_the_content(code: int) -> None:
    with bad.Server([bad.status(code, "no such thing")]) as server:
        with pytest.raises(ModelError) as caught:
            captioner.caption(agent(server), PICTURES, silent := [])
        assert not isinstance(caught.value, RefusedError)
        assert silent == []


def alone(server: bad.Server) -> Agent:
    """Asks one thing after the other."""
    asker = agent(server)
    asker.concurrency = 1
    return asker


@pytest.mark.parametrize(
    "trouble",
    [[bad.status(400, AZURE, error_code="content_filter")], [bad.say(""), bad.say("")]],
    ids=["refused", "empty"],
)
def test_a_frame_without_a_caption_leaves_the_others_theirs(trouble: list[bad.Behaviour]) -> None:
    with bad.Server([*trouble, bad.say("a red wall")]) as server:
        silent: list[ModelError] = []
        assert captioner.caption(alone(server), PICTURES, silent) == [
            "",
            "a red wall",
            "a red wall",
        ]
        assert len(silent) == 1
    with bad.Server([*trouble, bad.say("a red wall")]) as server, pytest.raises(ModelError):
        captioner.caption(alone(server), PICTURES)
