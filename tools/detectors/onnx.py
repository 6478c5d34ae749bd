"""A YOLO exported to ONNX, run by onnxruntime: the detector of the core install.

Reads names and picture size from the metadata that ultralytics writes into the file. Understands
both heads it exports: (1, 4 + classes, n), which needs non-maximum suppression (YOLOv8, YOLO11),
and (1, n, 6), which does not (YOLOv10, YOLO26). Needs no torch and no ultralytics.
"""

import ast
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from videoespresso.errors import SettingsError, ToolError
from videoespresso.models.weights import weights_identity
from videoespresso.tools.detectors.base import CONFIDENCE, MAX_BOXES, OVERLAP, Raw, tidy
from videoespresso.types import Box

if TYPE_CHECKING:
    from PIL.Image import Image

Floats = NDArray[np.float32]

PAD = 114
"""Grey around a letterboxed picture; what ultralytics trains with."""

EXPORT_HINT = "Export one with: yolo export model=PATH.pt format=onnx"


class Letterbox(NamedTuple):
    """A picture set into the network's frame: x' = x * scale + left, y' = y * scale + top."""

    pixels: Floats  # (1, 3, height, width), RGB in 0-1
    scale: float
    left: int
    top: int


def letterbox(image: "Image", height: int, width: int) -> Letterbox:
    """Scales a picture of any size and mode into (height, width), centred, the rest grey."""
    from PIL import Image as images  # noqa: PLC0415 - Pillow loads only where pictures are

    scale = min(width / image.width, height / image.height)
    inner = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    canvas = images.new("RGB", (width, height), (PAD, PAD, PAD))
    canvas.paste(image.convert("RGB").resize(inner, images.Resampling.BILINEAR), (left, top))
    pixels = np.asarray(canvas, dtype=np.float32).transpose(2, 0, 1)[None] / np.float32(255)
    return Letterbox(np.ascontiguousarray(pixels), scale, left, top)


def overlaps(box: Floats, others: Floats) -> Floats:
    """Intersection over union of one box (4,) with others (n, 4), xyxy in one unit; shape (n,)."""
    width = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0])
    height = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1])
    shared = width.clip(0) * height.clip(0)
    area = (others[:, 2] - others[:, 0]) * (others[:, 3] - others[:, 1])
    union = (box[2] - box[0]) * (box[3] - box[1]) + area - shared
    ratio: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return ratio


def suppress(corners: Floats, scores: Floats, classes: NDArray[np.int64]) -> list[int]:
    """Non-maximum suppression within each class; indices of what stays, best first.

    corners (n, 4) xyxy, scores (n,), classes (n,). Equal scores keep the order they came in, and
    at most `MAX_BOXES` stay.
    """
    kept: list[int] = []
    rest = np.argsort(-scores, kind="stable")
    while rest.size and len(kept) < MAX_BOXES:
        first, rest = int(rest[0]), rest[1:]
        kept.append(first)
        double = (classes[rest] == classes[first]) & (
            overlaps(corners[first], corners[rest]) > OVERLAP
        )
        rest = rest[~double]
    return kept


class OnnxDetector:
    """`Detector` over one ONNX file; `labels` are the file's names, in the model's order.

    Raises `SettingsError` when the file is missing, is not ONNX, or is not a detection model
    exported by ultralytics. One session, safe from several threads.
    """

    def __init__(self, path: Path, *, name: str = "") -> None:
        self.name = name or f"onnx:{path}"
        self._session = _open(path, self.name)
        self.identity = weights_identity(path)
        described = self._session.get_modelmeta().custom_metadata_map
        self.labels: tuple[str, ...] = _names(described, path)
        entry = self._session.get_inputs()[0]
        self._input, self._type = entry.name, np.float16 if "float16" in entry.type else np.float32
        self._height, self._width = _size(entry.shape, described, path)

    def detect(self, image: "Image", names: Sequence[str] = ()) -> list[Box]:
        """Every object the model knows, whatever the names; see `Detector`."""
        boxed = letterbox(image, self._height, self._width)
        feed = {self._input: boxed.pixels.astype(self._type)}
        try:
            head = np.asarray(self._session.run(None, feed)[0], dtype=np.float32)
        except Exception as error:  # onnxruntime has no public base class of errors
            raise ToolError(
                f"{self.name} failed on a picture: {error}", hint="Export it again."
            ) from error
        corners, scores, classes = decode(head, len(self.labels))
        shift = np.array([boxed.left, boxed.top] * 2, dtype=np.float32)
        size = np.array([image.width, image.height] * 2, dtype=np.float32)
        corners = (corners - shift) / (size * np.float32(boxed.scale))
        return tidy(
            Raw(self.labels[kind], tuple(box), score)
            for box, score, kind in zip(
                corners.tolist(), scores.tolist(), classes.tolist(), strict=True
            )
        )


def decode(head: Floats, classes: int) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """The network's output as corners (k, 4) xyxy in its own pixels, scores (k,), classes (k,).

    Takes (1, 4 + classes, n), centre, size and a score a class, or (1, n, 6), corners, score and
    class. Raises `ToolError` for any other shape.
    """
    if head.ndim == 3 and head.shape[:2] == (1, 4 + classes):
        rows = head[0].T
        best = rows[:, 4:].argmax(axis=1)
        scores = rows[np.arange(len(rows)), 4 + best]
        sure = scores >= CONFIDENCE
        centre, half = rows[sure, :2], rows[sure, 2:4] / 2
        corners = np.concatenate([centre - half, centre + half], axis=1)
        kept = suppress(corners, scores[sure], best[sure])
        return corners[kept], scores[sure][kept], best[sure][kept]
    if head.ndim == 3 and head.shape[0] == 1 and head.shape[2] == 6:
        rows = head[0][head[0][:, 4] >= CONFIDENCE]
        kinds = rows[:, 5].astype(np.int64)
        known = (kinds >= 0) & (kinds < classes)
        return rows[known, :4], rows[known, 4], kinds[known]
    raise ToolError(
        f"the model's output has the shape {head.shape}, which is no YOLO detection head",
        hint=EXPORT_HINT,
    )


def _open(path: Path, name: str) -> Any:
    import onnxruntime  # noqa: PLC0415 - takes a second; only runs with a detector pay for it

    if not path.is_file():
        raise SettingsError(f"{name}: there is no file {path}", hint=EXPORT_HINT)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # its warnings are about its own optimiser
    # ONNX Runtime does not read it; several processes on few cores need it (0 is all cores)
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or 0)
    try:
        return onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime has no public base class of errors
        raise SettingsError(
            f"{name}: {path} is not a usable ONNX model", hint=EXPORT_HINT
        ) from error


def _names(described: dict[str, str], path: Path) -> tuple[str, ...]:
    """The labels in class order, from metadata like {"names": "{0: 'person', 1: 'car'}"}."""
    task = described.get("task", "detect")
    if task != "detect":
        raise SettingsError(f"{path} is a YOLO for {task}, not for detection", hint=EXPORT_HINT)
    try:
        names = ast.literal_eval(described["names"])
        return tuple(str(names[index]) for index in range(len(names)))
    except (KeyError, ValueError, SyntaxError, TypeError) as error:
        raise SettingsError(
            f"{path} does not say what its classes are called", hint=EXPORT_HINT
        ) from error


def _size(shape: list[int | str], described: dict[str, str], path: Path) -> tuple[int, int]:
    """Height and width of the network's frame: the model's, or the metadata's where it is free."""
    height, width = shape[2:4] if len(shape) == 4 else ("", "")
    if isinstance(height, int) and isinstance(width, int):
        return height, width
    try:
        size = ast.literal_eval(described["imgsz"])
        return int(size[0]), int(size[1])
    except (KeyError, ValueError, SyntaxError, TypeError, IndexError) as error:
        raise SettingsError(f"{path} does not say its picture size", hint=EXPORT_HINT) from error
