"""Captions + question -> core frames (paper, equations 4-6)."""

from collections.abc import Sequence

from pydantic import BaseModel, Field

from videoespresso.agents import prompt_parts
from videoespresso.agents.base import Agent, Turn
from videoespresso.agents.frame_numbers import placed
from videoespresso.agents.prompts import load
from videoespresso.models.client.bounds import numbers
from videoespresso.types import Caption


class Kept(BaseModel):
    """A frame to keep: its number in the list that was shown, from 1, and why."""

    why: str = ""
    frame: int


class Selection(BaseModel):
    """What the selector replies."""

    core: list[Kept] = Field(default_factory=list)


def select(
    agent: Agent, question: str, captions: Sequence[Caption], limit: int | None = None
) -> list[tuple[int, str]]:
    """(position in `captions`, why) of each core frame, in time order, each once.

    Numbers that no caption has are left out, unless the reason is a caption's own words; a number
    that its reason contradicts gives way to it (frame_numbers.py). `limit` caps the result: first
    come, first kept.
    Raises ModelError, ModelOutputError and BudgetExceeded as the agent does.
    """
    parts = prompt_parts.select_parts(question, [(c.time_s, c.text) for c in captions], limit)
    bounds = {
        "Kept.frame": numbers(1, len(captions)),
        "Selection.core": {"maxItems": len(captions)},
    }
    reply = agent.typed(load("selector"), [Turn("user", parts)], Selection, bounds)
    kept: dict[int, str] = {}
    texts = [c.text for c in captions]
    for item in reply.value.core:
        at = placed(item.frame, item.why, texts)
        if at is not None:
            kept.setdefault(at, item.why)
    return sorted(kept.items())[:limit]
