"""What the nodes of the ask graph share. JSON-sized: ids, text, numbers; never pixels.

State is read back as records by the functions below.
"""

from collections.abc import Container, Sequence
from typing import Annotated, Any

from PIL import Image
from typing_extensions import TypedDict

from videoespresso.agents import prompt_parts
from videoespresso.errors import BudgetExceeded
from videoespresso.graphs.context import Context
from videoespresso.models.profiles import look_side
from videoespresso.types import Box, Caption, CoreFrame, FrameRef, Gap

Json = dict[str, Any]
"""A record of types.py as `model_dump(mode="json")` gives it."""


def merge_by(key: str) -> Any:
    """A reducer: lists of records become one, a record a key, in an order that does not depend on
    who wrote first (by time, then key)."""

    def merge(a: list[Json], b: list[Json]) -> list[Json]:
        records = {str(r[key]): r for r in sorted([*a, *b], key=lambda r: repr(sorted(r.items())))}
        return sorted(records.values(), key=lambda r: (r.get("time_s", 0.0), str(r[key])))

    return merge


def union(a: list[Json], b: list[Json]) -> list[Json]:
    """A reducer: all different records, in one order whoever wrote first."""
    return sorted({repr(sorted(r.items())): r for r in [*a, *b]}.values(), key=repr)


def add(a: dict[str, int], b: dict[str, int]) -> dict[str, int]:
    """A reducer: counters, summed."""
    return {k: a.get(k, 0) + b.get(k, 0) for k in sorted({*a, *b})}


def union_texts(a: list[str], b: list[str]) -> list[str]:
    """A reducer: all different texts, sorted."""
    return sorted({*a, *b})


class Ask(TypedDict):
    """What the caller gives."""

    path: str
    question: str
    options: list[str]


class State(Ask, total=False):
    """What nodes read and write."""

    video: Json
    """`Video`."""
    paths: list[str]
    """All that are asked about, where one question is about several videos."""
    videos: list[Json]
    """All of them, where one question is about several."""
    frames: Annotated[list[Json], merge_by("id")]
    """`FrameRef`s that were looked at, in time order."""
    leaders: dict[str, str]
    """Frame id -> id of the earlier frame that is the same to the eye."""
    candidates: list[Json]
    """Frames to be captioned, {"id", "why"}, in time order; absent where all are."""
    pair: str
    """What proposed them, "SCORER+PICKER:K", "uniform:K" or "keyframes"."""
    seen: bool
    """The selector sees the candidates, and the film was captioned for an earlier question: those
    without a caption need none."""
    quick: bool
    """The candidates are the core frames and are not captioned; there is no check."""
    captions: Annotated[list[Json], merge_by("frame_id")]
    """`Caption`s, one a frame."""
    kept: list[str]
    """Ids of the frames that survive the semantic filter."""
    filtered: list[Json]
    """`DroppedFrame`s of the semantic filter."""
    core: list[Json]
    """Core frames: {"id", "why"}, in time order."""
    boxes: dict[str, list[Json]]
    """Frame id -> `Box`es."""
    findings: list[Json]
    """What tools found: {"tool", "time_s", "text", "frame_id", "boxes"}."""
    steps: list[Json]
    """`EvidenceStep`s."""
    evidence_text: str
    """The evidence word for word, as stage 2 is shown it."""
    conclusion: Json
    """The reasoner's `Conclusion`."""
    verdict: Json
    """The checker's `Verdict`."""
    round: int
    """How often frames were selected."""
    stop: str
    """Why the run ends early ("budget", for a dataset "unknown", "duplicate"); empty while it goes
    on."""
    work: Annotated[dict[str, int], add]
    """Counters of `Work`."""
    gaps: Annotated[list[Json], union]
    """`Gap`s."""
    warnings: Annotated[list[str], union_texts]
    answer: Json
    """`Answer`."""


class Answered(TypedDict):
    """What the caller gets."""

    answer: Json


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
