"""The captions themselves: one JSON Lines file a video. The index is only made from these."""

import os
import re
import threading
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from videoespresso.errors import MemoryStoreError
from videoespresso.types import Caption

_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")

Signature = tuple[int, int, int]
"""A file's inode, size and time of change; (0, 0, 0) when there is none."""


RECENT = 64
"""Videos whose captions are kept in the process: a run over thousands takes no more memory."""


class CaptionMemoryWarning(UserWarning):
    """Something in the caption memory was damaged and has been worked around."""


class CaptionFiles:
    """`<root>/<video id>.jsonl`, one `Caption` a line, in the order in which they were said.

    The last line about a frame counts. A line counts once it ends in a newline: a process that
    was killed while writing leaves a torn last line, which readers pass over and the next writer
    cuts off. Writers hold the lock of the memory they belong to; readers need none.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._read: OrderedDict[str, tuple[Signature, tuple[Caption, ...]]] = OrderedDict()
        self._lock = threading.Lock()

    def path(self, video_id: str) -> Path:
        """Raises MemoryStoreError for an id that could name another file."""
        if not _SAFE_ID.fullmatch(video_id):
            raise MemoryStoreError(
                f"not a video id: {video_id!r}", hint="A video's id is the sha256 of its bytes."
            )
        return self.root / f"{video_id}.jsonl"

    def video_ids(self) -> list[str]:
        """All videos with captions, sorted."""
        return sorted(path.stem for path in self.root.glob("*.jsonl"))

    def signature(self, video_id: str) -> Signature:
        try:
            stat = self.path(video_id).stat()
        except FileNotFoundError:
            return (0, 0, 0)
        return (stat.st_ino, stat.st_size, stat.st_mtime_ns)

    def read(self, video_id: str) -> tuple[Caption, ...]:
        """The captions in time order; none for a video never seen.

        A damaged line is left out with a CaptionMemoryWarning: a caption can be made again.
        """
        signature = self.signature(video_id)
        with self._lock:
            known = self._read.get(video_id)
            if known is not None and known[0] == signature:
                self._read.move_to_end(video_id)
                return known[1]
        captions = self._parse(self.path(video_id))
        with self._lock:
            self._read[video_id] = (signature, captions)
            self._read.move_to_end(video_id)
            while len(self._read) > RECENT:
                self._read.popitem(last=False)
        return captions

    def append(self, video_id: str, captions: Sequence[Caption]) -> None:
        """Adds lines durably: they are on the disk when this returns. The lock is held."""
        lines = "".join(caption.model_dump_json() + "\n" for caption in captions).encode()
        path = self.path(video_id)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                _cut_torn_line(path)
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise MemoryStoreError(
                f"{path} cannot be written: {error.strerror or error}",
                hint="Free some space, or set VIDEOESPRESSO_CACHE_DIR to a folder you may write.",
            ) from error

    def remove(self, video_id: str) -> None:
        """Forgets a video's captions. The lock is held."""
        self.path(video_id).unlink(missing_ok=True)
        with self._lock:
            self._read.pop(video_id, None)

    def bytes(self) -> int:
        """Size of all files on the disk."""
        return sum(path.stat().st_size for path in self.root.glob("*.jsonl"))

    def _parse(self, path: Path) -> tuple[Caption, ...]:
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return ()
        by_frame: dict[str, Caption] = {}
        damaged = 0
        for line in data.split(b"\n")[:-1]:  # what follows the last newline is not written yet
            try:
                caption = Caption.model_validate_json(line)
            except ValidationError:
                damaged += 1
            else:
                by_frame[caption.frame_id] = caption
        if damaged:
            warnings.warn(
                f"{path}: left out {damaged} damaged line(s)", CaptionMemoryWarning, stacklevel=3
            )
        return tuple(sorted(by_frame.values(), key=lambda c: (c.time_s, c.frame_id)))


def _cut_torn_line(path: Path) -> None:
    """Cuts what a killed writer left behind the last newline; nobody was told it was kept."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return
        file.seek(size - 1)
        if file.read(1) != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
            os.fsync(file.fileno())
