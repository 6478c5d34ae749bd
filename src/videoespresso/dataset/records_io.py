"""Our own files: records.jsonl and rejects.jsonl in a dataset's folder, one record a line.

Read and written line by line, so memory does not grow with the number of records. A file appears
whole or not at all.
"""

import contextlib
import json
import os
import sys
import uuid
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO, Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from videoespresso.dataset_record import VERSION, DatasetItem, Reject
from videoespresso.errors import UserError

RECORDS = "records.jsonl"
REJECTS = "rejects.jsonl"
LONGEST = 64 * 1024**2
"""Bytes of a line at most: what is longer is no record, and would be read into memory whole."""

Model = TypeVar("Model", bound=BaseModel)


class NewerSchemaError(UserError):
    """A record of a schema that is younger than this version; the hint says to update."""


def records_file(path: str | Path) -> Path:
    """The records of a dataset: its folder, or the file itself. Raises UserError for neither."""
    place = Path(path)
    file = place / RECORDS if place.is_dir() else place
    if not file.is_file():
        what = f"has no {RECORDS}" if place.is_dir() else "is not a file or a folder"
        raise UserError(f"{place} {what}", hint="Give a dataset's folder or its records.jsonl.")
    return file


def read_items(path: str | Path) -> Iterator[DatasetItem]:
    """The records of a folder or file, in order. Raises UserError that names file and line."""
    return read_lines(records_file(path), DatasetItem)


def read_rejects(folder: str | Path) -> Iterator[Reject]:
    """The rejects of a dataset's folder; none where the file is missing."""
    file = Path(folder) / REJECTS
    return read_lines(file, Reject) if file.is_file() else iter(())


def read_lines(file: Path, model: type[Model]) -> Iterator[Model]:
    """Each line as a record; blank lines are skipped. Raises UserError that names file and line."""
    return (record for _, record in numbered(file, model))


def numbered(
    file: Path, model: type[Model], spoiled: Callable[[int, str], object] | None = None
) -> Iterator[tuple[int, Model]]:
    """`read_lines` with the number of each line, from 1.

    spoiled: called with the number of each line that is no record and what is wrong with it; the
    line is left out. A record of a younger schema is no such line: it raises UserError in any case.
    """
    for number, line in lines_of(file):
        try:
            record = model.model_validate(value_of(line))
        except NewerSchemaError as error:
            raise UserError(f"{file} line {number} {error}", hint=error.hint) from error
        except ValueError as error:
            what = _first(error) if isinstance(error, ValidationError) else str(error)
            if spoiled is None:
                raise _wrong(file, number, what) from error
            spoiled(number, what)
        else:
            yield number, record


def value_of(line: bytes) -> Any:
    """What a line says, as plain values: they hold the escapes of a file name that is no text.

    Raises NewerSchemaError, and ValueError that says why it cannot be read.
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(json_fault(error)) from error
    version = value.get("schema_version", VERSION) if isinstance(value, dict) else VERSION
    if isinstance(version, int) and version > VERSION:
        raise NewerSchemaError(
            f"has schema {version}; this version reads up to {VERSION}",
            hint="Update videoespresso: pip install --upgrade videoespresso.",
        )
    return value


def json_fault(error: ValueError | RecursionError) -> str:
    """Why the standard library's reader of JSON gave up."""
    if isinstance(error, RecursionError):
        return "nests too deeply to be read"
    if isinstance(error, json.JSONDecodeError | UnicodeError):
        return f"is not JSON: {error}"
    return f"has a number of more than {sys.get_int_max_str_digits():,} digits"


def lines_of(file: Path) -> Iterator[tuple[int, bytes]]:
    """(number from 1, bytes) of each line that is not blank. Raises UserError as `read_lines`."""
    with _opened(file) as source:
        for number, line in enumerate(iter(lambda: source.readline(LONGEST), b""), start=1):
            if len(line) >= LONGEST:
                raise _wrong(file, number, f"is longer than {LONGEST // 1024**2} MiB")
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if text.strip():
                yield number, text


def _first(error: ValidationError) -> str:
    """The first thing that does not fit."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"`{where}`: {first['msg']}" if where else first["msg"]


def _wrong(file: Path, number: int, what: str) -> UserError:
    return UserError(
        f"{file} line {number}: {what}",
        hint="Mend or delete the line; `videoespresso dataset schema` says what a record is.",
    )


def _opened(file: Path) -> IO[bytes]:
    try:
        return file.open("rb")
    except OSError as error:
        raise UserError(
            f"{file} cannot be read: {error.strerror}", hint="Check the path and its permissions."
        ) from error


class Writer:
    """Writes lines of JSON. Text that UTF-8 cannot hold (a file name, for instance) is escaped."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.written = 0

    def record(self, record: BaseModel) -> None:
        """One of our records as a line."""
        self.value(record.model_dump(mode="json"))

    def value(self, value: object) -> None:
        """Anything JSON as a line."""
        self._file.write(dump(value) + b"\n")
        self.written += 1


def dump(value: object, indent: int | None = None) -> bytes:
    """JSON as UTF-8, readable where it can be."""
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent).encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent).encode()


@contextlib.contextmanager
def writing(file: Path, *, replace: bool = False) -> Iterator[IO[bytes]]:
    """Gives a file to write that takes its name when the block ends without an error.

    Raises UserError for a file that exists already (unless replace) and for one that cannot be
    written.
    """
    if file.exists() and not replace:
        raise UserError(f"{file} exists", hint="Give another --out, or --force to replace it.")
    unfinished = file.with_name(f".{file.name}.{uuid.uuid4().hex}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("xb") as target:
            yield target
            target.flush()
            os.fsync(target.fileno())
        os.replace(unfinished, file)
    except OSError as error:
        raise UserError(
            f"{file} cannot be written: {error.strerror or error}",
            hint="Check the folder, its permissions and the room on the disk.",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def writing_lines(file: Path, *, replace: bool = False) -> Iterator[Writer]:
    """`writing`, line by line."""
    with writing(file, replace=replace) as target:
        yield Writer(target)


PAGE: Final = "index.html"
OWN: Final = (RECORDS, REJECTS, "dataset.json", PAGE, "frames", "work")
"""What a dataset's folder consists of; whatever else lies in it is somebody's own business."""


def refuse_own(source: Path, target: Path, *, spare: Collection[str] = ()) -> None:
    """Raises UserError for a target that is the source or a part of it, so that no --force ends it.

    source: a dataset's folder, its records.jsonl, or any other file, which is then all there is.
    spare: names in the dataset's folder that may be written.
    """
    is_dataset = source.is_dir() or source.name == RECORDS
    folder = source if source.is_dir() else source.parent
    own = [folder / name for name in OWN if name not in spare] if is_dataset else [source]
    place = target.resolve()
    for file in own:
        if place.is_relative_to(file.resolve()):
            what = f"a part of {source}" if is_dataset else "the source itself"
            raise UserError(
                f"{target} is {what}, which is read",
                hint="Write to another place; no --force replaces what is read.",
            )
