"""Pure choices: State -> the next node."""

from collections.abc import Callable
from typing import Literal

from videoespresso.graphs.state import State

MOST_ROUNDS = 2
"""Selections a question: the first, and one more look when the checker is not satisfied."""


def unless_stopped(node: str) -> Callable[[State], str]:
    """On to `node`, or to `finish` when a limit was reached."""

    def route(state: State) -> str:
        return "finish" if state.get("stop") else node

    return route


def new_or_known(state: State) -> Literal["caption", "filter", "finish"]:
    """A video whose frames all have a caption in memory is not captioned again."""
    if state.get("stop"):
        return "finish"
    captioned = {c["frame_id"] for c in state.get("captions", [])}
    return "filter" if all(f["id"] in captioned for f in state.get("frames", [])) else "caption"


def enough_or_more(state: State) -> Literal["look_again", "finish"]:
    """Once more when the evidence does not carry the answer, while rounds are left."""
    if state.get("stop") or state.get("verdict", {}).get("carried", True):
        return "finish"
    return "look_again" if state.get("round", 0) < MOST_ROUNDS else "finish"
