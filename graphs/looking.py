"""Looking at frames: sampling into the store, finding equals, captioning what is new."""

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from videoespresso.agents import captioner
from videoespresso.agents.deferred import Deferred
from videoespresso.errors import ModelError
from videoespresso.graphs.context import Context
from videoespresso.tools.same import Fingerprint, fingerprint, same_to_the_eye
from videoespresso.tools.sampling import Sampled, SamplingPlan, refine, sample
from videoespresso.tools.video import VideoReader, open_video
from videoespresso.types import Caption, FrameRef, Video

log = logging.getLogger(__name__)

COMPARED = 6
"""A frame is compared with this many earlier different ones: enough to see a cut there and back."""
ASKED_AT_ONCE = 16
"""Frames captioned at a time, so that pixels in memory do not grow with the video."""


def pictures(reader: VideoReader, context: Context) -> Iterator[Sampled]:
    """The frames the settings ask for, within the frame budget."""
    plan = _within_budget(context)
    if context.settings.select == "keyframes":
        every = reader.keyframes(plan.max_side)
        yield from (
            Sampled(p, "keyframe") for p, _ in zip(every, range(plan.max_frames), strict=False)
        )
    else:
        yield from sample(reader, plan)


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
    refs = []
    for picture, rule in seen:
        refs.append(context.store.put(video, picture, rule))
        context.budget.charge_frames(1)
    return refs


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
            with open_video(path) as reader:
                frames = stored(context, video, refine(reader, start, end, context.plan))
            context.store.record_sampling(video.id, key, frames)
            decoded += len(frames)
        refs += frames
    return refs, decoded


def leaders(context: Context, frames: Sequence[FrameRef]) -> dict[str, str]:
    """Frame id -> an earlier frame that is the same to the eye (itself where there is none)."""
    recent: deque[tuple[str, Fingerprint]] = deque(maxlen=COMPARED)
    found: dict[str, str] = {}
    for frame in frames:
        mark = fingerprint(context.store.image(frame))
        equal = next(
            (name for name, other in reversed(recent) if same_to_the_eye(mark, other)), None
        )
        found[frame.id] = equal or frame.id
        if equal is None:
            recent.append((frame.id, mark))
    return found


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
    for start in range(0, len(new), ASKED_AT_ONCE):
        part = new[start : start + ASKED_AT_ONCE]
        try:
            said = captioner.caption(
                context.agents["captioner"], [context.store.image(f) for f in part], silent
            )
        except Deferred as deferred:  # batch mode: all frames go into the same batch
            later = deferred
            continue
        texts |= {f.id: text for f, text in zip(part, said, strict=True)}
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


def sharing(captions: Sequence[Caption]) -> int:
    """How many captions are another frame's."""
    return sum(c.shared_from is not None for c in captions)
