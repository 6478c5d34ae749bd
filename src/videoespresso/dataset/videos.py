"""Which videos a run is about: files, folders, lists of names."""

import hashlib
import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from videoespresso.dataset_record import path_text
from videoespresso.errors import UserError
from videoespresso.tools.decode.bytes import is_animated

SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("3g2", "3gp", "asf", "avi", "f4v", "flv", "m2ts", "m4v", "mkv", "mov", "mp4"),
        *("mpeg", "mpg", "mts", "mxf", "ogv", "ts", "vob", "webm", "wmv"),
        *("264", "265", "h264", "h265", "hevc", "ivf", "m1v", "m2v", "mjpeg", "obu", "y4m"),
    )
)
"""What counts as a video in a folder; a file that is named itself may be called anything."""
ANIMATED = frozenset((".avif", ".gif", ".webp"))
"""What may be a still picture, too: counts as a video if its beginning says that it is animated."""


HIDDEN, OTHER, STILL = "hidden", "not a video by its name", "a picture not marked as animated"
"""Why a file in a folder is passed over."""
NAMED = 3
"""Of these, so many are named in a summary."""


def find_videos(given: Iterable[str | Path]) -> list[str]:
    """Paths as they were given, each file once, in a stable order: the files named, those in the
    folders named (and in folders below), those in the text files named with a leading @, one a
    line; lines that begin with # are comments (and ./#1.mp4 a file).

    ~ is a home folder where there is one of that name. A file that is named but missing stays in
    the list: it becomes a reject and not the end of the run. Raises UserError where nothing is
    found at all or nothing of it exists, for a list that cannot be read, and for what cannot be a
    file's name: an empty one, an address, one with a NUL in it.
    """
    return find(given).paths


@dataclass
class VideoFiles:
    """Which videos a run is about, and which files in the folders named it is not about.

    paths: as `find_videos` gives them. skipped: file -> why, in the order of the walk.
    """

    paths: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def by_reason(self) -> dict[str, tuple[str, ...]]:
        """Why -> the files passed over, as a record can hold their names."""
        why: dict[str, list[str]] = defaultdict(list)
        for path, reason in self.skipped.items():
            why[reason].append(path_text(path))
        return {reason: tuple(files) for reason, files in why.items()}


def summary(skipped: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """A line a reason: how many files, and the first of them by name."""
    return tuple(
        f"{len(files)} {'file' if len(files) == 1 else 'files'} ({reason}): "
        + ", ".join(files[:NAMED])
        + (", ... (--json names all)" if len(files) > NAMED else "")
        for reason, files in skipped.items()
    )


def find(given: Iterable[str | Path], out: str | Path | None = None) -> VideoFiles:
    """As `find_videos`, with what was passed over, but for what lies in the folder `out`."""
    paths: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for one in given:
        for path in _of(str(one), skipped):
            paths.setdefault(os.path.abspath(path), path)
    if not paths:
        raise UserError(
            "there is no video in what was given",
            hint=f"Name files, or folders with {', '.join(sorted(SUFFIXES))} in them.",
        )
    if not any(os.path.exists(path) for path in paths):
        first = next(iter(paths.values()))
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        raise UserError(f"{first}{more}: no such file", hint="Check the path; folders work, too.")
    named = {os.path.abspath(path) for path in paths}
    own = "" if out is None else os.path.join(os.path.abspath(out), "")
    rest = {
        path: why
        for path, why in skipped.items()
        if (full := os.path.abspath(path)) not in named and not (own and full.startswith(own))
    }
    return VideoFiles(list(paths.values()), rest)


def _of(given: str, skipped: dict[str, str]) -> Iterator[str]:
    _check(given)
    if given.startswith("@"):
        yield from _listed(Path(given[1:]))
        return
    path = _expanded(given)
    if not path.is_dir():
        yield str(path)
        return
    seen: set[str] = set()
    for folder, inner, names in os.walk(path, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:  # links may lead in a circle
            inner.clear()
            continue
        seen.add(real)
        inner.sort()
        for name in sorted(names):
            file = os.path.join(folder, name)
            if name.startswith("."):
                skipped.setdefault(file, HIDDEN)
            elif (suffix := Path(name).suffix.lower()) in SUFFIXES:
                yield file
            elif suffix not in ANIMATED:
                skipped.setdefault(file, OTHER)
            elif _animated(file):
                yield file
            else:
                skipped.setdefault(file, STILL)


def _animated(path: str) -> bool:
    """A file that cannot be read is taken for one: it becomes a reject that says why."""
    try:
        return is_animated(path)
    except OSError:
        return True


def _listed(file: Path) -> Iterator[str]:
    """The names in a list, relative to the list's folder."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()  # Windows puts a mark before it
    except (OSError, ValueError) as error:
        raise UserError(
            f"{file} cannot be read as a list: {error}", hint="One path a line, in UTF-8."
        ) from error
    for line in lines:
        if (name := line.strip()) and not name.startswith("#"):
            _check(name)
            yield str(file.parent / _expanded(name))


def _check(name: str) -> None:
    if not name:
        raise UserError("an empty name is no file", hint="Is a variable of your script not set?")
    if re.match(r"https?://", name):
        raise UserError(
            f"{name}: a dataset is built from files",
            hint="Download it first; the records then name your copy.",
        )
    if "\0" in name:
        raise UserError(f"{name!r} cannot be a file's name", hint="Save a list of names as UTF-8.")


def _expanded(name: str) -> Path:
    """With the home folder in the place of a ~; a file may be called ~b.mp4, too."""
    try:
        return Path(name).expanduser()
    except RuntimeError:  # nobody is called that
        return Path(name)


def first_paths(paths: Sequence[str]) -> dict[str, str]:
    """Video id -> the first of the paths, for each video that several of the files hold.

    Whoever does these videos, in whatever order, then calls the same files duplicates. Only files
    of one size are read. A file that cannot be is left out: it becomes a reject later.
    """
    sizes: dict[int, list[str]] = defaultdict(list)
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            sizes[status.st_size].append(path)
    files: dict[str, list[str]] = defaultdict(list)
    for path in (path for same in sizes.values() if len(same) > 1 for path in same):
        try:
            with open(path, "rb") as file:
                files[hashlib.file_digest(file, "sha256").hexdigest()].append(path)
        except OSError:
            continue
    return {digest: same[0] for digest, same in files.items() if len(same) > 1}
