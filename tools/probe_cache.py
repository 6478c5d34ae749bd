"""What video files are, remembered by name, size and time: looking starts a decoder each time.

A note a file in the cache folder. A file that was changed has another note; one that cannot be read
has none and is looked at again.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path

from pydantic import ValidationError

from videoespresso.tools.video import probe
from videoespresso.types import Video

FORMAT = 1
"""Raised when `Video` changes its meaning."""


class Probes:
    """`probe` with a memory. Safe with threads and processes: notes appear whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, path: str) -> Video:
        """What the file is. Raises VideoError. A note that cannot be kept is done without."""
        try:
            found = os.stat(path)
        except OSError:
            return probe(path)  # it says what is wrong
        told = [FORMAT, os.path.abspath(path), found.st_ino, found.st_size, found.st_mtime_ns]
        name = hashlib.sha256(json.dumps(told).encode()).hexdigest()
        note = self.folder / name[:2] / f"{name}.json"
        with contextlib.suppress(OSError, ValidationError):
            return Video.model_validate_json(note.read_bytes())
        video = probe(path)
        with contextlib.suppress(OSError, ValueError):  # ValueError: a name that is no text
            _write(note, video.model_dump_json())
        return video


def _write(note: Path, text: str) -> None:
    data = text.encode()
    note.parent.mkdir(parents=True, exist_ok=True)
    handle, made = tempfile.mkstemp(dir=note.parent, prefix=".")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    os.replace(made, note)
