"""A pair and its core captions -> wrong options (paper, Fig. 11 and 12)."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from pydantic import BaseModel

from videoespresso.agents import prompt_parts
from videoespresso.agents.base import Agent, Reply, Turn
from videoespresso.agents.prompts import load

WRONG = 3
"""Wrong options a question (paper, Fig. 11)."""
LONGEST, SHORTEST = 2.0, 0.5
"""A wrong option has between half and twice the right one's words: the paper's Fig. 12 shows the
difference centred on none."""
SPARE_WORDS = 3
"""... or differs by no more than this many words, so that short answers are not measured by it."""


_BOUNDS = {"Distractors.wrong": {"minItems": WRONG, "maxItems": 2 * WRONG}}
"""For models held to a schema: a few to spare, since some of them cannot be used."""


class Wrong(BaseModel):
    """A wrong option, and the one thing that is wrong with it."""

    text: str
    error: str = ""


class Distractors(BaseModel):
    """What the distractor replies."""

    wrong: list[Wrong]


class Judged(NamedTuple):
    """The wrong options that can be used, at most WRONG, and why the others cannot."""

    usable: list[Wrong]
    faults: list[str]


def distract(
    agent: Agent, core: Sequence[tuple[float, str]], question: str, answer: str
) -> Reply[Distractors]:
    """Wrong options from the core captions, (instant, text); asked a second time, with what was
    the matter, where the first are no use. Raises as the agent does."""
    turns = [Turn("user", prompt_parts.distract_parts(core, question, answer, WRONG))]
    reply = agent.typed(load("distractor"), turns, Distractors, _BOUNDS)
    faults = judge(reply.value, answer).faults
    if len(judge(reply.value, answer).usable) == WRONG:
        return reply
    complaint = "These cannot be used: " + "; ".join(faults or ["there are too few"])
    turns += [
        Turn("assistant", (reply.raw,)),
        Turn("user", (f"{complaint}. {prompt_parts.DISTRACT_CUE.format(count=WRONG)}",)),
    ]
    second = agent.typed(load("distractor"), turns, Distractors, _BOUNDS)
    return replace(
        second,
        usage=reply.usage + second.usage,
        cost=reply.cost + second.cost,
        how=(*reply.how, *second.how),
    )


def judge(reply: Distractors, answer: str) -> Judged:
    """Which of the options have the right one's form: distinct, no leak, about as long."""
    right, words = _plain(answer), len(answer.split())
    usable: dict[str, Wrong] = {}
    faults = []
    for wrong in reply.wrong:
        text, length = _plain(wrong.text), len(wrong.text.split())
        if not text:
            faults.append("one is empty")
        elif f" {right} " in f" {text} " or f" {text} " in f" {right} ":
            faults.append(f"{wrong.text!r} gives the right answer away")
        elif text in usable:
            faults.append(f"{wrong.text!r} is there twice")
        elif not _fits(length, words):
            faults.append(f"{wrong.text!r} has {length} words, the right one {words}")
        elif len(usable) < WRONG:
            usable[text] = wrong
    return Judged(list(usable.values()), faults)


def _fits(length: int, words: int) -> bool:
    near = abs(length - words) <= SPARE_WORDS
    return near or SHORTEST * words <= length <= LONGEST * words


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
