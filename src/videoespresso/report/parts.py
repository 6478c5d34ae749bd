"""What the pages share: the template engine, pictures in data URIs, boxes, timelines, writing.

Everything a model or a file name contributed is escaped, and the pages' own policy forbids them to
run or load anything.
"""

import base64
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import jinja2

from videoespresso.errors import UserError
from videoespresso.report.text import (
    clip,
    clock,
    file_name,
    instant,
    letter,
    money,
    number,
    percent,
    printable,
)

if TYPE_CHECKING:
    from PIL.Image import Image

PICTURE_SIDE = 720
"""Longer side of an inlined picture in pixels: two columns of a laptop's screen."""

PICTURE_QUALITY = 82
"""JPEG quality: about 40 KB a picture, so that a page with five core frames can be mailed."""

HUES = (212, 28, 145, 330, 265, 182, 4, 95)
"""A box's colour, by its label's order of appearance; after eight they repeat."""


MOST_TICKS = 100
"""Instants written below a timeline at most; only a timeline of months has as many."""


class Mark(NamedTuple):
    """A frame on the timeline: `at` in percent of the video's duration."""

    at: float
    stage: str
    title: str


class DrawnBox(NamedTuple):
    """A box in percent of its picture. `inside`: its label, as there is no room above. row: by how
    many heights of a label its label is moved down, so that it covers no other."""

    label: str
    score: float | None
    left: float
    top: float
    width: float
    height: float
    hue: int
    inside: bool
    row: int = 0


def draw_box(
    label: str, score: float | None, xyxy: tuple[float, float, float, float], hue: int
) -> DrawnBox:
    """A box (0-1) in percent of its picture."""
    x0, y0, x1, y1 = (round(100 * v, 3) for v in xyxy)
    return DrawnBox(label, score, x0, y0, round(x1 - x0, 3), round(y1 - y0, 3), hue, inside=y0 < 9)


def apart(boxes: Iterable[DrawnBox]) -> tuple[DrawnBox, ...]:
    """The boxes with labels that do not cover each other, as far as the picture has room.

    The page is laid out by the browser: sizes are those of the narrowest picture it may show.
    """
    placed: list[tuple[float, float, float]] = []
    moved = []
    for box in boxes:
        width = _LETTER * (len(box.label) + 6)
        left = box.left + box.width - width if box.left > 70 else box.left
        top = box.top if box.inside else box.top - _ROW
        rows = range(int((100 - top) // _ROW))
        free = (k for k in rows if not _covers(placed, left, top + k * _ROW, width))
        row = next(free, 0)
        placed.append((left, top + row * _ROW, width))
        moved.append(box._replace(row=row))
    return tuple(moved)


def _covers(
    placed: Iterable[tuple[float, float, float]], left: float, top: float, width: float
) -> bool:
    """Whether a label there would touch one of those (left, top, width)."""
    return any(
        abs(top - y) < 0.95 * _ROW and left < x + other and x < left + width
        for x, y, other in placed
    )


_LETTER, _ROW = 2.4, 10.0
"""A letter's width and a label's height, in percent of a picture of 272 x 153 pixels, the smallest
column of the dataset's page (6.5 and 15.5 pixels)."""


def hues_of(labels: Iterable[str]) -> dict[str, int]:
    """One colour a label on a whole page, in the order of first appearance."""
    return {label: HUES[i % len(HUES)] for i, label in enumerate(dict.fromkeys(labels))}


def place(time_s: float, duration_s: float) -> float:
    """An instant in percent of the duration."""
    return round(100 * min(max(time_s / max(duration_s, 1e-9), 0.0), 1.0), 3)


def data_uri(picture: "Image", side: int = PICTURE_SIDE, quality: int = PICTURE_QUALITY) -> str:
    """JPEG in a data URI, reduced so that its longer side is at most `side` pixels."""
    small = picture.convert("RGB")
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def ticks(start_s: float, end_s: float) -> list[Mark]:
    """About six round instants for the axis of a timeline."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400)
    length = end_s - start_s
    step = next((s for s in steps if length / s <= 7), steps[-1])
    if length <= 0:
        return [Mark(0.0, "", clock(start_s).removesuffix(".0"))]
    instants = range(-int(-start_s // step) * step, int(end_s) + 1, step)
    return [
        Mark(place(t - start_s, length), "", clock(t).removesuffix(".0"))
        for t in instants[:MOST_TICKS]
        if (t - start_s) / length < 0.97 or t == start_s
    ]


def check_target(path: Path, videos: Iterable[str] = ()) -> None:
    """Raises UserError where a report cannot go, or would replace one of those videos; called
    before a model is paid."""
    folder = path.parent
    if any(_same_file(path, Path(video)) for video in videos):
        raise UserError("the report would replace the video", hint="Give it another name.")
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


def _same_file(a: Path, b: Path) -> bool:
    """Also by a link, or another spelling of the path."""
    try:
        return a.samefile(b)
    except OSError:  # one is not there
        return a.resolve() == b.resolve()


def write_text(page: str, path: Path, *, flag: str) -> None:
    """Writes a page, whole or not at all; `flag` is where its place was given.

    Raises UserError where it cannot be written.
    """
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
            hint=f"Give {flag} a path in a folder you may write to.",
        ) from error


def template(name: str) -> jinja2.Template:
    """One of this room's templates. Values are escaped and printable, missing ones an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("videoespresso.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    shown = (clip, clock, file_name, instant, letter, money, number, percent)
    environment.filters |= {how.__name__: how for how in shown}
    return environment.get_template(name)
