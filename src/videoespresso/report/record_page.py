"""The evidence of one record of a dataset, as an HTML page or as a part of the dataset's page."""

import io
from collections.abc import Iterable
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from videoespresso.dataset.inspect.validate import inside
from videoespresso.dataset_record import (
    DatasetItem,
    EvidenceSentence,
    GroundedItem,
    GroupCaption,
    KeyFrame,
    Made,
)
from videoespresso.report.parts import (
    PICTURE_QUALITY,
    PICTURE_SIDE,
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
from videoespresso.report.text import instant, letter, total
from videoespresso.types import Usage

SHOWN = 40
"""Frames, sentences, items, boxes, captions, options shown of a record at most, each; the paper's
groups hold 15 captions."""


class FrameView(NamedTuple):
    """A core frame as drawn; `src` is None without its picture, `missing` says why."""

    number: int
    frame: KeyFrame
    src: str | None
    missing: str
    boxes: tuple[DrawnBox, ...]


class StageView(NamedTuple):
    """Who made a part, and what it cost this record; None where that is not known."""

    stage: str
    made: Made | None
    usage: Usage | None


class RecordView(NamedTuple):
    """What a template shows of a record. options: (letter, text, whether it is the right one)."""

    item: DatasetItem
    options: tuple[tuple[str, str, bool], ...]
    evidence: tuple[EvidenceSentence, ...]
    frames: tuple[FrameView, ...]
    captions: tuple[GroupCaption, ...]
    marks: tuple[Mark, ...]
    ticks: tuple[Mark, ...]
    stages: tuple[StageView, ...]
    usage: Usage
    left_out: int


def view(
    item: DatasetItem, folder: Path, *, side: int = PICTURE_SIDE, quality: int = PICTURE_QUALITY
) -> RecordView:
    """A record with its pictures from the dataset's folder, their longer side in pixels."""
    hues = hues_of(thing.name for thing in item.key_items)
    frames = []
    for k, frame in enumerate(item.core_frames[:SHOWN]):
        src, missing = _picture(folder, frame, side, quality)
        frames.append(FrameView(k + 1, frame, src, missing, apart(_drawn(item, k, hues))))
    start, end = _span(item)
    many = (item.options, item.evidence, item.core_frames, item.captions)
    return RecordView(
        item=item,
        options=tuple(
            (letter(k), text, letter(k) == item.letter)
            for k, text in enumerate(item.options[:SHOWN])
        ),
        evidence=tuple(_short(step) for step in item.evidence[:SHOWN]),
        frames=tuple(frames),
        captions=item.captions[:SHOWN],
        marks=tuple(_marks(item, start, end)),
        ticks=tuple(ticks(start, end)),
        stages=tuple(
            StageView(stage, item.made.get(stage), item.cost.get(stage))
            for stage in dict.fromkeys((*item.made, *item.cost))
        ),
        usage=total(item.cost.values()),
        left_out=sum(max(0, len(entries) - SHOWN) for entries in many),
    )


def render(item: DatasetItem, folder: Path) -> str:
    """The page as text. A frame whose picture is gone is described without it."""
    return template("record.html").render(
        view=view(item, folder), boxes_found=boxes_found, version=version("videoespresso")
    )


def write(item: DatasetItem, folder: Path, path: Path) -> None:
    """Writes the page, whole or not at all. Raises UserError where it cannot be written."""
    write_text(render(item, folder), path, flag="--html")


def _short(step: EvidenceSentence) -> EvidenceSentence:
    return step.model_copy(update={"items": step.items[:SHOWN]})


def _drawn(item: DatasetItem, frame: int, hues: dict[str, int]) -> Iterable[DrawnBox]:
    """The boxes on a core frame, each once; one that names no frame is on its sentence's."""
    boxes = {
        (thing.name, box.xyxy): box.score
        for step in item.evidence
        for thing in step.items
        for box in thing.boxes
        if frame == (step.frame if box.frame is None else box.frame)
    }
    for (name, xyxy), score in list(boxes.items())[:SHOWN]:
        yield draw_box(name, score, xyxy, hues[name])


def _picture(folder: Path, frame: KeyFrame, side: int, quality: int) -> tuple[str | None, str]:
    """A data URI, or None and why there is none."""
    if not frame.image:
        return None, "the record names no image"
    file = inside(folder, frame.image)
    if file is None:
        return None, "the record names an image outside the dataset's folder"
    try:
        with Image.open(io.BytesIO(file.read_bytes())) as picture:
            picture.draft("RGB", (side, side))
            return data_uri(picture, side, quality), ""
    except FileNotFoundError:
        return None, f"the image is missing: {frame.image}"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return None, f"the image cannot be read: {error}"


def _span(item: DatasetItem) -> tuple[float, float]:
    """What the timeline shows: the caption group's part of the video, and its core frames."""
    known = [t for t in _instants(item) if t is not None and isfinite(t)]
    if not known:
        return 0.0, 0.0
    margin = 0.04 * (max(known) - min(known)) or 0.5
    return max(0.0, min(known) - margin), max(known) + margin


def _instants(item: DatasetItem) -> Iterable[float | None]:
    yield from (caption.time_s for caption in item.captions[:SHOWN])
    yield from (frame.time_s for frame in item.core_frames[:SHOWN])


def _marks(item: DatasetItem, start: float, end: float) -> Iterable[Mark]:
    entries = [("group", c.time_s, c.text) for c in item.captions[:SHOWN]]
    entries += [
        ("core", f.time_s, f"core frame {k}: {f.caption}")
        for k, f in enumerate(item.core_frames[:SHOWN], 1)
    ]
    for stage, time_s, text in entries:
        if time_s is not None and isfinite(time_s):
            yield Mark(place(time_s - start, end - start), stage, f"{instant(time_s)} {text}")


def boxes_found(thing: GroundedItem, item: DatasetItem) -> str:
    """The number of a key item's boxes and their best score, as text; "no boxes" where no detector
    looked for them."""
    scores = [box.score for box in thing.boxes if box.score is not None]
    if not thing.boxes:
        return "not found" if item.detected else "no boxes"
    many = f"{len(thing.boxes)} boxes" if len(thing.boxes) > 1 else "1 box"
    return f"{many}, {max(scores):.2f}" if scores else many
