"""Captions in words, kept for good in files and searched through Chroma.

The files are the truth. The index is made from them: what it lacks is added when a video is next
used, and an index that is damaged in any way is thrown away and made again, with one
CaptionMemoryWarning. Vectors of different embedders never meet: each has collections of its own.
"""

import copy
import functools
import hashlib
import os
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from videoespresso.errors import MemoryStoreError, SettingsError
from videoespresso.memory.caption_index import (
    ChromaFolder,
    ChromaIndex,
    ChromaServer,
    Entry,
    IndexBroken,
    Version,
)
from videoespresso.memory.disk import private_file, private_folder, read_only, unusable, writer_lock
from videoespresso.settings import cache_dir
from videoespresso.types import Caption

_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")

Signature = tuple[int, int, int]
"""A file's inode, size and time of change; (0, 0, 0) when there is none."""


RECENT = 64
"""Videos whose captions are kept in the process: a run over thousands takes no more memory."""


class Embedder(Protocol):
    """Texts in, (n, d) float32 out, each row of length 1, or all zeros for blank text.

    name: identifies the vectors; two embedders with one name must be interchangeable.
    """

    @property
    def name(self) -> str: ...

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]: ...


class CaptionMemoryWarning(UserWarning):
    """Something in the caption memory was damaged and has been worked around."""


class CaptionFiles:
    """`<root>/<video id>.jsonl`, one `Caption` a line, in the order in which they were made.

    The last line about a frame counts. A line counts once it ends in a newline: a process that
    was killed while writing leaves a torn last line, which readers pass over and the next writer
    cuts off. Writers hold the lock of the memory they belong to; readers need none.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._parsed = functools.lru_cache(RECENT)(_parsed)

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
        return self._parsed(self.path(video_id), self.signature(video_id))

    def append(self, video_id: str, captions: Sequence[Caption]) -> None:
        """Adds lines durably: they are on the disk when this returns. The lock is held."""
        lines = "".join(caption.model_dump_json() + "\n" for caption in captions).encode()
        path = self.path(video_id)
        try:
            private_folder(self.root)
            with private_file(path).open("ab") as file:
                _cut_torn_line(path)
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise unusable("the caption memory", path, error, len(lines)) from error

    def remove(self, video_id: str) -> None:
        """Forgets a video's captions. The lock is held."""
        self.path(video_id).unlink(missing_ok=True)

    def bytes(self) -> int:
        """Size of all files on the disk."""
        return sum(path.stat().st_size for path in self.root.glob("*.jsonl"))


def _parsed(path: Path, _signature: Signature) -> tuple[Caption, ...]:
    """The captions of a file, which is read again when its signature has changed."""
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
    """Cuts what a killed writer left behind the last newline; no caller relies on it."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return
        file.seek(size - 1)
        if file.read(1) != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
            os.fsync(file.fileno())


_T = TypeVar("_T")

Keep = Callable[[Caption], bool]
"""Which captions of a video are meant."""


class Hit(NamedTuple):
    """A remembered caption and how near it is to the query: cosine, -1 to 1."""

    caption: Caption
    video_id: str
    score: float


@dataclass(frozen=True)
class MemoryStats:
    """What the memory holds. indexed: of `texts` different texts in `captions` captions, those in
    the index for this embedder; the others are indexed when their videos are next used."""

    where: str
    embedder: str
    videos: int
    captions: int
    texts: int
    indexed: int
    bytes: int


class CaptionMemory:
    """Captions by video, searchable. Safe with several threads and processes on one machine.

    eager: captions are indexed when they come; else when a video is first searched. A run that
    remembers thousands of videos and searches none saves the time and what Chroma keeps in memory
    of each (0.15 MB a video of 60 captions, over 400 videos).
    """

    eager = True

    def __init__(self, root: Path, where: ChromaFolder | ChromaServer, embed: Embedder) -> None:
        self._files = CaptionFiles(root / "captions")
        self._lock = root / "captions.lock"
        self._embed = embed
        self._index = ChromaIndex(where, embed.name)
        self._indexed: dict[str, tuple[Signature, Version]] = {}

    @classmethod
    def open(
        cls, where: Path | str | None, embed: Embedder, *, root: Path | None = None
    ) -> "CaptionMemory":
        """Opens the memory in a folder (None: the cache folder), or with a Chroma server's URL.

        With a server only the index is there; the captions stay in `root` on this machine
        (None: the cache folder). Raises SettingsError for a URL that is none, and
        MemoryStoreError when no server answers.
        """
        if isinstance(where, str) and where.startswith(("http://", "https://")):
            root = root or cache_dir() / "memory"
            server = ChromaServer(where)
            with server.session():  # says now rather than later that nobody answers
                return cls(root, server, embed)
        if isinstance(where, str) and "://" in where:
            raise SettingsError(
                f"not a place for a memory: {where}",
                hint="Give a folder, or the http(s)://host:port of a Chroma server.",
            )
        root = Path(where).expanduser() if where is not None else root or cache_dir() / "memory"
        # of a cache that is only read, the index is made again beside it
        return cls(root, ChromaFolder(root if not read_only(root) else None), embed)

    @property
    def where(self) -> ChromaFolder | ChromaServer:
        """Where Chroma is."""
        return self._index.where

    def with_embedder(self, embed: Embedder) -> "CaptionMemory":
        """The same memory with another way to the same vectors: the names are equal."""
        mine = copy.copy(self)
        mine._embed = embed
        return mine

    def add(self, video_id: str, captions: Sequence[Caption]) -> None:
        """Remembers captions; one about a frame that has one already replaces it.

        When this returns they are on the disk and, in an eager memory, in the index. When the
        index fails (MemoryStoreError) or the embedder does (ModelError) they are on the disk, and
        are indexed at the next use.
        """
        with writer_lock(self._lock):
            known = {caption.frame_id: caption for caption in self._files.read(video_id)}
            latest = {caption.frame_id: caption for caption in captions}
            new = [caption for name, caption in latest.items() if known.get(name) != caption]
            if new:
                self._files.append(video_id, new)
        if self.eager:
            self._retried(video_id, lambda: self._sync(video_id))

    def captions(self, video_id: str) -> list[Caption]:
        """All captions of a video in time order; none for a video never seen."""
        return list(self._files.read(video_id))

    def video_ids(self) -> list[str]:
        """The videos with captions, sorted."""
        return self._files.video_ids()

    def search(
        self, query: str, video_ids: Sequence[str], k: int, keep: Keep = lambda _caption: True
    ) -> list[Hit]:
        """The k captions nearest to a query, best first, among those that `keep` accepts.

        Equal scores are in the order of `video_ids`, then of time. Frames that share a text are
        hits of their own. A blank query finds nothing. A memory holds more of a video with every
        question about it: who means a part of it passes `keep`, instead of asking for more than
        is needed and leaving some out.
        """
        if k < 1 or not query.strip():
            return []
        vector = self._embed([query])[0]
        ranked = []
        for rank, video_id in enumerate(dict.fromkeys(video_ids)):
            by_text = _by_text([c for c in self._files.read(video_id) if keep(c)])
            for name, score in self._nearest(video_id, vector, by_text, k):
                for caption in by_text[name]:
                    key = (-score, rank, caption.time_s, caption.frame_id)
                    ranked.append((key, Hit(caption, video_id, score)))
        return [hit for _key, hit in sorted(ranked, key=lambda pair: pair[0])[:k]]

    def forget(self, video_id: str) -> None:
        """Removes a video's captions and its entries."""
        with writer_lock(self._lock):
            self._files.remove(video_id)
        self._indexed.pop(video_id, None)
        self._retried(video_id, lambda: self._index.drop(video_id))

    def rebuild(self) -> MemoryStats:
        """Throws the index away, whatever state it is in, and makes it again from the files.

        A local index goes with the entries of other embedders; on a server only the videos that
        have captions here are made again.
        """
        self._indexed.clear()
        self._index.where.discard()
        for video_id in self._files.video_ids():
            if isinstance(self._index.where, ChromaServer):
                self._index.drop(video_id)
            self._retried(video_id, lambda v=video_id: self._sync(v))  # type: ignore[misc]
        return self.stats()

    def stats(self) -> MemoryStats:
        """Counts what is in the files and in the index; raises MemoryStoreError when the index
        cannot be read even after it was made again."""
        by_video = {name: self._files.read(name) for name in self._files.video_ids()}
        texts = {name: len(_by_text(captions)) for name, captions in by_video.items()}
        counts = self._retried("", self._index.counts)
        indexed = (min(n, counts.get(self._index.collection_name(v), 0)) for v, n in texts.items())
        return MemoryStats(
            where=self._index.where.name,
            embedder=self._embed.name,
            videos=len(by_video),
            captions=sum(len(captions) for captions in by_video.values()),
            texts=sum(texts.values()),
            indexed=sum(indexed),
            bytes=self._files.bytes() + self._index.where.bytes(),
        )

    def _nearest(
        self, video_id: str, vector: NDArray[np.float32], by_text: dict[str, list[Caption]], k: int
    ) -> list[tuple[str, float]]:
        """(entry id, cosine) of a video's texts, after the index was brought up to date."""
        if not by_text:
            return []

        def work() -> list[tuple[str, float]]:
            self._sync(video_id)
            return self._index.nearest(video_id, vector, by_text, k)

        return self._retried(video_id, work)

    def _sync(self, video_id: str) -> None:
        """Makes the index hold what the files hold; reads it only where something has changed."""
        state = (self._files.signature(video_id), self._index.where.version())
        if self._indexed.get(video_id) == state:
            return
        missing = self._index.missing(video_id, _entries(video_id, self._files.read(video_id)))
        if missing:
            # outside the lock: a remote embedder takes its time
            vectors = self._embed([entry.text for entry in missing])
            self._index.put(video_id, missing, vectors)
        self._indexed[video_id] = state

    def _retried(self, video_id: str, work: Callable[[], _T]) -> _T:
        """Does the work, once more on a new index where the old one is damaged. The work itself
        brings back the entries that it needs; other videos' come back at their next use."""
        version = self._index.where.version()
        try:
            return work()
        except IndexBroken as error:
            warnings.warn(
                f"the caption index in {self._index.where.name} is damaged and is made again "
                f"from the captions: {error}",
                CaptionMemoryWarning,
                stacklevel=4,
            )
        try:
            self._indexed.clear()
            self._index.discard(video_id, version)
            return work()
        except IndexBroken as error:
            raise MemoryStoreError(
                f"the caption index in {self._index.where.name} cannot be used: {error}",
                hint="The captions are safe. Remove the index folder, or restart the server.",
            ) from error


def _by_text(captions: Sequence[Caption]) -> dict[str, list[Caption]]:
    """Entry id -> the captions with that text, in time order; blank ones cannot be searched."""
    texts: dict[str, list[Caption]] = {}
    for caption in captions:
        if caption.text.strip():
            name = hashlib.sha256(caption.text.encode()).hexdigest()[:32]
            texts.setdefault(name, []).append(caption)
    return texts


def _entries(video_id: str, captions: Sequence[Caption]) -> list[Entry]:
    """One entry a text, described by the first frame which bears it."""
    entries = []
    for name, (first, *_) in _by_text(captions).items():
        meta: dict[str, str | float] = {
            "video_id": video_id,
            "frame_id": first.frame_id,
            "seconds": first.time_s,
        }
        if first.shared_from is not None:
            meta["shared_from"] = first.shared_from
        entries.append(Entry(name, first.text, meta))
    return entries
