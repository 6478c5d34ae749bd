"""What a file is, and its records as ours, one at a time."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from videoespresso.dataset.formats import inline
from videoespresso.dataset.formats.conversion_report import Report, Unusable
from videoespresso.dataset.formats.json_stream import Row, rows
from videoespresso.dataset.formats.released import ReleasedReader
from videoespresso.dataset.formats.released_boxes import Four, Scale, ScaleVote
from videoespresso.dataset.formats.released_fields import texts
from videoespresso.dataset.formats.timestamps import Timestamps
from videoespresso.dataset.records_io import numbered, records_file
from videoespresso.dataset_record import DatasetItem, Reject
from videoespresso.errors import UserError

Form = Literal["videoespresso-train", "videoespresso-test", "ours"]
FORMS: tuple[Form, ...] = get_args(Form)
PEEKED = 20
"""Records looked at to tell what a file is: the first may be broken."""


class Placed(NamedTuple):
    """A record and where it stood ("record 7", "line 7")."""

    where: str
    item: DatasetItem


def detect(source: Path) -> Form:
    """What a source is, by its first records. Raises UserError for what is none of the forms."""
    if source.is_dir():
        records_file(source)
        return "ours"
    keys: set[str] = set()
    fault = ""
    for row in itertools.islice(rows(source), PEEKED):
        fault = fault or (row.fault and f"{row.where}: {row.fault}")
        fields = set(row.value) if isinstance(row.value, dict) else set()
        if fields >= {"schema_version", "question"}:
            return "ours"
        if "question" in fields:
            return "videoespresso-test" if fields & {"options", "correct_answer"} else FORMS[0]
        keys |= fields
    if fault and not keys:
        raise UserError(f"{source} {fault}", hint="It may be cut off: download or write it again.")
    names = ", ".join(sorted(keys)[:8]) or "nothing with names"
    raise UserError(
        f"{source} is none of {', '.join(FORMS)}: its records have {names}",
        hint="Released records have a `question`. Is this the annotation file?",
    )


def scale_of(source: Path) -> Scale:
    """The scale of a released file, from all its boxes. Raises UserError."""
    vote = ScaleVote()
    for row in rows(source):
        for box in _boxes(row):
            vote.add(box)
    return vote.scale()


def _boxes(row: Row) -> Iterator[Four]:
    """The boxes of a released record, in the numbers of the file."""
    evidence = row.value.get("evidence") if isinstance(row.value, dict) else None
    return (box for text in texts(evidence) or () for box in inline.raw_boxes(text))


def own(source: Path, report: Report) -> Iterator[Placed]:
    """Our records; lines that are none are counted. Raises UserError for a younger schema."""

    def damaged(number: int, what: str) -> None:
        report.read += 1
        report.leave(f"line {number}", Unusable("no record of ours", what))

    for number, item in numbered(records_file(source), DatasetItem, damaged):
        report.read += 1
        yield Placed(f"line {number}", item)


def released(
    source: Path, scale: Scale, timestamps: Timestamps, report: Report
) -> Iterator[Placed]:
    """Released records as ours; those that cannot be read are counted and rejected."""
    reader = ReleasedReader(scale, timestamps, report)
    seen: set[str] = set()
    for row in rows(source):
        report.read += 1
        report.boxes += sum(1 for _ in _boxes(row))
        try:
            if row.fault:
                raise Unusable("cannot be read", row.fault)
            item = reader.read(row.value)
        except Unusable as why:
            report.leave(row.where, why)
            report.rejected(_reject(row, why))
            continue
        report.changed["the same question twice, kept"] += item.id in seen
        seen.add(item.id)
        yield Placed(row.where, item)
    report.changed.update(timestamps.missed)


def _reject(row: Row, why: Unusable) -> Reject:
    record = row.value if isinstance(row.value, dict) else {}
    return Reject(
        video=_text(record, "video_path"),
        stage="convert",
        criterion=why.criterion,
        reason=f"{row.where}: {why}",
        question=_text(record, "question"),
        answer=_text(record, "answer"),
    )


def _text(record: dict[str, Any], name: str) -> str:
    value = record.get(name)
    return value if isinstance(value, str) else ""
