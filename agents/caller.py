"""The reasoner with tools: which to call next, before it writes the evidence."""

import re
from collections.abc import Sequence
from typing import Any

from PIL.Image import Image

from videoespresso.agents import prompt_parts
from videoespresso.agents.base import Agent, Called, Turn
from videoespresso.agents.prompts import load

Findings = Sequence[tuple[str, float, str]]

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]")


def opening(question: str, frames: Sequence[prompt_parts.Shown[Image]], findings: Findings) -> Turn:
    """The first turn: what is known, and the offer."""
    return Turn("user", prompt_parts.call_parts(question, frames, findings))


def offer(name: str, description: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """A tool as OpenAI writes tools, for `Agent.called`."""
    function = {"name": public(name), "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


def public(name: str) -> str:
    """A tool's name in the letters that every provider takes."""
    return _NOT_IN_A_NAME.sub("_", name)


def choose(agent: Agent, turns: Sequence[Turn], offered: Sequence[dict[str, Any]]) -> Called:
    """The calls the model wants made now; none when it has enough. Raises as the agent does."""
    return agent.called(load("caller"), turns, offered).value


def replied(call_id: str, findings: Findings, fault: str = "") -> Turn:
    """What a call gave, for the model: a line a finding, and what is not known, or that nothing
    is known by it."""
    text = prompt_parts.finding_lines(findings) or "It found nothing.\n"
    if fault:
        whole = "" if findings else "Nothing is known by this call: "
        text = (text if findings else "") + f"{whole}{prompt_parts.one_line(fault)}\n"
    return Turn("tool", (text,), answers=call_id)
