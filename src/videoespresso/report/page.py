"""One self-contained HTML page about one answer: no script, no outside address, pictures inlined.

Everything a model or a file name contributed is escaped, and the page's own policy forbids it to
run or load anything. The pictures come out of the frame store when the page is made.
"""

import base64
import io
import os
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

import jinja2

from videoespresso.errors import MemoryStoreError, UserError
from videoespresso.report.text import clock, letter, money, printable, total
from videoespresso.types import Answer, Box, CoreFrame, DroppedFrame, FrameRef

if TYPE_CHECKING:
    from PIL.Image import Image

PICTURE_SIDE = 720
"""Longer side of an inlined picture in pixels: two columns of a laptop's screen."""

PICTURE_QUALITY = 82
"""JPEG quality: about 40 KB a picture, so that a page with five core frames can be mailed."""

ROWS = 1000
"""Dropped frames listed one by one; beyond it the page says how many more there were."""

HUES = (212, 28, 145, 330, 265, 182, 4, 95)
"""A box's colour, by its label's order of appearance; eight are told apart, then they repeat."""


class Mark(NamedTuple):
    """A frame on the timeline: `at` in percent of the video's duration."""

    at: float
    stage: str
    title: str


class DrawnBox(NamedTuple):
    """A box in percent of its picture. `edge` puts the label inside when there is no room above."""

    label: str
    score: float
    left: float
    top: float
    width: float
    height: float
    hue: int
    inside: bool


class Picture(NamedTuple):
    """A core frame as drawn; `src` is None when its pixels are gone, `missing` says why."""

    core: CoreFrame
    src: str | None
    missing: str
    boxes: tuple[DrawnBox, ...]


def render(answer: Answer, image: "Callable[[FrameRef], Image]") -> str:
    """The page as text. `image` gives a frame's pixels (FrameStore.image).

    A frame whose pixels were evicted is named and described without its picture: a page is not
    refused because the cache was cleared.
    """
    hues = _hues(answer)
    return _template().render(
        answer=answer,
        name=printable(PurePath(answer.video.path).name),
        pictures=[_picture(core, answer, image, hues) for core in answer.core_frames],
        marks=timeline(answer),
        ticks=_ticks(answer.video.duration_s),
        dropped=answer.dropped[:ROWS],
        left_out=max(0, len(answer.dropped) - ROWS),
        counts=_counts(answer.dropped),
        total=total(answer.usage.values()),
        version=version("videoespresso"),
    )


def write(answer: Answer, path: Path, image: "Callable[[FrameRef], Image]") -> None:
    """Writes the page, whole or not at all. Raises UserError where it cannot be written."""
    page = render(answer, image)
    check_target(path)
    target = path.resolve()
    draft = target.with_name(f".videoespresso-{os.getpid()}.html")
    try:
        if target.exists() and not target.is_file():  # /dev/stdout, a pipe: nothing to replace
            target.write_text(page, encoding="utf-8")
            return
        draft.write_text(page, encoding="utf-8")
        draft.replace(target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise UserError(
            f"the report cannot be written to {path}: {error.strerror}",
            hint="Give --report a path in a folder you may write to.",
        ) from error


def check_target(path: Path) -> None:
    """Raises UserError where a report cannot go; asked before a model is paid, not after."""
    folder = path.parent
    if path.is_dir():
        raise UserError(
            f"the report {path} is a folder", hint=f"Name a file: {path / 'report.html'}"
        )
    if not folder.is_dir():
        raise UserError(
            f"the report's folder does not exist: {folder}",
            hint=f"Make it first: mkdir -p {folder}",
        )
    if not os.access(folder, os.W_OK):
        raise UserError(
            f"the report's folder cannot be written to: {folder}", hint="Choose another folder."
        )


def timeline(answer: Answer) -> list[Mark]:
    """Every frame that was looked at, kept or not, in time order."""
    length = max(answer.video.duration_s, 1e-9)

    def at(time_s: float) -> float:
        return round(100 * min(max(time_s / length, 0.0), 1.0), 3)

    kept = [
        (c.frame.time_s, Mark(at(c.frame.time_s), "core", _title("kept", c.frame.time_s, c.why)))
        for c in answer.core_frames
    ]
    gone = [
        (d.time_s, Mark(at(d.time_s), d.stage, _title(f"dropped by {d.stage}", d.time_s, d.reason)))
        for d in answer.dropped
    ]
    return [mark for _, mark in sorted(gone + kept, key=lambda pair: (pair[0], pair[1].stage))]


def drawn(boxes: Sequence[Box], hues: dict[str, int]) -> tuple[DrawnBox, ...]:
    """Boxes as percentages, each once; `hues` gives a label one colour on the whole page."""
    marks = []
    for box in dict.fromkeys(boxes):
        x0, y0, x1, y1 = (round(100 * v, 3) for v in box.xyxy)
        wide, high = round(x1 - x0, 3), round(y1 - y0, 3)
        marks.append(
            DrawnBox(box.label, box.score, x0, y0, wide, high, hues[box.label], inside=y0 < 9)
        )
    return tuple(marks)


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
    try:
        return Picture(core, _data_uri(image(core.frame)), "", boxes)
    except MemoryStoreError as error:
        return Picture(core, None, f"{error}. {error.hint}".strip(), boxes)


def _hues(answer: Answer) -> dict[str, int]:
    labels = [box.label for core in answer.core_frames for box in core.boxes]
    labels += [b.label for s in answer.evidence for item in s.items for b in item.boxes]
    return {label: HUES[i % len(HUES)] for i, label in enumerate(dict.fromkeys(labels))}


def _data_uri(picture: "Image") -> str:
    """JPEG in a data URI, reduced to PICTURE_SIDE."""
    small = picture.convert("RGB")
    small.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=PICTURE_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _title(what: str, time_s: float, why: str) -> str:
    return f"{clock(time_s)} {what}" + (f": {why}" if why else "")


def _ticks(duration_s: float) -> list[Mark]:
    """About six round instants for the axis."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400)
    step = next((s for s in steps if duration_s / s <= 7), steps[-1])
    if duration_s <= 0:
        return [Mark(0.0, "", "0:00")]
    instants = range(0, int(duration_s) + 1, step)
    return [
        Mark(round(100 * t / duration_s, 3), "", clock(t).removesuffix(".0"))
        for t in instants
        if t / duration_s < 0.97 or t == 0
    ]


def _counts(dropped: Sequence[DroppedFrame]) -> dict[str, int]:
    stages = ("duplicate", "filter", "select", "caption")
    return {s: n for s in stages if (n := sum(d.stage == s for d in dropped))}


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("videoespresso.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.filters |= {"clock": clock, "money": money, "letter": letter}
    return environment.get_template("page.html")
