"""Layouts of the DETR family in ONNX: D-FINE, RT-DETR, DEIM, RF-DETR, LW-DETR, DETR, YOLOS, ...

    logits    pixels in; logits (1, queries, classes) and boxes (1, queries, 4), centre and size in
              0-1, out. Exports of transformers (`pixel_values` → `logits`, `pred_boxes`) and of
              RF-DETR's authors (`input` → `dets`, `labels`).
    finished  pixels and the picture's size in; `labels`, `boxes`, `scores` out. Exports of the
              authors of D-FINE, RT-DETR and DEIM (`images`, `orig_target_sizes`).

Which one it is, is read from the graph; what classes there are, from `config.json` beside it
(`id2label`); what the pixels are, from `preprocessor_config.json`. There is no suppression of
doubles: these models are trained to find each object once.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from videoespresso.errors import SettingsError
from videoespresso.models.preprocessor import IMAGENET_MEAN, IMAGENET_STD, Preprocessor
from videoespresso.tools.detectors.base import CONFIDENCE, MAX_BOXES, Raw
from videoespresso.tools.detectors.onnx_yolo import Floats, Run

if TYPE_CHECKING:
    from PIL.Image import Image

SOFTMAX = ("detr", "yolos", "table-transformer")
"""Models (`model_type`) trained with cross entropy and a last class for "nothing"; the others'
classes are judged one by one, by a sigmoid (transformers' post-processing of each)."""
NO_CLASS = ("", "n/a", "background", "no-object", "no object")
"""Names that stand for an unused number: COCO's own numbers have gaps."""
DARKNET = {
    "motorbike": "motorcycle",
    "aeroplane": "airplane",
    "sofa": "couch",
    "pottedplant": "potted plant",
    "diningtable": "dining table",
    "tvmonitor": "tv",
}
"""COCO's objects as some repositories spell them, in COCO's own words."""
SIZES, MASK = "orig_target_sizes", "pixel_mask"
CONFIG_HINT = (
    'Put the model\'s config.json beside it, with {"id2label": {"0": "person", ...}}; '
    "`videoespresso models pull detector` fetches a whole one."
)
_TYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}


def is_detr(session: Any) -> bool:
    """Whether a graph has one of these layouts: it says boxes apart from their classes."""
    outputs = [output.name for output in session.get_outputs()]
    return _named(outputs, "box", "dets") is not None and _classes(outputs) is not None


class DetrLayout:
    """`Layout` of the family. Raises `SettingsError` where the graph wants more than a picture, or
    what its classes or pixels are is not said."""

    def __init__(self, session: Any, path: Path) -> None:
        folder = path.parent.parent if path.parent.name == "onnx" else path.parent
        config = _config(folder, path)
        self._names = _labels(config, path)
        self.labels = tuple(self._names.values())
        self._softmax = config.get("model_type") in SOFTMAX
        outputs = [output.name for output in session.get_outputs()]
        self._boxes, self._classes = _named(outputs, "box", "dets"), _classes(outputs)
        self._scores = "scores" if "scores" in outputs else None
        inputs = {entry.name: entry for entry in session.get_inputs()}
        self._extra = {name: inputs.pop(name) for name in (SIZES, MASK) if name in inputs}
        if len(inputs) != 1:
            raise SettingsError(
                f"{path} wants {', '.join(inputs)}, which a detector is not given",
                hint="Known inputs: a picture, pixel_mask and orig_target_sizes.",
            )
        [self._input] = inputs.values()
        self._fixed = _fixed(self._input.shape)
        self._pixels = Preprocessor.read(folder) or _usual(self._input.name, self._scores, path)
        self._order = outputs
        if self._fixed is None and not (self._pixels.height or self._pixels.shortest):
            raise SettingsError(
                f"{path} does not say its picture size",
                hint='Put the model\'s preprocessor_config.json beside it, with "size".',
            )

    def boxes(self, run: Run, image: "Image") -> Iterator[Raw]:
        """See `Layout`."""
        pixels = self._pixels(image, self._fixed)
        feed: dict[str, NDArray[Any]] = {
            self._input.name: pixels.astype(_TYPES.get(self._input.type, np.float32))
        }
        for name, entry in self._extra.items():
            shape = (1, 2) if name == SIZES else _mask_shape(entry.shape, pixels.shape)
            # a picture of size 1 x 1: boxes come in 0-1, whichever side a graph takes for the first
            feed[name] = np.ones(shape, dtype=_TYPES.get(entry.type, np.int64))
        outputs = dict(zip(self._order, run(feed), strict=True))
        boxes = np.asarray(outputs[self._boxes][0], dtype=np.float32)
        if self._scores is not None:
            corners, scores, kinds = boxes, outputs[self._scores][0], outputs[self._classes][0]
        else:
            logits = np.asarray(outputs[self._classes][0], dtype=np.float32)
            which, kinds, scores = _best(logits, softmax=self._softmax)
            corners = _corners(boxes[which])
        for box, score, kind in zip(corners.tolist(), scores.tolist(), kinds.tolist(), strict=True):
            if score >= CONFIDENCE and kind in self._names:
                yield Raw(self._names[kind], tuple(box), score)


def _best(logits: Floats, *, softmax: bool) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Query, class and score of the best of (queries, classes) logits, best first.

    softmax: each query has one class, and the last stands for none; else any number of them.
    """
    if softmax:
        grown = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances = (grown / grown.sum(axis=1, keepdims=True))[:, :-1]
        kinds = chances.argmax(axis=1)
        scores = chances[np.arange(len(chances)), kinds]
        which = np.argsort(-scores, kind="stable")[:MAX_BOXES]
        return which, kinds[which], scores[which]
    flat = logits.ravel()
    top = np.argsort(-flat, kind="stable")[: min(MAX_BOXES, len(logits))]
    scores = 1 / (1 + np.exp(-flat[top].clip(-60, 60)))
    return top // logits.shape[1], top % logits.shape[1], scores


def _corners(boxes: Floats) -> Floats:
    """(n, 4) centre and size as xyxy."""
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def _named(names: Sequence[str], *parts: str) -> str | None:
    """The first name with one of the parts: with three classes, shapes do not tell boxes apart."""
    return next((name for name in names if any(part in name for part in parts)), None)


def _classes(outputs: Sequence[str]) -> str | None:
    return _named(outputs, "logits") or ("labels" if "labels" in outputs else None)


def _fixed(shape: Sequence[int | str]) -> tuple[int, int] | None:
    """A graph's own height and width, None where it takes any."""
    height, width = shape[2:4] if len(shape) == 4 else ("", "")
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _mask_shape(listed: Sequence[int | str], pixels: Sequence[int]) -> tuple[int, ...]:
    """(1, height, width): the graph's own where it insists, else the pixels'."""
    given = (1, *pixels[2:])
    return tuple(
        side if isinstance(side, int) else has for side, has in zip(listed, given, strict=False)
    )


def _usual(name: str, scores: str | None, path: Path) -> Preprocessor:
    """The pixels of the authors' own exports, which come without a preprocessor_config.json."""
    if scores is not None:  # D-FINE, RT-DETR, DEIM: tools/deployment/export_onnx.py, 0-1
        return Preprocessor()
    if name == "input":  # RF-DETR: rfdetr/deploy/export.py
        return Preprocessor(mean=IMAGENET_MEAN, std=IMAGENET_STD)
    raise SettingsError(
        f"{path} has no preprocessor_config.json beside it",
        hint="Take it from the model's repository: it says what the pixels are.",
    )


def _config(folder: Path, path: Path) -> Mapping[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_bytes())
        return config if isinstance(config, dict) else {}
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{path} does not say what its classes are called", hint=CONFIG_HINT
        ) from error


def _labels(config: Mapping[str, Any], path: Path) -> dict[int, str]:
    """Class number → name, without the numbers that stand for nothing."""
    try:
        names = {int(number): str(name) for number, name in config["id2label"].items()}
    except (KeyError, ValueError, AttributeError) as error:
        raise SettingsError(
            f"{path}: config.json does not say what its classes are called", hint=CONFIG_HINT
        ) from error
    used = {n: DARKNET.get(t, t) for n, t in sorted(names.items()) if t.casefold() not in NO_CLASS}
    if all(name == f"LABEL_{number}" for number, name in used.items()):
        raise SettingsError(f"{path}: its classes have no names", hint=CONFIG_HINT)
    return used
