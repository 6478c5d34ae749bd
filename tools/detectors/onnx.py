"""Detectors in ONNX, run by onnxruntime: a file, a folder, or a repository that was fetched.

What a graph takes and gives is recognised from the names, types and shapes of its inputs and
outputs and from the files beside it: `onnx_detr.py` (D-FINE, RT-DETR, RF-DETR, DETR, ...),
`onnx_yolo.py` (what ultralytics exports, and the pack's own).
"""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from videoespresso.errors import SettingsError, ToolError
from videoespresso.models.pull.hub import in_cache
from videoespresso.models.weights import weights_identity
from videoespresso.tools.detectors.base import Raw, tidy
from videoespresso.tools.detectors.onnx_detr import DetrLayout, is_detr
from videoespresso.tools.detectors.onnx_yolo import EXPORT_HINT, Run, YoloLayout
from videoespresso.types import Box

if TYPE_CHECKING:
    from PIL.Image import Image

PULL_HINT = "`videoespresso models pull detector` fetches one."
KNOWN = (
    "Known are exports of D-FINE, RT-DETR, DEIM, RF-DETR, DETR and YOLOS (transformers' or the "
    f"authors' own) and of ultralytics. {PULL_HINT}"
)
SIDES = ("config.json", "preprocessor_config.json")
_REPO = re.compile(r"[\w.-]+/[\w.-]+")


class Layout(Protocol):
    """How a graph is fed and read. labels: what it can say."""

    labels: tuple[str, ...]

    def boxes(self, run: Run, image: "Image") -> Iterator[Raw]:
        """What the graph sees on a picture of any size and mode; `run` is called once."""


class OnnxDetector:
    """`Detector` over one ONNX graph; `labels` are the model's, in its order.

    where: a file, a folder with one (or with `onnx/model.onnx`), or the id of a repository that is
    in the Hugging Face cache; nothing is downloaded. Raises `SettingsError` when there is none, or
    it is no detector that is known. One session, safe from several threads.
    """

    def __init__(self, where: Path | str, *, name: str = "") -> None:
        self.name = name or f"onnx:{where}"
        path = graph_file(where, self.name)
        self._session = _open(path, self.name)
        self._layout = _layout(self._session, path, self.name)
        self.labels: tuple[str, ...] = self._layout.labels
        self.identity = _identity(path)

    def detect(self, image: "Image", names: Sequence[str] = ()) -> list[Box]:
        """Every object the model knows, whatever the names; see `Detector`."""
        try:
            return tidy(self._layout.boxes(lambda feed: self._session.run(None, feed), image))
        except ToolError:
            raise
        except Exception as error:  # onnxruntime has no public base class of errors
            raise ToolError(
                f"{self.name} failed on a picture: {error}", hint="Export it again."
            ) from error


def graph_file(where: Path | str, name: str) -> Path:
    """The ONNX file that is meant. Raises SettingsError where there is none, or which is open."""
    path = Path(where).expanduser()
    if path.is_file():
        return path
    if not path.is_dir() and _REPO.fullmatch(str(where)):
        cached = in_cache(str(where))
        if cached is None:
            raise SettingsError(
                f"{name}: there is no such folder, and no such repository was fetched",
                hint=f"videoespresso models pull detector --repo {where}",
            )
        path = cached
    if not path.is_dir():
        raise SettingsError(f"{name}: there is no file {path}", hint=PULL_HINT)
    for usual in (path / "onnx/model.onnx", path / "model.onnx"):
        if usual.is_file():
            return usual
    files = sorted([*path.glob("*.onnx"), *path.glob("onnx/*.onnx")])
    if len(files) == 1:
        return files[0]
    what = f"{len(files)} ONNX files" if files else "no ONNX file"
    raise SettingsError(
        f"{name}: the folder has {what}",
        hint=f"Name one: onnx:{files[0]}" if files else PULL_HINT,
    )


def _layout(session: Any, path: Path, name: str) -> Layout:
    """Raises SettingsError for what is no detector that is known, saying which there are."""
    inputs = [entry.name for entry in session.get_inputs()]
    if "input_ids" in inputs:
        raise SettingsError(
            f"{name} looks for phrases: such models do not run from ONNX here",
            hint="The ONNX file of GroundingDINO that most use scores only the first phrase. "
            "Write hf:IDEA-Research/grounding-dino-tiny (extra `local`).",
        )
    if is_detr(session):
        return DetrLayout(session, path)
    if "names" in session.get_modelmeta().custom_metadata_map:
        return YoloLayout(session, path)
    outputs = [entry.name for entry in session.get_outputs()]
    raise SettingsError(
        f"{name} is no detector that is known: it takes {', '.join(inputs)} and gives "
        f"{', '.join(outputs)}",
        hint=f"{KNOWN} {EXPORT_HINT}",
    )


def _identity(path: Path) -> str:
    """The weights', and where there are any of the files which say how to read them."""
    folder = path.parent.parent if path.parent.name == "onnx" else path.parent
    sides = [(folder / name).read_bytes() for name in SIDES if (folder / name).is_file()]
    weights = weights_identity(path)
    if not sides:
        return weights
    return hashlib.sha256(b"\n".join([weights.encode(), *sides])).hexdigest()[:16]


def _open(path: Path, name: str) -> Any:
    import onnxruntime  # noqa: PLC0415 - takes a second; only runs with a detector pay for it

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # its warnings are about its own optimiser
    # ONNX Runtime does not read it; several processes on few cores need it (0 is all cores)
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or 0)
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no public base class of errors
        raise SettingsError(f"{name}: {path} is not a usable ONNX model", hint=KNOWN) from error
