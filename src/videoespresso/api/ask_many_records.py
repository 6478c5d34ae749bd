"""What is asked, line by line, and what became of it."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from videoespresso.errors import UserError, VideoEspressoError
from videoespresso.tools.fetch.addresses import is_address, shown
from videoespresso.types import Answer, Record

EXPECTED = (
    'A line is {"video": "clip.mp4", "question": "Who?"}, with "options" and "id" if you like.'
)


def _said(text: str) -> str:
    """Not `min_length`: pydantic counts no letters of a file name that is no text."""
    if not text.strip():
        raise ValueError("must not be empty")
    return text


_Said = Annotated[str, AfterValidator(_said)]
_Id = Annotated[str, BeforeValidator(lambda v: str(v) if type(v) is int else v)]


class Question(Record):
    """One question of a batch. `id` is yours; without one the content names the question."""

    video: _Said
    question: _Said
    options: tuple[str, ...] = ()
    id: _Id = ""

    def key(self) -> str:
        """Names the question in the answers file: another text under the same id is another."""
        told = [self.id, self.video, self.question, list(self.options)]
        return _sha(json.dumps(told, ensure_ascii=True))


class Failure(Record):
    """Why there is no answer: the error's class in errors.py, its text and its hint."""

    kind: str
    text: str
    hint: str = ""

    @classmethod
    def of(cls, error: VideoEspressoError) -> "Failure":
        """The error as a record."""
        return cls(kind=type(error).__name__, text=str(error), hint=error.hint)


class Asked(Record):
    """What became of a line: an answer, or an error. `line` counts from 1.

    A line that could not be read has its text in `question`. known: it was in the answers file
    before this run (never written).
    """

    key: str
    id: str = ""
    line: int
    video: str = ""
    question: str
    options: tuple[str, ...] = ()
    answer: Answer | None = None
    error: Failure | None = None
    known: bool = Field(default=False, exclude=True)


class Planned(NamedTuple):
    """A line of the batch: what to ask, or what is wrong with it."""

    line: int
    key: str
    question: Question | None
    wrong: Asked | None = None

    def record(self, *, answer: Answer | None = None, error: Failure | None = None) -> Asked:
        """The record of a question with its outcome."""
        assert self.question is not None, "a wrong line has its record already"
        told = self.question.model_dump()
        if is_address(self.question.video):
            told["video"] = shown(self.question.video)
        return Asked(key=self.key, line=self.line, **told, answer=answer, error=error)


def plan(questions: str | Path | Iterable[Question | Mapping[str, Any]]) -> list[Planned]:
    """The lines to ask, each once. Raises UserError for a file that cannot be read.

    questions: a file of JSON lines (blank ones are skipped), or the questions themselves.
    """
    given: Iterable[tuple[int, Any]] = (
        _lines(Path(questions))
        if isinstance(questions, str | Path)
        else enumerate(questions, start=1)
    )
    planned: dict[str, Planned] = {}
    for line, raw in given:
        one = _planned(line, raw)
        planned.setdefault(one.key, one)
    return list(planned.values())


def _lines(path: Path) -> list[tuple[int, bytes]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror}", hint="Check the path and its permissions."
        ) from error
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")  # some editors mark UTF-8 so
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def _planned(line: int, raw: Any) -> Planned:
    try:
        question = _question(raw)
    except ValueError as error:
        text = raw.decode("utf-8", "replace").strip() if isinstance(raw, bytes) else repr(raw)
        key = _sha(f"line {text}")
        failure = Failure(kind="UserError", text=f"line {line}: {_first(error)}", hint=EXPECTED)
        return Planned(line, key, None, Asked(key=key, line=line, question=text, error=failure))
    return Planned(line, question.key(), question)


def _question(raw: Any) -> Question:
    """Raises ValueError: not UTF-8, not JSON, not what a question looks like."""
    if isinstance(raw, Question):
        return raw
    return Question.model_validate(json.loads(raw) if isinstance(raw, bytes) else raw)


def _first(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return f"not JSON: {error}"
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"`{where}`: {first['msg']}" if where else first["msg"]


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]
