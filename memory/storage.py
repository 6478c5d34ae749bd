"""The storage a folder is on: shared between machines, read-only, full."""

import errno
import os
import shutil
from pathlib import Path
from typing import Final

from videoespresso.errors import MemoryStoreError

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
