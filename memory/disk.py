"""The cache's folder on the disk: what nobody else on the machine reads (0700 and 0600), and what
the storage it is on cannot do (shared between machines, read-only, full).

Frames, captions, questions and videos are somebody's own. Windows has no such modes: the profile
folder, where its cache lies, is the user's alone, and nothing is done there.

`writer_lock` holds one writer at a time, among threads and processes of one machine.
"""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from videoespresso.errors import MemoryStoreError, SettingsError

OURS = (
    *("frames", "memory", "downloads", "chats", "batch", "probes", "dataset", "replies.locks"),
    *("replies.sqlite", "replies.sqlite-wal", "replies.sqlite-shm", "sample.mp4"),
    *("replies.new.lock", "replies.repair.lock"),
)
"""What we put into the cache folder. Its other content, if somebody chose a folder that has any, is
not ours to close."""

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def private_folder(folder: Path) -> None:
    """Makes a folder and those above it that are missing, for their owner alone. One that is there
    stays as it is. Raises OSError."""
    missing = [folder]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for made in reversed(missing):
        made.mkdir(mode=0o700, exist_ok=True)


def check_folder(cache: Path) -> None:
    """Makes it where it is not there. Raises SettingsError where it cannot be made, as where a file
    lies at its path, or above it."""
    if cache.is_dir():
        return
    file = next((path for path in (cache, *cache.parents) if path.is_file()), None)
    try:
        private_folder(cache)
    except OSError as error:
        why = error.strerror if file is None else f"{file} is a file"
        raise SettingsError(
            f"the cache folder {cache} cannot be made: {why}",
            hint="Set VIDEOESPRESSO_CACHE_DIR (or cache_dir) to a folder that you may write.",
        ) from error


def private_file(path: Path) -> Path:
    """Makes an empty file for its owner alone where there is none, and gives the path. What sqlite
    puts beside its file has the file's mode. Raises OSError."""
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    return path


def close_tree(root: Path) -> None:
    """Takes what is below `root`, and it, from others; links and what is somebody else's are left.
    The root comes last, so that what was interrupted is done again."""
    if os.name == "nt":
        return
    for folder, _, names in os.walk(root, topdown=False):
        for path in (*(os.path.join(folder, name) for name in names), folder):
            _close(path)
    if root.is_file():
        _close(str(root))


def mend(cache: Path) -> None:
    """Closes what an earlier version left open to others in a cache folder: once, because what is
    made since is closed. The folder itself, where nothing but ours is in it."""
    if os.name == "nt" or not cache.is_dir():
        return
    with contextlib.suppress(OSError):
        names = set(os.listdir(cache))
        for name in names.intersection(OURS):
            if os.lstat(cache / name).st_mode & _OTHERS:
                close_tree(cache / name)
        if names <= set(OURS):
            _close(str(cache))


def _close(path: str) -> None:
    with contextlib.suppress(OSError):  # gone, another user's, or a read-only disk
        mode = os.lstat(path).st_mode
        if mode & _OTHERS and not stat.S_ISLNK(mode):
            os.chmod(path, stat.S_IMODE(mode) & ~_OTHERS)


# ---- the storage

NETWORKED: Final = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "ceph", "gpfs", "beegfs", "glusterfs")
)
"""File systems on which sqlite loses data when several machines write (sqlite.org/faq.html#q5);
those mounted by a program (fuse.*) are refused, too."""


def networked(path: Path) -> str:
    """The kind of network storage that a path is, or would be, on; "" where it is on none."""
    kind = file_system(path)
    return kind if kind in NETWORKED or kind.startswith("fuse.") else ""


def file_system(path: Path, mounts: Path = Path("/proc/mounts")) -> str:
    """The kind of the file system that a path is, or would be, on; "" where it is not known."""
    try:
        lines = [line.split() for line in mounts.read_text().splitlines()]
    except OSError:
        return ""
    real = os.path.realpath(path)
    kinds = [
        (len(at), kind)
        for _, at, kind, *_ in lines
        if real == at or real.startswith(at.rstrip("/") + "/")
    ]
    return max(kinds, default=(0, ""))[1]


def read_only(folder: Path) -> bool:
    """Whether a folder is there and nothing can be written into it: what it holds can be used."""
    return folder.is_dir() and not os.access(folder, os.W_OK)


def unusable(what: str, path: Path, error: Exception, size: int = 0) -> MemoryStoreError:
    """The error for a file of the cache that cannot be used. size: bytes that were to be written.

    sqlite and Chroma say "disk is full" in words, the system by number.
    """
    folder = next((p for p in (path, *path.parents) if p.is_dir()), path)
    reason = getattr(error, "strerror", None) or str(error)
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or any(
        words in reason for words in ("is full", "No space left")
    ):
        free = shutil.disk_usage(folder).free / 1e6
        wanted = f"{max(size / 1e6, 0.001):.3f} MB more" if size else "more"
        return MemoryStoreError(
            f"the disk of {folder} is full: {what} needs {wanted}, {free:.3f} MB are free "
            f"({reason})",
            hint="Free some space (a minute of film takes about 4 MB; `videoespresso cache clear` "
            "drops frames and captions), or put the cache (VIDEOESPRESSO_CACHE_DIR) or --out on "
            "another disk.",
        )
    if getattr(error, "errno", None) == errno.EROFS or read_only(folder):
        return MemoryStoreError(
            f"{folder} is read-only, and {what} does not hold all that is needed",
            hint="Set VIDEOESPRESSO_CACHE_DIR to a folder that can be written.",
        )
    return MemoryStoreError(
        f"{what} cannot use {path}: {reason}",
        hint="Check the disk, or set VIDEOESPRESSO_CACHE_DIR to another folder.",
    )


WAIT_S = 120.0
"""How long to wait for another writer; filling an index with 10,000 captions takes seconds."""


@contextmanager
def writer_lock(path: Path, *, wait_s: float = WAIT_S) -> Iterator[None]:
    """Holds the lock file `path`; the system lets go of it when a process dies, so none is stale.

    Not reentrant: the same thread must not take it twice. Raises MemoryStoreError when another
    writer keeps it longer than `wait_s` seconds, or when the folder cannot be written.
    """
    try:
        private_folder(path.parent)
        lock = FileLock(path, timeout=wait_s, mode=0o600)
        lock.acquire()
    except Timeout as error:
        raise MemoryStoreError(
            f"{path} has been held by another process for {wait_s:g} s",
            hint="Wait for the other run to end, or set VIDEOESPRESSO_CACHE_DIR to another folder.",
        ) from error
    except OSError as error:
        raise unusable("a lock", path, error) from error
    try:
        yield
    finally:
        lock.release()
