"""Pictures + question -> how much each would help, 0 to 9, in one call."""

import math
from collections.abc import Sequence

from PIL.Image import Image
from pydantic import BaseModel, Field

from videoespresso.agents import prompt_parts
from videoespresso.agents.base import Agent, Turn
from videoespresso.agents.prompts import load
from videoespresso.models.client.structured_output import numbers


class Scored(BaseModel):
    """A picture by its number, from 1, and its score."""

    frame: int
    score: float


class Scores(BaseModel):
    """What the scorer replies."""

    scores: list[Scored] = Field(default_factory=list)


def rate(agent: Agent, question: str, images: Sequence[Image]) -> list[float]:
    """A score for each picture, cut to 0-9; NaN for one that the reply leaves out, or that has
    none. Raises ModelError, ModelOutputError and BudgetExceeded as the agent does."""
    if not images:
        return []
    bounds = {
        "Scored.frame": numbers(1, len(images)),
        "Scores.scores": {"maxItems": len(images)},
    }
    turn = Turn("user", prompt_parts.score_parts(question, images))
    reply = agent.typed(load("scorer"), [turn], Scores, bounds).value
    scores = [math.nan] * len(images)
    for item in reply.scores:
        if 1 <= item.frame <= len(images) and math.isfinite(item.score):
            scores[item.frame - 1] = min(9.0, max(0.0, item.score))
    return scores
