"""Does the evidence carry the answer, and if not, what is missing?"""

from collections.abc import Sequence

from pydantic import BaseModel

from videoespresso.agents import prompt_parts
from videoespresso.agents.base import Agent, Turn
from videoespresso.agents.prompts import load
from videoespresso.types import EvidenceStep


class Verdict(BaseModel):
    """`missing`: what would have to be seen; empty when the answer is carried."""

    carried: bool
    missing: str = ""


def check(agent: Agent, question: str, evidence: Sequence[EvidenceStep], answer: str) -> Verdict:
    """The checker's verdict. Raises as the agent does."""
    parts = prompt_parts.check_parts(question, [(s.time_s, s.text) for s in evidence], answer)
    return agent.typed(load("checker"), [Turn("user", parts)], Verdict).value
