"""Weights that `videoespresso models pull` fetched: where they are, and which spec uses them.

<models_dir>/<part>/...            the files, named as in their repository
<models_dir>/<part>/pulled.json    what they are; written last, so a folder without it is unfinished
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from videoespresso.settings import Settings
from videoespresso.types import Record

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
