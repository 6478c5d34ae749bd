"""The layout of ONNX files that ultralytics writes, its two heads and its metadata.

Reads names and picture size from the metadata. Understands (1, 4 + classes, n), which needs
non-maximum suppression (YOLOv8, YOLO11, the pack's own), and (1, n, 6), which does not (YOLOv10,
YOLO26). Needs no torch and no ultralytics.
"""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from videoespresso.errors import SettingsError, ToolError
from videoespresso.tools.detectors.base import CONFIDENCE, MAX_BOXES, OVERLAP, Raw

if TYPE_CHECKING:
    from PIL.Image import Image

Floats = NDArray[np.float32]
Run = Callable[[dict[str, NDArray[Any]]], list[NDArray[Any]]]
"""Runs a graph on its inputs by name; outputs in the graph's order."""

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


class YoloLayout:
    """`Layout` of what ultralytics exports. Raises `SettingsError` where a file does not say its
    classes or its size."""

    def __init__(self, session: Any, path: Path) -> None:
        described = session.get_modelmeta().custom_metadata_map
        self.labels = _names(described, path)
        entry = session.get_inputs()[0]
        self._input, self._type = entry.name, np.float16 if "float16" in entry.type else np.float32
        self._height, self._width = _size(entry.shape, described, path)

    def boxes(self, run: Run, image: "Image") -> Iterator[Raw]:
        """See `Layout`."""
        boxed = letterbox(image, self._height, self._width)
        head = np.asarray(run({self._input: boxed.pixels.astype(self._type)})[0], dtype=np.float32)
        corners, scores, classes = decode(head, len(self.labels))
        shift = np.array([boxed.left, boxed.top] * 2, dtype=np.float32)
        size = np.array([image.width, image.height] * 2, dtype=np.float32)
        corners = (corners - shift) / (size * np.float32(boxed.scale))
        for box, score, kind in zip(
            corners.tolist(), scores.tolist(), classes.tolist(), strict=True
        ):
            yield Raw(self.labels[kind], tuple(box), score)


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
