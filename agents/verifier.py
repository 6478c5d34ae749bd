"""Is a question-answer pair borne out by the captions (paper, step 6)?"""

from collections.abc import Sequence

from pydantic import BaseModel

from videoespresso.agents import prompt_parts
from videoespresso.agents.base import Agent, Reply, Turn
from videoespresso.agents.prompts import load
from videoespresso.types import Caption

CRITERIA = ("hallucination", "accuracy", "continuity", "subjective", "single frame")
"""What a pair can violate, in the words of the prompt."""


class Finding(BaseModel):
    """The verdict. criterion: the one violated, one of CRITERIA, or "" when accepted."""

    reason: str = ""
    criterion: str = ""
    accepted: bool


def verify(agent: Agent, captions: Sequence[Caption], question: str, answer: str) -> Reply[Finding]:
    """The verdict on a pair. Raises as the agent does."""
    shown = [(c.time_s, c.text) for c in captions]
    parts = prompt_parts.pair_parts(shown, question, answer, prompt_parts.VERIFY_CUE)
    return agent.typed(load("verifier"), [Turn("user", parts)], Finding)
