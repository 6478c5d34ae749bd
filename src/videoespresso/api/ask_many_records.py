"""The questions of a file, line by line, and their results.

The answers file has one result a line, written in one piece: after a run was killed, the next one
goes on with the file.
"""

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from typing import IO, Annotated, Any, NamedTuple

from filelock import FileLock, Timeout
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import to_jsonable_python

from videoespresso.api.answer import Answer
from videoespresso.api.question_files import bench_questions, is_bench, missing, read
from videoespresso.errors import MemoryStoreError, UserError, VideoEspressoError
from videoespresso.memory.disk import private_folder
from videoespresso.models.client.errors import redact
from videoespresso.tools.fetch.addresses import is_address, shown
from videoespresso.types import Record

EXPECTED = (
    'A line is {"video": "clip.mp4", "question": "Who?"}, with "options" and "id" if you like.'
)


def _not_empty(text: str) -> str:
    """In the place of `min_length`, which fails on a file name with bytes that are no UTF-8."""
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def _whole(text: str) -> str:
    """A model, and a file of answers, take whole characters only."""
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("holds half a character, or a byte that is no UTF-8")
    return text


def _path(text: str) -> str:
    if "\0" in text:
        raise ValueError("no path holds a NUL")
    return text


def _id(value: object) -> object:
    """An id as text; a table with missing values makes 1.0 of 1."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if type(value) is int else value


_NotEmpty = Annotated[str, AfterValidator(_not_empty)]
_Text = Annotated[str, AfterValidator(_whole)]
_Id = Annotated[_Text, BeforeValidator(_id)]


class Question(Record):
    """One question of a file. `id` is the user's; without one the content names the question.
    extra: the other columns of its line, carried through to the result."""

    video: Annotated[_NotEmpty, AfterValidator(_path)]
    question: Annotated[_NotEmpty, AfterValidator(_whole)]
    options: tuple[_Text, ...] = ()
    id: _Id = ""
    extra: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _columns(cls, value: Any) -> Any:
        """Missing values are left out, and columns that we do not know are kept as they are, but
        for one that looks like a slip of the pen."""
        if not isinstance(value, Mapping):
            return value
        row = {str(k): v for k, v in value.items() if not missing(v)}
        own = row.pop("extra", {})
        more = {k: row.pop(k) for k in [*row] if k not in cls.model_fields}
        for name in more:
            if near := get_close_matches(name, cls.model_fields.keys() - row, n=1, cutoff=0.85):
                raise ValueError(f"`{name}` is not known; did you mean `{near[0]}`?")
        more = {**(own if isinstance(own, Mapping) else {"extra": own}), **more}
        plain = to_jsonable_python(more, bytes_mode="base64", inf_nan_mode="null", fallback=str)
        return {**row, "extra": plain}

    def key(self) -> str:
        """Names the question in the answers file: another text under the same id is another."""
        fields = [self.id, self.video, self.question, list(self.options)]
        return _sha(json.dumps(fields, ensure_ascii=True))


class Failure(Record):
    """Why there is no answer: the error's class in errors.py, its text and its hint."""

    kind: str
    text: str
    hint: str = ""

    @classmethod
    def of(cls, error: VideoEspressoError) -> "Failure":
        """The error as a record."""
        return cls(kind=type(error).__name__, text=str(error), hint=error.hint)

    @classmethod
    def unexpected(cls, error: Exception) -> "Failure":
        """An error that is none of ours: a fault of the program."""
        text = redact(f"{type(error).__name__}: {error}")
        return cls(
            kind="VideoEspressoError",
            text=f"unexpected: {text}",
            hint="Please report it with the question's line; --retry-errors asks it again.",
        )


class QuestionResult(Record):
    """The result of a line: an answer, or an error. `line` counts from 1; 0 is a whole file.

    A line that could not be read has its text in `question`. known: it was in the answers file
    before this run (never written).
    """

    key: str
    id: str = ""
    line: int
    video: str = ""
    question: str
    options: tuple[str, ...] = ()
    extra: dict[str, Any] = Field(default_factory=dict)
    answer: Answer | None = None
    error: Failure | None = None
    known: bool = Field(default=False, exclude=True)


class Planned(NamedTuple):
    """A line of the file: its question, or the result that says why there is none."""

    line: int
    key: str
    question: Question | None
    unreadable: QuestionResult | None = None

    def result(
        self, *, answer: Answer | None = None, error: Failure | None = None
    ) -> QuestionResult:
        """The result of this line's question."""
        assert self.question is not None, "an unreadable line has its result already"
        fields = self.question.model_dump()
        if is_address(self.question.video):
            fields["video"] = shown(self.question.video)
        return QuestionResult(key=self.key, line=self.line, **fields, answer=answer, error=error)


def plan(
    questions: str | Path | Iterable[Question | Mapping[str, Any]],
    videos: str | Path | None = None,
) -> list[Planned]:
    """The lines to ask, each once; one that differs from an earlier line in its further columns
    only has its own result, which the reply cache gives. Raises UserError for a file that cannot be
    read.

    questions: a file as in question_files.py, the authors' bench, or the questions themselves.
    videos: the folder that the bench's video paths are relative to; for nothing else.
    """
    root = None if videos is None else Path(videos)
    if isinstance(questions, str | Path) and is_bench(Path(questions)):
        rows: Iterable[tuple[int, Any]] = bench_questions(Path(questions), root)
    elif root is not None:
        raise UserError(
            "--videos is for the authors' bench files",
            hint="In other files of questions `video` is the path as it is.",
        )
    else:
        rows = (
            read(Path(questions))
            if isinstance(questions, str | Path)
            else enumerate(questions, start=1)
        )
    planned: dict[str, Planned] = {}
    for line, raw in rows:
        one = _planned(line, raw)
        first = planned.setdefault(one.key, one)
        if one.question and first.question and one.question.extra != first.question.extra:
            one = one._replace(key=_sha(one.key + json.dumps(one.question.extra, default=str)))
            planned.setdefault(one.key, one)
    return list(planned.values())


def _planned(line: int, raw: Any) -> Planned:
    try:
        question = _question(raw)
    except (ValueError, RecursionError, csv.Error) as error:
        text = raw.decode("utf-8", "replace").strip() if isinstance(raw, bytes) else repr(raw)
        text = f"{line}: {text}" if isinstance(raw, Exception) else text
        key = _sha(f"line {text}")
        failure = Failure(
            kind="UserError",
            text=f"{f'line {line}: ' if line else ''}{_first(error, raw)}",
            hint=EXPECTED,
        )
        return Planned(
            line, key, None, QuestionResult(key=key, line=line, question=text, error=failure)
        )
    return Planned(line, question.key(), question)


def _question(raw: Any) -> Question:
    """Raises ValueError: not UTF-8, not JSON, not the fields of a question; an error as given."""
    if isinstance(raw, Exception):
        raise raw
    if isinstance(raw, Question):
        return raw
    return Question.model_validate(json.loads(raw) if isinstance(raw, bytes) else raw)


def _first(error: Exception, raw: Any) -> str:
    if isinstance(error, csv.Error):
        return f"not CSV: {error}"
    if not isinstance(error, ValidationError):
        return f"not JSON: {error}" if isinstance(raw, bytes) else str(error)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"`{where}`: {first['msg']}" if where else first["msg"]


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


_START = b'{"key":"'
"""How every result begins: a torn last line is cut off only if it begins so."""

_OTHER = "Give --out another name; nothing was changed."


class AnswersFile:
    """The results in the file by key, and where more are written. A key's last result counts."""

    def __init__(self, path: Path, file: IO[bytes], offsets: dict[str, tuple[int, bool]]) -> None:
        self.path = path
        self._file = file
        self._offsets = offsets

    @classmethod
    @contextmanager
    def open(cls, path: Path, locks: Path) -> "Iterator[AnswersFile]":
        """Opens or makes the file, cuts off a torn last line, and keeps other runs out.

        locks: a folder for the lock. Raises UserError for a file that holds something else, that
        cannot be written, or that another run is writing.
        """
        with _alone(path, locks), _opened(path) as file:
            yield cls(path, file, _offsets(path, file))

    def failed(self, key: str) -> bool | None:
        """Whether the recorded result is an error; None where nothing is recorded."""
        return self._offsets[key][1] if key in self._offsets else None

    def read(self, key: str) -> QuestionResult:
        """The result of a key, marked as known."""
        self._file.seek(self._offsets[key][0])
        return _record(self._file.readline()).model_copy(update={"known": True})

    def add(self, result: QuestionResult) -> None:
        """Writes the result in one piece, and syncs it to the disk.

        Raises UserError when there is no room.

        Text that UTF-8 cannot hold (a file name that is no text) is escaped.
        """
        line = json.dumps(result.model_dump(mode="json"), separators=(",", ":")).encode() + b"\n"
        try:
            offset = self._file.seek(0, os.SEEK_END)
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise UserError(
                f"{self.path} cannot be written: {error.strerror}",
                hint="Make room; the same command goes on from there.",
            ) from error
        self._offsets[result.key] = (offset, result.error is not None)


@contextmanager
def _alone(path: Path, locks: Path) -> Iterator[None]:
    """Holds the file's lock; the system lets go of it when the process dies."""
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:24]
    lock = FileLock(locks / f"{name}.lock", mode=0o600)
    try:
        private_folder(locks)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(
            f"another run is writing {path}", hint="Wait for it, or give another --out."
        ) from error
    except OSError as error:
        raise MemoryStoreError(
            f"{locks} cannot be used: {error.strerror or error}",
            hint="Set VIDEOESPRESSO_CACHE_DIR to a folder you may write.",
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if path.exists() and not path.is_file():  # what it holds is read, and a device has no end
        raise UserError(
            f"{path} cannot be written: it is no file", hint="Give --out another place."
        )
    try:
        path.touch()
        file = path.open("r+b")
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror}", hint="Give --out another place."
        ) from error
    try:
        yield file
    finally:
        with suppress(OSError):  # raised when the result was written; closing tries again
            file.close()


def _record(line: bytes) -> QuestionResult:
    """Raises ValueError. Through json, which reads the escapes of names that are no UTF-8."""
    return QuestionResult.model_validate(json.loads(line))


def _offsets(path: Path, file: IO[bytes]) -> dict[str, tuple[int, bool]]:
    """key -> (offset of its last result in bytes, whether that is an error).

    Raises UserError, with the file unchanged, for a line that is no result of ours.
    """
    offsets: dict[str, tuple[int, bool]] = {}
    start, torn = 0, False
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            torn = not line.endswith(b"\n")
            if torn and (line.startswith(_START) or _START.startswith(line)):
                break
            try:
                result = _record(line)
            except ValueError as error:
                raise UserError(
                    f"{path} line {number} is no answer of ours", hint=_OTHER
                ) from error
            offsets[result.key] = (start, result.error is not None)
            start += len(line)
    if torn:
        file.truncate(start)
    return offsets
