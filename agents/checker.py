"""Does the evidence carry the answer, and if not, what is missing?"""

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel

from videoespresso.agents import prompt_parts
from videoespresso.agents.base import Agent, Turn
from videoespresso.agents.prompts import load
from videoespresso.types import EvidenceStep

_NOTHING = re.compile(  # what models write where nothing is missing
    r"(?i)\A\W*(none|nothing|nil|null|n/?a|no|nichts|rien|nada|niente|нет|无|没有|なし|없음|)"
    r"( (is|else|more|further|needed|missing|required|at|all|additional|evidence))*\W*\Z"
)


class Verdict(BaseModel):
    """`missing`: what would have to be seen; empty when the answer is carried."""

    # a reply that says both confirms nothing, and is no cause to look again
    carried: bool
    missing: Annotated[str, AfterValidator(lambda text: _NOTHING.sub("", text))] = ""


def check(agent: Agent, question: str, evidence: Sequence[EvidenceStep], answer: str) -> Verdict:
    """The checker's verdict. Raises as the agent does."""
    parts = prompt_parts.check_parts(question, [(s.time_s, s.text) for s in evidence], answer)
    return agent.typed(load("checker"), [Turn("user", parts)], Verdict).value
