"""Videos fetched from addresses, kept by content and found again by address.

<root>/files/<sha256>/<name>      the video; beside it `.source`: where it was fetched last
<root>/index/<key>.json           what an address gave: sha256, name, and what tells versions apart
<root>/parts/<key>/               what is not finished yet

A key is the sha256 of the whole address, so that logins and tokens are in no file.
"""

import contextlib
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from videoespresso.errors import MemoryStoreError
from videoespresso.memory.disk import private_file, private_folder
from videoespresso.settings import cache_dir
from videoespresso.types import Record

CAP_BYTES = 16 * 1024**3
"""16 GiB: eight files of the largest size, or some 200 of ten minutes in 720p."""

_STALE_S = 7 * 86400.0
"""An unfinished file this old is not gone on with."""
_SOURCE = ".source"


class Fetched(Record):
    """What an address gave. source: the address as it may be shown. sha, name: its file's. etag,
    modified: the server's; of a page etag names the video on it. checked_s: when the server was
    last asked for changes (Unix seconds)."""

    source: str
    sha: str
    name: str
    etag: str = ""
    modified: str = ""
    checked_s: float


class DownloadStats(Record):
    """What the store holds."""

    videos: int
    addresses: int
    bytes: int
    cap_bytes: int


class Downloads:
    """The videos in a folder, below `cap_bytes`; those used longest ago go first.

    root: None is `cache_dir()/"downloads"`. Made with the first video. Files appear whole or not at
    all, so any number of processes may share it.
    """

    def __init__(self, root: Path | None = None, *, cap_bytes: int = CAP_BYTES) -> None:
        self.root = root if root is not None else cache_dir() / "downloads"
        self.cap_bytes = cap_bytes

    def key(self, url: str) -> str:
        """The name of an address."""
        return hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def part(self, key: str) -> Path:
        """The folder of an unfinished download."""
        return self.root / "parts" / key

    def lock(self, key: str) -> Path:
        """The lock of an address: one at a time fetches it."""
        return self.root / "locks" / f"{key}.lock"

    def find(self, key: str) -> Fetched | None:
        """What the address gave before, where the video is still there."""
        try:
            known = Fetched.model_validate_json(self._entry(key).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        except OSError as error:
            raise self._unusable(error) from error
        return known if self.file(known).is_file() else None

    def file(self, known: Fetched) -> Path:
        """Where its video is."""
        return self.root / "files" / known.sha / known.name

    def keep(self, key: str, part: Path, known: Fetched) -> Path:
        """Moves a finished download in, and removes what was used longest ago above the cap.

        The same content is kept once, under its first name. Raises MemoryStoreError.
        """
        folder = self.root / "files" / known.sha
        same = next(_videos(folder), None)
        try:
            private_folder(folder)
            if same is None:
                os.replace(part, folder / known.name)
            shutil.rmtree(part.parent, ignore_errors=True)
        except OSError as error:
            raise self._unusable(error) from error
        name = same.name if same else known.name
        path = self.note(key, known.model_copy(update={"name": name}))
        self._evict(folder)
        return path

    def note(self, key: str, known: Fetched) -> Path:
        """Notes that the address gave this now and that the video was used; gives its file."""
        path = self.file(known)
        self._write(self._entry(key), known.model_dump_json())
        self._write(path.with_name(_SOURCE), known.source)
        with contextlib.suppress(OSError):
            os.utime(path)
        return path

    def source(self, path: str | Path) -> str:
        """Where a kept video was fetched last, as it may be shown; "" for any other file."""
        folder = Path(path).parent
        if folder.parent != Path(os.path.abspath(self.root / "files")):
            return ""
        with contextlib.suppress(OSError):
            return (folder / _SOURCE).read_text(encoding="utf-8")
        return ""

    def stats(self) -> DownloadStats:
        """Counts what is there now."""
        sizes = [file.stat().st_size for file in _videos(self.root / "files", "*/*")]
        entries = sum(1 for _ in (self.root / "index").glob("*.json"))
        return DownloadStats(
            videos=len(sizes), addresses=entries, bytes=sum(sizes), cap_bytes=self.cap_bytes
        )

    def clear(self) -> int:
        """Removes everything, unfinished ones too; returns how many videos went."""
        gone = self.stats().videos
        shutil.rmtree(self.root, ignore_errors=True)
        return gone

    def _evict(self, newest: Path) -> None:
        """Other processes may evict at the same time."""
        for part in (self.root / "parts").glob("*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - part.stat().st_mtime > _STALE_S:
                    shutil.rmtree(part, ignore_errors=True)
        kept = []
        for file in _videos(self.root / "files", "*/*"):
            with contextlib.suppress(FileNotFoundError):
                kept.append((file.stat().st_mtime, file.stat().st_size, file.parent))
        total = sum(size for _, size, _ in kept)
        for _, size, folder in sorted(kept):
            if total > self.cap_bytes and folder != newest:
                shutil.rmtree(folder, ignore_errors=True)
                total -= size
        for entry in (self.root / "index").glob("*.json"):
            if self.find(entry.stem) is None:
                entry.unlink(missing_ok=True)

    def _entry(self, key: str) -> Path:
        return self.root / "index" / f"{key}.json"

    def _write(self, file: Path, text: str) -> None:
        unfinished = file.with_name(f".{uuid.uuid4().hex}.tmp")
        try:
            private_folder(file.parent)
            private_file(unfinished).write_text(text, encoding="utf-8")
            os.replace(unfinished, file)
        except OSError as error:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> MemoryStoreError:
        return MemoryStoreError(
            f"the downloads in {self.root} cannot be used: {error.strerror or error}",
            hint="Free some space, or choose another folder with VIDEOESPRESSO_CACHE_DIR.",
        )


def _videos(folder: Path, pattern: str = "*") -> Iterator[Path]:
    """Videos below a folder, without the notes beside them."""
    return (file for file in folder.glob(pattern) if not file.name.startswith("."))
