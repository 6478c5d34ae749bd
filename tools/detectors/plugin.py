"""Detectors of other packages, named by an entry point of the group `videoespresso.detectors` or as
package.module:name.

A plug-in is a class, or a function that gives an object, with `labels` and `detect` as
`grounding.Detector` has them. `NAME` calls it without arguments, `NAME:WHERE` with what stands
behind the colon. It is given RGB pictures; what it returns is checked, sorted and cut here.
"""

from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from videoespresso.errors import SettingsError, ToolError
from videoespresso.tools.detectors.base import MAX_BOXES, Detector
from videoespresso.tools.registry import error_line, source_of
from videoespresso.types import Box

if TYPE_CHECKING:
    from PIL.Image import Image

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
