"""State read back as records, and records as state holds them."""

from collections.abc import Container, Sequence
from typing import Any

from PIL import Image

from videoespresso.agents import prompt_parts
from videoespresso.errors import BudgetExceeded
from videoespresso.graphs.context import Context
from videoespresso.graphs.state import Json, State
from videoespresso.models.profiles import look_side
from videoespresso.types import Box, Caption, CoreFrame, FrameRef, Gap


def dump(record: Any) -> Json:
    """A record as state holds it."""
    return record.model_dump(mode="json")  # type: ignore[no-any-return]


def frames_of(state: State) -> list[FrameRef]:
    """All frames that were sampled."""
    return [FrameRef.model_validate(f) for f in state.get("frames", [])]


def candidates_of(state: State) -> list[FrameRef]:
    """The frames to be captioned: the candidates, all where none were proposed."""
    frames = frames_of(state)
    if "candidates" not in state:
        return frames
    wanted = {c["id"] for c in state["candidates"]}
    return [f for f in frames if f.id in wanted]


def candidate_captions(state: State) -> list[Caption]:
    """The captions of candidates, all where none were proposed."""
    wanted = {f.id for f in candidates_of(state)}
    return [c for c in captions_of(state) if c.frame_id in wanted]


def captions_of(state: State) -> list[Caption]:
    """Their captions."""
    return [Caption.model_validate(c) for c in state.get("captions", [])]


def not_captioned(
    frames: Sequence[FrameRef], captioned: Container[str], end_s: float
) -> list[tuple[float, float]]:
    """Stretches in seconds of which nothing is known, because the frames there have no caption
    yet; each frame stands for the time until the next one."""
    spans: list[tuple[float, float]] = []
    if not frames:
        return spans
    ends = [*(frame.time_s for frame in frames[1:]), end_s]
    for frame, until in zip(frames, ends, strict=True):
        if frame.id in captioned:
            continue
        start = frame.time_s
        if spans and spans[-1][1] == start:
            start, _ = spans.pop()
        spans.append((start, max(start, until)))
    return spans


def core_frames(state: State) -> list[CoreFrame]:
    """Core frames with captions and boxes, in time order."""
    frames = {f["id"]: f for f in state.get("frames", [])}
    captions = {c["frame_id"]: c["text"] for c in state.get("captions", [])}
    boxes = state.get("boxes", {})
    return [
        CoreFrame(
            frame=FrameRef.model_validate(frames[c["id"]]),
            why=c["why"],
            caption=captions.get(c["id"], ""),
            boxes=tuple(Box.model_validate(b) for b in boxes.get(c["id"], [])),
        )
        for c in state.get("core", [])
    ]


def shown_to(context: Context, core: Sequence[CoreFrame]) -> list[prompt_parts.Shown[Any]]:
    """Core frames as a reasoner sees them, with their pixels, as large as it is worth."""
    side = look_side(context.agents["reasoner"].spec)
    return [
        prompt_parts.Shown(
            within(context.store.image(c.frame), side),
            c.frame.time_s,
            c.caption if context.captions_shown else "",
            c.boxes,
        )
        for c in core
    ]


def within(image: Image.Image, side: int | None) -> Image.Image:
    """The picture with a longer side of at most so many pixels; None leaves it as it is."""
    longer = max(image.size)
    if side is None or longer <= side:
        return image
    width, height = (max(1, round(n * side / longer)) for n in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def finding_lines(findings: Sequence[Json]) -> list[tuple[str, float, str]]:
    """Findings as a reasoner is shown them: (tool, instant in seconds, text)."""
    return [(f["tool"], f["time_s"], f["text"]) for f in findings]


def budget_gap(error: BudgetExceeded) -> Json:
    """A limit that was reached, as a gap."""
    return dump(Gap(stage="budget", reason=f"{error}. {error.hint}".strip()))
