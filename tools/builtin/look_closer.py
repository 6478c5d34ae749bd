"""The tool that looks closer: more frames of a short stretch, or a part of them, described."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from videoespresso.errors import ToolError
from videoespresso.tools.base import (
    Finding,
    Needs,
    Sight,
    ToolRequest,
    around,
    number,
    stretch_parameters,
)
from videoespresso.tools.sampling import fingerprint, similar_frames

if TYPE_CHECKING:
    from PIL.Image import Image

FPS = 4.0
"""The paper's rate for moving stretches (step 1: 2-4)."""
MOST_FPS = 30.0
MOST_FRAMES = 12
"""Frames described in one run: each is a call of the captioner."""
REACH_S = 0.5
"""Without a stretch: so far to either side of each core frame."""

Crop = tuple[float, float, float, float]


class LookCloser:
    """The caller picks the stretch and the part; frames are sampled, cut out and described here.

    Frames that are the same to the eye are described once.
    """

    name = "look_closer"
    description = "Looks at a short stretch of the video, or a part of it, with more frames."
    needs: Needs = "span"
    parameters = stretch_parameters(
        fps={"type": "number", "description": f"Frames a second, at most {MOST_FPS:g}."},
        crop={
            "type": "array",
            "items": {"type": "number"},
            "description": "The part to look at: x0, y0, x1, y1 in hundredths of the frame.",
        },
    )

    def run(self, request: ToolRequest) -> list[Finding]:
        """One finding a different frame, in time order. Raises ToolError for a crop that is none,
        and without a captioner."""
        fps = min(MOST_FPS, max(0.1, number(request.arguments, "fps", FPS)))
        crop = _crop(request.arguments.get("crop"))
        seen = list(_different(_sights(request, fps, crop)))
        texts = request.means.describe([sight.image for sight in seen])
        part = "" if crop is None else f"In the part {' '.join(f'{100 * v:.0f}' for v in crop)}: "
        return [
            Finding(text=f"{part}{text}", time_s=sight.time_s)
            for sight, text in zip(seen, texts, strict=True)
            if text.strip()
        ]


def _sights(request: ToolRequest, fps: float, crop: Crop | None) -> Iterator[Sight]:
    """At most `MOST_FRAMES` over all stretches: where there are more, at a lower rate."""
    stretches = around(request, REACH_S)
    length = sum(end - start for start, end in stretches)
    rate = min(fps, MOST_FRAMES / length)
    # a part is looked at as large as the whole would be, as far as the file has the pixels
    scale = 1.0 if crop is None else 1.0 / max(crop[2] - crop[0], crop[3] - crop[1])
    count = 0
    for start, end in stretches:
        for sight in request.means.look(start, end, rate, scale):
            if count == MOST_FRAMES:
                return
            count += 1
            yield Sight(sight.time_s, sight.image if crop is None else _cut(sight.image, crop))


def _different(sights: Iterator[Sight]) -> Iterator[Sight]:
    last = None
    for sight in sights:
        mark = fingerprint(sight.image)
        if last is None or not similar_frames(mark, last):
            last = mark
            yield sight


def _cut(image: "Image", crop: Crop) -> "Image":
    x0, y0, x1, y1 = crop
    left, top = int(x0 * image.width), int(y0 * image.height)
    right, bottom = round(x1 * image.width), round(y1 * image.height)
    return image.crop((left, top, max(left + 1, right), max(top + 1, bottom)))


def _crop(given: object) -> Crop | None:
    """Hundredths as a part of 0-1. Raises ToolError for what is no rectangle on the frame."""
    if given is None:
        return None
    if not isinstance(given, list | tuple) or len(given) != 4:
        raise ToolError("crop is not four numbers: x0, y0, x1, y1 in hundredths")
    x0, y0, x1, y1 = (min(1.0, max(0.0, number({"crop": v}, "crop", 0.0) / 100)) for v in given)
    if x1 - x0 < 0.01 or y1 - y0 < 0.01:
        raise ToolError("crop is empty: x0 < x1 and y0 < y1, in hundredths of the frame")
    return x0, y0, x1, y1
