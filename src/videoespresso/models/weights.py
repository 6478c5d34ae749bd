"""A name for the weights at a path: results of other weights at that path are not reused.

Weights that `videoespresso models pull` fetched: where they are, and which spec uses them.

<models_dir>/<part>/...            the files, named as in their repository
<models_dir>/<part>/pulled.json    what they are; written last, so a folder without it is unfinished
"""

import hashlib
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationError

from videoespresso.settings import Settings
from videoespresso.types import Record

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


Part = Literal["vlm", "detector", "clip"]
"""What a set of weights is for: chat roles, the detector, the image-text scorer."""
NOTE = "pulled.json"


class Pulled(Record):
    """One set of weights. repo, revision: where they came from ("" for a folder of yours).

    kind: the provider of its spec. file: the one the spec names; "" is the whole folder. options:
    what follows the "?" of the spec. files: bytes of each file, by its path in the folder.
    """

    part: Part
    repo: str
    revision: str = ""
    licence: str = ""
    kind: Literal["onnx", "yolo"] = "onnx"
    file: str = ""
    options: str = ""
    files: dict[str, int] = Field(min_length=1)

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())


def folder(settings: Settings, part: Part) -> Path:
    """Where the weights of a part are, or will be; absolute."""
    return settings.models_dir.absolute() / part


def pulled(settings: Settings, part: Part) -> Pulled | None:
    """What was pulled for a part. None where nothing was, or where a file is missing or has another
    size than it had: pulling again mends that."""
    where = folder(settings, part)
    try:
        note = Pulled.model_validate_json((where / NOTE).read_bytes())
        whole = all((where / name).stat().st_size == size for name, size in note.files.items())
    except (OSError, ValidationError):
        return None
    return note if whole else None


def pulled_spec(settings: Settings, part: Part) -> str | None:
    """The spec of what was pulled for a part, e.g. `onnx:/…/models/detector`; None for nothing."""
    weights = pulled(settings, part)
    if weights is None:
        return None
    path = folder(settings, part) / weights.file
    return f"{weights.kind}:{path}" + (f"?{weights.options}" if weights.options else "")


def pulled_detector(settings: Settings) -> str | None:
    """The spec of the pulled detector, None where none was: then there are no boxes."""
    return pulled_spec(settings, "detector")
