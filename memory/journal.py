"""What the stages of a dataset have done for one video, so that none is done twice.

One file of JSON lines a video, appended to and flushed to the disk line by line: a process that is
killed loses at most the line it was writing, which is then not whole and is ignored. One process at
a time owns a journal; the operating system frees it when that process dies.
"""

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from videoespresso.errors import MemoryStoreError

FORMAT = 2
"""Part of every key: raised when the meaning of what the stages write changes."""
_DYING_S = 1.0
"""How long a journal may still look taken after its process was killed: a decoder that was just
being started has the lock until it runs. Without the wait a build that is begun again at once would
take its own dead predecessor for another process, and end with nothing done."""


class JournalTaken(MemoryStoreError):
    """Another process is at work on this video."""


def stage_key(stage: str, identity: object, payload: object) -> str:
    """sha256 of all that a stage's result depends on, as canonical JSON.

    identity: who does it and how (model spec, prompt's sha, parameters). payload: what it is given,
    with the identities of the stages before, so that what follows a changed stage is redone.
    """
    text = json.dumps([FORMAT, stage, identity, payload], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Journal:
    """The results by key. Thread-safe; a context manager that holds the journal.

    Raises JournalTaken when another process holds it, MemoryStoreError when the disk fails.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path.with_suffix(".lock"), thread_local=False)
        self._writing = threading.Lock()
        self._known: dict[str, Any] = {}
        self._file: IO[bytes] | None = None
        self.torn = 0
        """Lines that were not whole when the journal was read."""

    def __enter__(self) -> "Journal":
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=_DYING_S)
        except Timeout:
            raise JournalTaken(
                f"another process is at work on {self.path.stem}",
                hint="Let it finish; its records will be in the same folder.",
            ) from None
        except OSError as error:
            raise _unusable(self.path, error) from error
        try:
            self._read()
            self._file = self.path.open("ab", buffering=0)
        except OSError as error:
            self._lock.release()
            raise _unusable(self.path, error) from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # what the disk has no room for was said by `put`
                self._file.close()
            self._file = None
        self._lock.release()

    def _read(self) -> None:
        """Takes in the whole lines; a torn last one is cut off, so that the next starts afresh."""
        if not self.path.exists():
            return
        whole = 0
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    self.torn += 1  # even if it reads well: the next would be glued to it
                    break
                try:
                    entry = json.loads(line)
                    self._known[entry["key"]] = entry["value"]
                except (ValueError, KeyError, TypeError):
                    self.torn += 1
                whole += len(line)
        if whole < self.path.stat().st_size:
            os.truncate(self.path, whole)

    def get(self, key: str) -> Any | None:
        """The result under that key, or None."""
        return self._known.get(key)

    def put(self, key: str, stage: str, value: Any) -> None:
        """Keeps a result; when this returns it is on the disk."""
        line = json.dumps({"key": key, "stage": stage, "value": value}, separators=(",", ":"))
        with self._writing:
            assert self._file is not None, "the journal is not open"
            end = os.fstat(self._file.fileno()).st_size
            try:
                rest = line.encode() + b"\n"
                while rest:  # unbuffered: a nearly full disk takes a part, then refuses
                    rest = rest[self._file.write(rest) :]
                os.fsync(self._file.fileno())
            except OSError as error:
                with contextlib.suppress(OSError):  # a part of a line must not be gone on from
                    os.ftruncate(self._file.fileno(), end)
                raise _unusable(self.path, error) from error
            self._known[key] = value


class Journals:
    """The journals of one run's folder, each open while its video is at work.

    claimed: videos that are known to be a path's before anybody asks for them.
    """

    def __init__(self, folder: Path, claimed: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self._open: dict[str, Journal] = {}
        self._claimed: dict[str, str] = dict(claimed or {})
        self._held: dict[str, list[str]] = {}
        self._lock = threading.Lock()

    def claim(self, video_id: str, path: str) -> str:
        """Takes a video for a path, and opens its journal; returns "", or the path of another
        file with the same bytes that this run took before, and then nothing is opened.

        Raises JournalTaken when another process is at work on it.
        """
        with self._lock:
            first = self._claimed.setdefault(video_id, path)
            if first != path:
                return first
            if video_id not in self._open:
                self._open[video_id] = Journal(self.folder / f"{video_id[:16]}.jsonl").__enter__()
                self._held.setdefault(path, []).append(video_id)
        return ""

    def __getitem__(self, video_id: str) -> Journal:
        return self._open[video_id]

    def release(self, path: str) -> None:
        """Closes the journals that were opened for a path."""
        with self._lock:
            for video_id in self._held.pop(path, ()):
                self._open.pop(video_id).__exit__()


def _unusable(path: Path, error: OSError) -> MemoryStoreError:
    return MemoryStoreError(
        f"{path}: {error.strerror or error}",
        hint="Free the disk or choose another --out; what is finished is kept.",
    )
