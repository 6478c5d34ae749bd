"""The watch, the look before the question: a video is sampled, captioned, filtered and remembered,
with or without a question. Then `look_again`, the closer look when the evidence does not carry.

Nodes first, in the order of the graph, each with the sentence that its step prints; what they are
made of follows. `watch` runs them without a graph.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, cast

from langgraph.runtime import Runtime

from videoespresso.agents import captioner
from videoespresso.errors import ModelError
from videoespresso.graphs.context import Context
from videoespresso.graphs.estimate import Looked, at_most, to_come
from videoespresso.graphs.proposal import more, proposed, rated_by
from videoespresso.graphs.state import (
    Json,
    State,
    candidate_captions,
    candidates_of,
    captions_of,
    core_frames,
    dump,
    frames_of,
)
from videoespresso.memory.downloads import Downloads
from videoespresso.models.batch_api.collector import Deferred
from videoespresso.models.embedded import DOMAIN_VERSION
from videoespresso.models.unknown_film import AskCommand, unknown_film
from videoespresso.tools.pickers import evenly
from videoespresso.tools.sampling import Sampled, SamplingPlan, first_of_similar, refine
from videoespresso.tools.sampling import sample as sampled
from videoespresso.tools.semantic_filter import semantic_filter
from videoespresso.tools.video import VideoReader
from videoespresso.types import Caption, CoreFrame, FrameRef, Video

log = logging.getLogger(__name__)

AGAIN_S = 1.5
"""A second look goes this far to either side of a core frame."""
CLOSER = 4
"""Closer frames of a second look where only candidates are captioned; else all are."""
COMPARED = 6
"""A frame is compared with this many earlier different ones: enough to see a cut there and back."""
CAPTIONED_AT_ONCE = 32
"""Frames captioned at a time, so that pixels in memory do not grow with the video."""
DOMAIN_FRAMES = 8
"""Frames from which the embedded models tell whether they know this kind of video."""

Node = Callable[[State, Runtime[Context]], dict[str, Any]]
"""A node: what it reads and works with -> what it writes."""


def probe(state: State, runtime: Runtime[Context]) -> dict[str, Any]:
    """What the file is. Raises VideoError where it cannot be read."""
    context = runtime.context
    video = context.film(state["path"])
    source = Downloads(context.settings.cache_dir / "downloads").source(video.path)
    video = video.model_copy(update={"source": source})
    notes = [video.note] if video.note else []
    return {"video": dump(video), "warnings": [*context.warnings, *notes]}


def probe_message(wrote: Json) -> str:
    """The file in a line."""
    v = wrote["video"]
    return f"{v['duration_s']:.1f} s, {v['width']}x{v['height']}, {v['codec'] or 'unknown codec'}"


def sample(state: State, runtime: Runtime[Context]) -> dict[str, Any]:
    """The overview, and of its frames those that may matter: only these are captioned."""
    wrote = overview(state, runtime)
    frames = [FrameRef.model_validate(f) for f in wrote["frames"]]
    known = {c["frame_id"]: c["text"] for c in wrote["captions"]}
    video, question = Video.model_validate(state["video"]), state.get("question", "")
    if (pair := rated_by(runtime.context, question)) is not None:
        to_come(runtime.context, state, at_most(pair, frames, len(known)))
    wrote |= proposed(runtime.context, video, frames, question, known)
    if runtime.context.settings.quick:
        wrote["quick"] = True
    after = cast(State, {**state, **wrote})
    if new_or_known(after) != "caption":  # else `caption` says it
        to_come(runtime.context, state, looked_at(after))
    return wrote


def overview(state: State, runtime: Runtime[Context]) -> dict[str, Any]:
    """Frames into the store, or those of an earlier question.

    Raises UnknownFilmError where the pack is to speak of a film that is not the theatre's.
    """
    context = runtime.context
    video = Video.model_validate(state["video"])
    key = sampling_key(context)
    frames, decoded = context.store.sampling(video.id, key), 0
    if frames is None:
        context.check_models()
        with context.opened(state["path"]) as reader:
            frames = stored(context, video, pictures(reader, context))
        context.store.record_sampling(video.id, key, frames)
        decoded = len(frames)
    known = {} if context.settings.quick else _remembered(context, video)
    remembered = [known[f.id] for f in frames if f.id in known]
    update: dict[str, Any] = {
        "frames": [dump(f) for f in frames],
        "captions": [dump(c) for c in remembered],
        "work": {"decoded": decoded, "remembered": len(remembered)},
    }
    paths, options = state.get("paths", [state["path"]]), state.get("options", [])
    command = AskCommand(paths, state.get("question", ""), options)
    refuse_unknown(context, frames, state["path"], command)
    context.check_stages()
    return update


def sample_message(wrote: Json) -> str:
    """How many frames there are, and how many of them are new."""
    frames, work = len(wrote["frames"]), wrote["work"]
    known = f", {work['remembered']} known from before" if work.get("remembered") else ""
    some = len(wrote.get("candidates", []))
    by = f"; {some} candidates by {wrote['pair']}" if some else ""
    return f"{frames} frames looked at, {work['decoded']} of them decoded now{known}{by}"


def new_or_known(state: State) -> Literal["caption", "filter", "select"]:
    """A video whose candidates, or else all frames, have a caption in memory is not captioned
    again; nor is one that was captioned before where the selector sees the candidates. A quick
    question needs no captions."""
    if state.get("quick"):
        return "select"
    if state.get("seen"):
        return "filter"
    captioned = {c["frame_id"] for c in state.get("captions", [])}
    wanted = state.get("candidates", state.get("frames", []))
    return "filter" if all(f["id"] in captioned for f in wanted) else "caption"


def caption(state: State, runtime: Runtime[Context]) -> dict[str, Any]:
    """A caption for every candidate; frames equal to the eye share one."""
    context, frames = runtime.context, candidates_of(state)
    leader, new = to_caption(context, state)
    to_come(context, state, looked_at(state, new))
    captions, shown = captioned(context, frames, leader, captions_of(state))
    return {
        "captions": [dump(c) for c in captions],
        "leaders": leader,
        "work": {"captioned": shown, "shared": _shared(captions)},
    }


def caption_message(wrote: Json) -> str:
    """How many captions were made."""
    work = wrote["work"]
    return f"{work['captioned']} frames captioned, {work['shared']} share a caption"


def remember(state: State, runtime: Runtime[Context]) -> dict[str, Any]:
    """Captions into the memory, for this question's search and the next question."""
    context = runtime.context
    context.memory.add(context.memory_key(state["video"]["id"]), captions_of(state))
    return {}


def filter_(state: State, runtime: Runtime[Context]) -> dict[str, Any]:
    """The paper's step 3; a drop has a reason."""
    context = runtime.context
    result = semantic_filter(candidate_captions(state), context.embed, context.settings.tau)
    return {
        "kept": [c.frame_id for c in result.kept],
        "filtered": [dump(d) for d in result.dropped],
    }


def filter_message(wrote: Json) -> str:
    """How many frames are left."""
    return f"{len(wrote['kept'])} frames kept, {len(wrote['filtered'])} say nothing new"


def look_again(state: State, runtime: Runtime[Context]) -> dict[str, Any]:
    """Closer frames around the core frames, captioned, for a second selection; and, where the first
    was among candidates, the next ones: no closer look finds a scene that none of them shows.

    What an earlier question has seen this closely is neither decoded nor captioned again.
    """
    context = runtime.context
    video = Video.model_validate(state["video"])
    old = frames_of(state)
    middle = len(old) // 2
    around = core_frames(state) or [CoreFrame(frame=f) for f in old[middle : middle + 1]]
    times = [core.frame.time_s for core in around[:2]]
    spans = [(max(0.0, at - AGAIN_S), at + AGAIN_S) for at in times]
    refs, decoded = closer(context, state["path"], video, spans)
    seen = {f.id for f in old}
    new = [f for f in {f.id: f for f in refs}.values() if f.id not in seen]
    wider: list[Json] = []
    known = _remembered(context, video)
    if "candidates" in state:
        new = [new[at] for at in evenly(len(new), CLOSER)]
        wider = more(context, video, old, state)
    names = {c["id"] for c in wider}
    some = [*(f for f in old if f.id in names), *new]
    leader = leaders(context, some)
    before = [*captions_of(state), *(known[f.id] for f in some if f.id in known)]
    captions, shown = captioned(context, some, leader, before)
    near = [{"id": f.id, "why": "closer to a core frame"} for f in new]
    candidates = [*state.get("candidates", []), *wider, *near]
    return {
        **({"candidates": candidates} if "candidates" in state else {}),
        "frames": [dump(f) for f in new],
        "captions": [dump(c) for c in captions],
        "work": {"decoded": decoded, "captioned": shown, "shared": _shared(captions)},
    }


MESSAGES: Mapping[str, Callable[[Json], str]] = {
    "probe": probe_message,
    "sample": sample_message,
    "caption": caption_message,
    "filter": filter_message,
    "look_again": caption_message,
}
"""Node -> the sentence that its step prints, from what it wrote; `remember` has none."""


def watch(context: Context, path: str, question: str = "") -> State:
    """The state as it is before core frames are selected; what is known already is not done again.

    Raises UnknownFilmError for a film that the embedded models do not know, BudgetExceeded at a
    limit.
    """
    runtime = Runtime(context=context)
    state: Any = {"path": path, "question": question, "options": []}
    state |= probe(state, runtime)
    state |= sample(state, runtime)
    if state.get("quick"):
        return cast(State, state | {"kept": [], "filtered": []})
    if new_or_known(state) == "caption":
        state |= caption(state, runtime)
        state |= remember(state, runtime)
    state |= filter_(state, runtime)
    return cast(State, state)


def pictures(reader: VideoReader, context: Context) -> Iterator[Sampled]:
    """The frames the settings ask for, within the frame budget."""
    plan = _within_budget(context)
    if context.settings.select == "keyframes":
        every = reader.keyframes(plan.max_side)
        yield from (
            Sampled(p, "keyframe") for p, _ in zip(every, range(plan.max_frames), strict=False)
        )
    else:
        yield from sampled(reader, plan)


def sampling_key(context: Context) -> str:
    """Names a sampling for the frame store."""
    key = _within_budget(context).key()
    return f"keyframes-{key}" if context.settings.select == "keyframes" else key


def _within_budget(context: Context) -> SamplingPlan:
    left = context.budget.frames_left
    if left is None or left >= context.plan.max_frames:
        return context.plan
    return replace(context.plan, max_frames=max(1, left))


def stored(context: Context, video: Video, seen: Iterable[Sampled]) -> list[FrameRef]:
    """Puts pictures into the store as they come; only their references are kept."""
    refs: list[FrameRef] = []
    count = context.counting("sample")
    try:
        for picture, rule in seen:
            refs.append(context.store.put(video, picture, rule))
            count()
    finally:  # what was decoded counts, however it ended
        context.budget.charge_frames(len(refs))
    return refs


def refuse_unknown(
    context: Context, frames: Sequence[FrameRef], path: str, command: AskCommand | None = None
) -> None:
    """Raises UnknownFilmError where the pack fills a role and the film is not the theatre's.

    command: what was asked, default about this film alone: the error has it as a command.
    """
    roles = context.embedded
    if not roles or not frames or not context.guarded:
        return
    some = [frames[k] for k in evenly(len(frames), DOMAIN_FRAMES)]
    known = f"theatre-{DOMAIN_VERSION}", [f.sha for f in some]
    if context.store.is_noted(some[0].video_id, *known):
        return
    from videoespresso.models.embedded.domain import is_theatre  # noqa: PLC0415 - only for the pack

    if not is_theatre(context.store.images(some)):
        raise unknown_film(context.settings, roles, path, command or AskCommand([path]))
    context.store.note(some[0].video_id, *known)


def closer(
    context: Context, path: str, video: Video, spans: Sequence[tuple[float, float]]
) -> tuple[list[FrameRef], int]:
    """Frames of those intervals (seconds) at the dynamic rate, and how many were decoded now."""
    refs: list[FrameRef] = []
    decoded = 0
    for start, end in spans:
        key = f"closer-{start:.3f}-{end:.3f}-{context.plan.key()}"
        frames = context.store.sampling(video.id, key)
        if frames is None:
            with context.opened(path) as reader:
                frames = stored(context, video, refine(reader, start, end, context.plan))
            context.store.record_sampling(video.id, key, frames)
            decoded += len(frames)
        refs += frames
    return refs, decoded


def looked_at(state: State, new: int = 0) -> Looked:
    """What an estimate goes by, after `sample`. new: captions that are to be made."""
    candidates = len(state["candidates"]) if "candidates" in state else None
    return Looked(
        frames_of(state), new, candidates, state.get("pair", ""), known=len(captions_of(state))
    )


def to_caption(context: Context, state: State) -> tuple[dict[str, str], int]:
    """Frame id -> an earlier one that is the same to the eye, of the candidates; and how many of
    them need a caption of their own."""
    leader = leaders(context, candidates_of(state))
    known = {c.frame_id for c in captions_of(state)}
    return leader, sum(first == frame and frame not in known for frame, first in leader.items())


def leaders(context: Context, frames: Sequence[FrameRef]) -> dict[str, str]:
    """Frame id -> an earlier frame that is the same to the eye (itself where there is none)."""
    images = map(context.store.image, frames)
    return first_of_similar(zip([f.id for f in frames], images, strict=True), COMPARED)


def captioned(
    context: Context, frames: Sequence[FrameRef], leader: dict[str, str], known: Sequence[Caption]
) -> tuple[list[Caption], int]:
    """A caption for every frame, and how many frames were really shown to the captioner.

    One of which the captioner says nothing, or which it refuses, has a blank caption. Raises why if
    there are only blank ones, among those known too; and ModelError for what is not about a frame.
    """
    texts = {c.frame_id: c.text for c in known}
    new = [f for f in frames if leader.get(f.id, f.id) == f.id and f.id not in texts]
    later: Deferred | None = None
    silent: list[ModelError] = []
    count = context.counting("caption", len(new))
    for start in range(0, len(new), CAPTIONED_AT_ONCE):
        part = new[start : start + CAPTIONED_AT_ONCE]
        try:
            new_texts = captioner.caption(
                context.agents["captioner"], context.store.images(part), silent, count
            )
        except Deferred as deferred:  # batch mode: all frames go into the same batch
            later = deferred
            continue
        texts |= {f.id: text for f, text in zip(part, new_texts, strict=True)}
    if later is not None:
        raise later
    if silent and not any(text.strip() for text in texts.values()):
        raise silent[0]
    for error in silent:
        log.info("a frame of %s has no caption: %s", new[0].video_id[:16], error)
    out = []
    for frame in frames:
        first = leader.get(frame.id, frame.id)
        shared = None if first == frame.id else first
        out.append(
            Caption(frame_id=frame.id, time_s=frame.time_s, text=texts[first], shared_from=shared)
        )
    return out, len(new)


def _remembered(context: Context, video: Video) -> dict[str, Caption]:
    """Frame id -> the caption in memory, of this video and this captioner."""
    captions = context.memory.captions(context.memory_key(video.id))
    return {c.frame_id: c for c in captions}


def _shared(captions: Sequence[Caption]) -> int:
    """How many captions are another frame's."""
    return sum(c.shared_from is not None for c in captions)
