"""What a detector is, and what all of them share: thresholds, clipping, overlap.

A detector of another package is named by an entry point of `videoespresso.detectors` or as
package.module:name: a class, or a function that gives an object, with `labels` and `detect`. `NAME`
calls it without arguments, `NAME:WHERE` with what stands behind the colon. It is given RGB
pictures; what it returns is checked, sorted and cut here.
"""

import math
from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from videoespresso.errors import SettingsError, ToolError
from videoespresso.tools.registry import error_line, source_of
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


GROUP = "videoespresso.detectors"
"""The entry point group for detectors of other packages."""


def known_detectors() -> dict[str, EntryPoint]:
    """Installed detectors by name, nothing is imported; of two with one name the first by
    distribution."""
    known: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda e: (e.name, source_of(e))):
        known.setdefault(entry.name, entry)
    return known


class PluginDetector:
    """Another package's detector under our contract: whatever it does wrong is a `ToolError`."""

    def __init__(self, inner: Any, name: str) -> None:
        labels = getattr(inner, "labels", ())
        if not callable(getattr(inner, "detect", None)) or isinstance(labels, str):
            raise SettingsError(
                f"{name!r} is not a detector: it lacks detect(image, names) or labels",
                hint="See videoespresso.tools.detectors.base.Detector.",
            )
        self.name, self.identity = name, str(getattr(inner, "identity", ""))
        self.labels: tuple[str, ...] | None = None if labels is None else tuple(labels)
        self._inner = inner

    def detect(self, image: "Image", names: Sequence[str] = ()) -> list[Box]:
        """Boxes, best first. Raises ToolError when it raises or returns anything else."""
        names = [name for name in names if any(c.isalnum() for c in name)]
        if self.labels is None and not names:
            return []
        try:
            boxes = list(self._inner.detect(image.convert("RGB"), names))
        except Exception as error:  # others' code
            raise ToolError(f"the detector {self.name!r} failed: {error_line(error)}") from error
        allowed = names if self.labels is None else self.labels
        for box in boxes:
            if not isinstance(box, Box):
                kind = type(box).__name__
                raise ToolError(f"the detector {self.name!r} returned {kind}, not Box")
            if box.label not in allowed:
                raise ToolError(f"the detector {self.name!r} reports {box.label!r}, no label of it")
        return sorted(boxes, key=lambda b: (-b.score, b.label, b.xyxy))[:MAX_BOXES]


def plugged(spec: str) -> Detector | None:
    """The plug-in's detector that a spec names; None where it names none.

    Raises SettingsError when it cannot be imported or made, or is no detector.
    """
    known = known_detectors()
    name, colon, where = spec.partition(":")
    given: tuple[str, ...] = (where,) if colon else ()
    entry = known.get(name)
    if entry is None:
        parts = (*name.split("."), *where.split("."))
        if not all(part.isidentifier() for part in parts) or find_spec(parts[0]) is None:
            return None
        entry, given = EntryPoint(name=spec, value=spec, group=GROUP), ()
    source = f"the detector {spec!r} ({source_of(entry)})"
    try:
        made = entry.load()(*given)
    except Exception as error:  # others' code runs on import
        raise SettingsError(
            f"{source} cannot be had: {error_line(error)}",
            hint="Repair or install the package that brings it, or write another detector.",
        ) from error
    return PluginDetector(made, spec)
