"""The questions of a file, line by line, and their results."""

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import to_jsonable_python

from videoespresso.api.answer import Answer
from videoespresso.api.bench_questions import bench_questions, is_bench
from videoespresso.api.question_files import missing, read
from videoespresso.errors import UserError, VideoEspressoError
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
        more = {k: row.pop(k) for k in [*row] if k not in cls.model_fields}
        for name in more:
            if near := get_close_matches(name, cls.model_fields.keys() - row, n=1, cutoff=0.85):
                raise ValueError(f"`{name}` is not known; did you mean `{near[0]}`?")
        plain = to_jsonable_python(more, bytes_mode="base64", inf_nan_mode="null", fallback=str)
        return {**row, "extra": {**row.get("extra", {}), **plain}} if more else row

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
    """The result of a line: an answer, or an error. `line` counts from 1.

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
            kind="UserError", text=f"line {line}: {_first(error, raw)}", hint=EXPECTED
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
