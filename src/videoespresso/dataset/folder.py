"""A dataset's folder: where everything lies, and how records of many videos become one file.

dataset.json      what it was made with, and what became of it
records.jsonl     one DatasetItem a line; rejects.jsonl one Reject a line
frames/           core frames by the sha of their pixels
index.html        the evidence, to look at
work/             what is needed to go on: a journal a video, and its finished shard
"""

import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from videoespresso.errors import MemoryStoreError, UserError

Json = dict[str, Any]


class Folder:
    """The paths, and what is done to them. Every file is written whole or not at all."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.records = root / "records.jsonl"
        self.rejects = root / "rejects.jsonl"
        self.manifest = root / "dataset.json"
        self.page = root / "index.html"
        self.frames = root / "frames"
        self.work = root / "work"

    def open(self) -> None:
        """Makes the folder. Raises UserError for one that holds something else."""
        if self.root.exists() and not self.root.is_dir():
            raise UserError(f"{self.root} is a file", hint="Give --out the name of a folder.")
        if self.root.is_dir() and any(self.root.iterdir()) and not self.work.is_dir():
            raise UserError(
                f"{self.root} holds something else than a dataset",
                hint="Give --out a new folder, or the one of a dataset to go on with.",
            )
        try:
            self.work.mkdir(parents=True, exist_ok=True)
            self.frames.mkdir(exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{self.root} cannot be made: {error.strerror}", hint="Choose another --out."
            ) from error

    def keep_image(self, source: Path, sha: str) -> str:
        """Puts a stored frame beside the records; its name relative to the folder.

        Raises MemoryStoreError where the frame store has evicted it, or the disk is full.
        """
        target = self.frames / f"{sha}{source.suffix}"
        if not target.exists():
            made = target.with_name(f".{target.name}.{uuid.uuid4().hex}")  # of any machine
            try:
                shutil.copyfile(source, made)
                os.replace(made, target)
            except OSError as error:
                raise MemoryStoreError(
                    f"the picture of a core frame cannot be kept: {error.strerror or error}",
                    hint="Free the disk, or raise the frame store's size cap; then go on.",
                ) from error
        return target.relative_to(self.root).as_posix()

    def shard(self, name: str) -> Path:
        """Where the outcome of one video lies."""
        return self.work / f"{name}.shard.json"

    def write_shard(self, name: str, shard: Json) -> None:
        """The outcome of one video: {"path", "complete", "items", "rejects", "failures"}."""
        with written(self.shard(name)) as file:
            json.dump(shard, file)

    def merge(self) -> Json:
        """Makes records.jsonl and rejects.jsonl of all shards, in an order that depends on their
        contents only; returns the counts.

        One shard is in memory at a time.
        """
        counts: Json = {"videos": 0, "complete": 0, "records": 0, "rejects": 0}
        with written(self.records) as records, written(self.rejects) as rejects:
            for shard in self.shards():
                counts["videos"] += 1
                counts["complete"] += shard["complete"]
                for item in sorted(shard["items"], key=_place):
                    records.write(json.dumps(item) + "\n")
                    counts["records"] += 1
                for told in sorted(shard["rejects"], key=lambda r: json.dumps(r, sort_keys=True)):
                    rejects.write(json.dumps(told) + "\n")
                    counts["rejects"] += 1
        return counts

    def shards(self) -> Iterator[Json]:
        """All shards, by name."""
        for file in sorted(self.work.glob("*.shard.json")):
            yield json.loads(file.read_text(encoding="utf-8"))


def _place(item: Json) -> tuple[int, str]:
    return item["group"] or 0, item["id"]


@contextmanager
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
