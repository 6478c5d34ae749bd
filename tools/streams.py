"""Subtitles and sound of a file, read in a decoding process that ends with the request."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from videoespresso.errors import ToolError, VideoError
from videoespresso.tools.decode.process import DecodeProcess
from videoespresso.tools.video import STALL_S, checked

RATE = 16_000
"""Samples a second of `read_sound`."""


class Line(NamedTuple):
    """A subtitle from start_s to end_s, in seconds from the video stream's start."""

    start_s: float
    end_s: float
    text: str


def read_lines(
    file: Path, spans: Sequence[tuple[float, float]], kind: Literal["embedded", "beside"]
) -> list[Line] | None:
    """The subtitles that touch one of the spans, of the streams in a video or of a file of
    subtitles; None where the package for it is not installed. Raises ToolError."""
    lines = _decoded_aside(file, do=kind, spans=[list(span) for span in spans])["lines"]
    return None if lines is None else [Line(*line) for line in lines]


def read_sound(file: Path, start_s: float, end_s: float) -> NDArray[np.float32]:
    """The sound between two instants of the video: (samples,), one channel, RATE a second, silent
    where there is none. Raises ToolError."""
    data = _decoded_aside(file, do="sound", start_s=start_s, end_s=end_s)["data"]
    return np.frombuffer(data, np.float32)


def _decoded_aside(file: Path, **request: Any) -> dict[str, Any]:
    try:
        path = checked(file)
        process = DecodeProcess(file.name, STALL_S)
        try:
            return process.ask(path=path, **request)
        finally:
            process.end()
    except VideoError as error:
        raise ToolError(str(error), hint=error.hint) from error
