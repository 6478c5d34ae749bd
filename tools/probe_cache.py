"""`probe` with a cache by path, inode, size and modification time: probing starts a process.

One JSON file a video in the cache folder. A changed video has another one; one that cannot be read
is made again.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path

from pydantic import ValidationError

from videoespresso.memory.disk import private_folder
from videoespresso.tools.video import probe
from videoespresso.types import Video

FORMAT = 1
"""Raised when `Video` changes its meaning."""


class Probes:
    """`probe` with a cache. Safe with threads and processes: entries are written in one piece."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, path: str) -> Video:
        """What the file is. Raises VideoError. An entry that cannot be written is left out."""
        try:
            found = os.stat(path)
        except OSError:
            return probe(path)  # raises the error that says what is wrong
        identity = [FORMAT, os.path.abspath(path), found.st_ino, found.st_size, found.st_mtime_ns]
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
