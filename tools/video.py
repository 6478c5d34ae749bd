"""Opens videos: what a file is, its key frames, and the frame on screen at any instant.

Decoding happens in a process of its own (`decode/worker.py`). Pictures come one at a time and
already reduced, so memory does not grow with the video's length, and a decoder that makes no
progress is ended, not waited for.
"""

import contextlib
import difflib
import hashlib
import itertools
import json
import os
import stat
import tempfile
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import numpy as np
from pydantic import ValidationError

from videoespresso.errors import VideoError
from videoespresso.memory.disk import private_folder
from videoespresso.tools.decode.process import DecodeProcess
from videoespresso.types import Picture, Video

Backend = Literal["auto", "decord", "pyav"]

STALL_S = 20.0
"""How long a decoder may show no progress. A slow disk wakes up within it."""

_digests: dict[tuple[str, int, int, int], str] = {}
"""sha256 by path, inode, size and modification time: the next opening need not read the file."""


class VideoReader(Protocol):
    """An open video. Use it in a `with` statement, or close it."""

    @property
    def video(self) -> Video:
        """What the file is."""

    def keyframes(self, max_side: int, *, min_gap_s: float = 0.0) -> Iterator[Picture]:
        """The frames that stand alone, in time order, at least `min_gap_s` apart. Fast."""

    def at(self, times_s: Iterable[float], max_side: int) -> Iterator[Picture]:
        """The frame on screen at each of the growing instants: the last with pts <= t.

        Before the first frame it is the first, after the last the last. `times_s` is read as the
        pictures are taken, so it may depend on them; of a list, the next picture is decoded while
        the one before is looked at.
        """

    def jumps(self) -> list[float]:
        """Instants between key frames at which the picture changed suddenly, as far as the sizes of
        the coded frames say. Nothing is decoded."""

    def close(self) -> None:
        """Ends the decoding."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Alteration(Protocol):
    """Another film made of a film where its frames come in; it has an id of its own."""

    def video(self, video: Video) -> Video:
        """The other film's facts."""

    def reader(self, reader: VideoReader) -> VideoReader:
        """The other film, opened."""


class ProcessReader:
    """`VideoReader` over a decoding process. `backend` is the one that decodes this file."""

    def __init__(self, path: str, backend: Backend, stall_s: float) -> None:
        self._process = DecodeProcess(Path(path).name, stall_s)
        self._lock = threading.Lock()
        self._done: deque[int] = deque()
        self._numbers = itertools.count()
        key = _identity(path)
        known = _digests.get(key)
        try:
            opened = self._process.ask(do="open", path=path, backend=backend, digest=known is None)
        except BaseException:
            self._process.end()
            raise
        self.backend: str = opened["backend"]
        self.video = _video(path, known or opened["sha"], opened["facts"])
        _digests[key] = self.video.id

    @property
    def pid(self) -> int:
        """The number of the decoding process."""
        return self._process.pid

    def keyframes(self, max_side: int, *, min_gap_s: float = 0.0) -> Iterator[Picture]:
        """See `VideoReader`."""
        return self._pictures("keyframes", max_side, min_gap_s, None)

    def at(self, times_s: Iterable[float], max_side: int) -> Iterator[Picture]:
        """See `VideoReader`. Raises `ValueError` for an instant before the last one."""
        return self._pictures("at", max_side, 0.0, times_s)

    def jumps(self) -> list[float]:
        """See `VideoReader`."""
        return [float(time_s) for time_s in self._ask(do="jumps")["instants"]]

    def _pictures(
        self, kind: str, max_side: int, min_gap_s: float, times_s: Iterable[float] | None
    ) -> Iterator[Picture]:
        if max_side < 1:
            raise ValueError(f"max_side is {max_side}; it must be at least 1")
        known = list(_growing(times_s)) if isinstance(times_s, list | tuple) else None
        stream = self._start(kind, max_side, min_gap_s, known)
        try:
            for time_s in _nones() if times_s is None else _growing(times_s):
                answer = self._ask(do="next", stream=stream, time_s=time_s)
                if "end" in answer:
                    return
                rgb = np.frombuffer(answer["data"], np.uint8)
                shape = (answer["height"], answer["width"], 3)
                yield Picture(answer["time_s"], answer["index"], rgb.reshape(shape))
        finally:
            self._done.append(stream)  # no call here: the garbage collector may be the one closing

    def _start(
        self, kind: str, max_side: int, min_gap_s: float, times_s: list[float] | None
    ) -> int:
        number = next(self._numbers)
        how = {"kind": kind, "max_side": max_side, "min_gap_s": min_gap_s, "times_s": times_s}
        self._ask(do="start", stream=number, **how)
        return number

    def _ask(self, **request: Any) -> dict[str, Any]:
        """One request at a time, whichever threads ask; streams that are done with are closed."""
        with self._lock:
            while self._done:
                self._process.ask(do="end", stream=self._done.popleft())
            return self._process.ask(**request)

    def close(self) -> None:
        """Ends the decoding process; pictures already taken stay valid."""
        self._process.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_video(
    path: str | Path, *, backend: Backend = "auto", stall_s: float = STALL_S
) -> ProcessReader:
    """A reader on a video file.

    backend: "pyav" decodes everything PyAV can; "decord" uses decord for the files it reads right
    and PyAV for the others; "auto" is PyAV, which was never wrong (docs/log.md).
    stall_s: seconds without any progress after which the decoding is ended.
    Raises `VideoError` with a remedy for whatever cannot be read.
    """
    if stall_s <= 0:
        raise ValueError(f"stall_s is {stall_s}; it must be above 0")
    return ProcessReader(checked(path), backend, stall_s)


def probe(path: str | Path) -> Video:
    """What a video file is, without keeping it open. Raises `VideoError`."""
    with open_video(path) as reader:
        return reader.video


def declared_duration(path: str | Path) -> float | None:
    """Seconds as the header says, of a file that may still be arriving; None where that cannot be
    known yet."""
    process = DecodeProcess(Path(path).name, STALL_S)
    try:
        seconds = process.ask(do="declared", path=os.path.abspath(path))["duration_s"]
    except VideoError:
        return None
    finally:
        process.end()
    return None if seconds is None else float(seconds)


def checked(path: str | Path) -> str:
    """The absolute path of a readable, non-empty, regular file, or a `VideoError` that says why."""
    try:
        file = Path(path).expanduser()
        status = file.stat()
    except (ValueError, RuntimeError) as error:  # a NUL, half a character, ~ of nobody
        raise VideoError(f"{str(path)!r} is no path: {error}", hint="check the path") from error
    except FileNotFoundError:
        raise VideoError(f"{file}: no such file", hint=_near(file)) from None
    except OSError as error:
        raise VideoError(
            f"{file} cannot be reached: {error.strerror}", hint="check the path and its permissions"
        ) from error
    if stat.S_ISDIR(status.st_mode):
        raise VideoError(f"{file} is a folder", hint="give one video file in it")
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(f"{file} is a pipe or a device", hint="save the video to a file first")
    if not status.st_size:
        raise VideoError(f"{file} is empty", hint="copy or download it again")
    return os.path.abspath(file)


def _near(file: Path) -> str:
    if "://" in str(file) or ":/" in str(file):
        return "`ask` and `chat` take http(s) addresses, as text and not as a Path"
    if file.is_symlink():
        return f"it is a link to {os.readlink(file)}, which is not there"
    try:
        names = [name for name in os.listdir(file.parent) if (file.parent / name).exists()]
    except OSError:
        return f"there is no folder {file.parent}"
    close = difflib.get_close_matches(file.name, names, n=1)
    return f"did you mean {file.parent / close[0]}?" if close else "check the path"


def _identity(path: str) -> tuple[str, int, int, int]:
    status = os.stat(path)
    return path, status.st_ino, status.st_size, status.st_mtime_ns


def _video(path: str, sha: str, facts: dict[str, Any]) -> Video:
    return Video(
        id=sha,
        path=path,
        duration_s=facts["duration_s"],
        fps=Fraction(facts["fps"]),
        width=facts["width"],
        height=facts["height"],
        rotation=facts["rotation"],
        has_audio=facts["has_audio"],
        codec=facts["codec"],
        note=facts["note"],
    )


def _nones() -> Iterator[None]:
    while True:
        yield None


def _growing(times_s: Iterable[float]) -> Iterator[float]:
    last = float("-inf")
    for time_s in times_s:
        if not last <= time_s < float("inf"):
            raise ValueError(f"instants must be finite and grow: {time_s} after {last}")
        last = time_s
        yield float(time_s)


# ---- what files are, remembered

FORMAT = 1
"""Of the entries of `Probes`: raised when `Video` changes its meaning."""


class Probes:
    """`probe` with a cache by path, inode, size and modification time, as probing starts a process:
    one JSON file a video. A changed video has another one; one that cannot be read is made again.
    Safe with threads and processes: entries are written in one piece."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, path: str) -> Video:
        """What the file is. Raises VideoError. An entry that cannot be written is left out."""
        try:
            status = os.stat(path)
        except OSError:
            return probe(path)  # raises the error that says what is wrong
        identity = [
            FORMAT,
            os.path.abspath(path),
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
        ]
        name = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
        entry = self.folder / name[:2] / f"{name}.json"
        with contextlib.suppress(OSError, ValidationError):
            return Video.model_validate_json(entry.read_bytes())
        video = probe(path)
        with contextlib.suppress(OSError, ValueError):  # ValueError: a name that is no text
            _write(entry, video.model_dump_json())
        return video


def _write(entry: Path, text: str) -> None:
    data = text.encode()
    private_folder(entry.parent)
    handle, made = tempfile.mkstemp(dir=entry.parent, prefix=".")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    os.replace(made, entry)
