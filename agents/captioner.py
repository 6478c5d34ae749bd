"""Frame -> caption (paper, section 1 step 2)."""

from collections.abc import Sequence

from PIL.Image import Image

from videoespresso.agents import wire
from videoespresso.agents.base import Agent, Turn
from videoespresso.agents.prompts import load


def caption(agent: Agent, images: Sequence[Image]) -> list[str]:
    """One caption a frame, in order; the calls run side by side.

    Raises ModelError when the model cannot be reached and BudgetExceeded at a limit; captions made
    until then are in the reply cache and are not paid again.
    """
    prompt = load("captioner")
    turns = [[Turn("user", wire.caption_parts(image))] for image in images]
    return [" ".join(reply.value.split()) for reply in agent.text_batch(prompt, turns)]
