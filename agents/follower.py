"""A question in a conversation -> the same question standing alone, and the video it is about."""

from collections.abc import Sequence
from pathlib import PurePath

from pydantic import BaseModel

from videoespresso.agents import prompt_parts
from videoespresso.agents.base import Agent, Turn
from videoespresso.agents.follow_rules import which_video
from videoespresso.agents.prompts import load
from videoespresso.models.client.bounds import numbers
from videoespresso.types import ChatTurn

RECALLED = 8
"""Turns that are shown: what a follow-up points at came just before, and tokens cost."""


class Standalone(BaseModel):
    """`video`: a number of the list that was shown, from 1."""

    question: str
    video: int = 0


def follow(
    agent: Agent, question: str, turns: Sequence[ChatTurn], videos: Sequence[str]
) -> tuple[str, int]:
    """(the question standing alone, position of its video in `videos`). Raises as the agent does.

    A number that no video has gives way to the rule (follow_rules.py).
    """
    lines = [line for turn in turns[-RECALLED:] for line in _lines(turn, videos)]
    parts = prompt_parts.follow_parts(question, lines, [PurePath(v).name for v in videos])
    bounds = {"Standalone.video": numbers(0, len(videos))}
    reply = agent.typed(load("follower"), [Turn("user", parts)], Standalone, bounds).value
    known = 1 <= reply.video <= len(videos)
    position = reply.video - 1 if known else which_video(question, turns, videos)
    return reply.question.strip() or question, position


def _lines(turn: ChatTurn, videos: Sequence[str]) -> list[str]:
    """A turn in lines. Line breaks go: none of them may open a section of the prompt."""
    number = f" (video {videos.index(turn.video) + 1})" if turn.video in videos else ""
    lines = [f"Question{number}: {turn.question}", f"Answer: {turn.answer}"]
    lines += [f"({step.time_s:.1f} s) {step.text}" for step in turn.evidence]
    return [" ".join(line.split()) for line in lines]
