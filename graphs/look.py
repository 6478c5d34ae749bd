"""The first half of the ask graph: a video looked at, captioned, remembered; with or without a
question."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from videoespresso.errors import VideoError
from videoespresso.graphs import looking
from videoespresso.graphs.context import Context
from videoespresso.graphs.reading import captions_of, dump, frames_of
from videoespresso.graphs.routes import new_or_known
from videoespresso.graphs.selection import evenly
from videoespresso.graphs.state import State
from videoespresso.memory.downloads import Downloads
from videoespresso.tools.semantic_filter import semantic_filter
from videoespresso.tools.video import open_video
from videoespresso.tools.video import probe as probe_file
from videoespresso.types import FrameRef, Video

DOMAIN_FRAMES = 8
"""Frames looked at to tell whether the embedded models know this kind of video."""

Node = Callable[[State, Context], dict[str, Any]]


def probe(
    state: State, context: Context, described: Callable[[str], Video] = probe_file
) -> dict[str, Any]:
    """What the file is. Raises VideoError where it cannot be read."""
    video = described(state["path"])
    source = Downloads(context.settings.cache_dir / "downloads").source(video.path)
    video = video.model_copy(update={"source": source})
    return {"video": dump(video), "warnings": list(context.warnings)}


def sample(state: State, context: Context) -> dict[str, Any]:
    """Frames into the store, or those of an earlier question; and whether we know such videos."""
    video = Video.model_validate(state["video"])
    key = looking.sampling_key(context)
    frames, decoded = context.store.sampling(video.id, key), 0
    if frames is None:
        with open_video(state["path"]) as reader:
            frames = looking.stored(context, video, looking.pictures(reader, context))
        context.store.record_sampling(video.id, key, frames)
        decoded = len(frames)
    known = {c.frame_id: c for c in context.memory.captions(context.memory_key(video.id))}
    remembered = [known[f.id] for f in frames if f.id in known]
    update: dict[str, Any] = {
        "frames": [dump(f) for f in frames],
        "captions": [dump(c) for c in remembered],
        "work": {"decoded": decoded, "remembered": len(remembered)},
    }
    return update | strange(context, frames)


def strange(context: Context, frames: Sequence[FrameRef]) -> dict[str, Any]:
    """The pack declines videos that are unlike all it was trained on."""
    if not context.embedded or not frames:
        return {}
    from videoespresso.models.embedded.domain import WARNING, strange_frames  # noqa: PLC0415 - ONNX

    some = [frames[k] for k in evenly(len(frames), DOMAIN_FRAMES)]
    flags = strange_frames([context.store.image(f) for f in some])
    if 2 * sum(flags) <= len(flags):
        return {}
    return {"stop": "strange", "warnings": [WARNING.format(strange=sum(flags), n=len(flags))]}


def caption(state: State, context: Context) -> dict[str, Any]:
    """A caption for every frame; frames equal to the eye share one."""
    frames = frames_of(state)
    leader = looking.leaders(context, frames)
    captions, shown = looking.captioned(context, frames, leader, captions_of(state))
    return {
        "captions": [dump(c) for c in captions],
        "leaders": leader,
        "work": {"captioned": shown, "shared": looking.sharing(captions)},
    }


def remember(state: State, context: Context) -> dict[str, Any]:
    """Captions into the memory, for this question's search and the next question."""
    context.memory.add(context.memory_key(state["video"]["id"]), captions_of(state))
    return {}


def filter_(state: State, context: Context) -> dict[str, Any]:
    """The paper's step 3; a drop has a reason."""
    result = semantic_filter(captions_of(state), context.embed, context.settings.tau)
    return {
        "kept": [c.frame_id for c in result.kept],
        "filtered": [dump(d) for d in result.dropped],
    }


def look(context: Context, path: str, question: str = "") -> State:
    """The state as it is before core frames are selected; what is known already is not done again.

    Raises VideoError for a video that the embedded models do not know, BudgetExceeded at a limit.
    """
    state: dict[str, Any] = {"path": path, "question": question, "options": []}
    state |= probe(_typed(state), context)
    state |= sample(_typed(state), context)
    if state.get("stop"):
        raise VideoError(
            " ".join(state["warnings"]), hint="Configure real models, e.g. --profile openai."
        )
    if new_or_known(_typed(state)) == "caption":
        state |= caption(_typed(state), context)
        state |= remember(_typed(state), context)
    state |= filter_(_typed(state), context)
    return _typed(state)


def _typed(state: dict[str, Any]) -> State:
    return cast(State, state)
