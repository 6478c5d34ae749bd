"""The answers file: one result a line, written in one piece. After a run was killed, the next one
goes on with the file."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from videoespresso.api.ask_many_records import QuestionResult
from videoespresso.errors import MemoryStoreError, UserError
from videoespresso.memory.disk import private_folder

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
