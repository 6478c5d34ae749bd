"""One question about several videos: each is looked at by itself, with core frames of its own; the
evidence, the answer and the check are about all of them.

The nodes are those of the ask graph; there is no second look. What a model is shown of a frame, and
what the checker reads, begins with the video it is in; records keep the words as they were.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any, cast, get_type_hints

from langgraph.runtime import Runtime

from videoespresso.errors import BudgetExceeded, UnknownFilmError, UserError, VideoError
from videoespresso.graphs import ask, watch
from videoespresso.graphs.context import Context
from videoespresso.graphs.finish import finish
from videoespresso.graphs.state import Json, State, budget_gap, dump
from videoespresso.graphs.watch import Node
from videoespresso.tools.fetch.download import Local
from videoespresso.types import Gap

Update = tuple[str, Json]
"""A node's name and what it wrote."""

REDUCERS: dict[str, Any] = {
    key: hint.__metadata__[0]
    for key, hint in get_type_hints(State, include_extras=True).items()
    if hasattr(hint, "__metadata__")
}
"""What LangGraph does with a key that several nodes write."""

_OF_ONE = (
    "path",
    "paths",
    "video",
    "question",
    "options",
    "round",
    "leaders",
    "stop",
    "pair",
    "quick",
    "seen",
)
"""Keys of a video's own state that say nothing about all of them."""


def distinct(context: Context, files: Sequence[Local]) -> tuple[list[str], list[str]]:
    """Paths, each film's first, and a line on each that is left out: all films are looked at before
    anything is paid for. One that cannot be read stays: it is said in its turn. Raises UserError
    for the same film named twice."""
    if len(files) == 1:
        return [files[0].path], []
    first: dict[str, Local] = {}
    paths, twins = list[str](), list[str]()
    for file in files:
        before = file
        with contextlib.suppress(VideoError):
            before = first.setdefault(context.film(file.path).id, file)
        if before is file:
            paths.append(file.path)
        elif file.found or before.found:
            twins.append(f"{file.path}: the same film as {before.path}")
        else:
            raise UserError(
                f"{file.path} is the same film as {before.path}", hint="Name each video once."
            )
    return paths, twins


def several(
    context: Context, paths: Sequence[str], question: str, options: Sequence[str]
) -> Iterator[Update]:
    """The nodes as they end, and `finish` last. paths: `distinct`. A film that cannot be read is a
    gap, and the others are asked. Raises what the ask graph raises, where none can be read too."""
    runtime = Runtime(context=context)
    whole: Json = {"path": paths[0], "question": question, "options": list(options), "videos": []}
    unread: list[VideoError] = []
    try:
        for path in paths:
            own: Json = {"path": path, "paths": list(paths), "question": question}
            own["options"] = list(options)
            try:
                yield from _looked_at(own, runtime, whole["videos"])
            except UnknownFilmError:
                raise
            except VideoError as error:
                unread.append(error)
                gap = Gap(stage="video", reason=f"{error}; {error.hint}")
                others = [v for v in whole["videos"] if v != own.get("video")]
                whole, own = merged(whole, {"gaps": [dump(gap)], "videos": others}), {}
            finally:  # a limit keeps what was found until then
                if "video" in own:
                    _join(whole, own)
            if whole.get("stop"):
                break
        if unread and not whole["videos"]:
            raise unread[0]
        if not whole.get("stop"):
            yield from _concluded(whole, runtime)
    except BudgetExceeded as error:
        wrote = {"stop": "budget", "gaps": [budget_gap(error)]}
        whole = merged(whole, wrote)
        yield "select", wrote
    yield "finish", finish(cast(State, whole), runtime)


def _looked_at(own: Json, runtime: Runtime[Context], videos: list[Json]) -> Iterator[Update]:
    """A video's own nodes; what they write goes into `own`, and the video to the others."""

    def run(node: Node) -> Update:
        return _run(node, own, own, runtime)

    yield run(watch.probe)
    videos.append(own["video"])
    yield run(watch.sample)
    if own.get("stop"):
        return
    if watch.new_or_known(cast(State, own)) == "caption":
        yield run(watch.caption)
        yield run(watch.remember)
    nodes = (ask.select, ask.ground, ask.use_tools)
    for node in nodes if own.get("quick") else (watch.filter_, *nodes):
        yield run(node)
        if own.get("stop"):
            return


def _concluded(whole: Json, runtime: Runtime[Context]) -> Iterator[Update]:
    """Evidence, answer and check, on what models are shown: words that name their video."""
    name, wrote = _run(ask.evidence, whole, _labelled(whole), runtime)
    for step in whole["steps"]:
        step["video"] = _video_of(step["frame_id"], whole)["path"]
    yield name, wrote
    if ask.concluded(cast(State, whole)) == "answer":
        yield _run(ask.answer, whole, _labelled(whole), runtime)
    if not whole.get("quick"):
        yield _run(ask.check, whole, _labelled(whole), runtime)


def _run(node: Node, into: Json, given: Json, runtime: Runtime[Context]) -> Update:
    runtime.context.begin(node.__name__)
    wrote = node(cast(State, given), runtime)
    into.update(merged(into, wrote))
    return node.__name__.rstrip("_"), wrote


def merged(state: Json, wrote: Json) -> Json:
    """The state after a node, as the graph would have it."""
    return state | {
        key: REDUCERS[key](state[key], value) if key in REDUCERS and key in state else value
        for key, value in wrote.items()
    }


def _join(whole: Json, own: Json) -> None:
    """A video's state into that of all: lists one behind the other, in the order of the videos."""
    whole.setdefault("video", own["video"])
    for key in ("pair", "quick"):
        if key in own:
            whole.setdefault(key, own[key])
    name = PurePath(own["path"]).name
    if own.get("stop"):
        whole["stop"] = own["stop"]
        own["warnings"] = [f"{name}: {warning}" for warning in own.get("warnings", [])]
    own["findings"] = [f | {"video": own["path"]} for f in own.get("findings", [])]
    for key, value in own.items():
        if key in _OF_ONE:
            continue
        if key in whole and key not in REDUCERS:
            value = whole[key] | value if isinstance(value, dict) else whole[key] + value
        whole.update(merged(whole, {key: value}))


def _labelled(whole: Json) -> Any:
    """The state with words that begin with their video."""
    labels = {
        video["path"]: f"video {number} ({PurePath(video['path']).name})"
        for number, video in enumerate(whole["videos"], 1)
    }

    def begun(record: Json, path: str, key: str = "text") -> Json:
        return record | {key: f"{labels[path]}: {record[key]}"}

    captions = [begun(c, _video_of(c["frame_id"], whole)["path"]) for c in whole["captions"]]
    findings = [begun(f, f["video"]) for f in whole.get("findings", [])]
    steps = [begun(s, s["video"]) for s in whole.get("steps", [])]
    return whole | {"captions": captions, "findings": findings, "steps": steps}


def _video_of(frame_id: str, whole: Json) -> Json:
    """A frame's id begins with that of its video."""
    start = frame_id.partition("@")[0]
    return next(video for video in whole["videos"] if video["id"].startswith(start))
