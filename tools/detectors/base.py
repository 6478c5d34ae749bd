"""What a detector is, and what all of them share: thresholds, clipping, overlap."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from videoespresso.types import Box

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
    them: results made with other weights are then not reused.
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


def tidy(raw: Iterable[Raw]) -> list[Box]:
    """Boxes clipped to the picture, best score first, at most `MAX_BOXES`.

    Drops what is not a rectangle on the picture: not finite, empty, or wholly outside. Ties are
    broken by label and place, so that the order never depends on the model's.
    """
    boxes = []
    for label, xyxy, score in raw:
        if not all(math.isfinite(v) for v in (*xyxy, score)):
            continue
        x0, y0, x1, y1 = (min(1.0, max(0.0, float(v))) for v in xyxy)
        if x1 > x0 and y1 > y0:
            clipped = min(1.0, max(0.0, float(score)))
            boxes.append(Box(label=label, xyxy=(x0, y0, x1, y1), score=clipped))
    boxes.sort(key=lambda box: (-box.score, box.label, box.xyxy))
    return boxes[:MAX_BOXES]
