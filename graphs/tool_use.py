"""Tools on a question: what a run lends them, each perception tool once on the core frames, then
those that the reasoner calls."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image

from videoespresso.agents import caller, captioner, prompt_parts
from videoespresso.errors import BudgetExceeded, ModelError
from videoespresso.graphs import watch
from videoespresso.graphs.context import Context
from videoespresso.graphs.state import Json, budget_gap, dump, finding_lines, not_captioned
from videoespresso.models.client.errors import UnsupportedError
from videoespresso.models.client.messages import Call, Turn
from videoespresso.tools.base import Finding, Means, Sight, Tool, ToolRequest, parameters
from videoespresso.tools.registry import TOOL_TIMEOUT_S, ToolResult, run_tool
from videoespresso.types import Box, Caption, CoreFrame, Gap, Video

MOST_LOOKS = 64
"""Frames of one look of a tool; a longer stretch is looked at evenly, at a lower rate."""
MOST_SIDE = 1920
"""The longer side of the largest frames a tool gets, whatever part of them it cuts out."""
MOST_TURNS = 4
"""Turns in which tools may be called. A model that then still wants more answers without."""
MOST_CALLS = 4
"""Calls of one turn that are made; the others are refused, and the model is told so."""

UNABLE = (
    "{spec} cannot call tools, so these were not used: {names}. "
    "Choose another reasoner, e.g. --model reasoner=openai:gpt-4o."
)


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


def means_of(context: Context, video: Video) -> Means:
    """What the context lends tools that work on this video."""

    def search(
        query: str, k: int, keep: Callable[[Caption], bool] = lambda _caption: True
    ) -> Sequence[Caption]:
        key = context.memory_key(video.id)
        return [near.caption for near in context.memory.search(query, [key], k, keep)]

    def uncaptioned() -> Sequence[tuple[float, float]]:
        frames = context.store.sampling(video.id, watch.sampling_key(context)) or []
        known = {c.frame_id for c in context.memory.captions(context.memory_key(video.id))}
        return not_captioned(frames, known, video.duration_s)

    def look(start_s: float, end_s: float, fps: float, scale: float = 1.0) -> Iterator[Sight]:
        side = min(MOST_SIDE, max(video.width, video.height), round(context.plan.max_side * scale))
        return _sights(context, video, _instants(context, video, start_s, end_s, fps), side)

    def describe(images: Sequence[Image.Image]) -> Sequence[str]:
        return captioner.caption(context.agents["captioner"].closely(), images)

    def detect(image: Image.Image, names: Sequence[str] = ()) -> Sequence[Box]:
        return context.detector.detect(image, names)

    if context.detector.name == "off":
        return Means(search, uncaptioned, look, describe)
    return Means(search, uncaptioned, look, describe, detect)


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
    with context.opened(video.path) as reader:
        for picture in reader.at(times, side):
            if picture.time_s > last:
                last = picture.time_s
                context.budget.charge_frames(1)
                yield Sight(picture.time_s, Image.fromarray(picture.rgb))


def perceive(context: Context, request: ToolRequest) -> tuple[list[Json], list[Json]]:
    """Every tool that waits for no call, once; findings, and gaps where one failed."""
    findings: list[Json] = []
    gaps: list[Json] = []
    for tool in context.tools:
        if tool.needs == "call":
            continue
        result = run_tool(tool, request, timeout_s=patience(context))
        findings += findings_of(tool.name, result)
        gaps += [dump(result.gap)] if result.gap else []
    return findings, gaps


def findings_of(name: str, result: ToolResult) -> list[Json]:
    """Findings as state holds them, each with the tool's name."""
    return [{"tool": name, **dump(f)} for f in result.findings]


def patience(context: Context) -> float:
    """Seconds a tool may take: its own limit, or what is left of the run's."""
    left = context.budget.seconds_left
    return TOOL_TIMEOUT_S if left is None else min(TOOL_TIMEOUT_S, left)


@dataclass
class Called:
    """What calling tools gave: findings and gaps as state holds them, and warnings."""

    findings: list[Json] = field(default_factory=list)
    gaps: list[Json] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    stop: str = ""

    def gap(self, stage: str, reason: str) -> None:
        """Something that is not known now."""
        self.gaps.append(dump(Gap(stage=stage, reason=reason)))


def call_tools(
    context: Context,
    request: ToolRequest,
    show: Callable[[], Sequence[prompt_parts.Shown[Any]]],
    known: Sequence[Json],
) -> Called:
    """Lets the reasoner call the tools that have `parameters`, for at most `MOST_TURNS` turns.

    show: gives the core frames; where there is no tool to call, no pixels are read. known: what
    tools have found without being called. A model that fails leaves a gap, and a reached budget
    ends the run with what is known.
    """
    called = Called()
    offered = {
        caller.public(tool.name): tool for tool in context.tools if parameters(tool) is not None
    }
    waiting = [tool.name for tool in context.tools if tool.needs == "call"]
    agent = context.agents["reasoner"]
    if not offered:
        return called
    if not agent.can_call:
        if waiting:
            names = ", ".join(waiting)
            called.warnings.append(UNABLE.format(spec=agent.spec, names=names))
        return called
    try:
        _converse(context, request, show(), known, offered, called)
    except UnsupportedError:
        spec, names = agent.spec, ", ".join(tool.name for tool in offered.values())
        called.warnings.append(UNABLE.format(spec=spec, names=names))
    except ModelError as error:
        called.gap("tools", f"{error}; no more tools were called")
    except BudgetExceeded as error:
        called.gaps.append(budget_gap(error))
        called.stop = "budget"
    return called


def _converse(
    context: Context,
    request: ToolRequest,
    shown: Sequence[prompt_parts.Shown[Any]],
    known: Sequence[Json],
    offered: dict[str, Tool],
    called: Called,
) -> None:
    """The turns; what they give goes into `called` as it comes."""
    specs = [caller.offer(t.name, t.description, parameters(t) or {}) for t in offered.values()]
    turns = [caller.opening(request.question, shown, finding_lines(known))]
    before: set[str] = set()
    for _ in range(MOST_TURNS):
        wanted = caller.choose(context.agents["reasoner"], turns, specs)
        if not wanted.calls:
            return
        turns.append(Turn("assistant", (wanted.text,), calls=tuple(wanted.calls)))
        for number, call in enumerate(wanted.calls):
            if number >= MOST_CALLS:
                turns.append(_refused(call, f"at most {MOST_CALLS} calls a turn", called))
                continue
            turns.append(_made(context, request, call, offered, before, called))
    called.gap("tools", f"tools were still wanted after {MOST_TURNS} turns; no more were called")


def _made(
    context: Context,
    request: ToolRequest,
    call: Call,
    offered: dict[str, Tool],
    before: set[str],
    called: Called,
) -> Turn:
    """One call, made safely; the turn that tells the model what it gave."""
    tool = offered.get(call.name)
    if tool is None:
        return _refused(call, f"there is no tool {call.name!r:.80}", called)
    if call.fault:
        return _refused(call, call.fault, called)
    same = json.dumps([call.name, call.arguments], sort_keys=True, default=str)
    if same in before:
        return caller.replied(call.id, (), "it was called with these arguments before")
    before.add(same)
    with_arguments = replace(request, arguments=call.arguments)
    result = run_tool(tool, with_arguments, timeout_s=patience(context))
    new = [finding for finding in findings_of(tool.name, result) if finding not in called.findings]
    called.findings += new
    if result.gap is not None:
        called.gap(result.gap.stage, result.gap.reason)
    gap = "" if result.gap is None else result.gap.reason
    return caller.replied(call.id, _lines(tool, result.findings), gap)


def _refused(call: Call, why: str, called: Called) -> Turn:
    called.gap("tools", f"a call was not made: {why}")
    return caller.replied(call.id, (), why)


def _lines(tool: Tool, findings: Sequence[Finding]) -> list[tuple[str, float, str]]:
    return [(tool.name, finding.time_s, finding.text) for finding in findings]
