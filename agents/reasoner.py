"""Two stages (paper, section 3.3): core frames -> evidence; evidence -> answer. Or both in one
reply, for which the pictures are sent once."""

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any, TypeVar

from langchain_core.utils.json import parse_partial_json
from PIL.Image import Image
from pydantic import BaseModel, Field, field_validator, model_validator

from videoespresso.agents import prompt_parts
from videoespresso.agents.base import Agent, Reply, Turn
from videoespresso.agents.prompt_parts import placed
from videoespresso.agents.prompts import load
from videoespresso.letters import letter_of, spelt_out
from videoespresso.models.client.structured_output import MOST_LETTERS, Bounds, numbers, one_of

C = TypeVar("C", bound=BaseModel)


class Item(BaseModel):
    """A key item; `box` is x0 y0 x1 y1 in hundredths of the frame, or empty."""

    name: str
    box: list[float] = Field(default_factory=list)

    @field_validator("box", mode="before")
    @classmethod
    def _four_or_none(cls, value: object) -> object:
        """Anything but four numbers counts as no box: an item without a box is still an item."""
        four = value if isinstance(value, list) and len(value) == 4 else []
        try:
            return four if all(isinstance(v, int | float) and isfinite(v) for v in four) else []
        except OverflowError:  # an integer of hundreds of digits
            return []


class Step(BaseModel):
    """One sentence about one of the shown frames (numbered from 1)."""

    text: str
    frame: int
    items: list[Item] = Field(default_factory=list)


class Evidence(BaseModel):
    """Stage 1."""

    steps: list[Step] = Field(default_factory=list)


def _no_answer_is_none(value: Any) -> Any:
    """Where nothing was answered there need be no answer."""
    if isinstance(value, dict) and value.get("answered") is False and not value.get("answer"):
        return {**value, "answer": ""}
    return value


class Conclusion(BaseModel):
    """Stage 2. `choice`: an option's letter."""

    answered: bool
    answer: str
    choice: str | None = None

    _blank = model_validator(mode="before")(_no_answer_is_none)


class Concluded(BaseModel):
    """Both stages in one reply; the steps come first, so that the answer follows from them."""

    steps: list[Step] = Field(default_factory=list)
    answered: bool
    answer: str
    choice: str | None = None

    _blank = model_validator(mode="before")(_no_answer_is_none)


_BOX = {"items": {"type": "integer", "minimum": 0, "maximum": 100}, "maxItems": 4}
"""For models held to a schema: hundredths of the frame, or no number."""

Findings = Sequence[tuple[str, float, str]]
"""What tools found: (tool, instant in seconds, text)."""


def evidence(
    agent: Agent,
    question: str,
    frames: Sequence[prompt_parts.Shown[Image]],
    findings: Findings = (),
) -> tuple[Evidence, str]:
    """Stage 1: the evidence, and its raw text, which stage 2 is shown word for word.

    Steps about frames that were not shown are left out. Raises as the agent does.
    """
    turn = Turn("user", prompt_parts.evidence_parts(question, frames, findings))
    bounds: Bounds = {"Step.frame": numbers(1, len(frames)), "Item.box": _BOX}
    reply = agent.typed(load("reasoner"), [turn], Evidence, bounds)
    return _shown(reply.value.steps, frames), reply.raw


def _shown(steps: Sequence[Step], frames: Sequence[prompt_parts.Shown[Image]]) -> Evidence:
    """Of the steps those about frames that were shown."""
    captions, kept = [f.caption for f in frames], []
    for step in steps:
        at = placed(step.frame, step.text, captions)
        if at is not None and step.text.strip():
            kept.append(step.model_copy(update={"frame": at + 1}))
    return Evidence(steps=kept)


def at_once(
    agent: Agent,
    question: str,
    frames: Sequence[prompt_parts.Shown[Image]],
    options: Sequence[str] = (),
    findings: Findings = (),
    words: Callable[[str], None] | None = None,
) -> tuple[Evidence, Conclusion, str]:
    """Evidence and conclusion in one reply, and its raw text; as `evidence` and `conclude`."""
    turn = Turn("user", prompt_parts.once_parts(question, options, frames, findings))
    bounds: Bounds = {
        "Step.frame": numbers(1, len(frames)),
        "Item.box": _BOX,
        **_letters(options, "Concluded"),
    }
    prompt = load("reasoner_once")
    reply = _with_words(agent, words, lambda a: a.typed(prompt, [turn], Concluded, bounds))
    both = reply.value
    conclusion = Conclusion(answered=both.answered, answer=both.answer, choice=both.choice)
    return _shown(both.steps, frames), conclusion, reply.raw


def conclude(
    agent: Agent,
    question: str,
    frames: Sequence[prompt_parts.Shown[Image]],
    evidence_text: str,
    options: Sequence[str] = (),
    findings: Findings = (),
    words: Callable[[str], None] | None = None,
) -> Conclusion:
    """Stage 2: the conversation of stage 1 goes on with the evidence and the options.

    words: called with the answer as far as it is written, while the model writes it.
    """
    turns = [
        Turn("user", prompt_parts.evidence_parts(question, frames, findings)),
        Turn("assistant", (evidence_text,)),
        Turn("user", prompt_parts.answer_parts(options)),
    ]
    prompt, bounds = load("reasoner"), _letters(options)
    return _with_words(agent, words, lambda a: a.typed(prompt, turns, Conclusion, bounds)).value


def _with_words(
    agent: Agent, words: Callable[[str], None] | None, ask: Callable[[Agent], Reply[C]]
) -> Reply[C]:
    """The reply; `words` gets the answer while it is written, and in the end as it was read."""
    if words is None:
        return ask(agent)
    listen = _answer_listener(words)
    reply = ask(agent.with_listener(listen))
    if not reply.usage.cached_calls:
        listen(reply.value.model_dump_json())
    return reply


def _answer_listener(words: Callable[[str], None]) -> Callable[[str], bool]:
    """A listener to a conclusion: `words` gets the answer in it whenever there is more of it, or it
    begins anew. It says whether there is any."""
    last = ""

    def listen(reply: str) -> bool:
        nonlocal last
        if (text := written(reply)) != last:
            last = text
            words(text)
        return bool(last)

    return listen


def written(reply: str) -> str:
    """The answer in a conclusion that is not whole yet, of fences in the last one; "" while it has
    not begun. Behind words nothing is taken for one: they may be a thought that is not marked yet.
    """
    text = reply.strip()
    if text.startswith("```"):
        text = next((part for part in reversed(text.split("```")[1::2]) if "{" in part), "")
    elif not text.startswith("{"):
        return ""
    try:
        conclusion = parse_partial_json(text[text.find("{") :])
    except ValueError:
        return ""
    answer = conclusion.get("answer") if isinstance(conclusion, dict) else None
    return answer if isinstance(answer, str) else ""


def direct(
    agent: Agent,
    question: str,
    frames: Sequence[prompt_parts.Shown[Image]],
    options: Sequence[str] = (),
) -> Conclusion:
    """One stage, no evidence: what the evaluation compares with."""
    turn = Turn("user", prompt_parts.direct_parts(question, options, frames))
    return agent.typed(load("reasoner"), [turn], Conclusion, _letters(options)).value


def _letters(options: Sequence[str], kind: str = "Conclusion") -> Bounds:
    """A choice is the letter of an option, or null."""
    longest = max((len(option) for option in options), default=0)
    return {
        f"{kind}.choice": one_of([*prompt_parts.LETTERS[: len(options)], None]),
        f"{kind}.answer": {"maxLength": max(MOST_LETTERS, longest)},
    }


def choice_of(conclusion: Conclusion, options: Sequence[str]) -> int | None:
    """0-based option of a conclusion: the one it spells out, else its letter; None if neither fits.

    `choice` is read as strictly as the evaluation reads replies (letters.py).
    """
    letter = spelt_out(conclusion.answer, options) or letter_of(conclusion.choice or "", options)
    return None if letter is None else prompt_parts.LETTERS.index(letter)
