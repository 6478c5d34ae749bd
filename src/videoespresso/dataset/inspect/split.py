"""Divides a dataset by video, never by record, and writes the parts as datasets of their own.

A video's part comes from a hash of its content, so new videos do not move old ones. Memory holds a
few hundred bytes a video.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np

from videoespresso.dataset import records_io
from videoespresso.dataset.inspect.overlap import THRESHOLD, Groups, Read, embedded, near
from videoespresso.dataset.inspect.record_measures import digest, stem_of, video_key
from videoespresso.dataset.inspect.stats import NO_TASK, Share, share
from videoespresso.dataset.inspect.validate import inside
from videoespresso.dataset.records_io import refuse_own
from videoespresso.dataset_record import DatasetItem
from videoespresso.errors import UserError
from videoespresso.memory.captions import Embedder
from videoespresso.models.embedders import embedder
from videoespresso.types import Record

Together = Literal["stem", "images", "questions"]
TOGETHER: Final[tuple[Together, ...]] = get_args(Together)
MANIFEST: Final = "dataset.json"
FRAMES: Final = "frames"

_NAME = re.compile(r"\w[\w.-]*")


class Side(Record):
    """A part. wanted: its share of all videos. tasks: records a task."""

    name: str
    wanted: float
    videos: int
    records: int
    share: Share | None
    tasks: dict[str, int]


class SplitReport(Record):
    """How a dataset was divided. units: videos, or groups of videos that were kept together;
    largest: videos of the largest one. missing: images that records name and that are not there."""

    sides: tuple[Side, ...]
    units: int
    largest: int
    missing: int


def parse_ratios(text: str) -> dict[str, float]:
    """ "train=0.9,test=0.1" as parts of one. Raises UserError for what is none."""
    ratios: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = (piece.strip() for piece in part.partition("="))
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if not _NAME.fullmatch(name) or name in ratios or not 0 < value <= 1:
            raise UserError(
                f"not a part of a split: {part!r}",
                hint="Write --ratios train=0.9,validation=0.05,test=0.05, each name once.",
            )
        ratios[name] = value
    if abs(sum(ratios.values()) - 1) > 1e-6:
        raise UserError(
            f"the parts of the split add up to {sum(ratios.values()):g}, not 1",
            hint="Write --ratios train=0.9,validation=0.05,test=0.05.",
        )
    return ratios


def point(key: bytes, seed: int) -> float:
    """Where a video lies in 0-1; the same for a seed, whatever other videos there are."""
    digits = hashlib.sha256(str(seed).encode() + b"\x1f" + key).digest()
    return int.from_bytes(digits[:7], "big") / 2**56


def divide(
    read: Read,
    ratios: Mapping[str, float],
    *,
    seed: int = 7,
    together: Collection[Together] = (),
    stratify: bool = False,
    like: Mapping[str, Read] | None = None,
    embed: Embedder | None = None,
    threshold: float = THRESHOLD,
) -> tuple[dict[bytes, str], Groups]:
    """The part of each video by its key, and the groups kept together.

    together: videos with one file name, with a core frame in common, or with a near-duplicate
    question that has the same answer (by `embed`, wordllama if None) stay in one part. stratify:
    fill up the tasks that a part lacks, in the order of the hash, where a part by hash alone is
    only even on average; then new videos can move old ones, unless they are given as `like`: an
    earlier split, by name, whose videos stay where they were.
    """
    tasks_of, groups = _grouped(read, together, embed, threshold)
    known = _known(like or {}, ratios)
    keys = list(tasks_of)
    units: dict[int, list[bytes]] = {}
    for key, root in zip(keys, groups.roots(np.arange(len(keys))).tolist(), strict=True):
        units.setdefault(root, []).append(key)
    at = {root: point(min(unit), seed) for root, unit in units.items()}
    before = {root: [known[key] for key in unit if key in known] for root, unit in units.items()}
    sides: dict[bytes, str] = {}
    have = {name: Counter[str]() for name in ratios}
    whole = sum(tasks_of.values(), Counter[str]())
    for root in sorted(units, key=lambda root: (not before[root], at[root])):
        tasks = sum((tasks_of[key] for key in units[root]), Counter[str]())
        if before[root]:
            side = before[root][0]
        elif stratify:
            side = _most_lacking(tasks, have, whole, ratios)
        else:
            side = _by_point(at[root], ratios)
        have[side] += tasks
        sides |= {key: known.get(key, side) for key in units[root]}
    return sides, groups


def _known(like: Mapping[str, Read], ratios: Mapping[str, float]) -> dict[bytes, str]:
    """Where an earlier split has its videos. Raises UserError for a part that is no more."""
    known = {video_key(item): name for name, read in like.items() for item in read()}
    if unknown := set(known.values()) - set(ratios):
        raise UserError(
            f"the earlier split has a part {min(unknown)!r}, this one has not",
            hint="Name the same parts in --ratios.",
        )
    return known


def _by_point(at: float, ratios: Mapping[str, float]) -> str:
    """The side whose stretch of 0-1 holds the point."""
    upto = 0.0
    for name, part in ratios.items():
        upto += part
        if at < upto:
            return name
    return list(ratios)[-1]


def _most_lacking(
    tasks: Counter[str],
    have: Mapping[str, Counter[str]],
    whole: Counter[str],
    ratios: Mapping[str, float],
) -> str:
    """The side that lacks most of these tasks, as a part of what it shall have of each."""

    def lack(name: str) -> float:
        return sum(
            n * (1 - have[name][task] / (ratios[name] * whole[task])) for task, n in tasks.items()
        )

    return max(ratios, key=lack)


def _grouped(
    read: Read, together: Collection[Together], embed: Embedder | None, threshold: float
) -> tuple[dict[bytes, Counter[str]], Groups]:
    """The videos by key in the order of their first record, each with its records a task; and which
    of them, by their places in that order, must stay in one part."""
    tasks: dict[bytes, Counter[str]] = {}
    places: dict[bytes, int] = {}
    edges: list[tuple[int, int]] = []
    first: dict[bytes, int] = {}
    rows: list[int] = []
    for item in read():
        place = places.setdefault(key := video_key(item), len(places))
        tasks.setdefault(key, Counter())[item.task or NO_TASK] += 1
        if "questions" in together:
            rows.append(place)
        for key in _shared(item, together):
            if (other := first.setdefault(key, place)) != place:
                edges.append((other, place))
    groups = Groups(len(places))
    if edges:
        groups.join(*np.array(edges, np.intp).T)
    if "questions" in together:
        of = np.array(rows, np.intp)
        with embedded([read], embed or embedder()) as texts:
            groups.join(of, of[texts.first[texts.text]])
            for i, j in near(texts, threshold):
                groups.join(of[texts.first[i]], of[texts.first[j]])
    return tasks, groups


def _shared(item: DatasetItem, together: Collection[Together]) -> Iterator[bytes]:
    if "stem" in together:
        yield digest(f"stem {stem_of(item.video.path)}")
    if "images" in together:
        yield from (digest(f"image {frame.sha}") for frame in item.core_frames if frame.sha)


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
) -> SplitReport:
    """Divides the dataset in `folder` into out/NAME for each name of `ratios`; see `divide`.

    like: the folder of an earlier split. replace: parts in `out` may exist; those that are not in
    `ratios` are removed where a split wrote them. Raises UserError for parts that exist or cannot
    be written, for a part that would be the dataset itself, for other parts in `out`, and for a
    dataset without records.
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
    how = {
        "ratios": dict(ratios), "seed": seed, "together": sorted(together), "stratified": stratify,
        "like": None if like is None else str(like),
    }  # fmt: skip
    tasks, missing = _write(folder, out, ratios, sides, how, replace=replace)
    records = sum(counted.total() for counted in tasks.values())
    sizes, videos = groups.sizes(), Counter(sides.values())
    return SplitReport(
        sides=tuple(
            Side(
                name=name,
                wanted=part,
                videos=videos[name],
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


def _write(
    folder: Path,
    out: Path,
    ratios: Mapping[str, float],
    sides: Mapping[bytes, str],
    how: Mapping[str, object],
    *,
    replace: bool,
) -> tuple[dict[str, Counter[str]], int]:
    """Writes each part to out/NAME: records, rejects, images, manifest with `how` it was divided.

    A reject goes where its video went, one of a video without records to the first part. Returns
    records a task of each part, and how many images are missing.
    """
    tasks = {name: Counter[str]() for name in ratios}
    missing = 0
    source = records_io.records_file(folder).parent
    with contextlib.ExitStack() as stack:

        def files(kind: str) -> dict[str, records_io.Writer]:
            lines = {n: records_io.writing_lines(out / n / kind, replace=replace) for n in ratios}
            return {name: stack.enter_context(file) for name, file in lines.items()}

        records, rejects = files(records_io.RECORDS), files(records_io.REJECTS)
        for item in records_io.read_items(folder):
            name = sides[video_key(item)]
            missing += _images(item, source, out / name)
            records[name].record(item)
            tasks[name][item.task or NO_TASK] += 1
        for reject in records_io.read_rejects(source):
            key = digest(reject.video_id or reject.video)
            rejects[sides.get(key, next(iter(ratios)))].record(reject)
    for name in ratios:
        manifest = {"split": dict(how) | {"part": name}, "of": _manifest(source)}
        with records_io.writing(out / name / MANIFEST, replace=replace) as file:
            file.write(records_io.dump(manifest, indent=2))
    return tasks, missing


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
        manifest = _manifest(part)
        if part.is_symlink() or not isinstance(manifest, dict) or "split" not in manifest:
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
