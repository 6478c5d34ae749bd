"""A group of captions -> question-answer pairs (paper, step 5)."""

import re
from collections.abc import Sequence

from pydantic import BaseModel, field_validator

from videoespresso.agents import prompt_parts
from videoespresso.agents.base import Agent, Reply, Turn
from videoespresso.agents.prompts import load
from videoespresso.models.client.request import Prompt
from videoespresso.tasks import TASKS, Task, task_of
from videoespresso.types import Caption

MOST_PAIRS = 6
"""Pairs a group at most; the paper does not say how many it asked for."""
NAMES_A_FRAME = re.compile(r"\b(?:frames?|captions?|images?|pictures?)\s*(?:#|no\.?)?\s*\d+", re.I)
"""Words by which a pair betrays that it was made from a list; the released data have some, and
their authors then say that such questions suit only the multi-image form."""


class Pair(BaseModel):
    """A question and its answer. task: one of the 14, None where the label names none of them."""

    question: str
    answer: str
    task: Task | None = None

    @field_validator("task", mode="before")
    @classmethod
    def _any_spelling(cls, value: object) -> object:
        return task_of(value) if isinstance(value, str) else None


class Pairs(BaseModel):
    """What the generator replies."""

    pairs: list[Pair]


def prompt() -> Prompt:
    """The generator's prompt, filled in."""
    return load("generator", most=str(MOST_PAIRS), tasks="; ".join(TASKS))


def generate(agent: Agent, captions: Sequence[Caption]) -> Reply[Pairs]:
    """At most MOST_PAIRS pairs about a group of captions. Raises as the agent does."""
    parts = prompt_parts.generate_parts([(c.time_s, c.text) for c in captions])
    bounds = {"Pairs.pairs": {"maxItems": MOST_PAIRS}}
    return agent.typed(prompt(), [Turn("user", parts)], Pairs, bounds)
