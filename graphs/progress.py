"""What a question is doing now: said to `context.on_progress`."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from videoespresso.types import Progress

if TYPE_CHECKING:
    from videoespresso.graphs.context import Context

UNDER_WAY = {
    "probe": "opening",
    "sample": "looking at frames",
    "caption": "captioning",
    "remember": "remembering",
    "filter_": "comparing captions",
    "select": "choosing core frames",
    "ground": "looking for objects",
    "use_tools": "using tools",
    "evidence": "gathering evidence",
    "answer": "answering",
    "check": "checking",
    "look_again": "looking closer",
}
"""Node -> what it is doing."""


def begin(context: "Context", node: str) -> None:
    """A node begins."""
    if context.on_progress is not None and node in UNDER_WAY:
        context.on_progress(Progress(node.rstrip("_"), UNDER_WAY[node]))


def counting(context: "Context", node: str, total: int | None = None) -> Callable[[], None]:
    """To be called as each of `total` parts is done; the time left is that at the rate so far."""
    listen = context.on_progress
    if listen is None:
        return lambda: None
    begun, done = time.monotonic(), 0

    def one() -> None:
        nonlocal done
        done += 1
        left = None
        if total is not None:
            left = (time.monotonic() - begun) / done * (total - done)
        listen(Progress(node, UNDER_WAY[node], done, total, left))

    return one
