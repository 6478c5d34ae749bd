"""Where is it? Detectors behind one protocol, and key items matched to what a detector found.

Knows no graph, no model that talks, no file but a detector's weights. A spec names a detector:

    embedded:        the pack's small YOLO (the theatre's objects), onnxruntime
    onnx:PATH        D-FINE, RT-DETR, RF-DETR, DETR ... or an ultralytics YOLO in ONNX: a file, a
                     folder, or a repository in the Hugging Face cache (detectors/onnx.py)
    yolo:PATH.pt     any ultralytics checkpoint (extra `yolo`; ultralytics is AGPL-3.0)
    hf:ID_OR_PATH    zero-shot by name: GroundingDINO, OWLv2 ... (extra `local`)
    off              finds nothing
    NAME, NAME:X     a detector that an installed package brings (detectors/base.py)
    package.module:name
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from videoespresso.errors import SettingsError
from videoespresso.tools.detectors.base import Detector, Off
from videoespresso.tools.object_names import label_fit
from videoespresso.types import Box, KeyItem


def match_items(names: Sequence[str], boxes: Sequence[Box]) -> list[KeyItem]:
    """One key item a name, in the order given, with the boxes whose label fits it.

    "red car" takes "car", "the dogs" takes "dog", "man in blue" takes "person" (the rules are in
    `object_names.py`). Of several labels that fit, the best wins: the very words, then the
    longest label, then kinds ("man" is a "person"). A name that nothing fits keeps an empty
    tuple, as failed items do in the paper's data (appendix, step 8). Colour and other
    adjectives are not looked at here: "red car" gets every "car", and label_check.py sorts them
    out.
    """
    items = []
    for name in names:
        grades = {label: label_fit(name, label) for label in {box.label for box in boxes}}
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

    return OnnxDetector(Path(PACK) / "detector" / "detector.onnx", name="embedded:")


def _onnx(where: str) -> Detector:
    from videoespresso.tools.detectors.onnx import OnnxDetector  # noqa: PLC0415 - onnxruntime

    return OnnxDetector(where)


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
    from videoespresso.tools.detectors.base import (  # noqa: PLC0415 - others' packages
        known_detectors,
        plugged,
    )

    plugin = None if kind in _FORMS else plugged(spec)
    if plugin is None:
        installed = "".join(f"{name}, " for name in known_detectors())
        raise SettingsError(
            f"{spec!r} does not name a detector",
            hint="Known: embedded:, onnx:PATH, yolo:PATH.pt, "
            f"hf:IDEA-Research/grounding-dino-tiny (or a folder), {installed}off.",
        )
    return plugin
