"""Tools on a question: what a run lends them, and each perception tool once on the core frames."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from PIL import Image

from videoespresso.agents import captioner
from videoespresso.errors import BudgetExceeded
from videoespresso.graphs.context import Context
from videoespresso.graphs.state import Json
from videoespresso.tools.base import Means, Sight, ToolRequest
from videoespresso.tools.registry import TOOL_TIMEOUT_S, Ran, run_tool
from videoespresso.tools.video import open_video
from videoespresso.types import Box, Caption, CoreFrame, Video

MOST_LOOKS = 64
"""Frames of one look of a tool; a longer stretch is looked at evenly, at a lower rate."""
MOST_SIDE = 1920
"""The longer side of the largest frames a tool gets, whatever part of them it cuts out."""


def means_of(context: Context, video: Video) -> Means:
    """What the context lends tools that work on this video."""

    def search(
        query: str, k: int, keep: Callable[[Caption], bool] = lambda _caption: True
    ) -> Sequence[Caption]:
        key = context.memory_key(video.id)
        return [found.caption for found in context.memory.search(query, [key], k, keep)]

    def look(start_s: float, end_s: float, fps: float, scale: float = 1.0) -> Iterator[Sight]:
        side = min(MOST_SIDE, max(video.width, video.height), round(context.plan.max_side * scale))
        return _sights(context, video, _instants(context, video, start_s, end_s, fps), side)

    def describe(images: Sequence[Image.Image]) -> Sequence[str]:
        return captioner.caption(context.agents["captioner"], images)

    def detect(image: Image.Image, names: Sequence[str] = ()) -> Sequence[Box]:
        return context.detector.detect(image, names)

    if context.detector.name == "off":
        return Means(search=search, look=look, describe=describe)
    return Means(search=search, look=look, describe=describe, detect=detect)


def _instants(
    context: Context, video: Video, start_s: float, end_s: float, fps: float
) -> list[float]:
    start_s, end_s = max(0.0, start_s), min(end_s, video.duration_s)
    wanted = max(1, math.ceil((end_s - start_s) * fps - 1e-6))
    left = context.budget.frames_left
    if left == 0:
        raise BudgetExceeded("budget reached: no more frames may be looked at")
    count = min(wanted, MOST_LOOKS, wanted if left is None else left)
    return [start_s + (end_s - start_s) * k / count for k in range(count)]


def _sights(context: Context, video: Video, times: Sequence[float], side: int) -> Iterator[Sight]:
    last = -math.inf
    with open_video(video.path) as reader:
        for picture in reader.at(times, side):
            if picture.time_s > last:
                last = picture.time_s
                context.budget.charge_frames(1)
                yield Sight(picture.time_s, Image.fromarray(picture.rgb))


def tool_request(
    context: Context,
    video: Video,
    question: str,
    frames: Sequence[CoreFrame],
    span: tuple[float, float] | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> ToolRequest:
    """What the tools of this run are given."""
    return ToolRequest(
        question=question,
        video=video,
        frames=tuple(frames),
        load=context.store.image,
        span=span,
        arguments=arguments or {},
        means=means_of(context, video),
    )


def patience(context: Context) -> float:
    """Seconds a tool may take: its own limit, or what is left of the run's."""
    left = context.budget.seconds_left
    return TOOL_TIMEOUT_S if left is None else min(TOOL_TIMEOUT_S, left)


def perceive(context: Context, request: ToolRequest) -> tuple[list[Json], list[Json]]:
    """Every tool that waits for no call, once; findings, and gaps where one failed."""
    findings: list[Json] = []
    gaps: list[Json] = []
    for tool in context.tools:
        if tool.needs == "call":
            continue
        ran = run_tool(tool, request, timeout_s=patience(context))
        findings += found(tool.name, ran)
        gaps += [ran.gap.model_dump(mode="json")] if ran.gap else []
    return findings, gaps


def found(name: str, ran: Ran) -> list[Json]:
    """Findings as state holds them, each with the tool's name."""
    return [{"tool": name, **f.model_dump(mode="json")} for f in ran.findings]
