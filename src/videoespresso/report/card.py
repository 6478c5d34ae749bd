"""Answers in short, as HTML: what a notebook shows, and the page of a whole chat."""

import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from videoespresso.report.page import drawn
from videoespresso.report.parts import DrawnBox, data_uri, hues_of, template
from videoespresso.report.text import file_name, names_of, printable, total
from videoespresso.types import Answer, Box, ChatTurn, EvidenceStep, Usage

SIDE = 480
"""Longer side of a picture in pixels: a card's is 17rem wide, on a fine screen twice as many."""

FileOf = Callable[[str, str], Path]
"""(video id, sha) -> where a frame's pixels are; `FrameStore.file`."""


class Shown(NamedTuple):
    """A core frame; `src` is None when its pixels are gone."""

    time_s: float
    caption: str
    src: str | None
    boxes: tuple[DrawnBox, ...]


class Card(NamedTuple):
    """A question and its answer."""

    question: str
    text: str
    answered: bool
    checked: bool
    choice: int | None
    video: str
    steps: tuple[EvidenceStep, ...]
    pictures: tuple[Shown, ...]
    usage: Usage


def render(shown: Sequence[Answer | ChatTurn], file: FileOf) -> str:
    """A part of a page: a card each, pictures inlined, no script, everything escaped."""
    return template("card.html").render(cards=[_card(one, file) for one in shown])


def page(title: str, shown: Sequence[Answer | ChatTurn], file: FileOf) -> str:
    """The same as a page of its own."""
    head = template("head.html").render()
    title = html.escape(printable(title))
    return f"{head}<title>{title}</title></head><body>{render(shown, file)}</body></html>\n"


def _card(one: Answer | ChatTurn, file: FileOf) -> Card:
    cited: dict[str, list[Box]] = {}
    for step in one.evidence:
        cited.setdefault(step.frame_id, []).extend(b for item in step.items for b in item.boxes)
    if isinstance(one, Answer):
        frames = [
            (c.frame.id, c.frame.video_id, c.frame.sha, c.frame.time_s, c.caption)
            for c in one.core_frames
        ]
        text, video, usage = one.text, names_of(one), total(one.usage.values())
    else:
        frames = [(f.id, f.video_id, f.sha, f.time_s, f.caption) for f in one.frames]
        text, video, usage = one.answer, file_name(one.video), one.usage
    hues = hues_of(box.label for boxes in cited.values() for box in boxes)
    pictures = tuple(
        Shown(time_s, caption, _src(file(video_id, sha)), drawn(cited.get(id_, []), hues))
        for id_, video_id, sha, time_s, caption in frames
    )
    return Card(
        one.question, text, one.answered, one.checked, one.choice, printable(video),
        one.evidence, pictures, usage,
    )  # fmt: skip


def _src(file: Path) -> str | None:
    try:
        with Image.open(file) as picture:
            return data_uri(picture, SIDE)
    except (OSError, SyntaxError, ValueError):  # evicted, or damaged on the disk
        return None
