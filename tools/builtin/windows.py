"""The stretch of a video that a tool is to look at: the caller's span, or the arguments' own."""

import math
from collections.abc import Mapping
from typing import Any

from videoespresso.errors import ToolError
from videoespresso.tools.base import ToolRequest

Window = tuple[float, float]

_PROPERTIES = {
    "start_s": {"type": "number", "description": "From this second of the video."},
    "end_s": {"type": "number", "description": "Up to this second of the video."},
}


def stretch_parameters(**own: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of a tool that works on a stretch, with arguments of its own."""
    return {"type": "object", "properties": {**_PROPERTIES, **own}}


def number(arguments: Mapping[str, Any], key: str, default: float) -> float:
    """A number a model wrote. Raises ToolError for what is none."""
    value = arguments.get(key)
    if value is None:  # models write null for what they leave out
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ToolError(f"{key} is not a number: {value!r:.40}")
    return float(value)


def window(request: ToolRequest) -> Window | None:
    """The stretch asked about in seconds, within the video; None where nobody named one.

    Raises ToolError for a stretch that is empty or outside the video.
    """
    if all(request.arguments.get(key) is None for key in _PROPERTIES):
        return request.span
    start = max(0.0, number(request.arguments, "start_s", 0.0))
    end = min(request.video.duration_s, number(request.arguments, "end_s", math.inf))
    if end <= start:
        raise ToolError(
            f"there is nothing between {start:g} and {end:g} s of a video of "
            f"{request.video.duration_s:g} s"
        )
    return start, end


def around(request: ToolRequest, reach_s: float) -> list[Window]:
    """The stretch asked about; where there is none, `reach_s` to either side of each core frame.

    Those that overlap are one; without core frames it is the whole video.
    """
    asked = window(request)
    if asked is not None:
        return [asked]
    whole = (0.0, request.video.duration_s)
    found: list[Window] = []
    for core in request.frames:
        start = max(whole[0], core.frame.time_s - reach_s)
        end = min(whole[1], core.frame.time_s + reach_s)
        if found and start <= found[-1][1]:  # in time order, so this one ends later
            start, _ = found.pop()
        found.append((start, end))
    return found or [whole]
