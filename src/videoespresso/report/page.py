"""One self-contained HTML page about one answer: no script, no outside address, pictures inlined.

Everything a model or a file name contributed is escaped, and the page's own policy forbids it to
run or load anything. The pictures come out of the frame store when the page is made.
"""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from videoespresso.errors import MemoryStoreError
from videoespresso.report.parts import (
    DrawnBox,
    Mark,
    apart,
    data_uri,
    draw_box,
    hues_of,
    place,
    template,
    ticks,
    write_text,
)
from videoespresso.report.text import clock, file_name, names_of, printable, total
from videoespresso.types import Answer, Box, CoreFrame, DroppedFrame, FrameRef, Video

if TYPE_CHECKING:
    from PIL.Image import Image

ROWS = 1000
"""Dropped frames listed one by one; beyond it the page says how many more there were."""


class Picture(NamedTuple):
    """A core frame as drawn; `src` is None when its pixels are gone, `missing` says why. video: its
    file's name, where there are several."""

    core: CoreFrame
    src: str | None
    missing: str
    video: str
    boxes: tuple[DrawnBox, ...]


def render(answer: Answer, image: "Callable[[FrameRef], Image]") -> str:
    """The page as text. `image` gives a frame's pixels (FrameStore.image).

    A frame whose pixels were evicted is named and described without its picture: a page is not
    refused because the cache was cleared.
    """
    hues = _hues(answer)
    return template("page.html").render(
        answer=answer,
        name=printable(names_of(answer)),
        videos=answer.videos or (answer.video,),
        pictures=[_picture(core, answer, image, hues) for core in answer.core_frames],
        tracks=[
            (file_name(video.path), timeline(answer, video), ticks(0.0, video.duration_s))
            for video in answer.videos or (answer.video,)
        ],
        dropped=answer.dropped[:ROWS],
        left_out=max(0, len(answer.dropped) - ROWS),
        counts=_counts(answer.dropped),
        total=total(answer.usage.values()),
        version=version("videoespresso"),
    )


def write(answer: Answer, path: Path, image: "Callable[[FrameRef], Image]") -> None:
    """Writes the page, whole or not at all. Raises UserError where it cannot be written."""
    write_text(render(answer, image), path, flag="--report")


def timeline(answer: Answer, video: Video | None = None) -> list[Mark]:
    """Every frame of a video that was looked at, kept or not, in time order. video: default the
    first."""
    video = video or answer.video

    def mark(time_s: float, stage: str, what: str, why: str) -> tuple[float, Mark]:
        return time_s, Mark(place(time_s, video.duration_s), stage, _title(what, time_s, why))

    def its(frame_id: str) -> bool:
        return not answer.videos or video.id.startswith(frame_id.partition("@")[0])

    kept = [
        mark(c.frame.time_s, "core", "kept", c.why) for c in answer.core_frames if its(c.frame.id)
    ]
    gone = [
        mark(d.time_s, d.stage, f"dropped by {d.stage}", d.reason)
        for d in answer.dropped
        if its(d.frame_id)
    ]
    return [mark for _, mark in sorted(gone + kept, key=lambda pair: (pair[0], pair[1].stage))]


def drawn(boxes: Sequence[Box], hues: dict[str, int]) -> tuple[DrawnBox, ...]:
    """Boxes as percentages, each once; `hues` gives a label one colour on the whole page."""
    return apart(
        draw_box(box.label, box.score, box.xyxy, hues[box.label]) for box in dict.fromkeys(boxes)
    )


def _picture(
    core: CoreFrame,
    answer: Answer,
    image: "Callable[[FrameRef], Image]",
    hues: dict[str, int],
) -> Picture:
    cited = [
        box
        for step in answer.evidence
        if step.frame_id == core.frame.id
        for item in step.items
        for box in item.boxes
    ]
    boxes = drawn([*core.boxes, *cited], hues)
    paths = {video.id: video.path for video in answer.videos}
    video = file_name(paths.get(core.frame.video_id, ""))
    try:
        return Picture(core, data_uri(image(core.frame)), "", video, boxes)
    except MemoryStoreError as error:
        return Picture(core, None, f"{error}. {error.hint}".strip(), video, boxes)


def _hues(answer: Answer) -> dict[str, int]:
    labels = [box.label for core in answer.core_frames for box in core.boxes]
    labels += [b.label for s in answer.evidence for item in s.items for b in item.boxes]
    return hues_of(labels)


def _title(what: str, time_s: float, why: str) -> str:
    return f"{clock(time_s)} {what}" + (f": {why}" if why else "")


def _counts(dropped: Sequence[DroppedFrame]) -> dict[str, int]:
    stages = ("duplicate", "filter", "select", "caption")
    return {s: n for s in stages if (n := sum(d.stage == s for d in dropped))}
