"""A dataset's folder: where everything lies, and how records of many videos become one file.

dataset.json      what it was made with, and what became of it
records.jsonl     one DatasetItem a line; rejects.jsonl one Reject a line
frames/           core frames by the sha of their pixels
index.html        the evidence, to look at
work/             what is needed to go on: a journal a video, and its finished shard
"""

import contextlib
import json
import os
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from filelock import FileLock, Timeout

from videoespresso.errors import MemoryStoreError, UserError
from videoespresso.memory.disk import writer_lock
from videoespresso.memory.journal import Journal, JournalTaken

Json = dict[str, Any]

LEFT_OVER_S = 3600.0
"""No file takes that long to write."""
SEEN_WITHIN_S = 10.0
"""How long a folder made on one machine may take to be seen on another: NFS remembers what it saw
for a few seconds."""
_DRAFT = "?" * 8
"""What `written` puts behind a name while it writes; a shell pattern."""


_PARTS = {"path": str, "video_id": str, "complete": bool, "items": list, "rejects": list}


class DamagedShard(UserWarning):
    """What became of a video cannot be read; it is left out, and made again by the next run."""


class Folder:
    """The paths, and what is done to them. Every file is written whole or not at all.

    lock: held (memory/disk.py) by whoever writes a file that all runs write. cluster: what the
    workers of a cluster keep there (ray_engine.py).
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.records = root / "records.jsonl"
        self.rejects = root / "rejects.jsonl"
        self.manifest = root / "dataset.json"
        self.page = root / "index.html"
        self.frames = root / "frames"
        self.work = root / "work"
        self.lock = self.work / "merge.lock"
        self.cluster = self.work / "ray"

    def open(self) -> None:
        """Makes the folder. Raises UserError for one that holds something else, and for a dataset
        without its shards: `merge` would leave nothing of its records."""
        if self.root.exists() and not self.root.is_dir():
            raise UserError(f"{self.root} is a file", hint="Give --out the name of a folder.")
        if self.root.is_dir() and any(self.root.iterdir()) and not self._ours():
            raise UserError(
                f"{self.root} holds something else than a dataset",
                hint="Give --out a new folder, or the one of a dataset to go on with.",
            )
        if self._records_only():
            raise UserError(
                f"{self.root} is a dataset whose work/ was deleted: a run would lose its records",
                hint="Give --out a new folder: what the cache folder still holds costs nothing "
                "again. Or put work/ back.",
            )
        try:
            self.work.mkdir(parents=True, exist_ok=True)
            self.frames.mkdir(exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{self.root} cannot be made: {error.strerror}", hint="Choose another --out."
            ) from error
        self._sweep()

    def _ours(self) -> bool:
        return self.work.is_dir() or (self.manifest.is_file() and self.records.is_file())

    def _records_only(self) -> bool:
        records = self.records.is_file() and self.records.stat().st_size > 0
        return records and not any(self.work.glob("*.shard.json"))

    def _sweep(self) -> None:
        """Removes what killed runs left half-written; what a run beside this one is writing now is
        younger than that. Other hidden files are not ours."""
        old = time.time() - LEFT_OVER_S
        for file in self._drafts():
            with contextlib.suppress(OSError):  # another run has just swept it
                if file.is_file() and file.stat().st_mtime < old:
                    file.unlink()

    def _drafts(self) -> Iterator[Path]:
        """What files are called while they are written."""
        for file in (self.records, self.rejects, self.manifest):
            yield from self.root.glob(f".{file.name}.{_DRAFT}")
        yield from self.root.glob(".videoespresso-[0-9]*.html")  # report.parts.write_text
        yield from self.frames.glob(f".{'[0-9a-f]' * 32}.tmp")  # memory.frames
        yield from self.work.glob(f".*.json.{_DRAFT}")

    def shard(self, name: str) -> Path:
        """Where the outcome of one video lies."""
        return self.work / f"{name}.shard.json"

    def write_shard(self, name: str, shard: Json) -> None:
        """The outcome of one video (see `Outcome.shard`)."""
        with written(self.shard(name)) as file:
            json.dump(shard, file)

    def read_shard(self, name: str) -> Json:
        """The outcome of one video. Raises OSError where there is none, ValueError for a damaged
        one."""
        return _shard(self.shard(name))

    def has(self, name: str, made: str) -> bool:
        """Whether a video is complete there, made with this (see `manifest.made_key`)."""
        try:
            shard = self.read_shard(name)
        except (OSError, ValueError):
            return False
        return bool(shard["complete"]) and shard.get("made") == made

    def merge(self, lying: Mapping[str, str] | None = None) -> Json:
        """Makes records.jsonl and rejects.jsonl of all shards, in an order that depends on their
        contents only; returns the counts.

        lying: absolute path -> id of the video that lies there, of all files of a run. What lay
        there before and lies nowhere now is retired. One shard is in memory at a time. Of two runs
        that end together the later one merges last.
        """
        with writer_lock(self.lock):
            return self._merge(lying or {})

    def _merge(self, lying: Mapping[str, str]) -> Json:
        counts: Json = {"videos": 0, "complete": 0, "records": 0, "rejects": 0}
        held = frozenset(lying.values())
        with written(self.records) as records, written(self.rejects) as rejects:
            for shard in self.shards():
                if _replaced(shard, lying, held) and self._retired(shard, lying, held):
                    continue
                counts["videos"] += 1
                counts["complete"] += shard["complete"]
                for item in sorted(shard["items"], key=_place):
                    records.write(json.dumps(item) + "\n")
                    counts["records"] += 1
                for rejected in sorted(
                    shard["rejects"], key=lambda r: json.dumps(r, sort_keys=True)
                ):
                    rejects.write(json.dumps(rejected) + "\n")
                    counts["rejects"] += 1
        return counts

    def _retired(self, shard: Json, lying: Mapping[str, str], held: frozenset[str]) -> bool:
        """Removes a shard; its journal stays, so that no stage is done twice if the file comes
        back. False where another process has found the video elsewhere."""
        name = shard["video_id"][:16]
        try:
            with Journal(self.work / f"{name}.jsonl"):
                replaced = _replaced(self.read_shard(name), lying, held)
                if replaced:
                    self.shard(name).unlink()
        except JournalTaken:
            return False
        return replaced

    def shards(self) -> Iterator[Json]:
        """All shards, by name. A damaged one is left out with a DamagedShard warning."""
        for file in sorted(self.work.glob("*.shard.json")):
            try:
                yield _shard(file)
            except FileNotFoundError:  # another run has just put another one in its place
                continue
            except ValueError as error:
                warnings.warn(
                    f"{file} is damaged and left out until its video is done again: {error}",
                    DamagedShard,
                    stacklevel=2,
                )


def _shard(file: Path) -> Json:
    shard = json.loads(file.read_text(encoding="utf-8"))
    for name, kind in _PARTS.items():
        if not isinstance(shard, dict) or not isinstance(shard.get(name), kind):
            raise ValueError(f"{name!r} is missing")
    return dict(shard)


def _place(item: Json) -> tuple[int, str]:
    return item["group"] or 0, item["id"]


def _replaced(shard: Json, lying: Mapping[str, str], held: frozenset[str]) -> bool:
    """Whether another video lies where this one lay, and this one nowhere."""
    now = lying.get(shard.get("file", ""))
    return bool(now and shard["video_id"]) and shard["video_id"] not in held


@contextlib.contextmanager
def shown(folder: Folder) -> Iterator[str]:
    """Makes the folder known to workers (`see_folder`) and this run's alone: a lock that is held,
    and a file with a name nobody can guess, its token, which is what you get. Raises UserError
    where another run on a cluster holds it, MemoryStoreError."""
    place, token = folder.cluster, uuid4().hex
    lock = FileLock(place / "run.lock")
    try:
        place.mkdir(exist_ok=True)
        lock.acquire(timeout=0)
        for old in (*place.glob("*.spent"), *place.glob("*.token")):  # of runs that were killed
            old.unlink()
        mark = place / f"{token}.token"
        mark.touch()
    except Timeout as error:
        raise UserError(
            f"another command builds {folder.root} on a cluster",
            hint="Let it end; where its machine has died, try again in two minutes.",
        ) from error
    except OSError as error:
        raise MemoryStoreError(
            f"{place} cannot be written: {error.strerror or error}", hint="Choose another --out."
        ) from error
    try:
        yield token
    finally:
        mark.unlink(missing_ok=True)
        lock.release()


def see_folder(folder: Folder, token: str) -> None:
    """Raises UserError where this is not the folder of the machine that started the run, or where
    that machine's locks are not known here."""
    place = folder.cluster
    until = time.monotonic() + SEEN_WITHIN_S
    while not (place / f"{token}.token").exists():
        if time.monotonic() > until:
            raise UserError(
                f"it does not see the folder {folder.root}",
                hint="Give --out a folder on storage that every node sees under the same path.",
            )
        time.sleep(0.2)
    lock, reason = FileLock(place / "run.lock"), "a lock that another node holds is not known here"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return
    except OSError as error:
        reason = error.strerror or str(error)
    else:
        lock.release()
    raise UserError(
        f"{folder.root}: file locks do not work between nodes: {reason}",
        hint="Use storage with locks, such as NFSv4, mounted without nolock and local_lock.",
    )


@contextlib.contextmanager
def written(path: Path) -> Iterator[IO[str]]:
    """A text file that appears under its name when it is whole. Raises MemoryStoreError."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise MemoryStoreError(
            f"{path} cannot be written: {error.strerror or error}",
            hint="Free the disk; what is finished is kept, and the same command goes on.",
        ) from error
