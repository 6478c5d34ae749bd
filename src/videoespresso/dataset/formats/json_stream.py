"""Released files record by record: a huge top-level list, or a record a line.

The list is read piece by piece with the standard library's own decoder, so memory holds one record,
not the file; it also reads what Python wrote and stricter readers refuse (NaN, half surrogates).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from videoespresso.dataset.records_io import LONGEST, json_fault, lines_of
from videoespresso.errors import UserError

CHUNK = 1 << 20
"""Characters read at a time; a record is some thousand."""
_SPACE = " \t\r\n"


class Row(NamedTuple):
    """A record's value and where it stood; fault: why it could not be read."""

    where: str
    value: Any
    fault: str = ""


def rows(file: Path) -> Iterator[Row]:
    """The records of a file. Raises UserError where it cannot be read on: what came is good."""
    start = _first_sign(file)
    if start == "[":
        yield from _listed(file)
    elif start == "{":
        yield from _lined(file)
    else:
        content = f"begins with {start!r}" if start else "is empty"
        raise UserError(
            f"{file} {content}: it is no JSON list and no JSON lines",
            hint="Give the .json or .jsonl file of annotations, not an archive of videos.",
        )


def _first_sign(file: Path) -> str:
    try:
        with file.open("rb") as source:
            head = source.read(4096)
    except OSError as error:
        raise UserError(
            f"{file} cannot be read: {error.strerror}", hint="Check the path and its permissions."
        ) from error
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1].decode("latin-1")


def _lined(file: Path) -> Iterator[Row]:
    for number, line in lines_of(file):
        where = f"line {number}"
        try:
            yield Row(where, json.loads(line))
        except (ValueError, RecursionError) as error:
            yield Row(where, None, json_fault(error))


def _listed(file: Path) -> Iterator[Row]:
    with file.open(encoding="utf-8-sig", newline="") as source:
        try:
            for number, value in enumerate(_values(_Window(source)), start=1):
                yield Row(f"record {number}", value)
        except UnicodeDecodeError as error:
            raise _damaged(file, f"is not UTF-8: {error.reason}") from error
        except ValueError as error:
            raise _damaged(file, f"is no whole JSON list: {error}") from error
        except _BeyondReaderError as error:
            raise UserError(
                f"{file} cannot be read: {error}",
                hint="Take that record out, or write a record a line: then it alone is left out.",
            ) from error


class _BeyondReaderError(Exception):
    """JSON that may be whole and is more than the standard library's reader takes."""


def _damaged(file: Path, what: str) -> UserError:
    return UserError(f"{file} {what}", hint="It may be cut off: download or write it again.")


class _Window:
    """The part of the text that is being read; `at` is where the reading goes on."""

    def __init__(self, source: IO[str]) -> None:
        self._source = source
        self.text = ""
        self.at = 0
        self._before = 0

    def more(self) -> bool:
        """Reads on, twice as much each time within a record; False at the end."""
        held = len(self.text) - self.at
        piece = self._source.read(max(CHUNK, held))
        self._before += self.at
        self.text, self.at = self.text[self.at :] + piece, 0
        return bool(piece)

    def sign(self) -> str:
        """The next sign that is not space, "" at the end."""
        while True:
            while self.at < len(self.text):
                if self.text[self.at] not in _SPACE:
                    return self.text[self.at]
                self.at += 1
            if not self.more():
                return ""

    def wrong(self, what: str) -> ValueError:
        """What is wrong, and where."""
        return ValueError(f"{what} at character {self._before + self.at}")


def _values(window: _Window) -> Iterator[Any]:
    """The values of a list. Raises ValueError for what is no list or ends too early."""
    window.sign()
    window.at += 1
    if window.sign() == "]":
        return
    while True:
        yield _value(window)
        sign = window.sign()
        if sign == "]":
            return
        if sign != ",":
            raise window.wrong("no comma" if sign else "the end")
        window.at += 1


def _value(window: _Window) -> Any:
    decoder = json.JSONDecoder()
    window.sign()
    while True:
        try:
            value, end = decoder.raw_decode(window.text, window.at)
            if end < len(window.text):  # a number may go on in what is not read yet
                window.at = end
                return value
        except json.JSONDecodeError as error:
            if len(window.text) - window.at > LONGEST:
                raise window.wrong(f"a record that never ends ({error.msg})") from error
        except (ValueError, RecursionError) as error:
            raise _BeyondReaderError(window.wrong(f"the record {json_fault(error)},")) from error
        if not window.more():
            raise window.wrong("the end")
