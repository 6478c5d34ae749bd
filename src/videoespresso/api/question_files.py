"""Files of questions as people have them: JSON lines, a JSON list, CSV, Parquet, or a folder."""

import csv
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from videoespresso.errors import UserError

KINDS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
"""What is read of a folder, in the order of the names."""
_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
"""What editors and spreadsheets put before a text, and its encoding."""


def read(path: Path) -> Iterator[tuple[int, Any]]:
    """(line or row, from 1; bytes of a JSON line or the fields of a row) of each question.

    Blank lines are skipped. In tables the column `options` is a JSON list, or text with "|"
    between the options. Raises UserError for a file that cannot be read at all.
    """
    if path.is_dir():
        files = [file for file in sorted(path.iterdir()) if file.suffix.lower() in KINDS]
        if not files:
            raise UserError(
                f"{path} holds no file of questions", hint=f"Those end in {', '.join(KINDS)}."
            )
        for file in files:
            yield from read(file)
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
    data = _utf8(path, data)
    if path.suffix.lower() in (".csv", ".tsv"):
        yield from _table(data, path)
    elif data.lstrip().startswith(b"["):
        yield from _list(data, path)
    else:
        lines = enumerate(data.split(b"\n"), start=1)
        yield from ((number, line) for number, line in lines if line.strip())


def _utf8(path: Path, data: bytes) -> bytes:
    for mark, encoding in _MARKS.items():
        if data.startswith(mark) and encoding == "utf-8":
            return data.removeprefix(mark)
        if data.startswith(mark):
            try:
                return data.decode(encoding).encode()
            except UnicodeError as error:
                raise UserError(
                    f"{path} begins as {encoding} and is not", hint="Save it as UTF-8."
                ) from error
    return data


def _list(data: bytes, path: Path) -> Iterator[tuple[int, Any]]:
    try:
        rows = json.loads(data)
    except (ValueError, RecursionError) as error:
        if b"\n" in data.strip():  # JSON lines of which the first is damaged
            lines = enumerate(data.split(b"\n"), start=1)
            yield from ((number, line) for number, line in lines if line.strip())
            return
        raise UserError(
            f"{path} is not JSON: {error}", hint='Write a list [{"video": …, "question": …}, …].'
        ) from error
    yield from enumerate(rows, start=1)


def _table(data: bytes, path: Path) -> Iterator[tuple[int, Any]]:
    text = io.StringIO(data.decode("utf-8", "replace"), newline="")
    rows = csv.DictReader(text, dialect="excel-tab" if path.suffix.lower() == ".tsv" else "excel")
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:  # a field beyond what any question is
            yield rows.line_num, error
            continue
        if row is None:
            return
        more: Any = row.pop(None, None)  # the key of what has no column
        fields = {name: value for name, value in row.items() if value not in (None, "")}
        if more:
            fields["columns"] = f"{len(more)} more than the header has"
        yield rows.line_num, _with_options(fields)


def _parquet(path: Path) -> Iterator[tuple[int, Any]]:
    from videoespresso.dataset.formats.parquet import needed  # noqa: PLC0415 - an extra

    pa = needed()
    import pyarrow.parquet  # noqa: PLC0415 - an extra

    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is not Parquet: {error}", hint="Check the file.") from error
    for number, row in enumerate(rows, start=1):
        yield number, _with_options({k: v for k, v in row.items() if not missing(v)})


def _with_options(fields: dict[str, Any]) -> dict[str, Any]:
    options = fields.get("options")
    if isinstance(options, str):
        try:
            found = json.loads(options)
        except (ValueError, RecursionError):
            found = None
        split = [part.strip() for part in options.split("|")]
        fields["options"] = found if isinstance(found, list) else split
    return fields


def missing(value: object) -> bool:
    """Whether a value stands for none: tables export it as null or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))
