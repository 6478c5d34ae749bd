"""Pulling: what would be fetched, said before; then fetched, checked, and moved in as a whole.

<models_dir>/.unfinished/<owner--name>/   files of a pull that is not over; nothing else reads it
"""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from videoespresso.errors import SettingsError, UserError
from videoespresso.models.pull import hub
from videoespresso.models.pull.catalogue import Weights, needed
from videoespresso.models.weights import NOTE, Pulled, folder, pulled
from videoespresso.settings import Settings

UNFINISHED = ".unfinished"
SPARE_BYTES = 64 * 1024**2
"""Room that a pull leaves on the disk."""


class Plan(NamedTuple):
    """What a pull would do. source: the repository, or a folder. files: what is needed of it.
    note: what will be written down. have: bytes of it that are there already."""

    weights: Weights
    source: hub.Listing | Path
    files: tuple[hub.HubFile, ...]
    note: Pulled
    have: int

    @property
    def bytes(self) -> int:
        """Bytes still to come."""
        return self.note.bytes - self.have


def planned(
    settings: Settings,
    weights: Weights,
    *,
    repo: str = "",
    dtype: str = "",
    source: Path | None = None,
) -> Plan:
    """What pulling would fetch. repo: another repository than the usual one. source: a folder with
    its files; without one the hub is asked, or with HF_HUB_OFFLINE its cache.

    Raises SettingsError (nothing like it there), ModelError (no hub).
    """
    repo = repo or weights.repo
    if source is None and hub.offline():
        source = hub.in_cache(repo)
    where = hub.listing(repo) if source is None else _local(source, weights)
    there = {file.name: file for file in where.files}
    try:
        names = needed(weights, there, dtype=dtype, where=str(source or repo))
    except SettingsError:
        names = _only_graph(weights, there) if source is not None and not dtype else []
        if not names:
            raise
    files = tuple(there[name] for name in names)
    kind = dtype or weights.graphs[weights.main[0]]
    note = Pulled(
        part=weights.part,
        repo=where.repo if source is None else "",
        revision=where.revision,
        licence=weights.licence if repo == weights.repo and source is None else "",
        file=names[0] if len(names) == 1 else "",
        options=f"dtype={kind}" if weights.part == "vlm" else "",
        files={file.name: file.size for file in files},
    )
    return Plan(weights, source or where, files, note, _there(settings, note, files))


def pull(settings: Settings, plan: Plan, on_bytes: hub.OnBytes = lambda _: None) -> None:
    """Fetches what is missing and puts the weights in their place; those of before go.

    Raises ModelError (the hub), UserError (no room, another pull is on); what came stays for the
    next time, also after a Ctrl-C.
    """
    if pulled(settings, plan.note.part) == plan.note:
        return
    with staging(settings, _unfinished(plan.note)) as unfinished:
        _check_room(settings, plan.bytes)
        for file in plan.files:
            target = unfinished / file.name
            if target.is_file() and hub.matches(target, file):
                continue
            if isinstance(plan.source, hub.Listing):
                hub.fetch(plan.source, file, target, on_bytes)
            else:
                _copy(plan.source / file.name, target)
                on_bytes(file.size)
        put(settings, plan.note, unfinished)


def put(settings: Settings, note: Pulled, staged: Path) -> Path:
    """Makes a folder with all the files of a note the weights of their part; returns their place.
    What else is in the folder goes."""
    wanted = {staged / name for name in note.files}
    for file in [path for path in staged.rglob("*") if path.is_file() and path not in wanted]:
        file.unlink()
    (staged / NOTE).write_text(note.model_dump_json(indent=2), encoding="utf-8")
    place = folder(settings, note.part)
    before = staged.with_name(f"before-{uuid.uuid4().hex}")
    with contextlib.suppress(FileNotFoundError):
        os.replace(place, before)
    os.replace(staged, place)
    shutil.rmtree(before, ignore_errors=True)
    return place


def _local(source: Path, weights: Weights) -> hub.Listing:
    """A folder as if it were a repository. Raises SettingsError where it is none."""
    source = source.expanduser()
    if not source.is_dir():
        raise SettingsError(
            f"there is no folder {source}",
            hint=f"Give the folder with the files of {weights.repo}, as its page lists them.",
        )
    paths = sorted(path for path in source.rglob("*") if path.is_file())
    files = (hub.HubFile(p.relative_to(source).as_posix(), p.stat().st_size) for p in paths)
    return hub.Listing("", "", tuple(files))


def _only_graph(weights: Weights, there: dict[str, hub.HubFile]) -> list[str]:
    """A detector of one's own under any name: the only ONNX file, with what is beside it."""
    graphs = [name for name in there if name.endswith(".onnx")]
    if weights.part != "detector" or len(graphs) != 1:
        return []
    data = [name for name in there if name.startswith((f"{graphs[0]}_", f"{graphs[0]}."))]
    return [*graphs, *data, *(name for name in there if name.endswith("config.json"))]


@contextlib.contextmanager
def staging(settings: Settings, name: str) -> Iterator[Path]:
    """The folder of a pull that is not over, for this process alone.

    Raises UserError where another pull is on, or where the disk cannot be written.
    """
    place = settings.models_dir.absolute() / UNFINISHED
    with _disk():
        (place / name).mkdir(parents=True, exist_ok=True)
        lock = FileLock(place / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise UserError(
                f"another pull into {settings.models_dir} is on",
                hint="Wait for it, or end it; what it fetched is kept.",
            ) from error
        try:
            yield place / name
        finally:
            lock.release()


def _unfinished(note: Pulled) -> str:
    name = (note.repo or f"from-{note.part}").replace("/", "--")
    return f"{name}--{note.revision[:12]}"


def _there(settings: Settings, note: Pulled, files: tuple[hub.HubFile, ...]) -> int:
    """Bytes that need not come again: all, or those of an unfinished pull."""
    if pulled(settings, note.part) == note:
        return note.bytes
    place, have = settings.models_dir.absolute() / UNFINISHED / _unfinished(note), 0
    for file in files:
        for path in (place / file.name, place / f"{file.name}.part"):
            if path.is_file():
                have += min(path.stat().st_size, file.size)
                break
    return have


def _copy(source: Path, target: Path) -> None:
    part = target.with_name(target.name + ".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, part)
    part.replace(target)


def _check_room(settings: Settings, count: int) -> None:
    free = shutil.disk_usage(settings.models_dir.absolute()).free
    if free < count + SPARE_BYTES:
        raise UserError(
            f"{count / 1e6:,.0f} MB are to come and {settings.models_dir} has room for "
            f"{max(0, free - SPARE_BYTES) / 1e6:,.0f}",
            hint="Free some space, or choose another folder with VIDEOESPRESSO_MODELS_DIR.",
        )


@contextlib.contextmanager
def _disk() -> Iterator[None]:
    """Raises UserError where the disk cannot be written."""
    try:
        yield
    except OSError as error:
        raise hub.no_room(error) from error
