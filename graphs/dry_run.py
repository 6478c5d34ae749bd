"""What a question would take, found out without a model call: the video is sampled as for the
question itself, which is kept, and what a model would rate is counted instead of asked."""

from collections.abc import Sequence
from typing import Any

from langgraph.runtime import Runtime

from videoespresso.errors import BudgetExceeded, UnknownFilmError, VideoError
from videoespresso.graphs.context import Context
from videoespresso.graphs.estimate import Estimate, Looked, at_most, estimate
from videoespresso.graphs.proposal import pair_for, proposed, rated_by
from videoespresso.graphs.watch import looked_at, new_or_known, overview, probe, to_caption
from videoespresso.models.client.budget import Budget
from videoespresso.types import FrameRef, Video


def dry_run(
    context: Context, paths: Sequence[str], question: str, options: Sequence[str] = ()
) -> Estimate:
    """For a question about these videos; of several, for those that can be read. Raises VideoError,
    UnknownFilmError for a film that the embedded models do not know, and SettingsError, also for
    models that cannot answer where all that they would see is known."""
    context.check_models()
    before = context.budget
    closed = Budget(before.max_usd, max_calls=0, max_frames=before.frames_left)
    context = context.renewed(closed)  # whatever a plug-in tries, no call is made
    same: Any = {"paths": list(paths), "question": question, "options": list(options)}
    looked: list[Looked] = []
    unread: list[VideoError] = []
    for path in paths:
        try:
            looked.append(_looked(context, {"path": path, **same}))
        except UnknownFilmError:
            raise
        except VideoError as error:
            unread.append(error)
    if not looked:
        raise unread[0]
    return estimate(context, looked)


def _looked(context: Context, state: Any) -> Looked:
    runtime, question = Runtime(context=context), state["question"]
    state |= probe(state, runtime)
    state |= overview(state, runtime)
    frames = [FrameRef.model_validate(f) for f in state["frames"]]
    if (pair := rated_by(context, question)) is not None:
        return at_most(pair, frames, len(state["captions"]))
    video = Video.model_validate(state["video"])
    captions = {c["frame_id"]: c["text"] for c in state["captions"]}
    try:
        state |= proposed(context, video, frames, question, captions)
    except BudgetExceeded:  # a scorer of another package, or an embedder on a server, would call
        if (pair := pair_for(context, question)) is None:
            raise
        return at_most(pair, frames, len(captions))
    new = to_caption(context, state)[1] if new_or_known(state) == "caption" else 0
    return looked_at(state, new)
