"""Evidence with its boxes inside: <obj_start>NAME<obj_end><box_start>BOXES<box_end>.

BOXES is "[]" or boxes of four numbers. Which core frame a box is on is not marked. A tag that
cannot be read stays in the text as it is, and is counted.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from videoespresso.dataset.formats.released_boxes import (
    Four,
    Scale,
    fours,
    from_released,
    to_released,
)
from videoespresso.dataset_record import EvidenceSentence, FrameBox, GroundedItem

MARKS = ("<obj_start>", "<obj_end>", "<box_start>", "<box_end>")
_TAG = re.compile(
    r"<obj_start>((?:(?!<(?:obj|box)_(?:start|end)>).)*)<obj_end>\s*<box_start>([^<]*)<box_end>",
    re.DOTALL,
)
_AROUND = str.maketrans("[](),;", "      ")


class Inline(NamedTuple):
    """What a text with tags says. malformed: tags left as text; cut: boxes cut to the frame."""

    text: str
    items: tuple[GroundedItem, ...]
    malformed: int
    cut: int


def raw_boxes(text: str) -> Iterator[Four]:
    """All boxes in a text, in the numbers of the file."""
    for match in _TAG.finditer(text):
        yield from _numbers(match[2]) or ()


def read(text: str, scale: Scale) -> Inline:
    """The plain text and what was tagged in it, with the place of each name."""
    plain, items, end, cut = "", list[GroundedItem](), 0, 0
    for match in _TAG.finditer(text):
        plain += text[end : match.start()]
        end = match.end()
        name = match[1].strip()
        boxes = _boxes(match[2], scale) if name else None
        if boxes is None:
            plain += match[0]
            continue
        cut += sum(was_cut for _, was_cut in boxes)
        place = len(plain) + match[1].find(name)
        items.append(GroundedItem(name=name, at=place, boxes=tuple(box for box, _ in boxes)))
        plain += match[1]
    plain += text[end:]
    # A whole tag leaves one of each mark behind, a torn one at least one of some kind.
    return Inline(plain, tuple(items), max(plain.count(mark) for mark in MARKS), cut)


def _boxes(text: str, scale: Scale) -> list[tuple[FrameBox, bool]] | None:
    """None unless all of them are boxes on the frame."""
    numbers = _numbers(text)
    if numbers is None:
        return None
    boxes = [box for box in (from_released(four, scale) for four in numbers) if box is not None]
    return boxes if len(boxes) == len(numbers) else None


def _numbers(text: str) -> list[Four] | None:
    """The numbers in fours: a list, a list of lists, or only numbers; None for anything else."""
    try:
        value = json.loads(text, parse_int=float)
    except (ValueError, RecursionError):
        value = None
    try:
        if value is None:
            words = text.translate(_AROUND).split()
            return list(fours(map(float, words))) if words or not text.strip() else None
        rows = [value] if value and not isinstance(value[0], list) else value
        return [_four(row) for row in rows]
    except (ValueError, TypeError, LookupError):
        return None


def _four(row: object) -> Four:
    """Raises ValueError for anything but a list of four numbers."""
    if not isinstance(row, list) or not all(isinstance(v, float) for v in row):
        raise ValueError("no box")
    (box,) = fours(row)
    return box


Tag = Callable[[str, tuple[FrameBox, ...]], str]
"""Writes a name with its boxes."""


def released_tag(scale: Scale) -> Tag:
    """Writes them as the authors do."""

    def tag(name: str, boxes: tuple[FrameBox, ...]) -> str:
        numbers = json.dumps([to_released(box, scale) for box in boxes])
        return f"<obj_start>{name}<obj_end><box_start>{numbers}<box_end>"

    return tag


def write(
    sentence: EvidenceSentence, tag: Tag, wanted: Callable[[GroundedItem], bool] | None = None
) -> str:
    """The sentence with its tags, in the order in which they stand there. A name with boxes that
    does not stand in it is put behind it.

    wanted: which of the items without a place are tagged; None is all.
    """
    spans, behind = _placed(sentence, wanted)
    out, end = "", 0
    for at, item in spans:
        name = sentence.text[at : at + len(item.name)]
        out += sentence.text[end:at] + tag(name, item.boxes)
        end = at + len(item.name)
    out += sentence.text[end:]
    return " ".join([out, *(tag(item.name, item.boxes) for item in behind)])


def _placed(
    sentence: EvidenceSentence, wanted: Callable[[GroundedItem], bool] | None
) -> tuple[list[tuple[int, GroundedItem]], list[GroundedItem]]:
    """Items by place (as they say where that is true, else their first free mention), and those
    with boxes that are nowhere."""
    text, spans, loose = sentence.text, list[tuple[int, GroundedItem]](), list[GroundedItem]()
    for item in sentence.items:
        at = item.at
        if at is not None and text.startswith(item.name, at) and _free(at, item, spans):
            spans.append((at, item))
        elif wanted is None or wanted(item):
            loose.append(item)
    behind = []
    for item in loose:
        at = next((m for m in _mentions(text, item.name) if _free(m, item, spans)), None)
        if at is not None:
            spans.append((at, item))
        elif item.boxes:
            behind.append(item)
    return sorted(spans, key=lambda span: span[0]), behind


def _free(at: int, item: GroundedItem, spans: list[tuple[int, GroundedItem]]) -> bool:
    end = at + len(item.name)
    return all(end <= other or other + len(known.name) <= at for other, known in spans)


def _mentions(text: str, name: str) -> Iterator[int]:
    """Where a name stands as words of its own, whatever its case."""
    pattern = rf"(?<!\w){re.escape(name)}(?!\w)"
    return (match.start() for match in re.finditer(pattern, text, re.IGNORECASE))
