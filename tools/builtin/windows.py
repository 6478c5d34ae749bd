"""The stretch of a video that a tool works on: from its arguments, else the request's span."""

import contextlib
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
    """A number among the arguments. Raises ToolError for a value that is none."""
    value = arguments.get(key)
    if value is None:  # models write null for what they leave out
        return default
    with contextlib.suppress(OverflowError):  # an integer of hundreds of digits
        known = isinstance(value, int | float) and not isinstance(value, bool)
        if known and math.isfinite(value):
            return float(value)
    raise ToolError(f"{key} is not a number: {value!r:.40}")


def window(request: ToolRequest) -> Window | None:
    """The stretch of the question in seconds, within the video; None where there is none.

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
    """The stretch of the question; without one, `reach_s` to either side of each core frame.

    Those that overlap are one; without core frames it is the whole video.
    """
    span = window(request)
    if span is not None:
        return [span]
    whole = (0.0, request.video.duration_s)
    windows: list[Window] = []
    for core in request.frames:
        start = max(whole[0], core.frame.time_s - reach_s)
        end = min(whole[1], core.frame.time_s + reach_s)
        if windows and start <= windows[-1][1]:  # in time order, so this one ends later
            start, _ = windows.pop()
        windows.append((start, end))
    return windows or [whole]
