"""Where is it? Detectors behind one protocol, and key items matched to what a detector found.

Knows no graph, no model that talks, no file but a detector's weights. A spec names a detector:

    embedded:        the pack's small YOLO (the theatre's objects), onnxruntime
    onnx:PATH        a YOLO exported to ONNX by ultralytics, onnxruntime
    yolo:PATH.pt     any ultralytics checkpoint (extra `yolo`; ultralytics is AGPL-3.0)
    hf:ID_OR_PATH    zero-shot by name: GroundingDINO, OWLv2 ... (extra `local`)
    off              finds nothing
    NAME, NAME:X     a detector that an installed package brings (detect_plugin.py)
    package.module:name
"""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from videoespresso.errors import SettingsError
from videoespresso.tools.object_names import fit
from videoespresso.types import Box, KeyItem

if TYPE_CHECKING:
    from PIL.Image import Image

CONFIDENCE = 0.25
"""Boxes below this score are not reported: the default of ultralytics' `predict`."""

OVERLAP = 0.6
"""Of two boxes of one label with a larger IoU the weaker is dropped. ultralytics' default, 0.7,
leaves doubles, and a double is a false box in every count; 0.6 still keeps neighbours apart."""

MAX_BOXES = 100
"""At most this many boxes a frame, the best first; COCO's own limit a picture."""


class Detector(Protocol):
    """Finds objects on a picture.

    name: the spec it was made from. labels: all it can say, None for an open vocabulary.
    `detect` takes a picture of any size and mode and returns boxes xyxy in 0-1, clipped to the
    picture, best score first, at most `MAX_BOXES`; the same picture gives the same boxes. An open
    vocabulary looks for `names` and finds nothing without them; a closed one ignores them and
    reports every label it knows. Raises `ToolError` when the model fails on the picture. May be
    called from several threads. One with weights may have an `identity`, a string that changes with
    them: what was done with others is then not taken for its work.
    """

    @property
    def name(self) -> str: ...

    @property
    def labels(self) -> tuple[str, ...] | None: ...

    def detect(self, image: "Image", names: Sequence[str] = ()) -> list[Box]: ...


class Off:
    """The detector that finds nothing, for runs without grounding."""

    name = "off"
    labels: tuple[str, ...] | None = ()

    def detect(self, image: "Image", names: Sequence[str] = ()) -> list[Box]:
        """No boxes."""
        return []


class Raw(NamedTuple):
    """What a model reports before it is a `Box`: corners in units of the picture's size."""

    label: str
    xyxy: tuple[float, float, float, float]
    score: float


def tidy(found: Iterable[Raw]) -> list[Box]:
    """Boxes clipped to the picture, best score first, at most `MAX_BOXES`.

    Drops what is not a rectangle on the picture: not finite, empty, or wholly outside. Ties are
    broken by label and place, so that the order never depends on the model's.
    """
    boxes = []
    for label, xyxy, score in found:
        if not all(math.isfinite(v) for v in (*xyxy, score)):
            continue
        x0, y0, x1, y1 = (min(1.0, max(0.0, float(v))) for v in xyxy)
        if x1 > x0 and y1 > y0:
            clipped = min(1.0, max(0.0, float(score)))
            boxes.append(Box(label=label, xyxy=(x0, y0, x1, y1), score=clipped))
    boxes.sort(key=lambda box: (-box.score, box.label, box.xyxy))
    return boxes[:MAX_BOXES]


def match_items(names: Sequence[str], boxes: Sequence[Box]) -> list[KeyItem]:
    """One key item a name, in the order given, with the boxes whose label fits it.

    "red car" takes "car", "the dogs" takes "dog", "man in blue" takes "person" (the rules are in
    `words.py`). Of several labels that fit, the best wins: the very words, then the longest label,
    then kinds ("man" is a "person"). A name that nothing fits keeps an empty tuple, as failed items
    do in the paper's data (appendix, step 8). Colour and other adjectives are not looked at here:
    "red car" gets every "car", and color_check.py sorts them out.
    """
    items = []
    for name in names:
        grades = {label: fit(name, label) for label in {box.label for box in boxes}}
        best = max(grades.values(), default=0)
        kept = tuple(box for box in boxes if best > 0 and grades[box.label] == best)
        items.append(KeyItem(name=name, boxes=kept))
    return items


def _embedded(where: str) -> Detector:
    if where:
        raise SettingsError(
            f"embedded:{where}: the pack has one detector",
            hint="Write embedded: with nothing after the colon, or onnx:PATH for your own weights.",
        )
    from videoespresso.models.embedded import PACK  # noqa: PLC0415 - the pack is optional
    from videoespresso.tools.detectors.onnx import OnnxDetector  # noqa: PLC0415 - onnxruntime

    return OnnxDetector(Path(PACK) / "yolo" / "detector.onnx", name="embedded:")


def _onnx(where: str) -> Detector:
    from videoespresso.tools.detectors.onnx import OnnxDetector  # noqa: PLC0415 - onnxruntime

    return OnnxDetector(Path(where))


def _yolo(where: str) -> Detector:
    from videoespresso.tools.detectors.ultralytics import (  # noqa: PLC0415 - the extra `yolo`
        UltralyticsDetector,
    )

    return UltralyticsDetector(Path(where))


def _hf(where: str) -> Detector:
    from videoespresso.tools.detectors.zero_shot import (  # noqa: PLC0415 - the extra `local`
        ZeroShotDetector,
    )

    return ZeroShotDetector(where)


_FORMS: dict[str, Callable[[str], Detector]] = {
    "embedded": _embedded,
    "onnx": _onnx,
    "yolo": _yolo,
    "hf": _hf,
}


def detector(spec: str) -> Detector:
    """The detector a spec names (see the top of this file); its weights are read here, once.

    Raises `SettingsError` when the form is unknown, the weights are missing or no detector, the
    extra it needs is not installed, or a plug-in cannot be imported.
    """
    if spec == "off":
        return Off()
    kind, _, where = spec.partition(":")
    if kind in _FORMS and (where or kind == "embedded"):
        return _FORMS[kind](where)
    from videoespresso.tools.detectors.plugin import (  # noqa: PLC0415 - others' packages
        known_detectors,
        plugged,
    )

    found = None if kind in _FORMS else plugged(spec)
    if found is None:
        installed = "".join(f"{name}, " for name in known_detectors())
        raise SettingsError(
            f"{spec!r} does not name a detector",
            hint="Known: embedded:, onnx:PATH, yolo:PATH.pt, "
            f"hf:IDEA-Research/grounding-dino-tiny (or a folder), {installed}off.",
        )
    return found


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two xyxy boxes, 0-1."""
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return w * h / (both - w * h)
