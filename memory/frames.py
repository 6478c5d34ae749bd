"""Frames on disk, addressed by content: the only room that holds pixels.

<root>/<video id>/<sha256 of the file>.jpg, and beside them <key>.sampling.json: which frames a
sampling plan gave, and <frames>.<what>.note: what was found to be so of some frames. Files appear
whole or not at all, so any number of processes may share a store.
"""

import contextlib
import hashlib
import io
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from pydantic import TypeAdapter, ValidationError

from videoespresso.errors import MemoryStoreError
from videoespresso.memory.disk import private_file, private_folder, unusable
from videoespresso.settings import cache_dir
from videoespresso.types import FrameRef, Picture, Record, Video

CAP_BYTES = 4 * 1024**3
"""4 GiB: at 60-90 kB a 640-pixel frame some 50,000 frames, 200 long videos at 240 frames each."""

QUALITY = 92
"""JPEG, 4:4:4: small faces, thin boxes and coloured lights survive; PNG takes 4-6 times more."""

_KEEP_SHARE = 0.9
"""Eviction goes on a little below the cap, so that not every new frame sets it off again."""

_STALE_S = 3600.0
"""An unfinished file this old belongs to a process that was killed."""

_REFS = TypeAdapter(list[FrameRef])


class PixelsGone(MemoryStoreError):
    """A frame's pixels were evicted or damaged; whoever samples the video again has them."""


class FrameStoreStats(Record):
    """What the store holds; `evicted` counts what this object removed to stay below the cap."""

    root: str
    videos: int
    frames: int
    samplings: int
    bytes: int
    cap_bytes: int
    evicted: int


class _File(NamedTuple):
    used_s: float
    size: int
    path: Path


class FrameStore:
    """Puts frames, gives them back, remembers samplings, and stays below `cap_bytes`.

    root: the folder; None is `cache_dir()/"frames"`. It is made with the first frame. Frames used
    longest ago go first. Safe with threads and with other processes on the same folder.
    """

    def __init__(self, root: Path | None = None, *, cap_bytes: int = CAP_BYTES) -> None:
        self.root = root if root is not None else cache_dir() / "frames"
        self.cap_bytes = cap_bytes
        self._lock = threading.Lock()
        self._bytes: int | None = None
        self._evicted = 0

    def put(self, video: Video, picture: Picture, rule: str) -> FrameRef:
        """Stores the picture and names it. The same picture takes room once; damaged, it is mended.

        Raises `MemoryStoreError` if the disk is full or the folder cannot be written.
        """
        data = _jpeg(picture)
        sha = hashlib.sha256(data).hexdigest()
        file = self.file(video.id, sha)
        if not (_touched(file) and _holds(file, data)):
            _write(file, data)
            self._grew(len(data), file)
        height, width = picture.rgb.shape[:2]
        return FrameRef(
            id=f"{video.id[:12]}@{round(picture.time_s * 1000)}",
            video_id=video.id,
            time_s=picture.time_s,
            index=picture.index,
            fps=video.fps,
            rule=rule,
            sha=sha,
            width=width,
            height=height,
        )

    def image(self, ref: FrameRef) -> Image.Image:
        """The pixels, RGB. Raises `PixelsGone` if they were evicted or damaged."""
        file = self.file(ref.video_id, ref.sha)
        data = self._sound(file, f"frame {ref.id}")
        _touched(file)
        return Image.open(io.BytesIO(data)).convert("RGB")

    def images(self, refs: Iterable[FrameRef]) -> list[Image.Image]:
        """`image` of each, all in memory."""
        return [self.image(ref) for ref in refs]

    def _sound(self, file: Path, name: str) -> bytes:
        """What is in the file, if it is what was put there; else it is removed."""
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            raise PixelsGone(
                f"the pixels of {name} are no longer in the frame store",
                hint="sample the video again; the store keeps what was last used",
            ) from None
        except OSError as error:
            raise unusable("the frame store", file, error) from error
        if hashlib.sha256(data).hexdigest() != file.stem:
            file.unlink(missing_ok=True)
            raise PixelsGone(
                f"{name} was damaged on disk and has been removed", hint="sample the video again"
            )
        return data

    def keep(self, video_id: str, sha: str, folder: Path) -> str:
        """Copies a picture into a folder, out of reach of the cap; returns the file's name there.
        It is on the disk then; what a power cut left empty is copied again.

        Raises `PixelsGone` if it was evicted or damaged, `MemoryStoreError` if the disk is full.
        """
        source = self.file(video_id, sha)
        target = folder / source.name
        if not _filled(target):
            _write(target, self._sound(source, f"picture {sha[:12]}"), lasting=True)
        return target.name

    def record_sampling(self, video_id: str, key: str, refs: Sequence[FrameRef]) -> None:
        """Remembers which frames the plan with this key gave, in order."""
        _write(self._sampling_file(video_id, key), _REFS.dump_json(list(refs)))

    def sampling(self, video_id: str, key: str) -> list[FrameRef] | None:
        """The frames of an earlier sampling, or None: never made, or some pixels are gone."""
        file = self._sampling_file(video_id, key)
        try:
            refs = _REFS.validate_json(file.read_bytes())
        except FileNotFoundError:
            return None
        except (ValidationError, ValueError):  # another version's records: made anew
            return None
        if all(_touched(self.file(ref.video_id, ref.sha)) for ref in refs):
            return refs
        return None

    def note(self, video_id: str, what: str, shas: Sequence[str]) -> None:
        """Remembers that this was found to be so of these frames of a video; left out where the
        folder cannot be written, as it can be found again."""
        with contextlib.suppress(MemoryStoreError):
            _write(self._note_file(video_id, what, shas), b"")

    def is_noted(self, video_id: str, what: str, shas: Sequence[str]) -> bool:
        """Whether `note` was called with the same."""
        return self._note_file(video_id, what, shas).exists()

    def _note_file(self, video_id: str, what: str, shas: Sequence[str]) -> Path:
        name = hashlib.sha256("\n".join(shas).encode()).hexdigest()
        return self.root / video_id / f"{name[:16]}.{what}.note"

    def stats(self) -> FrameStoreStats:
        """Counts what is there now."""
        frames = list(self._frames())
        return FrameStoreStats(
            root=str(self.root),
            videos=len({f.path.parent for f in frames}),
            frames=len(frames),
            samplings=sum(1 for _ in self.root.glob("*/*.sampling.json")),
            bytes=sum(f.size for f in frames),
            cap_bytes=self.cap_bytes,
            evicted=self._evicted,
        )

    def clear(self, video_id: str | None = None) -> int:
        """Forgets one video, or all of them; returns how many frames went."""
        folders = [self.root / video_id] if video_id else _folders(self.root)
        gone = 0
        for folder in folders:
            gone += sum(1 for _ in folder.glob("*.jpg"))
            shutil.rmtree(folder, ignore_errors=True)
        with self._lock:
            self._bytes = None
        return gone

    def file(self, video_id: str, sha: str) -> Path:
        """Where the pixels of a frame are; gone, if they were evicted."""
        return self.root / video_id / f"{sha}.jpg"

    def _sampling_file(self, video_id: str, key: str) -> Path:
        return self.root / video_id / f"{key}.sampling.json"

    def _frames(self) -> Iterator[_File]:
        for folder in _folders(self.root):
            for file in folder.glob("*.jpg"):
                with contextlib.suppress(FileNotFoundError):  # another process evicted it
                    status = file.stat()
                    yield _File(status.st_mtime, status.st_size, file)

    def _grew(self, size: int, newest: Path) -> None:
        """Keeps count; looks at the disk only when the count says that the cap may be reached."""
        with self._lock:
            if self._bytes is None:
                self._bytes = sum(f.size for f in self._frames())
            else:
                self._bytes += size
            if self._bytes > self.cap_bytes:
                self._bytes = self._evict(newest)

    def _evict(self, newest: Path) -> int:
        """Removes frames used longest ago until the store is small enough; returns its size."""
        _sweep(self.root)
        files = sorted(self._frames())
        total = sum(f.size for f in files)
        for file in files:
            if total <= self.cap_bytes * _KEEP_SHARE:
                break
            if file.path != newest:
                file.path.unlink(missing_ok=True)
                total -= file.size
                self._evicted += 1
        return total


def _jpeg(picture: Picture) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture.rgb).save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()


def _touched(file: Path) -> bool:
    """Marks a file as used now; False if it is not there."""
    try:
        os.utime(file)
    except FileNotFoundError:
        return False
    except OSError:  # a read-only store still serves what it has
        return file.exists()
    return True


def _holds(file: Path, data: bytes) -> bool:
    try:
        return file.read_bytes() == data
    except OSError:  # unreadable, or another process has just evicted it
        return False


def _filled(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:
        return False
    except OSError as error:
        raise unusable("the frame store", file, error) from error


def _write(file: Path, data: bytes, *, lasting: bool = False) -> None:
    """The whole file or nothing, also when another process writes the same one or clears.

    lasting: after a power cut, too, and open to others as the user has it: it is in a folder of
    their own. A frame of the store can be made again, and is for its owner alone.
    """
    unfinished = file.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        if lasting:
            file.parent.mkdir(parents=True, exist_ok=True)
        else:
            private_folder(file.parent)
            private_file(unfinished)
        with unfinished.open("wb") as out:
            out.write(data)
            if lasting:
                out.flush()
                os.fsync(out.fileno())
        os.replace(unfinished, file)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise unusable("the frame store", file, error, len(data)) from error


def _folders(root: Path) -> list[Path]:
    return [p for p in root.iterdir() if p.is_dir()] if root.is_dir() else []


def _sweep(root: Path) -> None:
    """Removes what killed processes left behind."""
    for file in root.glob("*/.*.tmp"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - file.stat().st_mtime > _STALE_S:
                file.unlink()
