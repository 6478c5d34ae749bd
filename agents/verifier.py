"""Is a question-answer pair borne out by the captions (paper, step 6)?"""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, model_validator

from videoespresso.agents import prompt_parts
from videoespresso.agents.base import Agent, Reply, Turn
from videoespresso.agents.prompts import load
from videoespresso.models.client.structured_output import one_of
from videoespresso.types import Caption

CRITERIA = ("hallucination", "accuracy", "continuity", "subjective", "single frame")
"""What a pair can violate, in the words of the prompt."""
_NONE = ("", "none", "null", "n/a", "na", "no", "no violation", "not applicable", "accepted")
"""Ways to write that nothing is violated."""


class Finding(BaseModel):
    """The verdict. criterion: the one violated, one of CRITERIA, or "" when accepted."""

    reason: str = ""
    criterion: str = ""
    accepted: bool

    @model_validator(mode="before")
    @classmethod
    def _no_contradiction(cls, value: Any) -> Any:
        """A pair that violates something is not accepted, whatever stands beside it."""
        criterion = value.get("criterion") if isinstance(value, dict) else None
        if isinstance(criterion, str) and criterion.strip(" .-").casefold() not in _NONE:
            return {**value, "accepted": False}
        return value


def verify(agent: Agent, captions: Sequence[Caption], question: str, answer: str) -> Reply[Finding]:
    """The verdict on a pair. Raises as the agent does."""
    shown = [(c.time_s, c.text) for c in captions]
    parts = prompt_parts.pair_parts(shown, question, answer, prompt_parts.VERIFY_CUE)
    bounds = {"Finding.criterion": one_of([*CRITERIA, ""])}
    return agent.typed(load("verifier"), [Turn("user", parts)], Finding, bounds)
