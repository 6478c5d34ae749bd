"""Replies as people have them: the authors' file with `model_output`, or lines of id and reply
beside a benchmark.

A benchmark is the authors' test file, in all its spellings, or a dataset of ours.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videoespresso.dataset.formats import reading, release
from videoespresso.dataset.formats.conversion_report import Left, Report, Unusable
from videoespresso.dataset.formats.json_stream import rows
from videoespresso.dataset.formats.released import ReleasedReader
from videoespresso.dataset.formats.released_boxes import RELEASED
from videoespresso.dataset.formats.timestamps import Timestamps
from videoespresso.dataset_record import LETTERS, DatasetItem
from videoespresso.errors import UserError

OUTPUT = "model_output"
"""The authors' key of what a model said."""
REPLIES = (OUTPUT, "reply", "response", "output", "prediction", "answer")
"""Keys of a reply beside a benchmark; the first that a line has counts."""
_LINES = 'A line is {"id": "…", "reply": "…"}; instead of the id, "video" and "question".'


@dataclass(frozen=True)
class Bench:
    """Items, and the records they were read from, as they stand in the file; left_out: records that
    are no items."""

    source: str
    items: tuple[DatasetItem, ...]
    records: tuple[dict[str, Any], ...]
    left_out: tuple[Left, ...] = ()


@dataclass(frozen=True)
class Replied:
    """A benchmark and a reply to each of its items, None where there was none.

    outputs: (reply, right answer) of every record, also of those that are no items, as the authors'
    rule takes them. strangers: replies to nothing in the benchmark; not_text: replies that are
    neither text nor missing, which count as missing.
    """

    bench: Bench
    replies: tuple[str | None, ...]
    outputs: tuple[tuple[object, object], ...]
    strangers: int = 0
    not_text: int = 0


def read_bench(source: Path, videos: Path | None = None) -> Bench:
    """The items of a benchmark. videos: the folder that its video paths are relative to, where
    instants and ids of videos are wanted. Raises UserError for a file that is none."""
    return _bench(source, videos)[0]


def read_replies(file: Path, bench: Path | None = None) -> Replied:
    """The replies in a file. bench: the benchmark where the file holds ids and replies only.

    Raises UserError for a file that holds neither, for a line that cannot be read, two replies to
    one item, and replies none of which is about the benchmark.
    """
    if bench is None:
        _alone(file)
        records, raw = _bench(file)
        return _own_outputs(file, records, raw)
    return _beside(file, _bench(bench)[0])


def _bench(source: Path, videos: Path | None = None) -> tuple[Bench, list[dict[str, Any]]]:
    """The benchmark, and all records of the file that are records."""
    if not source.exists():
        raise UserError(f"{source}: no such file", hint="Check the path.")
    if source.is_file() and _empty(source):
        return Bench(str(source), (), ()), []
    report = Report()
    if reading.detect(source) == "ours":
        items = tuple(placed.item for placed in reading.own(source, report))
        records = tuple(_released(item) for item in items)
        return Bench(str(source), items, records, report.left_out), [*records]
    reader = ReleasedReader(RELEASED, Timestamps(videos), report)
    pairs: list[tuple[DatasetItem, dict[str, Any]]] = []
    raw: list[dict[str, Any]] = []
    for row in rows(source):
        if isinstance(row.value, dict):
            raw.append(row.value)
        try:
            if row.fault:
                raise Unusable("cannot be read", row.fault)
            pairs.append((reader.read(row.value), row.value))
        except Unusable as why:
            report.leave(row.where, why)
    items, records = tuple(item for item, _ in pairs), tuple(record for _, record in pairs)
    return Bench(str(source), items, records, report.left_out), raw


def _empty(source: Path) -> bool:
    """Whether it is the empty list: a file of the right kind without items."""
    with source.open("rb") as file:
        return file.read(64).strip() == b"[]"


def _released(item: DatasetItem) -> dict[str, Any]:
    """A record of ours as the authors' test file has it; without what it lacks."""
    try:
        return release.released(item, "videoespresso-test", RELEASED)
    except Unusable:
        return release.released(item, "videoespresso-train", RELEASED)


def _own_outputs(file: Path, bench: Bench, raw: Sequence[dict[str, Any]]) -> Replied:
    """The authors' form: each record holds its output."""
    if raw and not any(OUTPUT in record for record in raw):
        keys = ", ".join(sorted({key for record in raw[:20] for key in record})[:8])
        raise UserError(
            f"{file} has no `{OUTPUT}`: its records have {keys}",
            hint=f"Give the file that your model wrote, or --items BENCH beside one: {_LINES}",
        )
    outputs = [record.get(OUTPUT) for record in bench.records]
    return Replied(
        bench,
        replies=tuple(reply if isinstance(reply, str) else None for reply in outputs),
        outputs=tuple((record.get(OUTPUT), record.get("correct_answer")) for record in raw),
        not_text=sum(reply is not None and not isinstance(reply, str) for reply in outputs),
    )


def _alone(file: Path) -> None:
    """Raises UserError for a file of ids and replies, whose benchmark is missing."""
    whole = file.is_file() and file.stat().st_size and not _empty(file)
    first = next(iter(rows(file)), None) if whole else None
    record = first.value if first else None
    if isinstance(record, dict) and "id" in record and "question" not in record:
        raise UserError(
            f"{file} holds ids and replies, not the benchmark: it has "
            f"{', '.join(sorted(record)[:8])}",
            hint="Name it: --items BENCH, the authors' file or a dataset of ours.",
        )


def _beside(file: Path, bench: Bench) -> Replied:
    """Lines of id and reply."""
    at: dict[object, list[int]] = {}
    for k, item in enumerate(bench.items):
        for name in {item.id, _text(item.extra.get("id"))} - {""}:
            at.setdefault(name, []).append(k)
        at.setdefault((item.video.path, item.question.strip()), []).append(k)
    replies: list[str | None] = [None] * len(bench.items)
    given: dict[int, object] = {}
    strangers = not_text = 0
    for where, record in _lines(file):
        reply = reply_of(record)
        places = at.get(_text(record.get("id"))) or at.get(_about(record)) or []
        strangers += not places
        not_text += reply is not None and not isinstance(reply, str)
        for k in places:
            if k in given and given[k] != reply:
                raise UserError(
                    f"{file} {where}: a second reply to {bench.items[k].id}, another one",
                    hint="One reply an item. For several runs give a file each.",
                )
            given[k] = reply
            replies[k] = reply if isinstance(reply, str) else None
    if strangers and not given:
        raise UserError(
            f"{file} has {strangers} replies, and none is to an item of {bench.source}",
            hint=f"Ids are those of the benchmark's records. {_LINES}",
        )
    right = [item.letter and f"({item.letter})" for item in bench.items]
    return Replied(
        bench, tuple(replies), tuple(zip(replies, right, strict=True)), strangers, not_text
    )


def _lines(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The records of a file of replies. Raises UserError for the first that is none."""
    if not file.is_file():
        raise UserError(f"{file}: no such file", hint="Check the path.")
    for row in rows(file) if file.stat().st_size and not _empty(file) else ():
        record = row.value
        fault = row.fault
        if not fault and not isinstance(record, dict):
            fault = f"a {type(record).__name__}, not a record"
        elif not fault and not ({"id", "question"} & set(record)):
            fault = f"neither `id` nor `question`: it has {', '.join(sorted(record)[:8])}"
        elif not fault and not ({*REPLIES, "error"} & set(record)):
            fault = f"no reply: it has {', '.join(sorted(record)[:8])}"
        if fault:
            raise UserError(f"{file} {row.where}: {fault}", hint=_LINES)
        yield row.where, record


def reply_of(record: Mapping[str, Any]) -> object:
    """The reply of a line; of a result of `ask-many` its option and text, None of an error."""
    reply = next((record[key] for key in REPLIES if record.get(key) is not None), None)
    if not isinstance(reply, dict):
        return reply
    text, choice = reply.get("text"), reply.get("choice")
    if not isinstance(text, str):
        return reply
    if isinstance(choice, int) and 0 <= choice < len(LETTERS):
        return f"({LETTERS[choice]}) {text}"
    return text if reply.get("answered", True) else ""


def _about(record: Mapping[str, Any]) -> tuple[str, str]:
    return _text(record.get("video") or record.get("video_path")), _text(record.get("question"))


def _text(value: object) -> str:
    """An id or a text as such; "" for none."""
    return str(value).strip() if isinstance(value, str | int) else ""
