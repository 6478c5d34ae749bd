"""How core frames are chosen: one contract, five strategies (`--select`).

A strategy gets the candidates and returns (frame id, why) in time order. `paper` and `retrieval`
choose among the captions that survived the semantic filter; `uniform:K`, `keyframes` and `all` are
what the evaluation compares them with.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from videoespresso.agents import selector
from videoespresso.errors import SettingsError
from videoespresso.graphs.context import Context
from videoespresso.types import Caption, FrameRef

READS = 20
"""Captions the selector is shown at most; with more, retrieval narrows first. What the embedded
selector was trained to read."""
RETRIEVED = 3
"""Core frames of `retrieval`: the paper's mean is 2.36-2.98 (Table 4)."""
MOST_SHOWN = 32
"""Frames that `keyframes` and `all` show the reasoner at most, evenly spread."""

Chosen = list[tuple[str, str]]


@dataclass(frozen=True)
class Candidates:
    """What there is to choose from. `question`: with what the checker missed, on a second look."""

    question: str
    video_key: str
    frames: Sequence[FrameRef]
    captions: Sequence[Caption]
    kept: Sequence[Caption]


def evenly(count: int, most: int) -> list[int]:
    """Positions of `most` of `count` things, evenly spread: the middle of each of `most` parts."""
    if count <= most:
        return list(range(count))
    return [int((k + 0.5) * count / most) for k in range(most)]


def _nearest(context: Context, c: Candidates, k: int) -> list[Caption]:
    """The k kept captions nearest to the question, in time order."""
    kept = {caption.frame_id: caption for caption in c.kept}
    found = context.memory.search(
        c.question, [c.video_key], k, keep=lambda caption: caption.frame_id in kept
    )
    near = [kept[f.caption.frame_id] for f in found]
    return sorted(near, key=lambda caption: caption.time_s)


def paper(context: Context, c: Candidates) -> Chosen:
    """The selector reads the captions and the question (paper, equations 4-6)."""
    shown = list(c.kept) if len(c.kept) <= READS else _nearest(context, c, READS)
    if not shown:
        return []
    picked = selector.select(context.agents["selector"], c.question, shown)
    if picked:
        return [(shown[k].frame_id, why) for k, why in picked]
    return [(i, f"{why} (the selector chose none)") for i, why in retrieval(context, c)]


def retrieval(context: Context, c: Candidates) -> Chosen:
    """The captions nearest to the question."""
    return [
        (caption.frame_id, "its caption is near the question")
        for caption in _nearest(context, c, RETRIEVED)
    ]


def uniform(count: int) -> Callable[[Context, Candidates], Chosen]:
    """`count` frames, evenly spread over the video's duration."""

    def choose(context: Context, c: Candidates) -> Chosen:
        if not c.frames:
            return []
        end = c.frames[-1].time_s
        wanted = [(k + 0.5) * end / count for k in range(count)]
        picked = {min(c.frames, key=lambda f, t=t: abs(f.time_s - t)).id for t in wanted}  # type: ignore[misc]
        return [(f.id, f"one of {count} at even distances") for f in c.frames if f.id in picked]

    return choose


def keyframes(context: Context, c: Candidates) -> Chosen:
    """The encoder's key frames (sampled as such, see `sample`)."""
    some = evenly(len(c.frames), MOST_SHOWN)
    return [(c.frames[k].id, "a key frame of the encoding") for k in some]


def everything(context: Context, c: Candidates) -> Chosen:
    """All frames that survived the filter."""
    return [(c.kept[k].frame_id, "all are shown") for k in evenly(len(c.kept), MOST_SHOWN)]


def strategy(name: str) -> Callable[[Context, Candidates], Chosen]:
    """The strategy of a name. Raises SettingsError for one that is none."""
    plain = {"paper": paper, "retrieval": retrieval, "keyframes": keyframes, "all": everything}
    if name in plain:
        return plain[name]
    match = re.fullmatch(r"uniform:(\d{1,3})", name)
    if match and int(match[1]) > 0:
        return uniform(int(match[1]))
    raise SettingsError(
        f"no selection strategy {name!r}",
        hint="Known: paper, retrieval, uniform:K (K from 1 to 999), keyframes, all.",
    )
