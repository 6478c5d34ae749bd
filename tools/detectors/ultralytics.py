"""Any ultralytics checkpoint (`.pt`) as a detector. Needs the extra `yolo`.

**Licence:** ultralytics, and weights trained with it, are AGPL-3.0 (or ultralytics' own enterprise
licence); who serves them to others owes those others the source. Nothing else in VideoEspresso
imports it, and the core runs the same models from ONNX. **Safety:** a `.pt` is a pickle, and
loading one can run what its author put in it. It is loaded weights-only, as ultralytics' own switch
does it: known layers and numbers, nothing else. `ULTRALYTICS_SAFE_LOAD=false` in the environment
is for checkpoints with layers of your own, which you trust.
"""

import difflib
import importlib.util
import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videoespresso.errors import SettingsError, ToolError
from videoespresso.models.weights import weights_identity
from videoespresso.tools.detectors.base import CONFIDENCE, MAX_BOXES, OVERLAP, Raw, tidy
from videoespresso.types import Box

if TYPE_CHECKING:
    from PIL.Image import Image


def import_yolo() -> Any:
    """`ultralytics.YOLO`, kept from installing packages, from reporting usage and from unpickling
    code by itself.

    ultralytics reads the switches when it is imported; a value you set in the environment stays.
    Raises `SettingsError` when the extra is not installed, or too old to load weights only.
    """
    if importlib.util.find_spec("ultralytics") is None:
        raise SettingsError(
            "yolo: needs ultralytics, which is not installed",
            hint="pip install 'videoespresso[yolo]' (AGPL-3.0), or use onnx:PATH, which needs "
            "nothing more.",
        )
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("YOLO_OFFLINE", "true")
    os.environ.setdefault(_SAFE_LOAD, "true")
    from ultralytics import YOLO  # noqa: PLC0415 - the extra `yolo`; loads torch

    if os.environ[_SAFE_LOAD].lower() not in _NO:
        _load_weights_only()
    return YOLO


_SAFE_LOAD, _NO = "ULTRALYTICS_SAFE_LOAD", ("false", "0", "no", "off")


def _load_weights_only() -> None:
    """Sees to it that ultralytics loads weights only, even where somebody else imported it before
    us. Raises `SettingsError` where it, or torch, is too old to."""
    from ultralytics.nn import tasks  # noqa: PLC0415 - the extra `yolo`

    if not getattr(getattr(tasks, "_SafeLoad", None), "SUPPORTED", False):
        raise SettingsError(
            "yolo: this ultralytics (or its torch) runs whatever a checkpoint holds",
            hint="pip install --upgrade ultralytics torch; or, for weights you trust: "
            f"{_SAFE_LOAD}=false in the environment.",
        )
    tasks.SAFE_LOAD = True


def fetch_checkpoint(name: str, folder: Path) -> Path:
    """A checkpoint of ultralytics' own by its name ("yolo11n"), downloaded into a folder; or a copy
    of your own `.pt`. Raises `SettingsError` when there is none, or the download fails."""
    yolo, own = import_yolo(), Path(name).expanduser()
    if own.is_file():
        return Path(shutil.copy(own, folder))
    target = folder / f"{own.name.removesuffix('.pt')}.pt"
    from ultralytics.utils import downloads  # noqa: PLC0415 - the extra `yolo`

    if target.name not in downloads.GITHUB_ASSETS_NAMES:
        near = difflib.get_close_matches(target.name, downloads.GITHUB_ASSETS_NAMES, n=1)
        raise SettingsError(
            f"ultralytics has no checkpoint {target.name}",
            hint=f"Did you mean {near[0]}?" if near else "E.g. yolo11n, yolo26s; or give a file.",
        )
    try:
        downloads.attempt_download_asset(target)
        yolo(str(target), verbose=False)
    except Exception as error:  # requests, ultralytics and unpickling raise anything
        target.unlink(missing_ok=True)
        raise SettingsError(
            f"{target.name} could not be fetched ({type(error).__name__})",
            hint="Is there a network? A file from elsewhere: --yolo PATH.pt",
        ) from error
    return target


class UltralyticsDetector:
    """`Detector` over one `.pt`; `labels` are the checkpoint's names, in the model's order.

    Runs on CUDA where there is one. Raises `SettingsError` when the file is missing, cannot be
    loaded, or does not detect. ultralytics' predictor is not thread-safe, so pictures take turns.
    """

    def __init__(self, path: Path) -> None:
        self.name = f"yolo:{path}"
        if path.suffix != ".pt" or not path.is_file():  # YOLO() would try to download it
            raise SettingsError(
                f"{self.name}: there is no checkpoint {path}",
                hint="Give the path of a .pt file; for a .onnx file write onnx:PATH.",
            )
        yolo = import_yolo()
        try:
            self._model = yolo(str(path), verbose=False)
        except Exception as error:  # unpickling can raise anything
            raise SettingsError(
                f"{self.name}: cannot be loaded by ultralytics ({type(error).__name__})",
                hint="Is it an ultralytics checkpoint, from the same or an older version? Layers "
                f"of your own are not loaded, unless you trust the file: {_SAFE_LOAD}=false.",
            ) from error
        if self._model.task not in ("detect", "segment", "pose"):
            raise SettingsError(
                f"{self.name}: is a YOLO for {self._model.task}, which gives no upright boxes",
                hint="Use a checkpoint for detection, e.g. yolo11n.pt.",
            )
        names: dict[int, str] = dict(self._model.names)
        self.labels: tuple[str, ...] = tuple(names[index] for index in sorted(names))
        self.identity = weights_identity(path)
        self._names = names
        self._turn = threading.Lock()

    def detect(self, image: "Image", names: Sequence[str] = ()) -> list[Box]:
        """Every object the model knows, whatever the names; see `Detector`."""
        with self._turn:
            try:
                result = self._model.predict(
                    image.convert("RGB"),
                    conf=CONFIDENCE,
                    iou=OVERLAP,
                    max_det=MAX_BOXES,
                    verbose=False,
                )[0]
            except Exception as error:  # torch and ultralytics raise anything
                raise ToolError(
                    f"{self.name} failed on a picture: {error}", hint="Try --detector off."
                ) from error
        rows = result.boxes.data.cpu().tolist()  # x0, y0, x1, y1, score, class; in pixels
        wide, high = image.size
        return tidy(
            Raw(
                self._names[int(row[5])],
                (row[0] / wide, row[1] / high, row[2] / wide, row[3] / high),
                row[4],
            )
            for row in rows
        )
