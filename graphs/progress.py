"""What a question is doing now, and what it will take: said to `context.on_progress`."""

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from videoespresso.agents.prompts import load
from videoespresso.models.client.prices import image_tokens, price, text_tokens
from videoespresso.types import FrameRef, Progress

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

CAPTION_TOKENS = 60
"""Of a caption, a selection or a verdict: two or three sentences. A guess, as are the next two."""
CORE_FRAMES = 3
"""Shown to the reasoner, twice: the paper's mean is 2.4."""
REASONED_TOKENS = 400
"""Written by a reasoner in both stages: some sentences with their items, and an answer."""


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


def to_come(context: "Context", frames: Sequence[FrameRef], new: int) -> None:
    """Says what the question will take, before the first caption: frames, calls, dollars.

    frames: all that were looked at; new: how many of them need a caption of their own. An
    estimate from sizes and prices: replies in the cache, retries and a second look are not in it.
    """
    if context.on_progress is None or not frames:
        return
    selector = context.settings.select in ("paper", "auto")
    calls = math.ceil(new / context.agents["captioner"].sheet) + 3 + selector
    usd = _usd(context, frames, new, selector=selector)
    cost = "at a price that is not known" if usd is None else f"${usd:.{3 if usd else 2}f}"
    known = "" if new else ", all known from before"
    text = f"{len(frames)} frames{known}, about {calls} calls, {cost}"
    context.on_progress(Progress("plan", text))


def _usd(
    context: "Context", frames: Sequence[FrameRef], new: int, *, selector: bool
) -> float | None:
    """Dollars; None where a model has no known price."""
    width, height = max((f.width, f.height) for f in frames)
    captions = CAPTION_TOKENS * len(frames)

    def one(role: str, images: int, text: int, written: int) -> float | None:
        agent = context.agents[role]
        per_token = price(agent.spec)
        if per_token is None:
            return None
        prompt = text_tokens([load(role).text])
        tokens = images * image_tokens(agent.spec, width, height) + text + prompt
        return per_token.usd(tokens, written)

    sheet = max(1, min(new, context.agents["captioner"].sheet))
    parts = [
        (math.ceil(new / sheet), one("captioner", sheet, 0, sheet * CAPTION_TOKENS)),
        (int(selector), one("selector", 0, captions, CAPTION_TOKENS)),
        (2, one("reasoner", CORE_FRAMES, 3 * CAPTION_TOKENS, REASONED_TOKENS // 2)),
        (1, one("checker", 0, REASONED_TOKENS, CAPTION_TOKENS)),
    ]
    costs = [None if usd is None else times * usd for times, usd in parts if times]
    return None if None in costs else sum(usd for usd in costs if usd is not None)
