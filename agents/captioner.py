"""Frame -> caption (paper, section 1 step 2)."""

from collections.abc import Callable, Sequence

from PIL.Image import Image

from videoespresso.agents import prompt_parts
from videoespresso.agents.base import Agent, Reply, Turn
from videoespresso.agents.prompts import load
from videoespresso.errors import ModelError, ModelOutputError
from videoespresso.models.client.errors import RefusedError
from videoespresso.types import Usage


def caption(
    agent: Agent,
    images: Sequence[Image],
    silent: list[ModelError] | None = None,
    on_caption: Callable[[], None] | None = None,
) -> list[str]:
    """One caption a frame, in order; the calls run side by side.

    silent: where given, a frame that the model refuses, or of which it says nothing, gets a blank
    caption, and why is added here; without it, and for whatever is not about the frame, it raises.
    on_caption: called as each frame is done.
    Raises ModelError when the model cannot be reached and BudgetExceeded at a limit; captions made
    until then are in the reply cache and are not paid again.
    """
    prompt = load("captioner")
    turns = [[Turn("user", prompt_parts.caption_parts(image))] for image in images]

    def blank(error: ModelError) -> Reply[str]:
        if silent is None or not isinstance(error, ModelOutputError | RefusedError):
            raise error
        silent.append(error)
        return Reply("", "", Usage(), ())

    replies = agent.text_batch(prompt, turns, instead=blank, on_reply=on_caption)
    return [" ".join(reply.value.split()) for reply in replies]
