"""A name for the weights at a path: results of other weights at that path are not reused."""

import hashlib
from pathlib import Path


def weights_identity(where: str | Path) -> str:
    """A file's content, a folder's file sizes and times (it may hold many gigabytes), each as 16
    hex digits; anything else, an id of a hub, stands for itself."""
    path = Path(where).expanduser()
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    if not path.is_dir():
        return str(where)
    files = sorted(file for file in path.iterdir() if file.is_file())
    state = [f"{f.name} {f.stat().st_size} {f.stat().st_mtime_ns}" for f in files]
    return hashlib.sha256("\n".join(state).encode()).hexdigest()[:16]
