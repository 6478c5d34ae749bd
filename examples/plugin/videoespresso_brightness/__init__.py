"""How bright each core frame is: the whole of a plug-in."""

from collections.abc import Iterator
from typing import Any

from videoespresso.tools.base import Finding, Needs, ToolRequest

DARK, LIGHT = 85, 170
"""Thirds of 0-255: below it is dark, above it is light."""


class Brightness:
    """A perception tool: it runs once on the core frames of every question it is used for.

    Because it has `parameters`, a reasoner that can call tools may also call it on a stretch of
    its own choice.
    """

    name = "brightness"
    description = "Tells how bright each core frame is, or each second of a stretch."
    needs: Needs = "frames"
    parameters: dict[str, Any] = {  # noqa: RUF012 - read, never changed
        "type": "object",
        "properties": {
            "start_s": {"type": "number", "description": "From this second of the video."},
            "end_s": {"type": "number", "description": "Up to this second of the video."},
        },
        "required": ["start_s", "end_s"],
    }

    def run(self, request: ToolRequest) -> Iterator[Finding]:
        """Findings as they come; whatever is raised here becomes a gap and never evidence."""
        if request.arguments:
            start_s = float(request.arguments["start_s"])
            end_s = float(request.arguments["end_s"])
            for time_s, image in request.means.look(start_s, end_s, fps=1.0):
                yield Finding(text=told(image), time_s=time_s)
            return
        for core in request.frames:
            text = told(request.image(core))
            yield Finding(text=text, time_s=core.frame.time_s, frame_id=core.frame.id)


def told(image: Any) -> str:
    """The mean brightness in a sentence."""
    mean = image.convert("L").resize((1, 1)).getpixel((0, 0))
    word = "dark" if mean < DARK else "light" if mean > LIGHT else "of medium brightness"
    return f"The picture is {word}: {mean} of 255."
