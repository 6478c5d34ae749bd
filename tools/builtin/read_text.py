"""The tool that reads: text on the frames, by RapidOCR, whose models come in its package."""

import threading
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from videoespresso.errors import ToolError
from videoespresso.tools.base import Finding, Needs, ToolRequest, stretch_parameters, window
from videoespresso.types import Box

if TYPE_CHECKING:
    from PIL.Image import Image

LEAST_SCORE = 0.5
"""Lines RapidOCR is less sure of are left out: its own default."""
FPS = 1.0
"""Frames a second of a stretch that a model asks about: signs stay longer than that."""
LABEL = "text"


class ReadText:
    """Reads signs, captions and screens: on the core frames, or in the stretch of the question."""

    name = "read_text"
    description = "Reads the text that can be seen on the core frames, or in a stretch."
    needs: Needs = "frames"
    parameters = stretch_parameters()

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()

    def run(self, request: ToolRequest) -> list[Finding]:
        """One finding a frame with text, the boxes of its lines with it. Raises ToolError without
        the extra `ocr`."""
        findings = []
        if request.arguments:
            span = window(request) or (0.0, request.video.duration_s)
            for sight in request.means.look(*span, FPS):
                if lines := self._read(sight.image):
                    findings.append(Finding(text=_sentence(lines), time_s=sight.time_s))
            return findings
        for core in request.frames:
            if lines := self._read(request.image(core)):
                boxes = tuple(box for _, box in lines)
                findings.append(
                    Finding(
                        text=_sentence(lines),
                        time_s=core.frame.time_s,
                        frame_id=core.frame.id,
                        boxes=boxes,
                    )
                )
        return findings

    def _read(self, image: "Image") -> list[tuple[str, Box]]:
        """The lines of text, top to bottom as the engine orders them, each with its place."""
        import numpy as np  # noqa: PLC0415 - only where there are pixels

        rgb = np.asarray(image.convert("RGB"))
        with self._one_at_a_time:
            result = self._engine(rgb[:, :, ::-1])
        if result.txts is None:
            return []
        read = zip(result.txts, result.boxes, result.scores, strict=True)
        return list(_lines(read, image.width, image.height))

    @cached_property
    def _engine(self) -> Any:
        """The engine, loaded once; Raises ToolError naming the package."""
        try:
            import rapidocr  # noqa: PLC0415 - the extra `ocr`
        except ImportError:
            raise ToolError(
                "reading text needs the package rapidocr: pip install 'videoespresso[ocr]'",
                hint="pip install 'videoespresso[ocr]'",
            ) from None
        return rapidocr.RapidOCR(params={"Global.log_level": "error"})


def _lines(read: Any, width: int, height: int) -> Iterator[tuple[str, Box]]:
    for text, corners, score in read:
        if score < LEAST_SCORE or not text.strip():
            continue
        xs = [min(1.0, max(0.0, float(x) / width)) for x, _ in corners]
        ys = [min(1.0, max(0.0, float(y) / height)) for _, y in corners]
        place = (min(xs), min(ys), max(xs), max(ys))
        yield " ".join(text.split()), Box(label=LABEL, xyxy=place, score=min(1.0, float(score)))


def _sentence(lines: list[tuple[str, Box]]) -> str:
    return "Text in the picture: " + "; ".join(f'"{text}"' for text, _ in lines)
