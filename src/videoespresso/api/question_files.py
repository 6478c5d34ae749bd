"""Files of questions as people have them: JSON lines, a JSON list, CSV, Parquet, or a folder.

And the authors' bench files: options without their labels, videos below a root. Nothing that gives
the answer away goes along: neither the reference, nor the letter, nor evidence.
"""

import csv
import io
import itertools
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from videoespresso.dataset.formats.conversion_report import Report, Unusable
from videoespresso.dataset.formats.json_stream import rows
from videoespresso.dataset.formats.reading import PEEKED
from videoespresso.dataset.formats.released import ReleasedReader
from videoespresso.dataset.formats.released_boxes import RELEASED
from videoespresso.dataset.formats.timestamps import Timestamps, below
from videoespresso.errors import UserError

KINDS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
"""What is read of a folder, in the order of the names."""
_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
"""What editors and spreadsheets put before a text, and its encoding."""


def read(path: Path) -> Iterator[tuple[int, Any]]:
    """(line or row, from 1; bytes of a JSON line or the fields of a row) of each question; (0, why)
    of a folder's file that cannot be read, behind the others.

    Blank lines are skipped. In tables the column `options` is a JSON list, or text with "|"
    between the options. Raises UserError for a file that cannot be read at all, or has no question.
    """
    any_question = False
    for row in _read(path):
        any_question = True
        yield row
    if not any_question:
        raise UserError(
            f"{path} holds no question",
            hint='One a line: {"video": "clip.mp4", "question": "Who runs?"}; or a table with a '
            "first row of names, video and question among them.",
        )


def _read(path: Path) -> Iterator[tuple[int, Any]]:
    if path.is_dir():
        files = [file for file in _listed(path) if file.suffix.lower() in KINDS]
        if not files:
            raise UserError(
                f"{path} holds no file of questions", hint=f"Those end in {', '.join(KINDS)}."
            )
        faults: list[UserError] = []
        for file in files:
            try:
                yield from _read(file)
            except UserError as error:
                faults.append(error)
        if len(faults) == len(files):
            raise faults[0]
        yield from ((0, ValueError(str(error))) for error in faults)
        return
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror}", hint="Check the path and its permissions."
        ) from error
    if path.suffix.lower() == ".parquet":
        yield from _parquet(path)
        return
    data = _utf8(data)
    if path.suffix.lower() in (".csv", ".tsv"):
        yield from _table(data, path)
    elif data.lstrip()[:1] in (b"[", b"{"):
        yield from _json(data)
    else:
        yield from _lines(data)


def _listed(folder: Path) -> list[Path]:
    """Its files by name. A pipe would be waited for, a link to a folder may lead in a circle."""
    try:
        return [file for file in sorted(folder.iterdir()) if file.is_file()]
    except OSError as error:
        raise UserError(
            f"{folder} cannot be read: {error.strerror}", hint="Check the folder's permissions."
        ) from error


def _utf8(data: bytes) -> bytes:
    """Half characters stay what they are, and a last odd byte becomes one that stands for none:
    they are damage of their line."""
    for mark, encoding in _MARKS.items():
        if data.startswith(mark) and encoding == "utf-8":
            return data.removeprefix(mark)
        if data.startswith(mark):
            whole = len(data) // 2 * 2
            text = data[:whole].decode(encoding, "surrogatepass") + "\ufffd" * (len(data) - whole)
            return text.encode("utf-8", "surrogatepass")
    return data


def _lines(data: bytes) -> Iterator[tuple[int, Any]]:
    lines = enumerate(data.split(b"\n"), start=1)
    yield from ((number, line) for number, line in lines if line.strip())


def _json(data: bytes) -> Iterator[tuple[int, Any]]:
    """A list, the one list in an object, an object, or JSON lines."""
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError):
        lines = [line for _, line in _lines(data)]
        if data.lstrip().startswith(b"[") and 2 * sum(map(_is_object, lines)) < len(lines):
            yield from enumerate(_items(data.decode("utf-8", "replace")), start=1)
        else:
            yield from _lines(data)
        return
    if isinstance(parsed, dict) and "question" not in parsed:
        lists = [value for value in parsed.values() if isinstance(value, list)]
        parsed = lists[0] if len(lists) == 1 else parsed
    yield from enumerate(parsed if isinstance(parsed, list) else [parsed], start=1)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _items(text: str) -> Iterator[Any]:
    """The items of a damaged list; of what is none, the bytes up to where the next one begins."""
    at, end = text.index("[") + 1, len(text.rstrip().removesuffix("]"))
    while begin := _ITEM.search(text, at, end):
        at = begin.start()
        try:
            item, after = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            following = _NEXT.search(text, at)
            after = following.end() if following else end
            item = text[at:after].rstrip(", \t\r\n").encode()
        yield item
        at = after


_DECODER = json.JSONDecoder()
_ITEM = re.compile(r"[^\s,]")
_NEXT = re.compile(r"\}\s*,\s*(?=\{)")


def _table(data: bytes, path: Path) -> Iterator[tuple[int, Any]]:
    """Bytes that are no UTF-8 stay half characters, which are damage of their row, or the name of
    a file."""
    lines = list(io.StringIO(data.decode("utf-8", "surrogateescape"), newline=""))
    sep = lines[0].strip().removeprefix("sep=") if lines and lines[0].startswith("sep=") else ""
    begin = 1 if len(sep) == 1 else 0
    delimiter = sep if begin else _delimiter(lines[:1], "\t" if path.suffix == ".tsv" else ",")
    names: list[str] = []
    for number, row in _rows(lines, begin, delimiter):
        if isinstance(row, csv.Error) or names:
            yield number, row if isinstance(row, csv.Error) else _fields(names, row)
        else:
            names = [name.strip() for name in row]
            _check(names, path)


def _check(names: list[str], path: Path) -> None:
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice or "question" not in names:
        wrong = f"the column {twice[0]} twice" if twice else "no column `question`"
        raise UserError(
            f"{path}: the first row has {wrong}: {', '.join(names)[:200]}",
            hint="It names the columns: video, question, and options, id or what else you keep.",
        )


def _delimiter(header: list[str], usual: str) -> str:
    """The one between the columns that every table of questions has; spreadsheets write another
    one where a comma stands in numbers."""
    for delimiter in (usual, ",", ";", "\t", "|"):
        names = next(csv.reader(header, delimiter=delimiter), [])
        if {"video", "question"} <= {name.strip() for name in names}:
            return delimiter
    return usual


def _rows(lines: list[str], at: int, delimiter: str) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """(line where it ends, columns or why there are none). A quote that is never closed, or only
    by one of another row, damages its line; the next row begins after that line."""
    rows, begin = csv.reader(lines[at:], delimiter=delimiter, strict=True), at
    while at < len(lines):
        try:
            row = next(rows)
            at = begin + rows.line_num
            if row:
                yield at, row
        except csv.Error as error:
            single = begin + rows.line_num == at + 1 and "end of data" not in str(error)
            at += 1
            yield at, _leniently(lines[at - 1], delimiter) if single else error
            rows, begin = csv.reader(lines[at:], delimiter=delimiter, strict=True), at


def _leniently(line: str, delimiter: str) -> list[str] | csv.Error:
    """A row with quotes inside of a column, as spreadsheets read it."""
    try:
        return next(csv.reader([line], delimiter=delimiter))
    except csv.Error as error:  # a field beyond what any question is
        return error


def _fields(names: list[str], row: list[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {n: value for n, value in zip(names, row, strict=False) if value}
    if more := len(row) - len(names):
        fields |= {"columns": f"{more} more than the header has"} if more > 0 else {}
    return _with_options(fields)


def _parquet(path: Path) -> Iterator[tuple[int, Any]]:
    from videoespresso.dataset.formats.parquet import needed  # noqa: PLC0415 - an extra

    pa = needed()
    import pyarrow.parquet  # noqa: PLC0415 - an extra

    try:
        table = pyarrow.parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        text = " ".join(str(error).split())
        raise UserError(f"{path} cannot be read as Parquet: {text}", hint="Check it.") from error
    for number in range(table.num_rows):
        try:
            row = table.slice(number, 1).to_pylist()[0]
        except (pa.ArrowException, ValueError, ArithmeticError) as error:  # a date beyond Python's
            yield number + 1, ValueError(f"{type(error).__name__}: {error}")
            continue
        yield number + 1, _with_options({k: v for k, v in row.items() if not missing(v)})


def _with_options(fields: dict[str, Any]) -> dict[str, Any]:
    options = fields.get("options")
    if isinstance(options, str):
        try:
            value = json.loads(options)
        except (ValueError, RecursionError):
            value = None
        split = [part.strip() for part in options.split("|")]
        fields["options"] = value if isinstance(value, list) else split
    return fields


def missing(value: object) -> bool:
    """Whether a value stands for none: tables export it as null or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


BENCHES = (".json", ".jsonl", ".ndjson")


def is_bench(path: Path) -> bool:
    """Whether the records are released ones: they name their video by `video_path`, where a
    question of ours has `video`."""
    if not path.is_file() or path.suffix.lower() not in BENCHES:
        return False
    try:
        first = [row.value for row in itertools.islice(rows(path), PEEKED)]
    except UserError:
        return False  # what is wrong with it is said by who reads questions
    records = [record for record in first if isinstance(record, dict)]
    named = [record for record in records if "video_path" in record and "video" not in record]
    return bool(named) and len(named) == len(records)


def bench_questions(path: Path, videos: Path | None) -> Iterator[tuple[int, Any]]:
    """(number from 1, the fields of a question) of each record; a record that is no question comes
    as it is. videos: the folder of the videos, with or without the release's `all_video/` below it.

    Raises UserError where `videos` is no folder, and for a file that cannot be read on.
    """
    if videos is not None and not videos.is_dir():
        raise UserError(f"--videos {videos} is no folder", hint="Give the folder they are in.")
    reader, root = ReleasedReader(RELEASED, Timestamps(None), Report()), Timestamps(videos)
    for number, row in enumerate(rows(path), start=1):
        try:
            if row.fault:
                raise Unusable("cannot be read", row.fault)
            item = reader.read(row.value)
        except Unusable:
            yield number, row.value if row.value is not None else row.fault
            continue
        yield (
            number,
            {
                "video": item.video.path
                if videos is None
                else _place(root, videos, item.video.path),
                "question": item.question,
                "options": item.options,
                "id": item.id,
            },
        )


def _place(root: Timestamps, videos: Path, path: str) -> str:
    """Where the video is, or where it should be; "" for a path that leads out of the folder."""
    file = root.file(path) or below(videos, path)
    return "" if file is None else str(file)
