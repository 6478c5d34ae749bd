"""What kind of storage a folder is on: sqlite and Chroma must not be shared between machines."""

import os
from pathlib import Path
from typing import Final

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
