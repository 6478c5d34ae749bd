"""Captions + question -> core frames (paper, equations 4-6); or the frames themselves, numbered."""

from collections.abc import Sequence

from PIL.Image import Image
from pydantic import BaseModel, Field

from videoespresso.agents import prompt_parts
from videoespresso.agents.base import Agent, Turn
from videoespresso.agents.prompt_parts import placed
from videoespresso.agents.prompts import load
from videoespresso.models.client.errors import UnsupportedError
from videoespresso.models.client.messages import grid
from videoespresso.models.client.structured_output import numbers
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
    that its reason contradicts gives way to it (`prompt_parts.placed`). `limit` caps the result:
    first come, first kept.
    Raises ModelError, ModelOutputError and BudgetExceeded as the agent does.
    """
    parts = prompt_parts.select_parts(question, [(c.time_s, c.text) for c in captions], limit)
    return _kept(agent, "selector", parts, [c.text for c in captions])[:limit]


def look(
    agent: Agent, question: str, frames: Sequence[prompt_parts.Shown[Image]]
) -> list[tuple[int, str]]:
    """As `select`, from what the frames show: numbered pictures where the agent's model takes so
    many in a request (`Agent.sheet`), else all on one sheet. Captions may be blank."""
    if len(frames) <= agent.sheet:
        try:
            return _seen(agent, prompt_parts.candidate_parts(question, frames), frames)
        except UnsupportedError:
            agent.note_sheet(len(frames) // 2)
    sheet = grid([_in_cell(frame.image) for frame in frames])
    return _seen(agent, prompt_parts.candidate_parts(question, frames, sheet), frames)


CELL_SIDE = 320
"""The longer side in pixels of a frame on a sheet: eight fit into what a model reads at once."""


def _in_cell(image: Image) -> Image:
    small = image.copy()
    small.thumbnail((CELL_SIDE, CELL_SIDE))
    return small


def _seen(
    agent: Agent, parts: tuple[str | Image, ...], frames: Sequence[prompt_parts.Shown[Image]]
) -> list[tuple[int, str]]:
    return _kept(agent, "selector_sheet", parts, [frame.caption for frame in frames])


def _kept(
    agent: Agent, prompt: str, parts: tuple[str | Image, ...], texts: Sequence[str]
) -> list[tuple[int, str]]:
    bounds = {
        "Kept.frame": numbers(1, len(texts)),
        "Selection.core": {"maxItems": len(texts)},
    }
    reply = agent.typed(load(prompt), [Turn("user", parts)], Selection, bounds)
    kept: dict[int, str] = {}
    for item in reply.value.core:
        at = placed(item.frame, item.why, texts)
        if at is not None:
            kept.setdefault(at, item.why)
    return sorted(kept.items())
