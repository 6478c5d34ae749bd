"""A pair and its captions -> core captions, key items, evidence (paper, step 7)."""

from collections.abc import Sequence

from pydantic import BaseModel, Field

from videoespresso.agents import prompt_parts
from videoespresso.agents.base import Agent, Reply, Turn
from videoespresso.agents.prompts import load
from videoespresso.models.client.structured_output import numbers
from videoespresso.types import Caption


class Sentence(BaseModel):
    """A sentence of evidence about one of the core captions (numbered from 1)."""

    text: str
    core: int
    items: list[str] = Field(default_factory=list)


class Annotation(BaseModel):
    """What the annotator replies. core: captions as it repeats them, in time order."""

    core: list[str]
    evidence: list[Sentence]


def annotate(
    agent: Agent, captions: Sequence[Caption], question: str, answer: str
) -> Reply[Annotation]:
    """What the answer stands on. Raises as the agent does."""
    shown = [(c.time_s, c.text) for c in captions]
    parts = prompt_parts.pair_parts(shown, question, answer, prompt_parts.ANNOTATE_CUE)
    bounds = {
        "Annotation.core": {"maxItems": len(captions)},
        "Sentence.core": numbers(1, len(captions)),
    }
    return agent.typed(load("annotator"), [Turn("user", parts)], Annotation, bounds)
