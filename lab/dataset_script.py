"""Dataset mode as one would script it in an afternoon: one video after the other, one call after
the other, nothing kept between stages. It does the same work with the same agents and makes the
same records; it is what the engine's speed is measured against."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from langgraph.runtime import Runtime

from videoespresso.agents import generator
from videoespresso.graphs import watch
from videoespresso.graphs.context import Context
from videoespresso.graphs.dataset import group, sifted
from videoespresso.graphs.dataset_context import (
    GROUP,
    DatasetContext,
    DatasetState,
    PairState,
    Stage,
    reject,
    signed,
)
from videoespresso.graphs.dataset_pair import PAIR_CHAIN
from videoespresso.graphs.state import Json
from videoespresso.memory.journal import Journals
from videoespresso.types import Caption

Looked = dict[str, Any]
"""What is known of a video before questions are made: video, frames, groups."""


class Plain(DatasetContext):
    """Keeps nothing: a stage is done whenever it is asked for."""

    def once(
        self,
        video_id: str,
        stage: Stage,
        identity: Json,
        payload: object,
        make: Callable[[], Json],
    ) -> Json:
        """The stage, done."""
        return dict(make())


def plain_context(context: Context, folder: Path, *, seed: int = 0, size: int = GROUP) -> Plain:
    """The means of a plain run; its core frames go to `folder`/frames."""

    def keep(frame: Json) -> str:
        kept = context.store.keep(frame["video_id"], frame["sha"], folder / "frames")
        return f"frames/{kept}"

    (folder / "frames").mkdir(parents=True, exist_ok=True)
    journals = Journals(folder / "none")  # never opened
    return Plain(base=context, keep_image=keep, journals=journals, seed=seed, group=size)


def watched(plain: Plain, path: str | Path) -> Looked:
    """A video up to its groups of captions. Raises VideoError, ModelError."""
    state: Looked = {"path": str(path)}
    for node in (watch.probe, watch.sample, watch.caption, watch.filter_):
        state |= node(cast(Any, state), Runtime(context=plain.base))
        if state.get("stop"):
            return {**state, "groups": []}
    return state | group(cast(DatasetState, state), Runtime(context=plain))


def questions(plain: Plain, seen: Looked) -> Iterator[Json]:
    """The records of a video that was looked at, one after the other."""
    frames = {f["id"]: f for f in seen["frames"]}
    agent, sha = plain.agent("generator"), generator.prompt().sha
    looking = plain.captions_identity()
    for part in seen["groups"]:
        reply = generator.generate(agent, [Caption.model_validate(c) for c in part["captions"]])
        pairs = [p.model_dump(mode="json") for p in reply.value.pairs]
        made = {"caption": {k: looking[k] for k in ("model", "prompt")}}
        made["generate"] = signed(agent, sha, reply)["made"]
        base = {"video": seen["video"], "number": part["number"], "captions": part["captions"]}
        base |= {"frames": [frames[c["frame_id"]] for c in part["captions"]]}
        refuse = partial(_refuse, base)
        for pair in sifted(pairs, refuse)[0]:
            yield from _record(plain, {**base, **pair, "made": made, "cost": {}})


def _refuse(base: Json, pair: Json, criterion: str, reason: str) -> Json:
    return reject(base["video"], "generate", criterion, reason, base["number"], pair)


def _record(plain: Plain, state: Json) -> Sequence[Json]:
    for node in PAIR_CHAIN:
        state = state | node(cast(PairState, state), Runtime(context=plain))
        if state.get("over"):
            return ()
    return tuple(state["items"])


def plain_run(plain: Plain, paths: Sequence[str | Path]) -> list[Json]:
    """All records of the videos, in order."""
    return [item for path in paths for item in questions(plain, watched(plain, path))]
