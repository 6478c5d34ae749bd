"""A name for the weights at a path: results of other weights at that path are not reused."""

import hashlib
from pathlib import Path
from typing import Final

CONTENT: Final = "content:"
"""How a name begins that another copy of the same weights has, too."""
_PIECE: Final = 1024 * 1024


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


def content_identity(folder: str | Path) -> str:
    """Names a model's weights by what is in them, wherever their folder lies: CONTENT and 16 hex
    digits, of config.json and of each file of weights its size, first, middle and last MiB (a whole
    one of 15 GB would take half a minute to read). Raises OSError."""
    here = Path(folder).expanduser()
    files = [f for kind in ("config.json", "*.safetensors", "*.bin") for f in here.glob(kind)]
    digest = hashlib.sha256()
    for path in sorted(f for f in files if not f.name.startswith("adapter")):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            for start in sorted({0, max(0, size // 2 - _PIECE // 2), max(0, size - _PIECE)}):
                file.seek(start)
                digest.update(file.read(_PIECE))
    return CONTENT + digest.hexdigest()[:16]
