"""Writes the sides of a division as datasets of their own, record by record."""

import contextlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from videoespresso.dataset import records_io
from videoespresso.dataset.inspect.duplicates import Read
from videoespresso.dataset.inspect.record_measures import digest, video_key
from videoespresso.dataset.inspect.split_assignment import Together, divide
from videoespresso.dataset.inspect.stats import NO_TASK, Share, share
from videoespresso.dataset.inspect.validate import inside
from videoespresso.dataset.records_io import refuse_own
from videoespresso.dataset_record import DatasetItem
from videoespresso.errors import UserError
from videoespresso.memory.captions import Embedder
from videoespresso.types import Record

MANIFEST: Final = "dataset.json"
FRAMES: Final = "frames"


class Side(Record):
    """A split. wanted: its part of all videos. tasks: records a task."""

    name: str
    wanted: float
    videos: int
    records: int
    share: Share | None
    tasks: dict[str, int]


class Divided(Record):
    """How a dataset was divided. units: videos, or groups of videos that were kept together;
    largest: videos of the largest one. missing: images that records name and that are not there."""

    sides: tuple[Side, ...]
    units: int
    largest: int
    missing: int


def write(
    folder: Path,
    out: Path,
    ratios: Mapping[str, float],
    sides: Mapping[bytes, str],
    told: Mapping[str, object],
    *,
    replace: bool = False,
) -> tuple[dict[str, Counter[str]], int]:
    """Writes each side as a dataset of its own: out/NAME with records, rejects, images, manifest.

    Images become further links to the same files, copies where that cannot be. told: what the
    manifests say of the split. Returns records a task of each side, and how many images are
    missing. Raises UserError where a side exists (unless replace) or cannot be written.
    """
    tasks = {name: Counter[str]() for name in ratios}
    missing = 0
    source = records_io.records_file(folder).parent
    with contextlib.ExitStack() as stack:
        records = {
            name: stack.enter_context(
                records_io.writing_lines(out / name / records_io.RECORDS, replace=replace)
            )
            for name in ratios
        }
        for item in records_io.read_items(folder):
            name = sides[video_key(item)]
            missing += _images(item, source, out / name)
            records[name].record(item)
            tasks[name][item.task or NO_TASK] += 1
    _rejects(source, out, list(ratios), sides, replace=replace)
    for name in ratios:
        manifest = {"split": dict(told) | {"part": name}, "of": _manifest(source)}
        with records_io.writing(out / name / MANIFEST, replace=replace) as file:
            file.write(records_io.dump(manifest, indent=2))
    return tasks, missing


def _rejects(
    source: Path, out: Path, names: list[str], sides: Mapping[bytes, str], *, replace: bool
) -> None:
    """A reject goes where its video went; one of a video without records to the first side."""
    with contextlib.ExitStack() as stack:
        lines = {
            name: stack.enter_context(
                records_io.writing_lines(out / name / records_io.REJECTS, replace=replace)
            )
            for name in names
        }
        for reject in records_io.read_rejects(source):
            key = digest(reject.video_id or reject.video)
            lines[sides.get(key, names[0])].record(reject)


def _images(item: DatasetItem, source: Path, target: Path) -> int:
    """Links a record's images into its side; returns how many are missing.

    Raises UserError when they cannot be written.
    """
    missing = 0
    for image in {frame.image for frame in item.core_frames if frame.image}:
        old, new = inside(source, image), inside(target, image)
        if old is None or new is None or not old.is_file():
            missing += 1
            continue
        try:
            new.parent.mkdir(parents=True, exist_ok=True)
            if not new.exists():
                _link(old, new)
        except OSError as error:
            raise UserError(
                f"{new} cannot be written: {error.strerror}",
                hint="Check the folder, its permissions and the room on the disk.",
            ) from error
    return missing


def _link(old: Path, new: Path) -> None:
    try:
        os.link(old, new)
    except OSError:  # another disk, or one without links
        shutil.copy2(old, new)


def _manifest(source: Path) -> object:
    """What the dataset's own manifest says; None where there is none to read."""
    try:
        return json.loads((source / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def split(
    folder: Path,
    out: Path,
    ratios: Mapping[str, float],
    *,
    seed: int = 7,
    together: Collection[Together] = (),
    stratify: bool = False,
    like: Path | None = None,
    embed: Embedder | None = None,
    replace: bool = False,
) -> Divided:
    """Divides the dataset in `folder` into out/NAME for each name of `ratios`; see `divide`.

    like: the folder of an earlier split. replace: parts in `out` may exist; those that are not in
    `ratios` are removed where a split wrote them. Raises UserError as `write` does, for a part that
    would be the dataset itself, for other parts in `out`, and for a dataset without records.
    """
    for name in ratios:
        refuse_own(folder, out / name / records_io.RECORDS)
    others = _others(folder, out, ratios, replace=replace)
    before = {} if like is None else {name: _reader(like / name) for name in parts(like)}
    sides, groups = divide(
        _reader(folder), ratios, seed=seed, together=together, stratify=stratify, like=before,
        embed=embed,
    )  # fmt: skip
    if not sides:
        raise UserError(
            f"{folder} has no records: there is nothing to divide", hint="Give another dataset."
        )
    for part in others:
        _remove(part)
    told = {
        "ratios": dict(ratios), "seed": seed, "together": sorted(together), "stratified": stratify,
        "like": None if like is None else str(like),
    }  # fmt: skip
    tasks, missing = write(folder, out, ratios, sides, told, replace=replace)
    records = sum(counted.total() for counted in tasks.values())
    sizes = groups.sizes()
    many = Counter(sides.values())
    return Divided(
        sides=tuple(
            Side(
                name=name,
                wanted=part,
                videos=many[name],
                records=tasks[name].total(),
                share=share(tasks[name].total(), records),
                tasks=dict(tasks[name]),
            )
            for name, part in ratios.items()
        ),
        units=len(sizes),
        largest=int(sizes.max()),
        missing=missing,
    )


def _others(folder: Path, out: Path, ratios: Collection[str], *, replace: bool) -> list[Path]:
    """The parts in `out` that this split has not: with them, a video would be in two parts.

    Raises UserError where there are some, unless replace and each is a part that a split wrote.
    """
    others = [out / name for name in parts(out) if name not in ratios] if out.is_dir() else []
    if others and not replace:
        raise UserError(
            f"{out} has parts that --ratios does not name: {', '.join(p.name for p in others)}",
            hint="Give another --out, or --force to remove them.",
        )
    for part in others:
        refuse_own(folder, part / records_io.RECORDS)
        told = _manifest(part)
        if part.is_symlink() or not isinstance(told, dict) or "split" not in told:
            raise UserError(
                f"{part} is a dataset, but no part that a split wrote: it is not removed",
                hint="Give another --out.",
            )
    return others


def _remove(part: Path) -> None:
    """Removes what a split wrote; whatever else lies there stays. Raises UserError."""
    try:
        for name in (records_io.RECORDS, records_io.REJECTS, MANIFEST):
            (part / name).unlink(missing_ok=True)
        shutil.rmtree(part / FRAMES, ignore_errors=True)
        if not any(part.iterdir()):
            part.rmdir()
    except OSError as error:
        raise UserError(
            f"{part} cannot be removed: {error.strerror}",
            hint="Check its permissions, or give another --out.",
        ) from error


def parts(folder: Path) -> list[str]:
    """The names of the splits below a folder: its folders that hold records."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder", hint="Give the folder of a split.")
    return sorted(one.name for one in folder.iterdir() if (one / records_io.RECORDS).is_file())


def _reader(folder: Path) -> Read:
    return lambda: records_io.read_items(folder)
